//! The recordings played by the engine: a scripted activator's reports are heard, scripted pods
//! come and go, and the engine's own ticks decide.

use std::fs::File;

use dormouse_policy::decision::Scaler;
use dormouse_policy::readings::Counters;
use dormouse_policy::settings::{Metric, Scaling, Settings};

use super::*;
use crate::recording::{Case, Recording};
use crate::verify::{mismatches, scaling};
use crate::world::reporting::Message;

const SECOND_US: u64 = 1_000_000;

/// Recordings begin at 0, where a function that appears has no whole second yet. An even number of
/// seconds, because figures are remembered by ticks of two.
const LATER_US: u64 = 10 * SECOND_US;

/// A function of this name is decided on in the very second of every other one, as recorded.
const NAME: &str = "recorded-715333";

/// An activator whose clock is ahead by the second that it is allowed to be, so that the second of
/// a tick is covered at the tick, as a recording has it.
#[derive(Default)]
struct Script {
    boot: u32,
    /// Up to when it has reported.
    covered_us: u64,
    counters: Counters,
}

impl Script {
    /// Reports that the second that begins now had that mean concurrency. Of seconds since the last
    /// report it knows nothing, so it must have begun anew.
    fn report(&mut self, sim: &mut Sim<'_>, concurrency: f64) {
        let now_us = sim.now_us();
        if self.covered_us != now_us {
            *self = Self { boot: self.boot + 1, ..Self::default() };
            self.say(sim, now_us, Vec::new());
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "recorded figures are not negative and below 2^40"
        )]
        let (area_us, requests) = ((concurrency * 1e6 + 0.5) as u64, concurrency as u64 + 1);
        self.counters.area_us += area_us;
        self.counters.started += requests;
        // Whoever is there keeps it awake: asleep it would be decided on without a word.
        self.counters.in_flight = 1;
        self.covered_us = now_us + SECOND_US;
        self.say(sim, self.covered_us, vec![(0, self.counters)]);
    }

    fn say(&self, sim: &mut Sim<'_>, at_us: u64, readings: Vec<(u32, Counters)>) {
        let connection = sim.activators[0].connection.unwrap();
        let learnt = Vec::new();
        let message =
            Message { activator: 0, connection, boot: self.boot, at_us, readings, learnt };
        let place = sim.messages.put(message);
        sim.heard(place);
    }
}

/// All that happens before that time happens.
fn pass(sim: &mut Sim<'_>, until_ns: u64) {
    loop {
        let (key, which) = sim.queue.next();
        if at_ns(key) >= until_ns {
            return sim.pass_to(until_ns);
        }
        sim.pass_to(at_ns(key));
        sim.events += 1;
        let event = sim.queue.pop(which).unwrap();
        sim.happen(event);
        // What is missing is zero there, as in what was recorded, and lowers replicas: the world
        // calls that blind.
        sim.fault = None;
    }
}

/// The figures that come out otherwise, in words.
fn play(case: &Case, settings: &Settings) -> Vec<String> {
    // What is measured is one number a second here; which of two it is, `verify` looks at.
    let scaling = Arc::new(Scaling { metric: Metric::Concurrency, ..scaling(&case.policy) });
    let mut setup = Setup { log: Log::All, ticking: Ticking::Always, ..setup_of(0, "0") };
    setup.world.nodes = None;
    let function = &mut setup.functions[0];
    function.name = FunctionName::new("default", NAME);
    function.settings = Arc::new(Settings { scaling: Arc::clone(&scaling), ..settings.clone() });
    let clock = Cell::new(0);
    let mut sim = Sim::new(&setup, 1, Clock(&clock)).unwrap();
    let start_us = case.start_us() + LATER_US;
    sim.pass_to((start_us - 2 * SECOND_US) * 1_000);
    sim.lead();
    let replicas = case.initial_replicas.unwrap_or(case.initial_ready);
    let scaler = Scaler::new(scaling, case.missing, case.initial_ready, replicas, start_us);
    sim.leader.as_mut().unwrap().go_by(0, scaler);
    let mut script = Script::default();
    let mut wrong = Vec::new();
    for step in &case.steps {
        let mut samples = step.samples.iter().peekable();
        while let Some((at, value)) = samples.next() {
            // Samples of one second add up.
            let mut concurrency = value.get();
            while let Some((_, more)) = samples.next_if(|next| next.0.second() == at.second()) {
                concurrency += more.get();
            }
            pass(&mut sim, (at.second() * SECOND_US + LATER_US) * 1_000);
            script.report(&mut sim, concurrency);
        }
        let now_us = step.t.us() + LATER_US;
        pass(&mut sim, now_us * 1_000);
        sim.set_replicas(0, step.ready, &[]);
        sim.log.clear();
        pass(&mut sim, now_us * 1_000 + 1);
        match &sim.log[..] {
            [Logged { decision, .. }] if decision.inputs.now_us == now_us => {
                wrong.extend(mismatches(case, step, decision).iter().map(ToString::to_string));
            }
            log => wrong.push(format!("case {}, t {}: {} decisions", case.id, step.t, log.len())),
        }
    }
    wrong
}

#[test]
fn recorded_runs_come_out_the_same_by_way_of_the_engine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../autoscaler/policy/testdata/kpa.jsonl");
    let file = File::options().read(true).open(path).unwrap();
    let none = Annotations::new();
    let settings = parse(&none, &none, &ClusterDefaults::default()).unwrap().settings;
    let mut steps = 0;
    for case in Recording::new("kpa.jsonl", file).unwrap() {
        let case = case.unwrap();
        let wrong = play(&case, &settings);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        steps += case.steps.len();
    }
    assert_eq!(steps, 18_350);
}
