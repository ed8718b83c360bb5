//! Why a figure changed.

use serde::{Deserialize, Serialize};

use super::Keep;
use crate::burst::Demand;
use crate::idle::Idleness;

/// One rule that changed the figure, or settled it where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule, with what it looked at.
    #[serde(flatten)]
    pub rule: Rule,
    /// The figure it found.
    pub before: u32,
    /// The figure it left.
    pub after: u32,
}

/// The rules, in the order in which they apply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", content = "inputs", rename_all = "kebab-case")]
pub enum Rule {
    /// Nobody asks for fewer than the ready pods divided by the rate, rounded down.
    MaxScaleDownRate {
        /// Ready pods, at least 1.
        ready: u32,
        /// `max-scale-down-rate`.
        rate: f64,
    },
    /// Nor for more than the ready pods times the rate, rounded up.
    MaxScaleUpRate {
        /// Ready pods, at least 1.
        ready: u32,
        /// `max-scale-up-rate`.
        rate: f64,
    },
    /// The least non-zero scale.
    ActivationScale {
        /// `activation-scale`.
        scale: u32,
    },
    /// In panic the panic window counts too, and the figure does not fall.
    Panic {
        /// What the panic window asks for, after the rates and the activation scale.
        wanted: u32,
        /// The highest figure since panic began.
        most: u32,
        /// When the panic average was last over the threshold, in microseconds.
        since_us: u64,
    },
    /// A decrease waits until the lower figure has held.
    ScaleDownDelay {
        /// The delay, in seconds.
        delay_s: u32,
    },
    /// Not to zero while a request is open.
    InFlight {
        /// Requests in flight, held ones included.
        in_flight: u64,
        /// Requests held.
        held: u64,
    },
    /// Pods for what reporters that are lost had in flight: it may be in flight still.
    LostReporters {
        /// Requests, by their last reports.
        lost_in_flight: u64,
    },
    /// As many as the requests of the moment need: [`crate::burst`].
    Burst(Demand),
    /// Requests are held and no pod can take them: one pod at least, or the activation scale.
    Wake {
        /// `activation-scale`.
        activation_scale: u32,
    },
    /// Nothing is open, and a pod is worth what it costs, or is not: [`crate::idle`].
    IdleCost(Idleness),
    /// With an idle-cost, not to zero while it is not certain that nothing is open.
    NotIdle,
    /// A fresh function keeps what it began with until that many were ready.
    InitialScale {
        /// The replicas it was found with; `initial-scale` if that is more and none was ready.
        initial: u32,
    },
    /// Never fewer.
    MinScale {
        /// `min-scale`.
        min: u32,
    },
    /// A decrease waits until the whole stable window is known.
    Coverage {
        /// Seconds of it that are known.
        known_s: u32,
        /// The stable window, in seconds.
        window_s: u32,
    },
    /// Never more.
    MaxScale {
        /// `max-scale`.
        max: u32,
    },
    /// Not to zero at all: `enable-scale-to-zero` is false.
    ScaleToZero,
    /// Not to zero while pods are starting, for a while.
    Starting {
        /// Since the function was woken, in microseconds.
        for_us: u64,
        /// How long it is kept trying, in microseconds.
        limit_us: u64,
    },
    /// Not to zero before it was active for a stable window.
    JustActive {
        /// Since its first pod was ready, in microseconds.
        for_us: u64,
        /// The stable window, in seconds.
        window_s: u32,
    },
    /// Not to zero before it was idle for that long.
    Retention {
        /// Since it is idle, in microseconds.
        for_us: u64,
        /// `scale-to-zero-pod-retention-period`, in microseconds.
        retention_us: u64,
    },
    /// Not to zero before routers had time to learn that requests go to the activators.
    Grace {
        /// Since it is idle or the activators are in path, whichever is longer, in microseconds; 0
        /// while they are not in path.
        waited_us: u64,
        /// `scale-to-zero-grace-period`, in microseconds.
        grace_us: u64,
    },
    /// A decision between two ticks only raises.
    Pressure {
        /// Replicas as they are.
        replicas: u32,
    },
    /// What another writer asked for, or a rollout needs.
    Keep(Keep),
    /// Dormouse is not to change replicas: `dormouse.dev/paused`.
    Paused {
        /// Replicas as they are.
        replicas: u32,
    },
}
