//! A case as the oracle takes it, and the line that it becomes. Times are in milliseconds.

use serde_json::{Map, Value, json};

/// The settings of a case.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) metric: &'static str,
    pub(crate) target: f64,
    pub(crate) total: f64,
    pub(crate) target_burst_capacity: f64,
    pub(crate) max_scale_up_rate: f64,
    pub(crate) max_scale_down_rate: f64,
    pub(crate) panic_threshold: f64,
    pub(crate) stable_s: u64,
    pub(crate) panic_s: u64,
    pub(crate) delay_s: u64,
    pub(crate) activation_scale: u32,
    pub(crate) exponential: bool,
    pub(crate) min_scale: u32,
    pub(crate) max_scale: u32,
    pub(crate) initial_scale: Option<u32>,
    pub(crate) never_zero: bool,
    pub(crate) grace_ms: u64,
    pub(crate) retention_ms: u64,
}

/// How a case begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) load: String,
    pub(crate) policy: Policy,
    pub(crate) start_ms: u64,
    pub(crate) ready: u32,
    pub(crate) replicas: u32,
    pub(crate) missing_is_unknown: bool,
}

/// Which way requests take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Path {
    Proxied,
    ProxiedSince(u64),
    Direct,
}

/// What made a decision due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    Start,
    Tick,
    Wake,
}

/// One step, before anything is decided.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) t_ms: u64,
    /// When, and what.
    pub(crate) samples: Vec<(u64, f64)>,
    pub(crate) ready: u32,
    pub(crate) replicas: u32,
    pub(crate) why: Why,
    pub(crate) unreachable: bool,
    pub(crate) path: Path,
    pub(crate) in_flight: u64,
    /// Where missing is unknown: the first second that may still change, and what is known of it
    /// and those after it.
    pub(crate) settled: u64,
    pub(crate) unsettled: Vec<f64>,
}

/// What came out of a step.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) valid: bool,
    pub(crate) stable: f64,
    pub(crate) panic: f64,
    pub(crate) desired: u32,
    pub(crate) excess_burst_capacity: i32,
    pub(crate) panicking: bool,
    pub(crate) replicas: u32,
    pub(crate) known_s: u32,
    pub(crate) serve: bool,
}

impl Default for Policy {
    /// Knative's defaults, with neither grace nor spare capacity.
    fn default() -> Self {
        Self {
            metric: "concurrency",
            target: 70.0,
            total: 100.0,
            target_burst_capacity: 211.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            panic_threshold: 2.0,
            stable_s: 60,
            panic_s: 6,
            delay_s: 0,
            activation_scale: 0,
            exponential: false,
            min_scale: 0,
            max_scale: 0,
            initial_scale: None,
            never_zero: false,
            grace_ms: 0,
            retention_ms: 0,
        }
    }
}

impl Seen {
    /// A tick at which that many pods are asked for and ready.
    pub(crate) fn tick(t_ms: u64, pods: u32) -> Self {
        Self {
            t_ms,
            samples: Vec::new(),
            ready: pods,
            replicas: pods,
            why: Why::Tick,
            unreachable: false,
            path: Path::Proxied,
            in_flight: 0,
            settled: t_ms / 1000,
            unsettled: Vec::new(),
        }
    }
}

/// The line of a case. Fields that say what would hold without them are left out.
pub(crate) fn line(id: usize, start: &Start, steps: &[(Seen, Want)]) -> String {
    let mut case = json!({
        "id": id,
        "load": start.load,
        "policy": policy(&start.policy, start.replicas),
        "initial_ready": start.ready,
        "start": seconds(start.start_ms),
        "steps": steps.iter().map(|(seen, want)| step(start, seen, want)).collect::<Vec<_>>(),
    });
    if start.replicas != start.ready {
        case["initial_replicas"] = json!(start.replicas);
    }
    if start.missing_is_unknown {
        case["missing"] = json!("unknown");
    }
    case.to_string()
}

fn policy(policy: &Policy, replicas: u32) -> Value {
    let mut json = json!({
        "metric": policy.metric,
        "target": policy.target,
        "total": policy.total,
        "target_burst_capacity": policy.target_burst_capacity,
        "max_scale_up_rate": policy.max_scale_up_rate,
        "max_scale_down_rate": policy.max_scale_down_rate,
        "panic_threshold": policy.panic_threshold,
        "stable_window_s": policy.stable_s,
        "panic_window_s": policy.panic_s,
        "scale_down_delay_s": policy.delay_s,
        "activation_scale": policy.activation_scale,
        "aggregation": if policy.exponential { "weighted-exponential" } else { "linear" },
    });
    let mut unless = |usual: bool, field: &str, value: Value| {
        if !usual {
            json[field] = value;
        }
    };
    unless(policy.min_scale == 0, "min_scale", json!(policy.min_scale));
    unless(policy.max_scale == 0, "max_scale", json!(policy.max_scale));
    let initial = policy.initial_scale;
    unless(initial.is_none_or(|initial| initial == replicas), "initial_scale", json!(initial));
    unless(!policy.never_zero, "scale_to_zero", json!("refused"));
    unless(policy.grace_ms == 0, "grace_s", seconds(policy.grace_ms));
    unless(policy.retention_ms == 0, "retention_s", seconds(policy.retention_ms));
    json
}

fn step(start: &Start, seen: &Seen, want: &Want) -> Value {
    let sample = |(at_ms, value): &(u64, f64)| json!([seconds(*at_ms), value]);
    let mut json = json!({
        "t": seconds(seen.t_ms),
        "samples": seen.samples.iter().map(sample).collect::<Vec<_>>(),
        "ready": seen.ready,
        "want": wanted(start, want),
    });
    let mut unless = |usual: bool, field: &str, value: Value| {
        if !usual {
            json[field] = value;
        }
    };
    unless(seen.replicas == seen.ready, "replicas", json!(seen.replicas));
    let why = if seen.why == Why::Start { "start" } else { "wake" };
    unless(seen.why == Why::Tick, "why", json!(why));
    unless(!seen.unreachable, "reachability", json!("unreachable"));
    let path = match seen.path {
        Path::ProxiedSince(since_ms) => json!({ "proxied-since": seconds(since_ms) }),
        _ => json!("direct"),
    };
    unless(seen.path == Path::Proxied, "path", path);
    unless(seen.in_flight == 0, "in_flight", json!(seen.in_flight));
    unless(seen.settled == seen.t_ms / 1000, "settled", json!(seen.settled));
    unless(seen.unsettled.is_empty(), "unsettled", json!(seen.unsettled));
    json
}

fn wanted(start: &Start, want: &Want) -> Value {
    let mut json = Map::new();
    json.insert("valid".to_owned(), json!(want.valid));
    json.insert("replicas".to_owned(), json!(want.replicas));
    if want.valid {
        let digits = |value: f64| json!((value * 1e6).round() / 1e6);
        json.insert("stable".to_owned(), digits(want.stable));
        json.insert("panic".to_owned(), digits(want.panic));
        json.insert("desired".to_owned(), json!(want.desired));
        json.insert("excess_burst_capacity".to_owned(), json!(want.excess_burst_capacity));
        json.insert("panicking".to_owned(), json!(want.panicking));
        json.insert("route".to_owned(), json!(if want.serve { "serve" } else { "proxy" }));
        if start.missing_is_unknown {
            json.insert("known_s".to_owned(), json!(want.known_s));
        }
    }
    Value::Object(json)
}

/// Seconds, as a whole number if they are.
fn seconds(ms: u64) -> Value {
    match ms % 1000 {
        0 => json!(ms / 1000),
        _ => json!(ms as f64 / 1000.0),
    }
}
