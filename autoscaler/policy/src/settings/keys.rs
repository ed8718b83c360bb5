//! Every annotation there is: its grammar, its range, its default, and whether it is honoured.

use std::fmt;

use super::Annotations;

/// The prefix of Knative's keys.
pub const KNATIVE: &str = "autoscaling.knative.dev/";

/// The prefix of our own keys.
pub const DORMOUSE: &str = "dormouse.dev/";

/// Names less alike than this are no suggestion: 0.8 still finds a swapped or forgotten letter.
const LIKENESS_MIN: f64 = 0.8;

/// One annotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Prefix and name.
    pub name: &'static str,
    /// An older spelling; `name` wins when both are there.
    pub legacy: Option<&'static str>,
    /// What its value may be.
    pub grammar: Grammar,
    /// What holds when it is absent, for people.
    pub default: &'static str,
    /// Whether it has an effect.
    pub standing: Standing,
}

/// What the value of an annotation may be. Ranges include their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grammar {
    /// `true` or `false`.
    Switch,
    /// A decimal integer.
    Integer(u32, u32),
    /// A finite decimal number; an exponent is allowed.
    Number(f64, f64),
    /// −1, or a finite decimal number of at least 0.
    Spare,
    /// A duration in Go's grammar, from so many seconds to so many, a multiple of a unit.
    Duration(u32, u32, Unit),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text that is not empty.
    Text,
    /// DNS names, separated by commas.
    Hosts,
}

/// What a duration must be a multiple of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole seconds.
    Second,
    /// Whole milliseconds.
    Millisecond,
}

/// Whether an annotation has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is validated and obeyed.
    Honoured,
    /// Its meaning is settled, its feature is not built: it is named and has no effect.
    NotYet,
}

use Grammar::{Duration, Hosts, Integer, Number, Spare, Switch, Text, Word};

pub(super) const MIN_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/min-scale", Integer(0, COUNT_MAX), "0")
        .formerly("autoscaling.knative.dev/minScale");

pub(super) const MAX_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/max-scale", Integer(0, COUNT_MAX), "0 (no limit)")
        .formerly("autoscaling.knative.dev/maxScale");

pub(super) const INITIAL_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/initial-scale", Integer(0, COUNT_MAX), "spec.replicas")
        .formerly("autoscaling.knative.dev/initialScale");

pub(super) const METRIC: Key =
    Key::honoured("autoscaling.knative.dev/metric", Word(&["concurrency", "rps"]), "concurrency");

pub(super) const TARGET: Key = Key::honoured(
    "autoscaling.knative.dev/target",
    Number(0.01, f64::MAX),
    "100 (concurrency), 200 (rps)",
);

pub(super) const TARGET_UTILIZATION: Key = Key::honoured(
    "autoscaling.knative.dev/target-utilization-percentage",
    Number(1.0, 100.0),
    "70",
)
.formerly("autoscaling.knative.dev/targetUtilizationPercentage");

pub(super) const WINDOW: Key =
    Key::honoured("autoscaling.knative.dev/window", Duration(6, 3600, Unit::Second), "60s");

pub(super) const PANIC_WINDOW: Key =
    Key::honoured("autoscaling.knative.dev/panic-window-percentage", Number(1.0, 100.0), "10")
        .formerly("autoscaling.knative.dev/panicWindowPercentage");

pub(super) const PANIC_THRESHOLD: Key = Key::honoured(
    "autoscaling.knative.dev/panic-threshold-percentage",
    Number(110.0, 1000.0),
    "200",
)
.formerly("autoscaling.knative.dev/panicThresholdPercentage");

pub(super) const ENABLED: Key = Key::honoured("dormouse.dev/enabled", Switch, "false");

pub(super) const HOSTS: Key = Key::honoured("dormouse.dev/hosts", Hosts, "none");

pub(super) const QUEUE_DEPTH: Key =
    Key::honoured("dormouse.dev/queue-depth", Integer(1, 100_000), "1000");

pub(super) const QUEUE_TIMEOUT: Key =
    Key::honoured("dormouse.dev/queue-timeout", Duration(1, 3600, Unit::Millisecond), "55s");

pub(super) const REQUEST_TIMEOUT: Key =
    Key::honoured("dormouse.dev/request-timeout", Duration(1, 3600, Unit::Millisecond), "300s");

pub(super) const LOCAL_COMMAND: Key = Key::honoured("dormouse.dev/local-command", Text, "none");

/// Knative reads counts as signed 32-bit integers.
const COUNT_MAX: u32 = i32::MAX.cast_unsigned();

/// All annotations. A key under one of our two prefixes that is not here is a fault.
pub const KEYS: [Key; 34] = [
    MIN_SCALE,
    MAX_SCALE,
    INITIAL_SCALE,
    METRIC,
    TARGET,
    TARGET_UTILIZATION,
    WINDOW,
    PANIC_WINDOW,
    PANIC_THRESHOLD,
    Key::not_yet("autoscaling.knative.dev/class", Text, "kpa.autoscaling.knative.dev"),
    Key::not_yet("autoscaling.knative.dev/target-burst-capacity", Spare, "211")
        .formerly("autoscaling.knative.dev/targetBurstCapacity"),
    Key::not_yet("autoscaling.knative.dev/activation-scale", Integer(2, COUNT_MAX), "off"),
    Key::not_yet("autoscaling.knative.dev/scale-down-delay", Duration(0, 3600, Unit::Second), "0s")
        .formerly("autoscaling.knative.dev/scaleDownDelay"),
    Key::not_yet(
        "autoscaling.knative.dev/scale-to-zero-pod-retention-period",
        Duration(0, 3600, Unit::Millisecond),
        "0s",
    )
    .formerly("autoscaling.knative.dev/scaleToZeroPodRetentionPeriod"),
    Key::not_yet(
        "autoscaling.knative.dev/metric-aggregation-algorithm",
        Word(&["linear", "weighted-exponential", "weightedExponential"]),
        "linear",
    )
    .formerly("autoscaling.knative.dev/metricAggregationAlgorithm"),
    ENABLED,
    HOSTS,
    QUEUE_DEPTH,
    QUEUE_TIMEOUT,
    REQUEST_TIMEOUT,
    LOCAL_COMMAND,
    Key::not_yet("dormouse.dev/service", Text, "the only Service that selects the pods"),
    Key::not_yet("dormouse.dev/target", Text, "none"),
    Key::not_yet(
        "dormouse.dev/protocol",
        Word(&["http1", "h2c"]),
        "the Service port's appProtocol",
    ),
    Key::not_yet("dormouse.dev/container-concurrency", Integer(0, 1000), "0 (no limit)"),
    Key::not_yet(
        "dormouse.dev/response-start-timeout",
        Duration(0, 3600, Unit::Millisecond),
        "0 (off)",
    ),
    Key::not_yet("dormouse.dev/idle-timeout", Duration(0, 3600, Unit::Millisecond), "0 (off)"),
    Key::not_yet("dormouse.dev/overflow-status", Word(&["503", "429"]), "503"),
    Key::not_yet("dormouse.dev/burst", Word(&["kpa", "queue", "start-up"]), "kpa"),
    Key::not_yet("dormouse.dev/idle-cost", Number(0.0, f64::MAX), "off"),
    Key::not_yet("dormouse.dev/mode", Word(&["full", "zero-only"]), "full"),
    Key::not_yet("dormouse.dev/paused", Switch, "false"),
    Key::not_yet("dormouse.dev/answer-at-zero", Text, "off"),
    Key::not_yet("dormouse.dev/metrics", Text, "none"),
];

impl Key {
    const fn honoured(name: &'static str, grammar: Grammar, default: &'static str) -> Self {
        Self { name, legacy: None, grammar, default, standing: Standing::Honoured }
    }

    const fn not_yet(name: &'static str, grammar: Grammar, default: &'static str) -> Self {
        Self { standing: Standing::NotYet, ..Self::honoured(name, grammar, default) }
    }

    const fn formerly(self, legacy: &'static str) -> Self {
        Self { legacy: Some(legacy), ..self }
    }

    /// The annotation that counts for this key among `annotations`: key and value as written.
    pub(super) fn find<'a>(&self, annotations: &'a Annotations) -> Option<(&'a str, &'a str)> {
        [Some(self.name), self.legacy]
            .into_iter()
            .flatten()
            .find_map(|name| annotations.get_key_value(name))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The key that `annotation` spells, in either spelling.
#[must_use]
pub fn lookup(annotation: &str) -> Option<&'static Key> {
    static TABLE: [Key; KEYS.len()] = KEYS;
    TABLE.iter().find(|key| key.name == annotation || key.legacy == Some(annotation))
}

/// The key that is spelled most like `annotation`, under either prefix, if any is near.
#[must_use]
pub fn nearest(annotation: &str) -> Option<&'static str> {
    let (prefix, name) = split(annotation);
    KEYS.iter()
        .map(|key| {
            let (own_prefix, own_name) = split(key.name);
            let likeness = strsim::jaro_winkler(own_name, name);
            (likeness, own_prefix == prefix, key.name)
        })
        .filter(|(likeness, ..)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map(|(.., name)| name)
}

fn split(annotation: &str) -> (&str, &str) {
    annotation.split_once('/').unwrap_or(("", annotation))
}

impl fmt::Display for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Switch => f.write_str("true or false"),
            Integer(from, to) => write!(f, "a whole number from {from} to {to}"),
            Number(from, f64::MAX) => write!(f, "a number of at least {from}"),
            Number(from, to) => write!(f, "a number from {from} to {to}"),
            Spare => f.write_str("-1 or a number of at least 0"),
            Duration(from_s, to_s, unit) => {
                let unit = match unit {
                    Unit::Second => "seconds",
                    Unit::Millisecond => "milliseconds",
                };
                write!(f, "a duration such as 1m30s, from {from_s}s to {to_s}s, in whole {unit}")
            }
            Word([only]) => f.write_str(only),
            Word(words) => write!(f, "one of {}", words.join(", ")),
            Text => f.write_str("a text that is not empty"),
            Hosts => f.write_str("DNS names separated by commas"),
        }
    }
}
