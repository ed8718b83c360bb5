//! The cheapest way through an idle time whose length is known by distribution only.

use serde::{Deserialize, Serialize};

use super::bins::{BINS, BOUNDS_US, bin, seconds};
use super::forecast::Shares;
use super::gaps::Gaps;

/// What the rest of an idle time costs, from each bin on, in pod-seconds.
///
/// With S the mass of the gaps that last beyond the begin of a bin, S' beyond its end, m = S − S'
/// what ends in it, ℓ its length, s the start-up time and b the requests that come within one:
///
/// > warm in a bin: ℓ · (S' + m ÷ 2) — cold in it: λ · b · m — from cold to warm: s · S
///
/// and from warm to cold nothing. Backward from the last bin, beyond which nothing is worth a pod,
///
/// > warm = warm in it + min(warm', cold')
/// > cold = cold in it + min(cold', warm' + s · S')
///
/// where ' is the next bin. Worked, with two bins of 10 s, one gap that ends in the second, λ = 8,
/// b = 1, s = 2 s: in the second bin warm costs 10 · ½ = 5 and cold 8; in the first warm costs
/// 10 + 5 = 15, cold 0 + min(8, 5 + 2) = 7. So the pod goes at once, and another one is ordered 2 s
/// before the second bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: [Step; BINS + 1],
    start_up_us: u64,
}

/// The costs from one bin on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Step {
    /// The mass of the gaps that come so far.
    survivors: f64,
    warm: f64,
    cold: f64,
}

/// What a decision knows of a function on which nothing is open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idleness {
    /// For how long, in microseconds.
    pub for_us: u64,
    /// The bin looked at begins so long after the last request, in seconds. Without replicas it is
    /// that of the time at which a pod ordered now would be ready.
    pub from_s: f64,
    /// It ends so long after it; none = never.
    pub to_s: Option<f64>,
    /// What the rest costs on average with a pod in this bin, in pod-seconds; its start included
    /// if there is none.
    pub warm: f64,
    /// And what it costs without.
    pub cold: f64,
    /// When a pod is to be ordered ahead if there is none and nothing comes before, in
    /// microseconds; none = never.
    pub pre_warm_us: Option<u64>,
}

impl Plan {
    /// The plan for idle times as those in `gaps`, for a λ of `cost` pod-seconds and that start-up
    /// time.
    #[must_use]
    pub fn new(gaps: &Gaps, cost: f64, start_up_us: u64) -> Self {
        Self::of(&gaps.expected(), cost * gaps.requests(), start_up_us)
    }

    /// The plan for gaps of those weights, where the end of one without a pod costs `end`.
    pub(super) fn of(weights: &Shares, end: f64, start_up_us: u64) -> Self {
        let start_s = seconds(start_up_us);
        let mut next = Step { survivors: weights[BINS], warm: f64::INFINITY, cold: 0.0 };
        let mut steps = [next; BINS + 1];
        for at in (0..BINS).rev() {
            let mass = weights[at];
            let length_s = seconds(BOUNDS_US[at + 1] - BOUNDS_US[at]);
            next = Step {
                survivors: next.survivors + mass,
                warm: length_s * (next.survivors + mass / 2.0) + next.warm.min(next.cold),
                cold: end * mass + next.cold.min(next.warm + start_s * next.survivors),
            };
            steps[at] = next;
        }
        Self { steps, start_up_us }
    }

    /// The view of it at `now_us` of who is idle since `since_us` and has so many replicas.
    #[must_use]
    pub fn look(&self, since_us: u64, now_us: u64, replicas: u32) -> Idleness {
        let for_us = now_us.saturating_sub(since_us);
        let (at, start_s) = match replicas {
            0 => (bin(for_us.saturating_add(self.start_up_us)), seconds(self.start_up_us)),
            _ => (bin(for_us), 0.0),
        };
        let Step { survivors, warm, cold } = self.steps[at];
        Idleness {
            for_us,
            from_s: seconds(BOUNDS_US[at]),
            to_s: BOUNDS_US.get(at + 1).map(|bound_us| seconds(*bound_us)),
            warm: (warm / survivors + start_s).min(f64::MAX),
            cold: cold / survivors,
            pre_warm_us: self.pre_warm_us(since_us, now_us),
        }
    }

    /// The first time after `now_us` at which who has no pod is better off with one.
    fn pre_warm_us(&self, since_us: u64, now_us: u64) -> Option<u64> {
        let start_s = seconds(self.start_up_us);
        let pays = |step: &Step| step.warm + start_s * step.survivors < step.cold;
        let starts = self.steps.iter().zip(BOUNDS_US).filter(|(step, _)| pays(step));
        let mut times_us = starts.map(|(_, bound_us)| {
            since_us.saturating_add(bound_us).saturating_sub(self.start_up_us)
        });
        times_us.find(|at_us| *at_us > now_us)
    }
}

impl Idleness {
    /// Whether a pod is worth its cost, to who has so many replicas. Where it makes no difference,
    /// all stays as it is.
    pub(crate) fn is_worth_a_pod(&self, replicas: u32) -> bool {
        match replicas {
            0 => self.warm < self.cold,
            _ => self.warm <= self.cold,
        }
    }
}
