//! The recorded runs of Knative's pod autoscaler in `testdata/kpa.jsonl`: every step must come out
//! the same. One JSON object a line is one run; its fields are those of `Case` below.

use std::sync::Arc;

use dormouse_policy::decision::{Missing, Observation, Outcome, Scaler, Why};
use dormouse_policy::readings::{Load, Sample};
use dormouse_policy::settings::{Aggregation, Metric, Scaling};
use serde::Deserialize;

const RECORDINGS: &str = include_str!("../testdata/kpa.jsonl");

#[derive(Deserialize)]
struct Case {
    id: u32,
    load: String,
    policy: Policy,
    initial_ready: u32,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Policy {
    metric: Metric,
    target: f64,
    total: f64,
    target_burst_capacity: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    panic_threshold: f64,
    stable_window_s: u32,
    panic_window_s: u32,
    scale_down_delay_s: u32,
    activation_scale: u32,
    aggregation: Aggregation,
}

/// One decision, after `samples` (second and value) were recorded.
#[derive(Deserialize)]
struct Step {
    t: u64,
    samples: Vec<(u64, f64)>,
    ready: u32,
    want: Want,
}

/// Nothing else means anything when `valid` is false.
#[derive(Deserialize)]
struct Want {
    valid: bool,
    stable: f64,
    panic: f64,
    desired: u32,
    excess_burst_capacity: i32,
    panicking: bool,
}

impl Policy {
    fn scaling(&self) -> Scaling {
        Scaling {
            metric: self.metric,
            target: self.target,
            total: self.total,
            target_burst_capacity: self.target_burst_capacity,
            stable_window_s: self.stable_window_s,
            panic_window_s: self.panic_window_s,
            panic_threshold: self.panic_threshold,
            max_scale_up_rate: self.max_scale_up_rate,
            max_scale_down_rate: self.max_scale_down_rate,
            min_scale: 0,
            max_scale: 0,
            initial_scale: None,
            activation_scale: self.activation_scale,
            scale_down_delay_s: self.scale_down_delay_s,
            aggregation: self.aggregation,
        }
    }
}

fn close(have: f64, want: f64) -> bool {
    (have - want).abs() <= 1e-5 * want.max(1.0)
}

/// Runs one case; returns a line for each step that came out otherwise.
fn mismatches(case: &Case) -> Vec<String> {
    let scaling = Arc::new(case.policy.scaling());
    let ready = case.initial_ready;
    let mut scaler = Scaler::new(scaling, Missing::Zero, ready, ready, 0);
    let mut wrong = Vec::new();
    for step in &case.steps {
        for &(second, value) in &step.samples {
            let sample = match case.policy.metric {
                Metric::Concurrency => Sample { concurrency: value, rps: 0.0 },
                Metric::Rps => Sample { concurrency: 0.0, rps: value },
            };
            scaler.record(second, sample);
        }
        let decision = scaler.decide(&Observation {
            now_us: step.t * 1_000_000,
            why: Why::Tick,
            ready: step.ready,
            replicas: step.ready,
            load: Load::default(),
        });
        let want = &step.want;
        let same = match decision.inputs.averages {
            None => !want.valid && decision.outcome == Outcome::NoData,
            Some(averages) => {
                want.valid
                    && close(averages.stable.value, want.stable)
                    && close(averages.panic.value, want.panic)
                    && decision.unbounded == want.desired
                    && decision.excess_burst_capacity == want.excess_burst_capacity
                    && decision.panic.is_some() == want.panicking
            }
        };
        if !same {
            wrong.push(format!("{} {} at {} s: {decision:?}", case.id, case.load, step.t));
        }
        assert_eq!(decision.replay(), decision);
    }
    wrong
}

#[test]
fn every_recorded_step_comes_out_the_same() {
    let cases: Vec<Case> =
        RECORDINGS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 150);
    let wrong: Vec<String> = cases.iter().flat_map(mismatches).collect();
    assert!(wrong.is_empty(), "{} mismatches, first: {}", wrong.len(), wrong[0]);
}
