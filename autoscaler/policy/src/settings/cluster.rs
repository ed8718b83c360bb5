//! What holds where an annotation is absent: the keys of Knative's config-autoscaler.

use super::given::Given;
use super::grammar::Grammar::{Above, Duration, Integer, Number, Share, Spare, Switch};
use super::grammar::{ENDLESS, HOUR, NS, S};
use super::keys::{CLASS, COUNT_MAX, Fallback, Key, Table};
use super::{Annotations, Fault, ScaleToZero, TARGET_MIN};

/// The name of the ConfigMap that Knative has them in, and so has Dormouse.
pub const NAME: &str = "config-autoscaler";

/// The keys.
pub const CLUSTER: Table = Table { noun: "key", keys: &KEYS };

/// Knative keeps its documentation in the ConfigMap, under this key.
const EXAMPLE: &str = "_example";

/// What holds where an annotation is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterDefaults {
    /// `container-concurrency-target-percentage` as a fraction, in (0, 1].
    pub container_concurrency_target_fraction: f64,
    /// `container-concurrency-target-default`, requests at once per pod.
    pub container_concurrency_target_default: f64,
    /// `requests-per-second-target-default`, requests per second and pod.
    pub requests_per_second_target_default: f64,
    /// `target-burst-capacity`, in units of the metric; −1 = always in path.
    pub target_burst_capacity: f64,
    /// `stable-window`, in seconds, 6–3600.
    pub stable_window_s: u32,
    /// `panic-window-percentage` of the stable window, 1–100.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage` of the ready pods' capacity, > 0.
    pub panic_threshold_percentage: f64,
    /// `max-scale-up-rate`, > 1.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`, > 1.
    pub max_scale_down_rate: f64,
    /// `enable-scale-to-zero`.
    pub scale_to_zero: ScaleToZero,
    /// `scale-to-zero-grace-period`, in microseconds, > 0.
    pub scale_to_zero_grace_us: u64,
    /// `scale-to-zero-pod-retention-period`, in microseconds.
    pub scale_to_zero_retention_us: u64,
    /// `scale-down-delay`, in seconds; 0 = off.
    pub scale_down_delay_s: u32,
    /// `initial-scale`; none = what each manifest says.
    pub initial_scale: Option<u32>,
    /// `allow-zero-initial-scale`.
    pub zero_initial_scale: ZeroInitialScale,
    /// `min-scale`.
    pub min_scale: u32,
    /// `max-scale`; 0 = no limit.
    pub max_scale: u32,
    /// `max-scale-limit`, the most a `max-scale` annotation may say; 0 = no limit.
    pub max_scale_limit: u32,
}

/// Whether a function may be annotated to begin at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroInitialScale {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// Cluster defaults that hold, and what of the ConfigMap has no effect yet.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedDefaults {
    /// The defaults.
    pub defaults: ClusterDefaults,
    /// Keys Dormouse knows of and does not honour yet, sorted.
    pub not_yet: Vec<String>,
}

impl Default for ClusterDefaults {
    fn default() -> Self {
        Self {
            container_concurrency_target_fraction: 0.7,
            container_concurrency_target_default: 100.0,
            requests_per_second_target_default: 200.0,
            target_burst_capacity: 211.0,
            stable_window_s: 60,
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            scale_to_zero: ScaleToZero::Allowed,
            scale_to_zero_grace_us: 30_000_000,
            scale_to_zero_retention_us: 0,
            scale_down_delay_s: 0,
            initial_scale: None,
            zero_initial_scale: ZeroInitialScale::Refused,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
        }
    }
}

const CONCURRENCY_FRACTION: Key = key("container-concurrency-target-percentage", Share, "70");
const CONCURRENCY_DEFAULT: Key = key("container-concurrency-target-default", Above(0.0), "100");
const RPS_DEFAULT: Key =
    key("requests-per-second-target-default", Number(TARGET_MIN, f64::MAX), "200");
const TARGET_BURST_CAPACITY: Key = key("target-burst-capacity", Spare, "211");
const STABLE_WINDOW: Key = key("stable-window", Duration(6 * S, HOUR, S), "60s");
const PANIC_WINDOW: Key = key("panic-window-percentage", Number(1.0, 100.0), "10");
const PANIC_THRESHOLD: Key = key("panic-threshold-percentage", Above(0.0), "200");
const MAX_SCALE_UP_RATE: Key = key("max-scale-up-rate", Above(1.0), "1000");
const MAX_SCALE_DOWN_RATE: Key = key("max-scale-down-rate", Above(1.0), "2");
const SCALE_TO_ZERO: Key = key("enable-scale-to-zero", Switch, "true");
const GRACE: Key = key("scale-to-zero-grace-period", Duration(NS, ENDLESS, NS), "30s");
const RETENTION: Key = key("scale-to-zero-pod-retention-period", Duration(0, ENDLESS, NS), "0s");
const SCALE_DOWN_DELAY: Key = key("scale-down-delay", Duration(0, ENDLESS, S), "0s");
const INITIAL_SCALE: Key =
    key("initial-scale", Integer(0, COUNT_MAX), "the workload's `spec.replicas`");
const ZERO_INITIAL_SCALE: Key = key("allow-zero-initial-scale", Switch, "false");
const MIN_SCALE: Key = key("min-scale", Integer(0, COUNT_MAX), "0");
const MAX_SCALE: Key = key("max-scale", Integer(0, COUNT_MAX), "0");
const MAX_SCALE_LIMIT: Key = key("max-scale-limit", Integer(0, COUNT_MAX), "0");

const KEYS: [Key; 20] = [
    key("pod-autoscaler-class", CLASS, "kpa.autoscaling.knative.dev"),
    CONCURRENCY_FRACTION,
    CONCURRENCY_DEFAULT,
    RPS_DEFAULT,
    TARGET_BURST_CAPACITY,
    STABLE_WINDOW,
    PANIC_WINDOW,
    PANIC_THRESHOLD,
    MAX_SCALE_UP_RATE,
    MAX_SCALE_DOWN_RATE,
    SCALE_TO_ZERO,
    GRACE,
    RETENTION,
    SCALE_DOWN_DELAY,
    INITIAL_SCALE,
    ZERO_INITIAL_SCALE,
    MIN_SCALE,
    MAX_SCALE,
    MAX_SCALE_LIMIT,
    // Every activator serves every function, so that there is no number of them to work out.
    Key::not_yet("activator-capacity", Number(1.0, f64::MAX), Fallback::Fixed("100")),
];

const fn key(name: &'static str, grammar: super::Grammar, default: &'static str) -> Key {
    Key::honoured(name, grammar, Fallback::Fixed(default))
}

/// Reads the data of the ConfigMap [`NAME`].
///
/// # Errors
/// Every fault there is: first the values by themselves, then what they must be together, then
/// unknown keys. Nothing of a faulty ConfigMap holds.
pub fn parse_defaults(data: &Annotations) -> Result<ParsedDefaults, Vec<Fault>> {
    let mut given = Given::read(CLUSTER, |key| key.find(data));
    let absent = ClusterDefaults::default();
    let defaults = ClusterDefaults {
        container_concurrency_target_fraction: given
            .number(&CONCURRENCY_FRACTION)
            .unwrap_or(absent.container_concurrency_target_fraction),
        container_concurrency_target_default: given
            .number(&CONCURRENCY_DEFAULT)
            .unwrap_or(absent.container_concurrency_target_default),
        requests_per_second_target_default: given
            .number(&RPS_DEFAULT)
            .unwrap_or(absent.requests_per_second_target_default),
        target_burst_capacity: given
            .number(&TARGET_BURST_CAPACITY)
            .unwrap_or(absent.target_burst_capacity),
        stable_window_s: given.duration_s(&STABLE_WINDOW).unwrap_or(absent.stable_window_s),
        panic_window_percentage: given
            .number(&PANIC_WINDOW)
            .unwrap_or(absent.panic_window_percentage),
        panic_threshold_percentage: given
            .number(&PANIC_THRESHOLD)
            .unwrap_or(absent.panic_threshold_percentage),
        max_scale_up_rate: given.number(&MAX_SCALE_UP_RATE).unwrap_or(absent.max_scale_up_rate),
        max_scale_down_rate: given
            .number(&MAX_SCALE_DOWN_RATE)
            .unwrap_or(absent.max_scale_down_rate),
        scale_to_zero: given
            .switch(&SCALE_TO_ZERO, ScaleToZero::Allowed, ScaleToZero::Refused)
            .unwrap_or(absent.scale_to_zero),
        scale_to_zero_grace_us: given.duration_us(&GRACE).unwrap_or(absent.scale_to_zero_grace_us),
        scale_to_zero_retention_us: given
            .duration_us(&RETENTION)
            .unwrap_or(absent.scale_to_zero_retention_us),
        scale_down_delay_s: given
            .duration_s(&SCALE_DOWN_DELAY)
            .unwrap_or(absent.scale_down_delay_s),
        initial_scale: given.integer(&INITIAL_SCALE),
        zero_initial_scale: given
            .switch(&ZERO_INITIAL_SCALE, ZeroInitialScale::Allowed, ZeroInitialScale::Refused)
            .unwrap_or(absent.zero_initial_scale),
        min_scale: given.integer(&MIN_SCALE).unwrap_or(absent.min_scale),
        max_scale: given.integer(&MAX_SCALE).unwrap_or(absent.max_scale),
        max_scale_limit: given.integer(&MAX_SCALE_LIMIT).unwrap_or(absent.max_scale_limit),
    };
    check(&mut given, &defaults);
    let names = data.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let not_yet = given.survey(names.filter(|(name, _)| *name != EXAMPLE));
    given.conclude(ParsedDefaults { defaults, not_yet })
}

/// What the values must be together.
fn check(given: &mut Given<'_>, defaults: &ClusterDefaults) {
    let fraction = defaults.container_concurrency_target_fraction;
    if fraction * defaults.container_concurrency_target_default < TARGET_MIN {
        let rule = |other| format!("must be at least {TARGET_MIN} when multiplied by {other}");
        if !given.fault(&CONCURRENCY_DEFAULT, rule(CONCURRENCY_FRACTION.name)) {
            given.fault(&CONCURRENCY_FRACTION, rule(CONCURRENCY_DEFAULT.name));
        }
    }
    if defaults.initial_scale == Some(0) && defaults.zero_initial_scale == ZeroInitialScale::Refused
    {
        let rule = format!("must be at least 1 unless {} is true", ZERO_INITIAL_SCALE.name);
        given.fault(&INITIAL_SCALE, rule);
    }
    let ClusterDefaults { min_scale, max_scale, max_scale_limit: limit, .. } = *defaults;
    if limit > 0 && (max_scale == 0 || max_scale > limit) {
        let name = MAX_SCALE_LIMIT.name;
        if !given.fault(&MAX_SCALE, format!("must be from 1 to {limit}, the {name}")) {
            let rule = format!("asks for a {} from 1 to {limit} beside it", MAX_SCALE.name);
            given.fault(&MAX_SCALE_LIMIT, rule);
        }
    }
    if max_scale > 0 && min_scale > max_scale {
        let rule = format!("must not be above {}, which is {max_scale}", MAX_SCALE.name);
        given.fault(&MIN_SCALE, rule);
    }
}
