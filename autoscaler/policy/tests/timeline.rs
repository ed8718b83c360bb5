//! Readings to replicas over time: one activator that reports each second, a decision every two,
//! pods that take two seconds to start. Load is a step function of time, in requests at once.

use std::sync::Arc;

use dormouse_policy::decision::{Decision, Missing, Observation, Outcome, Scaler, Why};
use dormouse_policy::readings::{Counters, Meter, Reporters};
use dormouse_policy::settings::{Annotations, ClusterDefaults, Scaling, parse};

/// The simulated step, in microseconds.
const STEP_US: u64 = 100_000;
const S: u64 = 1_000_000;
const START_US: u64 = 2 * S;

struct World {
    now_us: u64,
    load: fn(u64) -> u64,
    /// Seconds in which no report comes through.
    cut_s: std::ops::Range<u64>,
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
    counters: Counters,
    replicas: u32,
    ready: u32,
    ready_at_us: u64,
    /// Each change of the replicas: second and new number.
    changes: Vec<(u64, u32)>,
    last: Option<Decision>,
}

impl World {
    fn new(pairs: &[(&str, &str)], replicas: u32, load: fn(u64) -> u64) -> Self {
        let annotations: Annotations = pairs
            .iter()
            .map(|(name, value)| (format!("autoscaling.knative.dev/{name}"), (*value).to_owned()))
            .collect();
        let parsed = parse(&annotations, &Annotations::new(), &ClusterDefaults::default());
        let scaling: Arc<Scaling> = Arc::new(parsed.expect("valid annotations").settings.scaling);
        Self {
            now_us: 0,
            load,
            cut_s: 0..0,
            reporters: Reporters::new(),
            meter: Meter::new(0),
            scaler: Scaler::new(scaling, Missing::Unknown, replicas, replicas, 0),
            counters: Counters::default(),
            replicas,
            ready: replicas,
            ready_at_us: 0,
            changes: Vec::new(),
            last: None,
        }
    }

    fn run_until(&mut self, end_s: u64) {
        while self.now_us < end_s * S {
            self.step();
        }
    }

    fn step(&mut self) {
        let in_flight = (self.load)(self.now_us / STEP_US);
        let begun = in_flight.saturating_sub(self.counters.in_flight);
        self.counters.started += begun;
        self.counters.in_flight = in_flight;
        self.counters.area_us += in_flight * STEP_US;
        self.now_us += STEP_US;
        if self.replicas > self.ready && self.now_us >= self.ready_at_us {
            self.ready = self.replicas;
        }
        let cut = self.cut_s.contains(&(self.now_us / S));
        if self.now_us % S == 300_000 && !cut {
            let span = self.reporters.report("a", 1, self.now_us, self.now_us + 900);
            self.meter.read(span.expect("newer than the last"), self.counters);
        }
        self.reporters.advance(self.now_us);
        if self.replicas == 0 && begun > 0 {
            self.decide(Why::Wake);
        } else if self.now_us.is_multiple_of(2 * S) && self.replicas > 0 {
            self.decide(Why::Tick);
        }
    }

    fn decide(&mut self, why: Why) {
        let load = self.scaler.settle(&mut self.meter, &self.reporters);
        let (now_us, ready, replicas) = (self.now_us, self.ready, self.replicas);
        let observation = Observation::new(now_us, why, ready, replicas, load);
        let decision = self.scaler.decide(&observation);
        assert_eq!(decision.replay(), decision);
        if let Outcome::ScaleTo(replicas) = decision.outcome {
            self.changes.push((self.now_us / S, replicas));
            self.replicas = replicas;
            self.ready = self.ready.min(replicas);
            self.ready_at_us = self.now_us + START_US;
        }
        self.last = Some(decision);
    }
}

#[test]
fn one_request_wakes_and_a_short_window_later_it_sleeps_again() {
    // Held for the two seconds that the pod takes, then answered. The report of second 13 spreads
    // what it saw of the request over second 13 too; the six silent seconds are 14 to 19.
    let load = |step| u64::from((105..126).contains(&step));
    let mut world = World::new(&[("window", "6s")], 0, load);
    world.run_until(60);
    assert_eq!(world.changes, [(10, 1), (22, 0)]);
}

#[test]
fn a_burst_at_zero_scales_out_within_two_ticks() {
    let load = |step| if step >= 105 { 60 } else { 0 };
    let mut world = World::new(&[("target", "10"), ("max-scale", "5")], 0, load);
    world.run_until(15);
    // At 12 s a third of second 11 is reported, at 14 s all of it.
    assert_eq!(world.changes, [(10, 1), (12, 3), (14, 5)]);
    world.run_until(100);
    assert_eq!(world.changes.len(), 3, "{:?}", world.changes);
}

#[test]
fn load_that_ends_leaves_by_a_ramp_once_panic_is_over() {
    let load = |step| if step < 3000 { 700 } else { 0 };
    let mut world = World::new(&[], 10, load);
    world.run_until(400);
    let down: Vec<u32> = world.changes.iter().map(|(_, replicas)| *replicas).collect();
    assert_eq!(down, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    // 700 requests ÷ 70 falls below 9 pods six seconds in, plus what the reports take.
    assert!((306..=310).contains(&world.changes[0].0), "{:?}", world.changes);
    assert!((360..=364).contains(&world.changes[9].0), "{:?}", world.changes);
}

#[test]
fn a_cut_link_scales_nothing_down_and_leaves_no_hole() {
    let load = |step| if step < 1000 { 300 } else { 0 };
    let mut world = World::new(&[("window", "6s")], 5, load);
    world.cut_s = 95..105;
    world.run_until(105);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    world.run_until(107);
    let averages = world.last.as_ref().unwrap().inputs.averages.unwrap();
    // The first report after the cut covers all of it.
    assert_eq!(averages.stable.known_s, 6);
    world.run_until(130);
    assert_eq!(world.replicas, 0, "{:?}", world.changes);
}

#[test]
fn without_reports_nothing_scales_down_for_good() {
    let mut world = World::new(&[("window", "6s")], 3, |_| 1);
    world.run_until(2);
    world.cut_s = 2..1_000;
    world.run_until(1_000);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    assert_eq!(world.last.unwrap().outcome, Outcome::NoData);
}
