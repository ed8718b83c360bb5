//! Averages to replicas, with reasons.
//!
//! A [`Scaler`] keeps one function's windows and the little it must remember between decisions.
//! Each decision is made from [`Inputs`] alone, by a pure function, and carries them: whoever holds
//! a [`Decision`] can make it again ([`Decision::replay`]).
//!
//! The figure starts as ⌈stable average ÷ target⌉. Each rule that changes it leaves a [`Reason`];
//! the rules stand in the order of [`Rule`]. Worked: a stable average of 250 over a target of 70
//! gives 4; `max-scale: 3` makes it 3, and the reason says `4 → 3 by max-scale 3`.

mod apply;
mod conclude;
mod delay;
mod display;
mod reason;
mod scaler;
mod standing;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::idle::Idleness;
use crate::readings::Load;
use crate::settings::Scaling;
pub use crate::window::{Average, Missing};

pub use reason::{Reason, Rule};
pub use scaler::Scaler;
pub use standing::Standing;

/// The policy's version, raised whenever the same readings may lead to another decision.
pub const VERSION: u32 = 1;

const SECOND_US: u64 = 1_000_000;

/// How long a function that has no load and never became ready is kept trying, in microseconds:
/// Knative's progress-deadline of 600 s and 30 s on top.
pub const ACTIVATION_US_MAX: u64 = 630 * SECOND_US;

/// What is seen of a function when a decision is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The caller's monotonic time, in microseconds.
    pub now_us: u64,
    /// What made the decision due.
    pub why: Why,
    /// Pods that are ready and not terminating.
    pub ready: u32,
    /// Replicas asked for now.
    pub replicas: u32,
    /// Whether anything leads to the function.
    pub reachability: Reachability,
    /// Which way its requests take.
    pub path: Path,
    /// The learnt start-up time, from [`crate::burst::StartUps`], in microseconds.
    pub start_up_us: Option<u64>,
    /// What is respected beside the load.
    pub keep: Option<Keep>,
    /// The load beyond the settled seconds, from [`Scaler::settle`].
    pub load: Load,
}

impl Observation {
    /// Of a function that is reachable, by way of the activators alone, of whose start-up nothing
    /// is known.
    #[must_use]
    pub fn new(now_us: u64, why: Why, ready: u32, replicas: u32, load: Load) -> Self {
        let (reachability, path) = (Reachability::Reachable, Path::Proxied);
        let (start_up_us, keep) = (None, None);
        Self { now_us, why, ready, replicas, reachability, path, start_up_us, keep, load }
    }
}

/// Replicas that are respected whatever the load: what another writer of `replicas` asked for, or
/// what a rollout needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Another writer took it from above 0 to 0: there it stays, wakes included.
    Zero,
    /// Another writer asked for that many: no fewer, beyond `max-scale` even.
    SetByOther(u32),
    /// That many pods are being replaced by those of a new template: no fewer meanwhile.
    Rollout(u32),
}

/// Whether anything leads to a function. A Deployment that Dormouse serves is always reachable.
/// What is not keeps no floor, falls at once and is not delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reachability {
    /// Requests can reach it.
    Reachable,
    /// Nothing leads to it.
    Unreachable,
}

/// Which way a function's requests take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Through the activators, never otherwise.
    Proxied,
    /// Through the activators since that time, in microseconds.
    ProxiedSince(u64),
    /// Some may go straight to its pods.
    Direct,
}

/// What made a decision due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The function was seen for the first time. A new one is brought to its initial scale.
    Start,
    /// Time has passed.
    Tick,
    /// Requests are held and no pod can take them.
    Wake,
    /// Open requests crossed the threshold of [`crate::burst`].
    Pressure,
}

/// Everything a decision is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// When, on the decider's monotonic clock, in microseconds.
    pub now_us: u64,
    /// What made the decision due.
    pub why: Why,
    /// Ready pods.
    pub ready: u32,
    /// Replicas asked for before.
    pub replicas: u32,
    /// Whether anything led to the function.
    pub reachability: Reachability,
    /// Which way its requests took.
    pub path: Path,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
    /// Of these, those that reporters which are lost had in flight when last heard.
    pub lost_in_flight: u64,
    /// Requests held.
    pub held: u64,
    /// Requests refused for want of room since the last report.
    pub refused: u64,
    /// Requests begun per second since the last report.
    pub arriving_rps: f64,
    /// The learnt start-up time, in microseconds; none before it was learnt.
    pub start_up_us: Option<u64>,
    /// What was respected beside the load.
    pub keep: Option<Keep>,
    /// The averages; none when nothing is known.
    pub averages: Option<Averages>,
    /// What a second without a value meant in them.
    pub missing: Missing,
    /// The panic mode this decision found; none = calm.
    pub panic: Option<Panic>,
    /// The highest earlier figure within the scale-down delay; 0 = none.
    pub highest: u32,
    /// Where the function is between asleep and active.
    pub phase: Phase,
    /// Replicas a function begins with and keeps at least while it is fresh; none = not fresh.
    pub initial: Option<u32>,
    /// Where the function is in an idle time, and what a pod is worth there; none if it has no
    /// idle-cost, or if it is not certain that nothing is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idleness>,
    /// The settings used.
    pub scaling: Arc<Scaling>,
}

impl Inputs {
    /// What was seen when these were put together, given the load that went into them.
    #[must_use]
    pub fn observation(&self, load: Load) -> Observation {
        let Self { now_us, why, ready, replicas, reachability, path, start_up_us, keep, .. } =
            *self;
        Observation { now_us, why, ready, replicas, reachability, path, start_up_us, keep, load }
    }
}

/// `replicas`, but at most `max_scale`, where 0 is no bound.
fn within(max_scale: u32, replicas: u32) -> u32 {
    match max_scale {
        0 => replicas,
        max => replicas.min(max),
    }
}

/// The averages of the two windows, lower bounds of unsettled seconds included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Over the stable window.
    pub stable: Average,
    /// Over the panic window.
    pub panic: Average,
}

/// Panic mode: the figure does not fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// When the panic average was last over the threshold, in microseconds.
    pub since_us: u64,
    /// The highest figure since panic began.
    pub most: u32,
}

/// Where a function is between asleep and active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// No replicas and nobody asking.
    Asleep,
    /// No replicas yet; somebody asked at that time, in microseconds.
    Waking {
        /// When.
        since_us: u64,
    },
    /// Replicas, and none was ready since the function was woken or first seen at that time.
    Starting {
        /// When.
        since_us: u64,
    },
    /// A replica was first ready at that time, in microseconds, or wanted again.
    Active {
        /// When.
        since_us: u64,
    },
    /// Replicas that nothing asks for any more since that time, in microseconds.
    Idle {
        /// When.
        since_us: u64,
    },
}

/// What was decided, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// All it was made from.
    pub inputs: Inputs,
    /// ⌈stable average ÷ target⌉; 0 when nothing is known.
    pub raw: u32,
    /// The figure after the rules of load alone: rates, panic, delay. KPA's desired pod count.
    pub unbounded: u32,
    /// Spare capacity, in units of the metric; −1 always in path, 0 only from zero.
    pub excess_burst_capacity: i32,
    /// Panic mode after this decision; none = calm.
    pub panic: Option<Panic>,
    /// Where the function is after this decision.
    pub phase: Phase,
    /// The rules that changed the figure, in order: from `raw` to `desired`.
    pub reasons: Vec<Reason>,
    /// Replicas wanted.
    pub desired: u32,
    /// What is to be done.
    pub outcome: Outcome,
}

/// What a decision asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Ask for that many replicas.
    ScaleTo(u32),
    /// Replicas are as wanted.
    Keep,
    /// Nothing is known of the load, and no other rule asks for a change.
    NoData,
}

/// Where requests should be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Straight to the pods.
    Serve,
    /// To the activators.
    Proxy,
}

impl Route {
    /// Knative's choice: straight to the pods if there are to be some, one is ready, and there is
    /// room for the wanted burst beside the present load.
    #[must_use]
    pub fn choose(wanted: u32, ready: u32, excess_burst_capacity: i32) -> Self {
        match wanted > 0 && ready > 0 && excess_burst_capacity >= 0 {
            true => Self::Serve,
            false => Self::Proxy,
        }
    }
}

impl Decision {
    /// Where requests should be sent by excess burst capacity, if both ways were open. Without data
    /// it is the activators, where requests are counted.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.inputs.averages {
            Some(_) => Route::choose(self.desired, self.inputs.ready, self.excess_burst_capacity),
            None => Route::Proxy,
        }
    }

    /// When a pod is to be ordered ahead if nothing comes before, in microseconds: a function that
    /// was put to sleep is to be decided on again then; none = never.
    #[must_use]
    pub fn pre_warm_us(&self) -> Option<u64> {
        let idle = self.inputs.idle.filter(|_| self.desired == 0);
        idle.and_then(|idle| idle.pre_warm_us)
    }

    /// Makes the decision again from its inputs; equal to `self` if it was made by this policy.
    #[must_use]
    pub fn replay(&self) -> Self {
        conclude::conclude(self.inputs.clone()).decision
    }
}

#[cfg(test)]
mod tests;
