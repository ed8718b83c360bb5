//! Seconds that a generated fleet of five hundred functions, eight hours and three million requests
//! takes under each policy, in the ideal preset, by the time that the thread ran; beside them the
//! time to read it. Medians of rounds.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::let_underscore_must_use,
    reason = "counts of a trace are small, and writing to a string does not fail"
)]

#[path = "fleet/invent.rs"]
mod invent;
#[path = "kit/timing.rs"]
mod timing;

use std::io::{self, Cursor, Read};

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_sim::input::{Inputs, Manifest};
use dormouse_sim::plan::{Options, Plan};
use dormouse_sim::world::{Log, run};

use invent::Trace;
use timing::ran_s;

const SCENARIO: &str = r#"
schema = 1
length = "8h"
[policy.kpa]
[policy.kept]
kind = { fixed-idle = "10m" }
[policy.floor]
kind = "floor"
[function."fleet/*"]
trace = { format = "azure-2019", counts = "counts.csv", durations = "durations.csv" }
capacity = { slots = 10 }
"#;

const ROUNDS: usize = 3;

struct Files(Trace);

impl Inputs for Files {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let text = match name {
            "counts.csv" => &self.0.counts,
            "durations.csv" => &self.0.durations,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(Cursor::new(text.clone().into_bytes())))
    }

    fn manifest(&self, _: &str) -> Result<Manifest, Vec<String>> {
        Ok(Manifest::default())
    }
}

fn main() {
    let trace = invent::trace(1);
    let requests = trace.requests;
    let off = trace.requests.abs_diff(invent::REQUESTS);
    assert!(off * 100 <= invent::REQUESTS, "the generator misses its size");
    let files = Files(trace);
    let began_s = ran_s();
    let plan = Plan::new("fleet.toml", SCENARIO, &Options::default(), &files);
    let plan = plan.expect("the generated trace is a good one");
    let read_s = ran_s() - began_s;
    let setups: Vec<_> = (0..plan.scenario.policies.len())
        .map(|policy| plan.setup(policy, plan.cuts_ns.clone(), Log::None))
        .collect();
    let mut times = vec![Vec::new(); setups.len()];
    let mut events = vec![0; setups.len()];
    for _ in 0..ROUNDS {
        for (at, setup) in setups.iter().enumerate() {
            let began_s = ran_s();
            events[at] = run(setup, 1).expect("a world keeps its rules").events;
            times[at].push(ran_s() - began_s);
        }
    }
    heading(&format!("Simulating {requests} requests of {} functions", invent::FUNCTIONS));
    row("reading the trace", Figure::of(vec![read_s]), "s", Goal::None);
    for ((policy, times), events) in plan.scenario.policies.iter().zip(times).zip(events) {
        let what = format!("{}, {:.1} million events", policy.name, events as f64 / 1e6);
        row(&what, Figure::of(times), "s", Goal::BestAtMost(1.0));
    }
}
