//! A function's settings: what its annotations ask for, validated and with every default filled in.

mod duration;
mod hosts;
pub mod keys;
mod parse;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use parse::{is_enabled, parse};

/// Annotations as Kubernetes has them: key to value, sorted by key.
pub type Annotations = BTreeMap<String, String>;

/// Everything the annotations of one function settle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How it scales.
    pub scaling: Scaling,
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
    /// How a window is averaged.
    pub aggregation: Aggregation,
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
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From arrival to the last byte of the answer, in milliseconds, 1 s–1 h. A request that became
    /// a tunnel (WebSocket) is not bounded by it.
    pub request_ms: u64,
}

/// An annotation that cannot hold: what, where and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {key}: {value:?}: {rule}")]
pub struct Fault {
    /// The annotation's key.
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

/// What holds where an annotation is absent: the keys of Knative's config-autoscaler that scaling
/// needs, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterDefaults {
    /// `container-concurrency-target-percentage` as a fraction, in (0, 1].
    pub container_concurrency_target_fraction: f64,
    /// `container-concurrency-target-default`, requests at once per pod.
    pub container_concurrency_target_default: f64,
    /// `requests-per-second-target-default`, requests per second and pod.
    pub requests_per_second_target_default: f64,
    /// `stable-window`, in seconds, 6–3600.
    pub stable_window_s: u32,
    /// `panic-window-percentage` of the stable window, 1–100.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage` of the ready pods' capacity.
    pub panic_threshold_percentage: f64,
    /// `max-scale-up-rate`, > 1.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`, > 1.
    pub max_scale_down_rate: f64,
    /// `scale-down-delay`, in seconds; 0 = off.
    pub scale_down_delay_s: u32,
    /// `min-scale`.
    pub min_scale: u32,
    /// `max-scale`; 0 = no limit.
    pub max_scale: u32,
    /// `max-scale-limit`, the most a `max-scale` annotation may say; 0 = no limit.
    pub max_scale_limit: u32,
    /// `allow-zero-initial-scale`.
    pub zero_initial_scale: ZeroInitialScale,
}

/// Whether a function may be annotated to begin at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroInitialScale {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

impl Default for ClusterDefaults {
    fn default() -> Self {
        Self {
            container_concurrency_target_fraction: 0.7,
            container_concurrency_target_default: 100.0,
            requests_per_second_target_default: 200.0,
            stable_window_s: 60,
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            scale_down_delay_s: 0,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            zero_initial_scale: ZeroInitialScale::Refused,
        }
    }
}

#[cfg(test)]
mod tests;
