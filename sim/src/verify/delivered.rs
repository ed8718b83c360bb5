//! The recordings by the way that live readings take: a scripted activator reports what was
//! recorded, its reports become seconds, seconds become averages, and ticks decide on scripted
//! pods.

use std::fs::File;
use std::sync::Arc;

use dormouse_policy::decision::{Observation, Scaler};
use dormouse_policy::readings::{Counters, Meter, Reporters};
use dormouse_policy::settings::{Metric, Scaling};

use super::{mismatches, scaling};
use crate::recording::{Case, Recording};

const SECOND_US: u64 = 1_000_000;

/// Recordings begin at 0, where a function that appears has no whole second yet. An even number of
/// seconds, because figures are remembered by ticks of two.
const LATER_US: u64 = 10 * SECOND_US;

/// An activator whose clock is ahead by the second that it is allowed to be, so that the second of
/// a tick is covered at the tick, as a recording has it.
#[derive(Default)]
struct Activator {
    boot: u64,
    /// Up to when it has reported, on the autoscaler's clock.
    covered_us: u64,
    counters: Counters,
}

impl Activator {
    /// Reports that the second that begins at `second_us` had that mean concurrency. Of seconds
    /// since the last report it knows nothing, so it must have begun anew.
    fn report(
        &mut self,
        second_us: u64,
        concurrency: f64,
        reporters: &mut Reporters,
        meter: &mut Meter,
    ) {
        if self.covered_us != second_us {
            *self = Self { boot: self.boot + 1, ..Self::default() };
            reporters.report("scripted", self.boot, second_us, second_us);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "recorded figures are not negative and below 2^40"
        )]
        let (area_us, requests) = ((concurrency * 1e6 + 0.5) as u64, concurrency as u64 + 1);
        self.counters.area_us += area_us;
        self.counters.started += requests;
        self.covered_us = second_us + SECOND_US;
        let span = reporters.report("scripted", self.boot, self.covered_us, second_us);
        meter.read(span.unwrap(), self.counters);
    }
}

/// The figures that come out otherwise, in words.
fn deliver(case: &Case) -> Vec<String> {
    // What is measured is one number a second here; which of two it is, `verify` looks at.
    let scaling = Arc::new(Scaling { metric: Metric::Concurrency, ..scaling(&case.policy) });
    let replicas = case.initial_replicas.unwrap_or(case.initial_ready);
    let start_us = case.start_us() + LATER_US;
    let mut scaler = Scaler::new(scaling, case.missing, case.initial_ready, replicas, start_us);
    let mut reporters = Reporters::new();
    let mut meter = Meter::new(start_us - 2 * SECOND_US);
    let mut activator = Activator::default();
    let mut wrong = Vec::new();
    for step in &case.steps {
        let mut samples = step.samples.iter().peekable();
        while let Some((at, value)) = samples.next() {
            // Samples of one second add up.
            let mut concurrency = value.get();
            while let Some((_, more)) = samples.next_if(|next| next.0.second() == at.second()) {
                concurrency += more.get();
            }
            let second_us = at.second() * SECOND_US + LATER_US;
            activator.report(second_us, concurrency, &mut reporters, &mut meter);
        }
        let now_us = step.t.us() + LATER_US;
        reporters.advance(now_us);
        let load = scaler.settle(&mut meter, &reporters);
        let replicas = step.replicas.unwrap_or(step.ready);
        let observation = Observation::new(now_us, step.why, step.ready, replicas, load);
        let decision = scaler.decide(&observation);
        wrong.extend(mismatches(case, step, &decision).iter().map(ToString::to_string));
    }
    wrong
}

#[test]
fn recorded_runs_come_out_the_same_by_way_of_reports() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../autoscaler/policy/testdata/kpa.jsonl");
    let file = File::options().read(true).open(path).unwrap();
    let mut steps = 0;
    for case in Recording::new("kpa.jsonl", file).unwrap() {
        let case = case.unwrap();
        let wrong = deliver(&case);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        steps += case.steps.len();
    }
    assert_eq!(steps, 18_350);
}
