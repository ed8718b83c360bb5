//! From the figure that load asks for to replicas: what must be kept, bounds, and the way to zero.

use super::conclude::{Figure, pods};
use super::{
    ACTIVATION_US_MAX, Averages, Inputs, Keep, Missing, Path, Phase, Reachability, Rule, SECOND_US,
    Why, within,
};
use crate::burst::Demand;
use crate::settings::{Burst, Metric, Paused, ScaleToZero};

/// Applies the rules to `figure` and returns the phase they lead to.
pub(super) fn apply(inputs: &Inputs, averages: Option<Averages>, figure: &mut Figure) -> Phase {
    let (min, max) = (inputs.min_scale(), inputs.scaling.max_scale);
    if inputs.why != Why::Start {
        answer_requests(inputs, figure);
    }
    let rest = weigh_idleness(inputs, figure);
    let initial = inputs.initial_scale();
    figure.at_least(initial, Rule::InitialScale { initial });
    figure.at_least(min, Rule::MinScale { min });
    let wanted = figure.value();
    let coverage = Coverage::of(inputs, averages, rest);
    if let Coverage::Partial { known_s, window_s } = coverage {
        figure.at_least(inputs.replicas, Rule::Coverage { known_s, window_s });
    }
    if max > 0 {
        figure.at_most(max, Rule::MaxScale { max });
    }
    let phase = next_phase(inputs, wanted, coverage, rest);
    if figure.value() == 0 && inputs.why != Why::Start {
        wait_before_zero(inputs, phase, figure);
    }
    if inputs.why == Why::Pressure {
        figure.at_least(inputs.replicas, Rule::Pressure { replicas: inputs.replicas });
    }
    if let Some(keep) = inputs.keep {
        let kept = match keep {
            Keep::Zero => 0,
            Keep::SetByOther(floor) | Keep::Rollout(floor) => floor.max(figure.value()),
        };
        figure.set(kept, Rule::Keep(keep));
    }
    if inputs.scaling.paused == Paused::Yes {
        figure.set(inputs.replicas, Rule::Paused { replicas: inputs.replicas });
    }
    phase
}

/// Whether the whole stable window is known. A first sight does not look at it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coverage {
    Whole,
    Partial { known_s: u32, window_s: u32 },
}

impl Coverage {
    fn of(inputs: &Inputs, averages: Option<Averages>, rest: Rest) -> Self {
        let window_s = inputs.scaling.stable_window_s;
        let known_s = averages.map_or(0, |averages| averages.stable.known_s);
        let partial = inputs.missing == Missing::Unknown && known_s < window_s;
        let needed = inputs.why != Why::Start && rest == Rest::Unplanned;
        match needed && (partial || averages.is_none()) {
            true => Self::Partial { known_s, window_s },
            false => Self::Whole,
        }
    }
}

/// Whether the way to zero is by plan: what it needs to know is known then, whatever the windows
/// lack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Idle since that time, in microseconds, and a pod is not worth its cost.
    Planned {
        since_us: u64,
    },
    Unplanned,
}

/// Between none and the least non-zero scale an idle function with an idle-cost has a pod while one
/// is worth it, and is not put to sleep otherwise: requests too short to count as load would not
/// keep it awake. What was asked for within the scale-down delay is kept all the same.
fn weigh_idleness(inputs: &Inputs, figure: &mut Figure) -> Rest {
    let least = inputs.scaling.activation_scale.max(1);
    let is_asked = inputs.why == Why::Tick && inputs.reachability == Reachability::Reachable;
    if !is_asked || figure.value() > least {
        return Rest::Unplanned;
    }
    match inputs.idle {
        None if inputs.scaling.idle_cost.is_none() => {}
        None => figure.at_least(inputs.replicas.min(least), Rule::NotIdle),
        Some(idle) if idle.is_worth_a_pod(inputs.replicas) => {
            figure.at_least(least, Rule::IdleCost(idle));
        }
        Some(idle) if inputs.replicas <= least && inputs.highest == 0 => {
            figure.settle(0, Rule::IdleCost(idle));
            return Rest::Planned { since_us: inputs.now_us.saturating_sub(idle.for_us) };
        }
        Some(_) => {}
    }
    Rest::Unplanned
}

impl Inputs {
    fn min_scale(&self) -> u32 {
        match self.reachability {
            Reachability::Reachable => self.scaling.min_scale,
            Reachability::Unreachable => 0,
        }
    }

    /// What a fresh function is not to fall below. One replica is no floor: that a fresh function
    /// is not put to sleep before it was awake is the business of its phase.
    fn initial_scale(&self) -> u32 {
        let initial = self.initial.unwrap_or(0);
        match (self.why, self.reachability) {
            (Why::Start, _) => initial,
            (_, Reachability::Reachable) if initial > 1 => initial,
            _ => 0,
        }
    }

    /// Replicas as they are, within the upper bound.
    fn kept(&self) -> u32 {
        within(self.scaling.max_scale, self.replicas)
    }

    fn us_since(&self, since_us: u64) -> u64 {
        self.now_us.saturating_sub(since_us)
    }
}

fn answer_requests(inputs: &Inputs, figure: &mut Figure) {
    let Inputs { in_flight, held, lost_in_flight, refused, arriving_rps, start_up_us, .. } =
        *inputs;
    let scaling = &inputs.scaling;
    if in_flight > 0 {
        figure.at_least(1, Rule::InFlight { in_flight, held });
    }
    if scaling.metric == Metric::Concurrency && lost_in_flight > 0 {
        let needed = pods(lost_in_flight as f64 / scaling.target);
        figure.at_least(needed, Rule::LostReporters { lost_in_flight });
    }
    if scaling.burst != Burst::Kpa {
        let demand = Demand::new(scaling.burst, in_flight, refused, arriving_rps, start_up_us);
        figure.at_least(pods(demand.requests() / scaling.target), Rule::Burst(demand));
    }
    if inputs.why == Why::Wake {
        let activation_scale = scaling.activation_scale;
        figure.at_least(activation_scale.max(1), Rule::Wake { activation_scale });
    }
}

/// A function that is not wanted after a stable window of activity is idle from now on, if that is
/// certain, and by plan it is since its last request; an idle one that is wanted is active anew.
fn next_phase(inputs: &Inputs, wanted: u32, coverage: Coverage, rest: Rest) -> Phase {
    let now_us = inputs.now_us;
    let window_us = u64::from(inputs.scaling.stable_window_s) * SECOND_US;
    match inputs.phase {
        Phase::Active { .. }
            if wanted == 0
                && let Rest::Planned { since_us } = rest =>
        {
            Phase::Idle { since_us }
        }
        Phase::Active { since_us }
            if wanted == 0
                && coverage == Coverage::Whole
                && inputs.us_since(since_us) >= window_us =>
        {
            Phase::Idle { since_us: now_us }
        }
        Phase::Idle { .. } if wanted > 0 => match inputs.ready {
            0 => Phase::Starting { since_us: now_us },
            _ => Phase::Active { since_us: now_us },
        },
        phase => phase,
    }
}

/// The rules that put zero off for a while.
fn wait_before_zero(inputs: &Inputs, phase: Phase, figure: &mut Figure) {
    if inputs.scaling.scale_to_zero == ScaleToZero::Refused {
        figure.at_least(1, Rule::ScaleToZero);
        return;
    }
    match phase {
        Phase::Asleep => {}
        Phase::Waking { since_us } | Phase::Starting { since_us } => {
            let (for_us, limit_us) = (inputs.us_since(since_us), ACTIVATION_US_MAX);
            if for_us < limit_us {
                figure.at_least(inputs.kept(), Rule::Starting { for_us, limit_us });
            }
        }
        Phase::Active { since_us } => {
            let (for_us, window_s) = (inputs.us_since(since_us), inputs.scaling.stable_window_s);
            figure.at_least(1, Rule::JustActive { for_us, window_s });
        }
        Phase::Idle { since_us } => wait_while_idle(inputs, inputs.us_since(since_us), figure),
    }
}

/// Retention, and the grace that routers are given to learn that the activators are in path.
fn wait_while_idle(inputs: &Inputs, for_us: u64, figure: &mut Figure) {
    let retention_us = match inputs.reachability {
        Reachability::Reachable => inputs.scaling.scale_to_zero_retention_us,
        Reachability::Unreachable => 0,
    };
    if for_us < retention_us {
        figure.at_least(inputs.kept(), Rule::Retention { for_us, retention_us });
        return;
    }
    let grace_us = inputs.scaling.scale_to_zero_grace_us;
    let waited_us = match inputs.path {
        Path::Proxied => return,
        Path::ProxiedSince(since_us) => inputs.us_since(since_us).max(for_us),
        // Its pods are still asked: it cannot sleep, however long it was idle.
        Path::Direct => 0,
    };
    if waited_us < grace_us || inputs.path == Path::Direct {
        figure.at_least(inputs.kept(), Rule::Grace { waited_us, grace_us });
    }
}
