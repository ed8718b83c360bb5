//! Readings to replicas over time: activators that report each second, a decision every two, pods
//! that take two seconds to start. Load is a step function of time, in requests at once.

use std::sync::Arc;

use dormouse_policy::decision::{Decision, Missing, Observation, Outcome, Scaler, Why};
use dormouse_policy::readings::{Counters, Meter, Reporters};
use dormouse_policy::settings::{Annotations, ClusterDefaults, Scaling, parse};

/// The simulated step, in microseconds.
const STEP_US: u64 = 100_000;
const S: u64 = 1_000_000;
const START_US: u64 = 2 * S;

/// One that reports: what it has in flight at each step, in which seconds its report is lost, and
/// when in each second it reports.
struct Activator {
    name: String,
    load: Box<dyn Fn(u64) -> u64>,
    is_lost: Box<dyn Fn(u64) -> bool>,
    at_us: u64,
    counters: Counters,
}

impl Activator {
    fn new(name: &str, load: impl Fn(u64) -> u64 + 'static) -> Self {
        Self {
            name: name.to_owned(),
            load: Box::new(load),
            is_lost: Box::new(|_| false),
            at_us: 300_000,
            counters: Counters::default(),
        }
    }

    /// Time passes up to `now_us`. Returns the requests that began.
    fn step(&mut self, now_us: u64) -> u64 {
        let in_flight = (self.load)(now_us / STEP_US - 1);
        let begun = in_flight.saturating_sub(self.counters.in_flight);
        self.counters.started += begun;
        self.counters.in_flight = in_flight;
        self.counters.area_us += in_flight * STEP_US;
        begun
    }
}

struct World {
    now_us: u64,
    activators: Vec<Activator>,
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
    replicas: u32,
    ready: u32,
    ready_at_us: u64,
    /// Each change of the replicas: second and new number.
    changes: Vec<(u64, u32)>,
    last: Option<Decision>,
}

impl World {
    /// One activator.
    fn new(pairs: &[(&str, &str)], replicas: u32, load: impl Fn(u64) -> u64 + 'static) -> Self {
        Self::of(pairs, replicas, vec![Activator::new("a", load)])
    }

    fn of(pairs: &[(&str, &str)], replicas: u32, activators: Vec<Activator>) -> Self {
        let annotations: Annotations = pairs
            .iter()
            .map(|(name, value)| (format!("autoscaling.knative.dev/{name}"), (*value).to_owned()))
            .collect();
        let parsed = parse(&annotations, &Annotations::new(), &ClusterDefaults::default());
        let scaling: Arc<Scaling> = parsed.expect("valid annotations").settings.scaling;
        Self {
            now_us: 0,
            activators,
            reporters: Reporters::new(),
            meter: Meter::new(0),
            scaler: Scaler::new(scaling, Missing::Unknown, replicas, replicas, 0),
            replicas,
            ready: replicas,
            ready_at_us: 0,
            changes: Vec::new(),
            last: None,
        }
    }

    /// No report of the first activator comes through in these seconds.
    fn cut(mut self, seconds: std::ops::Range<u64>) -> Self {
        self.activators[0].is_lost = Box::new(move |second| seconds.contains(&second));
        self
    }

    fn run_until(&mut self, end_s: u64) {
        while self.now_us < end_s * S {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now_us += STEP_US;
        if self.replicas > self.ready && self.now_us >= self.ready_at_us {
            self.ready = self.replicas;
        }
        let mut begun = 0;
        for activator in &mut self.activators {
            begun += activator.step(self.now_us);
            let is_lost = (activator.is_lost)(self.now_us / S);
            if self.now_us % S == activator.at_us && !is_lost {
                let received_us = self.now_us + 900;
                let span = self.reporters.report(&activator.name, 1, self.now_us, received_us);
                self.meter.read(span.expect("newer than the last"), activator.counters);
            }
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
    let mut world = World::new(&[("window", "6s")], 5, load).cut(95..105);
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
    let mut world = World::new(&[("window", "6s")], 3, |_| 1).cut(2..1_000);
    world.run_until(1_000);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    assert_eq!(world.last.unwrap().outcome, Outcome::NoData);
}

/// What one activator sees is acted on at once, whatever the other does not say.
#[test]
fn one_of_two_activators_cut_for_half_a_minute_delays_no_scale_up() {
    let changes = |cut_s| {
        let load = |step| match step {
            0..1_050 => 60,
            1_050..1_150 => 200,
            1_150..1_400 => 500,
            _ => 30,
        };
        let heard = Activator { at_us: 700_000, ..Activator::new("heard", load) };
        let activators = vec![Activator::new("cut", |_| 0), heard];
        let mut world = World::of(&[("target", "10")], 9, activators).cut(cut_s);
        world.run_until(300);
        world.changes
    };
    let whole = changes(0..0);
    let peak = whole.iter().position(|(at_s, _)| *at_s > 140).unwrap();
    assert!(peak > 5 && whole[peak].1 < whole[peak - 1].1, "{whole:?}");
    assert_eq!(changes(100..130), whole);
}

/// A multiplicative congruence; its high bits are as good as chance.
fn chance(seed: u64) -> u64 {
    seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xd129)
}

/// Five activators, load until 100 s, and a hundredth of the reports lost: down to one pod at that
/// second, and to none.
fn falls(seed: u64, lost_of_100: u64) -> Vec<(u64, u32)> {
    let activators = (0..5_u64).map(|number| {
        let mut activator = Activator::new(&number.to_string(), |step| match step {
            0..1_000 => 28,
            _ => 0,
        });
        activator.at_us = number * 200_000;
        let lost = move |second| (chance(chance(seed * 31 + number) + second) >> 20) % 100;
        activator.is_lost = Box::new(move |second| lost(second) < lost_of_100);
        activator
    });
    let mut world = World::of(&[], 2, activators.collect());
    world.run_until(300);
    world.changes
}

#[test]
fn a_hundredth_of_reports_lost_delays_a_scale_down_by_two_reports_at_most() {
    let whole = falls(0, 0);
    assert_eq!(whole.last().map(|(_, replicas)| *replicas), Some(0), "{whole:?}");
    let mut late = 0;
    for seed in 0..60 {
        let lossy = falls(seed, 1);
        assert_eq!(lossy.len(), whole.len(), "seed {seed}: {lossy:?}, not {whole:?}");
        for ((have_s, have), (want_s, want)) in lossy.iter().zip(&whole) {
            assert_eq!(have, want, "seed {seed}: {lossy:?}, not {whole:?}");
            assert!((*want_s..=want_s + 2).contains(have_s), "seed {seed}: {lossy:?}, {whole:?}");
            late += have_s - want_s;
        }
    }
    assert!(late > 0, "no loss was at a moment that mattered");
}
