//! How long a decision stands while nothing much happens: until then every tick comes to the same.

use super::scaler::{AHEAD_S_MAX, LAG_S_MAX, end_s};
use super::{Decision, Missing, Observation, Outcome, Phase, Reachability, SECOND_US, Scaler, Why};
use crate::settings::{Aggregation, Burst, Metric};

/// A load that makes an average of at least this does not vanish when that is rounded.
const AVERAGE_MIN: f64 = 1e-6;

/// Of the target, what an average may come to without being rounded over it.
const BELOW_TARGET: f64 = 0.999;

/// Until when ticks come to the decision just made, and leave its scaler as one tick at that time
/// would, so that none before it needs to be made. Provided that the pods stay, that each second is
/// reported within one, and that there is no more load than this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// In microseconds; the time of the decision if nothing is certain.
    pub until_us: u64,
    /// What the mean concurrency of each report, over all reporters, may come to. None: no request
    /// may begin or end.
    pub concurrency_max: Option<f64>,
}

impl Scaler {
    /// How long `decision`, just made of `observation`, stands.
    #[must_use]
    pub fn standing(&self, observation: &Observation, decision: &Decision) -> Standing {
        let now_us = observation.now_us;
        let Some(rest) = self.rest(observation, decision) else {
            return Standing { until_us: now_us, concurrency_max: None };
        };
        // What has left the window by then is settled no more.
        let settled_s =
            u64::from(self.scaling.stable_window_s).saturating_sub(LAG_S_MAX + AHEAD_S_MAX);
        let (until_s, concurrency_max) = match rest {
            Rest::Loadless => (u64::MAX, None),
            Rest::OfOne { until_s, concurrency_max } => (until_s, concurrency_max),
        };
        let until_us = until_s.saturating_mul(SECOND_US);
        let until_us = until_us.min(now_us.saturating_add(settled_s * SECOND_US)).max(now_us);
        Standing { until_us, concurrency_max }
    }

    fn rest(&self, observation: &Observation, decision: &Decision) -> Option<Rest> {
        let (inputs, scaling, load) = (&decision.inputs, &self.scaling, &observation.load);
        let averages = inputs.averages?;
        let by_load_alone = self.missing == Missing::Unknown
            && inputs.why == Why::Tick
            && inputs.reachability == Reachability::Reachable
            && inputs.keep.is_none()
            && inputs.initial.is_none()
            && decision.panic.is_none()
            && scaling.idle_cost.is_none()
            && scaling.scale_down_delay_s == 0
            && scaling.burst == Burst::Kpa
            && scaling.aggregation == Aggregation::Linear;
        if !by_load_alone {
            return None;
        }
        let concurrency_max = self.concurrency_max(observation);
        if load.in_flight > 0 && concurrency_max.is_none() {
            return None;
        }
        let is_least = decision.outcome == Outcome::Keep
            && (inputs.ready, inputs.replicas, decision.desired) == (1, 1, 1)
            && matches!(decision.phase, Phase::Active { .. });
        let unknown_s = scaling.stable_window_s - averages.stable.known_s;
        if unknown_s > 0 {
            // While part of the window is not known, nobody is put to sleep.
            let until_s = end_s(observation.now_us / SECOND_US, load) + u64::from(unknown_s);
            let until_s = until_s.saturating_sub(AHEAD_S_MAX);
            return is_least.then_some(Rest::OfOne { until_s, concurrency_max });
        }
        if averages.stable.value <= 0.0 && averages.panic.value <= 0.0 {
            // No load asks for pods, and no time for keeping them.
            let sleeps = decision.desired == 0 && matches!(decision.phase, Phase::Idle { .. });
            let rests = load.in_flight == 0 && (sleeps || scaling.min_scale > 0);
            return rests.then_some(Rest::Loadless);
        }
        // As long as there is any load in the window it asks for one pod; one second is over before
        // it counts, and reports may be early.
        let (last_s, value) = self.windows.newest_load()?;
        let until_s = (last_s + u64::from(scaling.stable_window_s)).saturating_sub(1);
        let lasts = value / f64::from(scaling.stable_window_s) >= AVERAGE_MIN;
        (is_least && lasts).then_some(Rest::OfOne { until_s, concurrency_max })
    }

    /// With how much concurrency from now on every second of the windows is below what one pod is
    /// to have; none if that is not so already.
    fn concurrency_max(&self, observation: &Observation) -> Option<f64> {
        let scaling = &self.scaling;
        let bearable = scaling.target * BELOW_TARGET;
        let is_borne = scaling.metric == Metric::Concurrency
            && scaling.activation_scale <= 1
            && self.windows.peak() <= bearable;
        // A second that has begun has this beside what is still reported of it.
        let begun = observation.load.incomplete.iter().map(|sample| sample.concurrency);
        let left = bearable - begun.fold(0.0, f64::max);
        (is_borne && left >= 0.0).then_some(left)
    }
}

/// Why nothing changes.
enum Rest {
    /// No second of the windows has load.
    Loadless,
    /// One pod is kept until then, whatever it has to bear up to that.
    OfOne { until_s: u64, concurrency_max: Option<f64> },
}
