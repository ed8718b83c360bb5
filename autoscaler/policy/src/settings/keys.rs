//! Every annotation there is: its grammar, its range, its default, and whether it is honoured.

use super::Annotations;
use super::grammar::Grammar::{self, Duration, Hosts, Integer, Number, Spare, Switch, Text, Word};
use super::grammar::{HOUR, MS, NS, S};
use Fallback::{Cluster, Fixed};

/// The prefix of Knative's keys.
pub const KNATIVE: &str = "autoscaling.knative.dev/";

/// The prefix of our own keys.
pub const DORMOUSE: &str = "dormouse.dev/";

/// Names less alike than this are no suggestion: 0.8 still finds a swapped or forgotten letter.
const LIKENESS_MIN: f64 = 0.8;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name; an annotation's with the prefix.
    pub name: &'static str,
    /// An older spelling; `name` wins when both are there.
    pub legacy: Option<&'static str>,
    /// What its value may be.
    pub grammar: Grammar,
    /// What holds when it is absent.
    pub fallback: Fallback,
    /// Whether it has an effect.
    pub standing: Standing,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Always this: a value, or a word for people where none says it.
    Fixed(&'static str),
    /// What the cluster's defaults say under this key.
    Cluster(&'static str),
}

/// Whether a key has an effect. Its value is validated in any case, so that no manifest that is
/// taken today is refused once the feature is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is obeyed.
    Honoured,
    /// Its meaning is settled, its feature is not built: it is named and has no effect.
    NotYet,
}

/// The keys of one place where settings are made.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// What a key of it is called.
    pub noun: &'static str,
    /// The keys, in the order in which their faults are told.
    pub keys: &'static [Key],
}

/// Knative reads counts as signed 32-bit integers.
pub(super) const COUNT_MAX: u32 = i32::MAX.cast_unsigned();

/// The annotations. Of those that one of our two prefixes begins, any other is a fault.
pub const ANNOTATIONS: Table = Table { noun: "annotation", keys: &KEYS };

pub(super) const MIN_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/min-scale", Integer(0, COUNT_MAX), Cluster("min-scale"))
        .formerly("autoscaling.knative.dev/minScale");

pub(super) const MAX_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/max-scale", Integer(0, COUNT_MAX), Cluster("max-scale"))
        .formerly("autoscaling.knative.dev/maxScale");

pub(super) const INITIAL_SCALE: Key = Key::honoured(
    "autoscaling.knative.dev/initial-scale",
    Integer(0, COUNT_MAX),
    Cluster("initial-scale"),
)
.formerly("autoscaling.knative.dev/initialScale");

pub(super) const ACTIVATION_SCALE: Key =
    Key::honoured("autoscaling.knative.dev/activation-scale", Integer(2, COUNT_MAX), Fixed("off"));

pub(super) const METRIC: Key = Key::honoured(
    "autoscaling.knative.dev/metric",
    Word(&["concurrency", "rps"]),
    Fixed("concurrency"),
);

pub(super) const TARGET: Key = Key::honoured(
    "autoscaling.knative.dev/target",
    Number(0.01, f64::MAX),
    Fixed("`dormouse.dev/container-concurrency`, else the cluster's for the metric"),
);

pub(super) const TARGET_UTILIZATION: Key = Key::honoured(
    "autoscaling.knative.dev/target-utilization-percentage",
    Number(1.0, 100.0),
    Fixed("70 (rps), the cluster's (concurrency)"),
)
.formerly("autoscaling.knative.dev/targetUtilizationPercentage");

pub(super) const TARGET_BURST_CAPACITY: Key = Key::honoured(
    "autoscaling.knative.dev/target-burst-capacity",
    Spare,
    Cluster("target-burst-capacity"),
)
.formerly("autoscaling.knative.dev/targetBurstCapacity");

pub(super) const WINDOW: Key = Key::honoured(
    "autoscaling.knative.dev/window",
    Duration(6 * S, HOUR, S),
    Cluster("stable-window"),
);

pub(super) const PANIC_WINDOW: Key = Key::honoured(
    "autoscaling.knative.dev/panic-window-percentage",
    Number(1.0, 100.0),
    Cluster("panic-window-percentage"),
)
.formerly("autoscaling.knative.dev/panicWindowPercentage");

pub(super) const PANIC_THRESHOLD: Key = Key::honoured(
    "autoscaling.knative.dev/panic-threshold-percentage",
    Number(110.0, 1000.0),
    Cluster("panic-threshold-percentage"),
)
.formerly("autoscaling.knative.dev/panicThresholdPercentage");

pub(super) const SCALE_DOWN_DELAY: Key = Key::honoured(
    "autoscaling.knative.dev/scale-down-delay",
    Duration(0, HOUR, S),
    Cluster("scale-down-delay"),
)
.formerly("autoscaling.knative.dev/scaleDownDelay");

pub(super) const RETENTION: Key = Key::honoured(
    "autoscaling.knative.dev/scale-to-zero-pod-retention-period",
    Duration(0, HOUR, NS),
    Cluster("scale-to-zero-pod-retention-period"),
)
.formerly("autoscaling.knative.dev/scaleToZeroPodRetentionPeriod");

pub(super) const AGGREGATION: Key = Key::honoured(
    "autoscaling.knative.dev/metric-aggregation-algorithm",
    Word(&["linear", "weighted-exponential", "weightedExponential", ""]),
    Fixed("linear"),
)
.formerly("autoscaling.knative.dev/metricAggregationAlgorithm");

/// Of Knative's classes Dormouse is the one; another would mean that somebody else scales.
pub(super) const CLASS: Grammar = Word(&["kpa.autoscaling.knative.dev"]);

/// On a workload, as annotation or label: it is to be a function.
pub const ENABLED: Key = Key::honoured("dormouse.dev/enabled", Switch, Fixed("false"));

pub(super) const PAUSED: Key = Key::honoured("dormouse.dev/paused", Switch, Fixed("false"));

pub(super) const HOSTS: Key = Key::honoured("dormouse.dev/hosts", Hosts, Fixed("none"));

pub(super) const CONTAINER_CONCURRENCY: Key =
    Key::honoured("dormouse.dev/container-concurrency", Integer(0, 1000), Fixed("0"));

pub(super) const BURST: Key =
    Key::honoured("dormouse.dev/burst", Word(&["kpa", "queue", "start-up"]), Fixed("kpa"));

/// Below a thousandth of a pod-second nothing is worth a pod, above 10⁹ (thirty years of one)
/// everything is: beyond either end, and at 0 above all, a unit was mistaken.
pub(super) const IDLE_COST: Key =
    Key::honoured("dormouse.dev/idle-cost", Number(0.001, 1e9), Fixed("off"));

pub(super) const QUEUE_DEPTH: Key =
    Key::honoured("dormouse.dev/queue-depth", Integer(1, 100_000), Fixed("1000"));

pub(super) const QUEUE_TIMEOUT: Key =
    Key::honoured("dormouse.dev/queue-timeout", Duration(S, HOUR, MS), Fixed("55s"));

pub(super) const REQUEST_TIMEOUT: Key =
    Key::honoured("dormouse.dev/request-timeout", Duration(S, HOUR, MS), Fixed("300s"));

pub(super) const LOCAL_COMMAND: Key =
    Key::honoured("dormouse.dev/local-command", Text, Fixed("the container's command"));

/// On a Service without selector: the function it leads to, in its own namespace.
pub const SERVICE_TARGET: Key = Key::honoured("dormouse.dev/target", Text, Fixed("none"));

const KEYS: [Key; 34] = [
    Key::honoured("autoscaling.knative.dev/class", CLASS, Cluster("pod-autoscaler-class")),
    METRIC,
    TARGET,
    TARGET_UTILIZATION,
    TARGET_BURST_CAPACITY,
    WINDOW,
    AGGREGATION,
    PANIC_WINDOW,
    PANIC_THRESHOLD,
    MIN_SCALE,
    MAX_SCALE,
    INITIAL_SCALE,
    ACTIVATION_SCALE,
    SCALE_DOWN_DELAY,
    RETENTION,
    ENABLED,
    PAUSED,
    HOSTS,
    CONTAINER_CONCURRENCY,
    BURST,
    IDLE_COST,
    QUEUE_DEPTH,
    QUEUE_TIMEOUT,
    REQUEST_TIMEOUT,
    LOCAL_COMMAND,
    Key::not_yet("dormouse.dev/service", Text, Fixed("the only Service that selects the pods")),
    SERVICE_TARGET,
    Key::not_yet(
        "dormouse.dev/protocol",
        Word(&["http1", "h2c"]),
        Fixed("the Service port's appProtocol"),
    ),
    Key::not_yet("dormouse.dev/response-start-timeout", Duration(0, HOUR, MS), Fixed("0s (off)")),
    Key::not_yet("dormouse.dev/idle-timeout", Duration(0, HOUR, MS), Fixed("0s (off)")),
    Key::not_yet("dormouse.dev/overflow-status", Word(&["503", "429"]), Fixed("503")),
    Key::not_yet("dormouse.dev/mode", Word(&["full", "zero-only"]), Fixed("full")),
    Key::not_yet("dormouse.dev/answer-at-zero", Text, Fixed("off")),
    Key::not_yet("dormouse.dev/metrics", Text, Fixed("none")),
];

impl Key {
    pub(super) const fn honoured(name: &'static str, grammar: Grammar, fallback: Fallback) -> Self {
        Self { name, legacy: None, grammar, fallback, standing: Standing::Honoured }
    }

    pub(super) const fn not_yet(name: &'static str, grammar: Grammar, fallback: Fallback) -> Self {
        Self { standing: Standing::NotYet, ..Self::honoured(name, grammar, fallback) }
    }

    const fn formerly(self, legacy: &'static str) -> Self {
        Self { legacy: Some(legacy), ..self }
    }

    /// What counts for this key among `settings`: key and value as written.
    pub(super) fn find<'a>(&self, settings: &'a Annotations) -> Option<(&'a str, &'a str)> {
        [Some(self.name), self.legacy]
            .into_iter()
            .flatten()
            .find_map(|name| settings.get_key_value(name))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Table {
    /// The key that `name` spells, in either spelling.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name || key.legacy == Some(name))
    }

    /// The key whose name is most like `name`, whatever the prefix, if any is near.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.keys.iter().map(|key| key.name))
    }

    /// The key that `name` spells.
    ///
    /// # Errors
    /// The rule that it breaks: there is none.
    pub fn known(&self, name: &str) -> Result<&'static Key, String> {
        self.lookup(name).ok_or_else(|| self.no_such(name))
    }

    /// The rule that a key breaks which is not in the table.
    #[must_use]
    pub fn no_such(&self, name: &str) -> String {
        let noun = self.noun;
        match self.nearest(name) {
            Some(near) => format!("there is no such {noun}; did you mean {near}?"),
            None => format!("there is no such {noun}"),
        }
    }
}

/// The one of `names` that is most like `name`, if any is near; what stands before a `/` only
/// decides between equals.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (prefix, name) = split(name);
    names
        .into_iter()
        .map(|full| {
            let (own_prefix, own_name) = split(full);
            (strsim::jaro_winkler(own_name, name), own_prefix == prefix, full)
        })
        .filter(|(likeness, ..)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map(|(.., name)| name)
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}
