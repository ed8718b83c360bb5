//! The decision itself: a pure function of its inputs.

use super::apply::apply;
use super::{
    Averages, Decision, Inputs, Outcome, Panic, Reachability, Reason, Rule, SECOND_US, Why, within,
};
use crate::settings::Burst;

/// A decision, and the figure that the scale-down delay remembers.
pub(super) struct Conclusion {
    pub(super) decision: Decision,
    /// The figure before the delay; none when nothing was delayed: there was no load to judge, or
    /// nothing leads to the function.
    pub(super) undelayed: Option<u32>,
}

/// A figure on its way from rule to rule.
pub(super) struct Figure {
    value: u32,
    reasons: Vec<Reason>,
}

impl Figure {
    pub(super) fn value(&self) -> u32 {
        self.value
    }

    pub(super) fn at_least(&mut self, floor: u32, rule: Rule) {
        self.set(self.value.max(floor), rule);
    }

    pub(super) fn at_most(&mut self, ceiling: u32, rule: Rule) {
        self.set(self.value.min(ceiling), rule);
    }

    /// Settles the figure at `after`, and says why even where it stood there already.
    pub(super) fn settle(&mut self, after: u32, rule: Rule) {
        let before = std::mem::replace(&mut self.value, after);
        self.reasons.push(Reason { rule, before, after });
    }

    pub(super) fn set(&mut self, after: u32, rule: Rule) {
        let before = std::mem::replace(&mut self.value, after);
        if before != after {
            self.reasons.push(Reason { rule, before, after });
        }
    }
}

pub(super) fn conclude(inputs: Inputs) -> Conclusion {
    let scaling = &inputs.scaling;
    let averages = inputs.averages.filter(|_| inputs.why != Why::Start);
    let raw = averages.map_or(0, |averages| pods(averages.stable.value / scaling.target));
    let mut figure = Figure { value: raw, reasons: Vec::new() };
    let mut panic = inputs.panic;
    let mut undelayed = None;
    if let Some(averages) = averages {
        panic = follow_load(&inputs, averages, &mut figure);
        if inputs.reachability == Reachability::Reachable {
            undelayed = Some(figure.value);
            let delay_s = scaling.scale_down_delay_s;
            figure.at_least(inputs.highest, Rule::ScaleDownDelay { delay_s });
        }
    }
    let unbounded = figure.value;
    let phase = apply(&inputs, averages, &mut figure);
    let desired = figure.value;
    let decision = Decision {
        raw,
        unbounded,
        excess_burst_capacity: excess_burst_capacity(&inputs, averages),
        panic,
        phase,
        reasons: figure.reasons,
        desired,
        outcome: match averages {
            _ if desired != inputs.replicas => Outcome::ScaleTo(desired),
            None if inputs.why == Why::Tick => Outcome::NoData,
            _ => Outcome::Keep,
        },
        inputs,
    };
    Conclusion { decision, undelayed }
}

/// The rules of load: rates, activation scale, panic. Returns the panic mode they lead to.
fn follow_load(inputs: &Inputs, averages: Averages, figure: &mut Figure) -> Option<Panic> {
    let scaling = &inputs.scaling;
    let ready = match scaling.burst {
        // Pods on their way are capacity already: counting them out would order them twice.
        Burst::StartUp => inputs.ready.max(inputs.replicas),
        Burst::Kpa | Burst::Queue => inputs.ready,
    };
    let ready = ready.max(1);
    let mut panicked =
        Figure { value: pods(averages.panic.value / scaling.target), reasons: Vec::new() };
    let over = f64::from(panicked.value) / f64::from(ready) >= scaling.panic_threshold;
    for figure in [&mut *figure, &mut panicked] {
        let loaded = figure.value > 0;
        let rate = scaling.max_scale_down_rate;
        let down = match inputs.reachability {
            Reachability::Reachable => whole(libm::floor(f64::from(ready) / rate)),
            Reachability::Unreachable => 0,
        };
        figure.at_least(down, Rule::MaxScaleDownRate { ready, rate });
        let rate = scaling.max_scale_up_rate;
        let up = whole(libm::ceil(rate * f64::from(ready)));
        figure.at_most(up, Rule::MaxScaleUpRate { ready, rate });
        let scale = scaling.activation_scale;
        if scale > 1 && loaded {
            figure.at_least(scale, Rule::ActivationScale { scale });
        }
    }
    let stable_us = u64::from(scaling.stable_window_s) * SECOND_US;
    let most = inputs.panic.map_or(0, |panic| panic.most);
    let since_us = match inputs.panic {
        _ if over => inputs.now_us,
        Some(panic) if panic.since_us.saturating_add(stable_us) >= inputs.now_us => panic.since_us,
        _ => return None,
    };
    let wanted = panicked.value;
    let most = most.max(wanted).max(figure.value);
    figure.at_least(most, Rule::Panic { wanted, most, since_us });
    Some(Panic { since_us, most })
}

/// Capacity of the ready pods beyond the panic average and what is to be kept spare.
fn excess_burst_capacity(inputs: &Inputs, averages: Option<Averages>) -> i32 {
    let scaling = &inputs.scaling;
    let wanted = scaling.target_burst_capacity;
    if wanted < 0.0 {
        return -1;
    }
    if wanted == 0.0 {
        return 0;
    }
    let spare = match (inputs.why, averages) {
        // Before the first look at the load: as if the pods it begins with were ready and idle.
        (Why::Start, _) => {
            let initial = within(scaling.max_scale, inputs.initial.unwrap_or(0));
            f64::from(initial) * scaling.total - wanted
        }
        (_, averages) => {
            let used = averages.map_or(0.0, |averages| averages.panic.value);
            libm::floor(f64::from(inputs.ready) * scaling.total - wanted - used)
        }
    };
    #[allow(clippy::cast_possible_truncation, reason = "`as` saturates, which is meant")]
    let spare = spare as i32;
    spare
}

/// A number of pods, rounded up.
pub(super) fn pods(wanted: f64) -> u32 {
    whole(libm::ceil(wanted))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is meant"
)]
fn whole(figure: f64) -> u32 {
    figure as u32
}
