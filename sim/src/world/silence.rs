//! Reports that say only that time passed, and that the same requests go on, are not made one by
//! one.
//!
//! Such a report changes two things: up to when its activator is known to have reported, and by how
//! much the requests' time grew, evenly. So while an activator has nothing else to say, its reports
//! are passed over, and before the next event the autoscaler takes in what they came to. An hour of
//! sleep costs a hundred and twenty calls, not the 3 600 events of a report a second.

use dormouse_policy::readings::SILENCE_US_MAX;

use super::activator::reading;
use super::engine::Sim;
use super::queue::{Class, key};

/// The longest time passed over in one step, in nanoseconds: well below that after which an
/// activator counts as lost.
const STEP_NS: u64 = SILENCE_US_MAX * 1_000 / 2;

/// When the report after a silence is while there is none.
pub(super) const NEVER: u64 = u64::MAX;

/// Which reports are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reports {
    /// All.
    All,
    /// Those that say something. Only where there is one activator, and its reports arrive at once.
    WithNews,
}

impl Sim<'_> {
    /// A decision stands unless there is more load than `most`: if so much goes on, the next report
    /// says so.
    pub(super) fn bear(&mut self, at: usize, in_flight: u64, most: Option<f64>) {
        for activator in &mut self.activators {
            let is_steady = activator.steady.contains(&(at as u32));
            if is_steady && most.is_none_or(|most| in_flight as f64 > most) {
                activator.note(at);
            }
        }
    }

    /// Takes in the silent reports whose place is before an event's.
    #[inline]
    pub(super) fn keep_silence(&mut self, event: u128) {
        if self.silent_until_ns <= self.now_ns {
            self.pass_reports(event);
        }
    }

    #[cold]
    fn pass_reports(&mut self, event: u128) {
        let every_ns = self.setup.world.report.pause_ns();
        let (Some(leader), [only]) = (&mut self.leader, &self.activators[..]) else {
            return;
        };
        while key(self.silent_until_ns, Class::Report, 0, 0) < event {
            let more = (self.now_ns - self.silent_until_ns).min(STEP_NS) / every_ns;
            let last_ns = self.silent_until_ns + more.saturating_sub(1) * every_ns;
            let last_us = last_ns / 1_000;
            let steady = only.steady.iter().map(|&at| at as usize);
            let steady = steady.filter_map(|at| Some((at, reading(&only.counters[at], last_us)?)));
            leader.hear_silence(&only.name, only.boot, last_us, steady);
            self.silent_until_ns = last_ns.saturating_add(every_ns);
        }
    }

    /// Sets the next report once the activator has something to say again.
    #[inline]
    pub(super) fn break_silence(&mut self) {
        if self.silent_until_ns < NEVER && self.activators[0].has_news() {
            self.report_again();
        }
    }

    #[cold]
    fn report_again(&mut self) {
        let next_ns = std::mem::replace(&mut self.silent_until_ns, NEVER);
        self.set_report(0, next_ns);
    }
}
