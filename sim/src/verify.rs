//! Recorded runs through the policy: every step must come out the same.

use std::fmt;
use std::sync::Arc;

use dormouse_policy::decision::{Decision, Observation, Path, Route, Scaler};
use dormouse_policy::readings::{self, Sample};
use dormouse_policy::settings::{Burst, Metric, Paused, Scaling};

use crate::recording::{self, Case, Load, Policy, Step, Unreadable};

/// Averages are recorded rounded: this much of the larger of 1 and the figure is no difference.
const TOLERANCE: f64 = 1e-5;

/// A figure that came out otherwise than recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The case's number.
    pub case: u64,
    /// The case's load.
    pub load: String,
    /// The step's time, in seconds.
    pub t: String,
    /// The field of `want`.
    pub field: &'static str,
    /// What was recorded.
    pub want: String,
    /// What the policy makes of it.
    pub got: String,
}

/// How much was verified, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases replayed.
    pub cases: u64,
    /// Their steps.
    pub steps: u64,
    /// Figures that came out otherwise.
    pub mismatches: u64,
}

impl Tally {
    /// Replays the cases that can be read, and hands each mismatch to `report`.
    ///
    /// # Errors
    /// The first case that cannot be read; those before it are in the tally.
    pub fn add(
        &mut self,
        cases: impl IntoIterator<Item = Result<Case, Unreadable>>,
        mut report: impl FnMut(&Mismatch),
    ) -> Result<(), Unreadable> {
        for case in cases {
            let case = case?;
            self.cases += 1;
            self.steps += case.steps.len() as u64;
            for (step, decision) in replay(&case) {
                for mismatch in mismatches(&case, step, &decision) {
                    self.mismatches += 1;
                    report(&mismatch);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, steps, mismatches } = self;
        write!(f, "verified {cases} cases, {steps} steps, {mismatches} mismatches")
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, load, t, field, want, got } = self;
        write!(f, "case {case} ({load}), t {t}: {field}: want {want}, got {got}")
    }
}

/// The decisions that the policy makes in a case, step by step.
pub fn replay(case: &Case) -> impl Iterator<Item = (&Step, Decision)> {
    let scaling = Arc::new(scaling(&case.policy));
    let replicas = case.initial_replicas.unwrap_or(case.initial_ready);
    let start_us = case.start_us();
    let mut scaler = Scaler::new(scaling, case.missing, case.initial_ready, replicas, start_us);
    case.steps.iter().map(move |step| {
        for &(at, value) in &step.samples {
            scaler.record(at.second(), sample(case.policy.metric, value.get()));
        }
        let decision = scaler.decide(&observation(case.policy.metric, step));
        (step, decision)
    })
}

fn observation(metric: Metric, step: &Step) -> Observation {
    let unsettled = step.unsettled.iter().map(|value| sample(metric, value.get()));
    Observation {
        now_us: step.t.us(),
        why: step.why,
        ready: step.ready,
        replicas: step.replicas.unwrap_or(step.ready),
        reachability: step.reachability,
        path: match step.path {
            recording::Path::Proxied => Path::Proxied,
            recording::Path::ProxiedSince(since) => Path::ProxiedSince(since.us()),
            recording::Path::Direct => Path::Direct,
        },
        start_up_us: None,
        keep: None,
        load: readings::Load {
            settled_s: step.settled.unwrap_or(step.t.second()),
            incomplete: unsettled.collect(),
            in_flight: step.in_flight,
            held: 0,
            ..readings::Load::default()
        },
    }
}

fn sample(metric: Metric, value: f64) -> Sample {
    match metric {
        Metric::Concurrency => Sample { concurrency: value, rps: 0.0 },
        Metric::Rps => Sample { concurrency: 0.0, rps: value },
    }
}

/// The figures of one step that came out otherwise.
pub(crate) fn mismatches(case: &Case, step: &Step, decision: &Decision) -> Vec<Mismatch> {
    let mut figures = Figures { case, step, wrong: Vec::new() };
    let want = &step.want;
    let averages = decision.inputs.averages;
    match (want.load, averages) {
        (Some(load), Some(averages)) => {
            let Load { stable, panic, desired, excess_burst_capacity, panicking } = load;
            figures.average("stable", stable, averages.stable.value);
            figures.average("panic", panic, averages.panic.value);
            figures.exact("desired", desired, decision.unbounded);
            let burst = decision.excess_burst_capacity;
            figures.exact("excess_burst_capacity", excess_burst_capacity, burst);
            figures.exact("panicking", panicking, decision.panic.is_some());
        }
        (load, averages) => figures.exact("valid", load.is_some(), averages.is_some()),
    }
    if let Some(replicas) = want.replicas {
        figures.exact("replicas", replicas, decision.desired);
    }
    if let Some(known_s) = want.known_s {
        figures.exact("known_s", known_s, averages.map_or(0, |averages| averages.stable.known_s));
    }
    if let Some(route) = want.route {
        figures.exact("route", name(route), name(decision.route()));
    }
    figures.wrong
}

fn name(route: Route) -> &'static str {
    match route {
        Route::Serve => "serve",
        Route::Proxy => "proxy",
    }
}

/// Compares the figures of one step.
struct Figures<'a> {
    case: &'a Case,
    step: &'a Step,
    wrong: Vec<Mismatch>,
}

impl Figures<'_> {
    fn average(&mut self, field: &'static str, want: f64, got: f64) {
        let close = (got - want).abs() <= TOLERANCE * want.max(1.0);
        if !close {
            self.mismatch(field, want.to_string(), got.to_string());
        }
    }

    fn exact<T: PartialEq + ToString>(&mut self, field: &'static str, want: T, got: T) {
        if want != got {
            self.mismatch(field, want.to_string(), got.to_string());
        }
    }

    fn mismatch(&mut self, field: &'static str, want: String, got: String) {
        let (case, load) = (self.case.id, self.case.load.clone());
        let t = self.step.t.to_string();
        self.wrong.push(Mismatch { case, load, t, field, want, got });
    }
}

/// The settings of a recorded run.
pub(crate) fn scaling(policy: &Policy) -> Scaling {
    Scaling {
        metric: policy.metric,
        target: policy.target.get(),
        total: policy.total.get(),
        target_burst_capacity: policy.target_burst_capacity.get(),
        stable_window_s: policy.stable_window_s,
        panic_window_s: policy.panic_window_s,
        panic_threshold: policy.panic_threshold.get(),
        max_scale_up_rate: policy.max_scale_up_rate.get(),
        max_scale_down_rate: policy.max_scale_down_rate.get(),
        min_scale: policy.min_scale,
        max_scale: policy.max_scale,
        initial_scale: policy.initial_scale,
        activation_scale: policy.activation_scale,
        scale_down_delay_s: policy.scale_down_delay_s,
        aggregation: policy.aggregation,
        scale_to_zero: policy.scale_to_zero,
        scale_to_zero_grace_us: policy.grace_s.us(),
        scale_to_zero_retention_us: policy.retention_s.us(),
        idle_cost: None,
        burst: Burst::Kpa,
        paused: Paused::No,
    }
}
