//! How long a decision stands while nothing happens: until then every tick comes to the same.

use super::scaler::{AHEAD_S_MAX, LAG_S_MAX};
use super::{Decision, Missing, Observation, Outcome, Phase, Reachability, SECOND_US, Scaler, Why};
use crate::settings::{Aggregation, Burst};

/// A load that makes an average of at least this does not vanish when that is rounded.
const AVERAGE_MIN: f64 = 1e-5;

impl Scaler {
    /// Until when, in microseconds, ticks come to `decision`, just made of `observation`, and leave
    /// this scaler as one tick at that time would, so that none before it needs to be made.
    /// Provided that no request begins or ends meanwhile, that each second of it is reported within
    /// one, and that the pods stay. The time of the decision if that is not certain.
    #[must_use]
    pub fn stands_until_us(&self, observation: &Observation, decision: &Decision) -> u64 {
        let now_us = observation.now_us;
        let until_us = match self.rest(observation, decision) {
            Some(Rest::Loadless) => u64::MAX,
            // One second is over before it counts, and reports may be early.
            Some(Rest::Fading { last_s }) => {
                (last_s + u64::from(self.scaling.stable_window_s)).saturating_sub(1) * SECOND_US
            }
            None => now_us,
        };
        // What has left the window by then is settled no more.
        let settled_s =
            u64::from(self.scaling.stable_window_s).saturating_sub(LAG_S_MAX + AHEAD_S_MAX);
        until_us.min(now_us.saturating_add(settled_s * SECOND_US)).max(now_us)
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
        let is_quiet = load.in_flight == 0
            && averages.stable.known_s == scaling.stable_window_s
            && averages.panic.known_s == scaling.panic_window_s;
        if !by_load_alone || !is_quiet {
            return None;
        }
        if averages.stable.value <= 0.0 && averages.panic.value <= 0.0 {
            // No load asks for pods, and no time for keeping them.
            let sleeps = decision.desired == 0 && matches!(decision.phase, Phase::Idle { .. });
            return (sleeps || scaling.min_scale > 0).then_some(Rest::Loadless);
        }
        // As long as there is any load in the window it asks for one pod; less of it for no more.
        let is_least = decision.outcome == Outcome::Keep
            && (inputs.ready, inputs.replicas, decision.desired) == (1, 1, 1)
            && matches!(decision.phase, Phase::Active { .. });
        let (last_s, value) = self.windows.newest_load()?;
        let lasts = value / f64::from(scaling.stable_window_s) >= AVERAGE_MIN;
        (is_least && lasts).then_some(Rest::Fading { last_s })
    }
}

/// Why nothing changes.
enum Rest {
    /// No second of the windows has load.
    Loadless,
    /// One replica is wanted as long as this second is in the stable window.
    Fading { last_s: u64 },
}
