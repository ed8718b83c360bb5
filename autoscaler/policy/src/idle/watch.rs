//! Where a function is in an idle time, by the seconds as they settle.

use serde::{Deserialize, Serialize};

use super::gaps::Gaps;
use crate::readings::{Load, Sample};

const SECOND_US: u64 = 1_000_000;

/// Settled seconds end at most this long ago, or what is open now is not known: reports come each
/// second, so that two seconds are on their way; one report may be late.
const LAG_S_MAX: u64 = 3;

/// Requests are counted for at most so long after a gap, in seconds: whoever starts for longer
/// has had a crowd to reckon with by then.
const OPENING_S_MAX: u64 = 60;

/// The seconds so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// None before the first second.
    seen: Option<Seen>,
    /// The start-up time, in whole seconds, rounded up.
    start_up_s: u64,
    opening: Option<Opening>,
}

/// Up to when the seconds are known, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    last_s: u64,
    /// The first of the known ones that end with the last, without a hole.
    known_from_s: u64,
    /// The last second with load, or the one before the first of all.
    busy_s: u64,
    /// Whether all since that one is known, and it had load.
    tells: Tells,
}

/// Whether the end of the present idle time will say how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Tells {
    Length,
    Nothing,
}

/// Requests are counted that would have waited had a gap ended without a pod.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Opening {
    until_s: u64,
    requests: f64,
}

impl Watch {
    /// From now on a start takes so long.
    pub(super) fn set_start_up(&mut self, start_up_us: u64) {
        self.start_up_s = start_up_us.div_ceil(SECOND_US).clamp(1, OPENING_S_MAX);
    }

    /// Takes in a second; one that a later one was known before is passed over.
    pub(super) fn record(&mut self, second: u64, sample: Sample, gaps: &mut Gaps) {
        let mut seen = self.seen.unwrap_or(Seen {
            last_s: second.saturating_sub(1),
            known_from_s: second,
            busy_s: second.saturating_sub(1),
            tells: Tells::Nothing,
        });
        if self.seen.is_some() && second <= seen.last_s {
            return;
        }
        if second != seen.last_s + 1 {
            seen.known_from_s = second;
            seen.tells = Tells::Nothing;
            self.opening = None;
        }
        seen.last_s = second;
        if let Some(opening) = self.opening.take_if(|opening| opening.until_s <= second) {
            gaps.record_opening(whole(opening.requests));
        }
        if sample.concurrency > 0.0 || sample.rps > 0.0 {
            let gap_s = second - seen.busy_s;
            if gap_s > 1 && seen.tells == Tells::Length {
                gaps.record(gap_s * SECOND_US);
                if gap_s > self.start_up_s && self.opening.is_none() {
                    let until_s = second + self.start_up_s;
                    self.opening = Some(Opening { until_s, requests: 0.0 });
                }
            }
            (seen.busy_s, seen.tells) = (second, Tells::Length);
        }
        if let Some(opening) = &mut self.opening {
            opening.requests += sample.rps;
        }
        self.seen = Some(seen);
    }

    /// The seconds before this one are as good as known to be without load.
    pub(super) fn sleep_through(&mut self, second: u64) {
        if let Some(seen) = &mut self.seen
            && seen.last_s + 1 < second
        {
            seen.last_s = second - 1;
        }
    }

    /// Since when the function is idle, in microseconds; none unless it is certain that it is:
    /// nothing is open by the last reports, these are of now, and what they covered since the last
    /// load, or for a whole window, has no hole. Who sleeps must have been seen to fall idle, too:
    /// nothing is expected of one who was asleep when it was first seen.
    pub(super) fn idle_since_us(
        &self,
        now_us: u64,
        load: &Load,
        window_s: u32,
        replicas: u32,
    ) -> Option<u64> {
        let seen = self.seen.filter(|seen| replicas > 0 || seen.tells == Tells::Length)?;
        let is_loaded = |sample: &Sample| sample.concurrency > 0.0 || sample.rps > 0.0;
        let is_open = load.in_flight > 0 || load.incomplete.iter().any(is_loaded);
        let is_late = load.settled_s + LAG_S_MAX < now_us / SECOND_US;
        let is_unsettled = seen.last_s + 1 != load.settled_s;
        let has_hole = seen.known_from_s > seen.busy_s + 1
            && seen.known_from_s + u64::from(window_s) > load.settled_s;
        if is_open || is_late || is_unsettled || has_hole {
            return None;
        }
        // In the middle of the last second with load, as gaps are measured from one to the next.
        Some(seen.busy_s.saturating_mul(SECOND_US).saturating_add(SECOND_US / 2))
    }
}

/// A count that was spread over seconds, as a whole number.
fn whole(requests: f64) -> u32 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is meant"
    )]
    let requests = libm::round(requests) as u32;
    requests
}
