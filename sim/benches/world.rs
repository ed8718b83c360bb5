//! Requests a second of one core: the ideal preset (one activator, nothing that delays, loses or
//! breaks) and the full world (three activators, lost and late reports, nodes, faults), each warm,
//! by the time that the thread ran, whatever else the machine did; and the time of eight worlds on
//! one thread and on two, by the wall. Medians of interleaved rounds.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "kit/timing.rs"]
mod timing;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};
use dormouse_sim::draw::{Distribution, Stream};
use dormouse_sim::world::{
    Api, Arrivals, Capacity, Fault, Function, Kill, Load, Log, Nodes, Policy, Rate, Readiness,
    Report, SECOND_NS, Setup, StartUp, Ticking, World, run, run_all,
};

use timing::ran_s;

/// Requests of one run, per second of the world and in all.
const PER_S: u64 = 2_000;
const REQUESTS: u64 = 2_000_000;

const ROUNDS: usize = 3;

/// What a request may take in each: five million a second, and one.
const GOALS_NS: [f64; 2] = [200.0, 1_000.0];

struct Poisson;

struct Gaps {
    gaps: Distribution,
    stream: Stream,
    index: u64,
    at_ns: u64,
}

impl Load for Poisson {
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_> {
        let gaps = Distribution::Exponential { mean_ns: SECOND_NS / PER_S };
        Box::new(Gaps { gaps, stream: Stream::new(seed, "arrivals", 0), index: 0, at_ns: 0 })
    }
}

impl Arrivals for Gaps {
    fn next(&mut self) -> Option<u64> {
        self.index += 1;
        self.at_ns += self.gaps.at(self.stream.unit(self.index));
        Some(self.at_ns)
    }
}

fn setup(world: World) -> Setup {
    let none = Annotations::new();
    let settings = parse(&none, &none, &ClusterDefaults::default());
    let settings = settings.expect("no annotations have no fault").settings;
    let function = Function {
        name: FunctionName::new("default", "bench"),
        settings: Arc::new(settings),
        policy: Policy::Kpa,
        replicas: 3,
        load: Arc::new(Poisson),
        service: Distribution::Exponential { mean_ns: 50_000_000 },
        capacity: Capacity::Unlimited,
        start_up: StartUp {
            image: Distribution::Constant(0),
            boot: Distribution::log_normal(SECOND_NS, 4 * SECOND_NS),
            stop: Distribution::Constant(SECOND_NS),
        },
        wait_bounds_ns: Vec::new(),
        latency_bounds_ns: Vec::new(),
    };
    Setup {
        functions: vec![function],
        world,
        end_ns: REQUESTS / PER_S * SECOND_NS,
        cuts_ns: vec![0],
        waited_over_ns: 20_000_000,
        events_max: u64::MAX,
        log: Log::None,
        ticking: Ticking::Awake,
    }
}

fn full() -> World {
    let count = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let fault = |at_s, kill| Fault { at_ns: at_s * SECOND_NS, kill, for_ns: 8 * SECOND_NS };
    World {
        activators: count(3),
        report: Report { every_ns: SECOND_NS, delay_ns: 5_000_000, loss: 0.001 },
        api: Api { latency_ns: 10_000_000, rate: Some(Rate { every_ns: 50_000_000, burst: 30 }) },
        readiness: Readiness { shortcut_ns: Some(10_000_000), probe_ns: SECOND_NS },
        nodes: Some(Nodes { count: count(10), pods: count(110), schedule_ns: 80_000_000 }),
        faults: vec![
            fault(200, Kill::Activator(1)),
            fault(400, Kill::Leader),
            fault(600, Kill::Pod(0)),
            fault(800, Kill::Node(0)),
        ],
    }
}

/// Seconds that a piece of work takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn main() {
    let setups = [("ideal preset", setup(World::ideal())), ("full world", setup(full()))];
    let mut times = [Vec::new(), Vec::new()];
    let mut threads = [Vec::new(), Vec::new()];
    let mut answered = [0; 2];
    for round in 0..ROUNDS {
        for (at, (_, setup)) in setups.iter().enumerate() {
            let began_s = ran_s();
            let card = run(setup, round as u64).expect("a world keeps its rules");
            times[at].push(ran_s() - began_s);
            answered[at] = card.functions[0].from(0).answered;
        }
        let jobs: Vec<_> = (0..8).map(|seed| (&setups[0].1, seed)).collect();
        for (at, threads) in threads.iter_mut().enumerate() {
            threads.push(seconds(|| {
                run_all(&jobs, at + 1).into_iter().for_each(|card| {
                    card.expect("a world keeps its rules");
                });
            }));
        }
    }
    heading("Simulating a warm function");
    for (((name, _), goal_ns), (times, answered)) in
        setups.iter().zip(GOALS_NS).zip(times.into_iter().zip(answered))
    {
        let request = Figure::of(times).times(1e9 / answered as f64);
        let what = format!("a request, {name}: {:.1} million/s", 1e3 / request.best);
        row(&what, request, "ns", Goal::BestAtMost(goal_ns));
    }
    let [one, two] = threads.map(Figure::of);
    row("eight worlds on one thread ÷ on two", one.over(two), "×", Goal::AtLeast(1.8));
}
