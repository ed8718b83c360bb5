//! One recorded run, as a line of JSON has it.

use dormouse_policy::decision::{Missing, Reachability, Route, Why};
use dormouse_policy::settings::{Aggregation, Metric, ScaleToZero};
use serde::Deserialize;

use super::Fault;
use super::figure::{Amount, Positive, Seconds, Spare, whole, whole_if_any};

/// Longest window and delay, in seconds: a day. Knative allows an hour; the bound is there so that
/// a damaged figure does not become an allocation.
const WINDOW_S_MAX: u32 = 86_400;

/// One recorded run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Case {
    /// Its number, for messages.
    #[serde(deserialize_with = "whole")]
    pub id: u64,
    /// The name of the load's shape, for messages.
    pub load: String,
    /// The settings decided by.
    pub policy: Policy,
    /// Ready pods when the scaler starts.
    #[serde(deserialize_with = "whole")]
    pub initial_ready: u32,
    /// Replicas asked for then; as many as were ready where absent.
    #[serde(default, deserialize_with = "whole_if_any")]
    pub initial_replicas: Option<u32>,
    /// When the scaler starts; with the first thing recorded where absent.
    #[serde(default)]
    pub start: Option<Seconds>,
    /// What a second without a sample means.
    #[serde(default = "zero")]
    pub missing: Missing,
    /// The decisions, in order of time.
    pub steps: Vec<Step>,
}

/// The settings of a run; windows in seconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Policy {
    /// The measured quantity.
    pub metric: Metric,
    /// Wanted value per pod.
    pub target: Positive,
    /// The most one pod can take.
    pub total: Amount,
    /// −1 = always in path, 0 = only from zero, else the wanted spare capacity.
    pub target_burst_capacity: Spare,
    /// Most that one decision may multiply the ready pods by.
    pub max_scale_up_rate: Positive,
    /// Most that one decision may divide the ready pods by.
    pub max_scale_down_rate: Positive,
    /// Where panic starts, as a factor of the ready pods' capacity.
    pub panic_threshold: Positive,
    /// The stable window.
    #[serde(deserialize_with = "whole")]
    pub stable_window_s: u32,
    /// The panic window.
    #[serde(deserialize_with = "whole")]
    pub panic_window_s: u32,
    /// How long a lower figure must hold; 0 = none.
    #[serde(deserialize_with = "whole")]
    pub scale_down_delay_s: u32,
    /// The least non-zero scale; 0 and 1 = off.
    #[serde(deserialize_with = "whole")]
    pub activation_scale: u32,
    /// How a window is averaged.
    pub aggregation: Aggregation,
    /// Never fewer replicas.
    #[serde(default, deserialize_with = "whole")]
    pub min_scale: u32,
    /// Never more replicas; 0 = no limit.
    #[serde(default, deserialize_with = "whole")]
    pub max_scale: u32,
    /// Replicas to begin with.
    #[serde(default, deserialize_with = "whole_if_any")]
    pub initial_scale: Option<u32>,
    /// Whether zero replicas are allowed.
    #[serde(default = "allowed")]
    pub scale_to_zero: ScaleToZero,
    /// How long the activators must be in path before zero.
    #[serde(default = "none")]
    pub grace_s: Seconds,
    /// How long the last pods of an idle function are kept.
    #[serde(default = "none")]
    pub retention_s: Seconds,
}

/// One decision, after `samples` were recorded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    /// When.
    pub t: Seconds,
    /// When something was measured, and what.
    pub samples: Vec<(Seconds, Amount)>,
    /// Ready pods.
    #[serde(deserialize_with = "whole")]
    pub ready: u32,
    /// Replicas asked for; as many as are ready where absent.
    #[serde(default, deserialize_with = "whole_if_any")]
    pub replicas: Option<u32>,
    /// What made the decision due.
    #[serde(default = "tick")]
    pub why: Why,
    /// Whether anything leads to the function.
    #[serde(default = "reachable")]
    pub reachability: Reachability,
    /// Which way its requests take.
    #[serde(default = "always")]
    pub path: Path,
    /// Requests in flight.
    #[serde(default, deserialize_with = "whole")]
    pub in_flight: u64,
    /// Before which second all are known that were not lost, where missing ones are unknown; up to
    /// the present one where absent.
    #[serde(default, deserialize_with = "whole_if_any")]
    pub settled: Option<u64>,
    /// What is known so far of the seconds from there on.
    #[serde(default)]
    pub unsettled: Vec<Amount>,
    /// What must come out.
    pub want: Want,
}

/// Which way a function's requests take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Through the activators, never otherwise.
    Proxied,
    /// Through the activators since then.
    ProxiedSince(Seconds),
    /// Some may go straight to its pods.
    Direct,
}

/// What a step must come out as.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Wanted")]
pub struct Want {
    /// What follows from the load; none when no data is expected in the stable window.
    pub load: Option<Load>,
    /// Replicas after bounds; none = not looked at.
    pub replicas: Option<u32>,
    /// Seconds of the stable window that are known; none = not looked at.
    pub known_s: Option<u32>,
    /// Where requests should be sent; none = not looked at.
    pub route: Option<Route>,
}

/// What follows from the load alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The stable window's average.
    pub stable: f64,
    /// The panic window's average.
    pub panic: f64,
    /// Pods wanted, before bounds.
    pub desired: u32,
    /// Spare capacity.
    pub excess_burst_capacity: i32,
    /// Whether panic mode is on after the decision.
    pub panicking: bool,
}

/// [`Want`] as it is written.
#[derive(Deserialize)]
struct Wanted {
    valid: bool,
    stable: Option<Amount>,
    panic: Option<Amount>,
    #[serde(default, deserialize_with = "whole_if_any")]
    desired: Option<u32>,
    #[serde(default, deserialize_with = "whole_if_any")]
    excess_burst_capacity: Option<i32>,
    panicking: Option<bool>,
    #[serde(default, deserialize_with = "whole_if_any")]
    replicas: Option<u32>,
    #[serde(default, deserialize_with = "whole_if_any")]
    known_s: Option<u32>,
    route: Option<Route>,
}

/// A field that is missing although the step is valid.
#[derive(Debug, thiserror::Error)]
#[error("missing field `{0}`")]
struct Absent(&'static str);

impl TryFrom<Wanted> for Want {
    type Error = Absent;

    fn try_from(wanted: Wanted) -> Result<Self, Absent> {
        let Wanted { stable, panic, desired, excess_burst_capacity, panicking, .. } = wanted;
        let Wanted { valid, replicas, known_s, route, .. } = wanted;
        let load = || {
            Ok(Load {
                stable: stable.ok_or(Absent("stable"))?.get(),
                panic: panic.ok_or(Absent("panic"))?.get(),
                desired: desired.ok_or(Absent("desired"))?,
                excess_burst_capacity: excess_burst_capacity
                    .ok_or(Absent("excess_burst_capacity"))?,
                panicking: panicking.ok_or(Absent("panicking"))?,
            })
        };
        let load = if valid { Some(load()?) } else { None };
        Ok(Self { load, replicas, known_s, route })
    }
}

impl Case {
    /// Reads one line.
    pub(super) fn parse(line: &str) -> Result<Self, Fault> {
        let mut json = serde_json::Deserializer::from_str(line);
        let case: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            from_json(&path, error.inner())
        })?;
        json.end().map_err(|error| from_json(".", &error))?;
        match case.contradiction() {
            Some((field, rule)) => Err(Fault::Field { field, rule }),
            None => Ok(case),
        }
    }

    /// When the scaler starts, in microseconds.
    pub(crate) fn start_us(&self) -> u64 {
        if let Some(start) = self.start {
            return start.us();
        }
        let first = self.steps.first();
        let sampled = first.iter().flat_map(|step| &step.samples).map(|(at, _)| at.us());
        sampled.chain(first.map(|step| step.t.us())).min().unwrap_or(0)
    }

    /// The first field that does not go together with another.
    fn contradiction(&self) -> Option<(String, String)> {
        let Policy { stable_window_s, panic_window_s, scale_down_delay_s, .. } = self.policy;
        let fault = |field: &str, rule: String| Some((field.to_owned(), rule));
        if !(1..=WINDOW_S_MAX).contains(&stable_window_s) {
            return fault("policy.stable_window_s", format!("must be from 1 to {WINDOW_S_MAX}"));
        }
        if !(1..=stable_window_s).contains(&panic_window_s) {
            return fault("policy.panic_window_s", "must be from 1 to stable_window_s".to_owned());
        }
        if scale_down_delay_s > WINDOW_S_MAX {
            return fault("policy.scale_down_delay_s", format!("must be at most {WINDOW_S_MAX}"));
        }
        let at = self.steps.windows(2).position(|pair| pair[1].t <= pair[0].t)? + 1;
        let before = self.steps[at - 1].t;
        Some((format!("steps[{at}].t"), format!("must be later than {before}, the step before")))
    }
}

/// Names the field that a missing one would have been, and leaves out the position, which serde
/// counts within the line.
fn from_json(path: &str, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let (what, _) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
    let missing = what.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    // A lone dot is the whole; a question mark stands for a place within what is named before it.
    let known = path.trim_end_matches('?').trim_end_matches('.');
    let parts: Vec<&str> = [known].into_iter().filter(|it| !it.is_empty()).chain(missing).collect();
    let field = match parts.is_empty() {
        true => "case".to_owned(),
        false => parts.join("."),
    };
    let rule = match (missing, error.is_data()) {
        (Some(_), _) => "is missing".to_owned(),
        (None, true) => what.to_owned(),
        (None, false) => format!("{what} (column {})", error.column()),
    };
    Fault::Field { field, rule }
}

fn zero() -> Missing {
    Missing::Zero
}

fn tick() -> Why {
    Why::Tick
}

fn allowed() -> ScaleToZero {
    ScaleToZero::Allowed
}

fn reachable() -> Reachability {
    Reachability::Reachable
}

fn none() -> Seconds {
    Seconds::ZERO
}

fn always() -> Path {
    Path::Proxied
}
