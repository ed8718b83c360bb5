//! Learning when to sleep: what a function's idle times were, and from them until when an idle pod
//! is worth keeping and when one is worth starting ahead of a request (`dormouse.dev/idle-cost`).
//!
//! A pod that waits costs pod-seconds; a request that waits for a pod costs λ of them, which is the
//! annotation's value. [`Gaps`] remembers how long the function was idle before each request, as
//! masses over [`BINS`] bins of time; `forecast` makes of them what the present gap may be. A
//! [`Plan`] is the cheapest way through a gap of that distribution: a dynamic programme backward
//! over the bins, with a pod and without. A [`Watch`] goes over the settled seconds: it finds the
//! gaps, and says how long the present one lasts if that is certain. [`Idle`] holds the three
//! together for one function.
//!
//! Only the steps between no replicas and the least non-zero scale are decided here.

mod bins;
mod forecast;
mod gaps;
mod plan;
mod shared;
mod watch;

use serde::{Deserialize, Serialize};

use crate::readings::{Load, Sample};

pub use bins::BINS;
pub use gaps::Gaps;
pub use plan::{Idleness, Plan};
pub use shared::{SHARED_US_MIN, Shared};
use watch::Watch;

/// The start-up time reckoned with before one was learnt, in microseconds: what an idle cluster
/// needs for a pod whose image is there.
const START_UP_US: u64 = 2_000_000;

/// What one function has learnt of its idle times, and where it is in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Idle {
    gaps: Gaps,
    watch: Watch,
}

impl Idle {
    /// What was learnt.
    pub(crate) fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Goes on with what another one learnt, if that saw more.
    pub(crate) fn merge(&mut self, gaps: &Gaps) {
        self.gaps.merge(gaps);
    }

    /// Takes in what one second was.
    pub(crate) fn record(&mut self, second: u64, sample: Sample) {
        self.watch.record(second, sample, &mut self.gaps);
    }

    /// Nobody will say what the seconds before this one were, because the function slept through
    /// them: whatever had come would have woken it.
    pub(crate) fn sleep_through(&mut self, second: u64) {
        self.watch.sleep_through(second);
    }

    /// Forgets where it is, and nothing of what it learnt.
    pub(crate) fn look_anew(&mut self) {
        self.watch = Watch::default();
    }

    /// What a decision at `now_us` with so many `replicas` needs to know; none if it is not certain
    /// that nothing is open. `cost` is λ, in pod-seconds; a window of `window_s` seconds that are
    /// known is certainty enough.
    pub(crate) fn look(
        &mut self,
        now_us: u64,
        load: &Load,
        window_s: u32,
        cost: f64,
        start_up_us: Option<u64>,
        replicas: u32,
    ) -> Option<Idleness> {
        let start_up_us = start_up_us.unwrap_or(START_UP_US);
        self.watch.set_start_up(start_up_us);
        let since_us = self.watch.idle_since_us(now_us, load, window_s, replicas)?;
        let plan = Plan::new(&self.gaps, cost, start_up_us);
        Some(plan.look(since_us, now_us, replicas))
    }
}

#[cfg(test)]
mod tests;
