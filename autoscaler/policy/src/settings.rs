//! A function's settings: what its annotations ask for, validated and with every default filled in.

mod duration;
mod hosts;
mod grammar;
pub mod keys;
mod given;
mod cluster;
mod parse;
mod amend;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use amend::amend;
pub use cluster::{
    CLUSTER, ClusterDefaults, NAME as CONFIG_MAP, ParsedDefaults, ZeroInitialScale, parse_defaults,
};
pub use duration::parse_ns as duration_ns;
pub use grammar::Grammar;
pub use keys::{ANNOTATIONS, nearest};
pub use parse::{is_enabled, parse};

/// The least wanted value per pod; below it a single request would ask for a hundred pods.
const TARGET_MIN: f64 = 0.01;

/// Annotations as Kubernetes has them: key to value, sorted by key.
pub type Annotations = BTreeMap<String, String>;

/// Everything the annotations of one function settle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How it scales. Shared with the scaler and with every decision made by it.
    pub scaling: Arc<Scaling>,
    /// How its requests are held.
    pub admission: Admission,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// Extra host names (`dormouse.dev/hosts`), lower case.
    pub hosts: Vec<String>,
    /// The shell command that starts a replica in local mode (`dormouse.dev/local-command`).
    pub local_command: Option<String>,
}

/// What the policy needs to decide on replicas. Defaults and ranges: Knative's config-autoscaler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The measured quantity.
    pub metric: Metric,
    /// Wanted value per pod: utilisation × total, ≥ 0.01.
    pub target: f64,
    /// The most one pod can take, > 0.
    pub total: f64,
    /// −1 = always in path; 0 = only from zero; > 0 = wanted spare capacity, in units of the
    /// metric.
    pub target_burst_capacity: f64,
    /// The stable window, in seconds, 6–3600.
    pub stable_window_s: u32,
    /// The panic window, in seconds, 1–stable window.
    pub panic_window_s: u32,
    /// Panic starts when wanted ÷ ready pods reaches this, 1.1–10.
    pub panic_threshold: f64,
    /// Most that one decision may multiply the ready pods by, > 1.
    pub max_scale_up_rate: f64,
    /// Most that one decision may divide the ready pods by, > 1.
    pub max_scale_down_rate: f64,
    /// Never fewer replicas than this.
    pub min_scale: u32,
    /// Never more replicas than this; 0 = no limit.
    pub max_scale: u32,
    /// Replicas at first sight; none = what the manifest says.
    pub initial_scale: Option<u32>,
    /// The least non-zero scale; 0 and 1 = off.
    pub activation_scale: u32,
    /// A decrease waits until the lower value has held this long, in seconds; 0 = off.
    pub scale_down_delay_s: u32,
    /// Whether zero replicas are ever wanted.
    pub scale_to_zero: ScaleToZero,
    /// The least time between idleness and zero, in microseconds: what the network needs to learn
    /// that the activator is in path.
    pub scale_to_zero_grace_us: u64,
    /// How long the last pod is kept once the function is idle, in microseconds.
    pub scale_to_zero_retention_us: u64,
    /// How a window is averaged.
    pub aggregation: Aggregation,
    /// How sudden load is met.
    pub burst: Burst,
    /// What one cold start is worth, in pod-seconds, 0.001–10⁹; none = the way to zero is KPA's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_cost: Option<f64>,
    /// Whether replicas are left as they are, whatever is decided.
    pub paused: Paused,
}

impl Default for Scaling {
    /// What holds without any annotation and without cluster defaults.
    fn default() -> Self {
        parse::unannotated(&ClusterDefaults::default())
    }
}

/// Whether a function without load may have no replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleToZero {
    /// It may.
    Allowed,
    /// One replica is kept.
    Refused,
}

/// How sudden load is met (`dormouse.dev/burst`); see [`crate::burst`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Burst {
    /// By averages alone, as Knative does.
    Kpa,
    /// Also by the requests that wait and were refused at the moment.
    Queue,
    /// Besides by those that will have come when a pod is ready; pods on their way count as there.
    StartUp,
}

/// Whether Dormouse leaves a function's replicas alone (`dormouse.dev/paused`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paused {
    /// It does, wakes included.
    Yes,
    /// It does not.
    No,
}

/// The measured quantity a function scales on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Requests in the activator, held or forwarded, averaged over time.
    Concurrency,
    /// Requests begun per second.
    Rps,
}

/// How the seconds of a window become one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Plain mean over the seconds that exist.
    Linear,
    /// Newest second weighs most.
    WeightedExponential,
}

/// How requests of the function are held while no pod can take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Most requests held at once over all activators, 1–100 000.
    pub queue_depth: u32,
    /// Longest time a request is held, in milliseconds, 1 s–1 h.
    pub queue_timeout_ms: u64,
    /// Most requests in flight at once in one pod, 1–1000; 0 = no limit.
    pub container_concurrency: u32,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From arrival to the last byte of the answer, in milliseconds, 1 s–1 h. A request that became
    /// a tunnel (WebSocket) is not bounded by it.
    pub request_ms: u64,
}

/// A setting that cannot hold: what, where and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{noun} {key}: {value:?}: {rule}")]
pub struct Fault {
    /// What a key is called where this one stands.
    pub noun: &'static str,
    /// The key.
    pub key: String,
    /// Its value as written.
    pub value: String,
    /// The rule, worded to follow "must be" or as a sentence of its own.
    pub rule: String,
}

/// Settings that hold, and what of the annotations they do not honour yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The settings.
    pub settings: Settings,
    /// Keys Dormouse knows of and does not honour yet, sorted, each once.
    pub not_yet: Vec<String>,
}

/// Whether a workload asks for Dormouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptIn {
    /// It does.
    Yes,
    /// It does not.
    No,
}

#[cfg(test)]
mod tests;
