//! Small worlds, and loads for them.

use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{Annotations, ClusterDefaults, Settings, parse};
use dormouse_sim::draw::{Distribution, Stream};
use dormouse_sim::world::{
    Arrivals, Capacity, Function, Load, Log, Policy, SECOND_NS, Score, Scorecard, Setup, StartUp,
    Ticking, World, run,
};

/// Requests at independent, exponential distances.
#[derive(Clone, Copy)]
pub(crate) struct Poisson {
    /// The mean distance, in nanoseconds.
    pub(crate) mean_ns: u64,
}

struct PoissonArrivals {
    gaps: Distribution,
    stream: Stream,
    index: u64,
    at_ns: u64,
}

impl Load for Poisson {
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_> {
        let gaps = Distribution::Exponential { mean_ns: self.mean_ns };
        let stream = Stream::new(seed, "arrivals", 0);
        Box::new(PoissonArrivals { gaps, stream, index: 0, at_ns: 0 })
    }
}

impl Arrivals for PoissonArrivals {
    fn next(&mut self) -> Option<u64> {
        self.index += 1;
        self.at_ns += self.gaps.at(self.stream.unit(self.index));
        Some(self.at_ns)
    }
}

/// Requests at given times.
#[derive(Clone)]
pub(crate) struct At(pub(crate) Vec<u64>);

impl Load for At {
    fn arrivals(&self, _: u64) -> Box<dyn Arrivals + '_> {
        Box::new(AtArrivals(self.0.iter()))
    }
}

struct AtArrivals<'a>(std::slice::Iter<'a, u64>);

impl Arrivals for AtArrivals<'_> {
    fn next(&mut self) -> Option<u64> {
        self.0.next().copied()
    }
}

pub(crate) fn settings(annotations: &[(&str, &str)]) -> Arc<Settings> {
    let all: Annotations =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let parsed = parse(&all, &Annotations::new(), &ClusterDefaults::default());
    Arc::new(parsed.unwrap().settings)
}

/// A function at 50 ms a request, one at a time in a pod, two seconds from order to listening.
pub(crate) fn function(
    name: &str,
    annotations: &[(&str, &str)],
    load: impl Load + 'static,
) -> Function {
    Function {
        name: FunctionName::new("default", name),
        settings: settings(annotations),
        policy: Policy::Kpa,
        replicas: 0,
        load: Arc::new(load),
        service: Distribution::Constant(50_000_000),
        capacity: Capacity::Unlimited,
        start_up: StartUp {
            image: Distribution::Constant(500_000_000),
            boot: Distribution::Constant(1_500_000_000),
            stop: Distribution::Constant(1_000_000_000),
        },
        wait_bounds_ns: vec![20_000_000],
        latency_bounds_ns: Vec::new(),
    }
}

pub(crate) fn setup(functions: Vec<Function>, seconds: u64) -> Setup {
    Setup {
        functions,
        world: World::ideal(),
        end_ns: seconds * SECOND_NS,
        cuts_ns: vec![0],
        waited_over_ns: 20_000_000,
        events_max: u64::MAX,
        log: Log::Changes,
        ticking: Ticking::Awake,
    }
}

pub(crate) fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// The only function's score.
pub(crate) fn score(setup: &Setup, seed: u64) -> Score {
    card(setup, seed).functions[0].from(0)
}

pub(crate) fn card(setup: &Setup, seed: u64) -> Scorecard {
    run(setup, seed).unwrap_or_else(|error| panic!("{error}"))
}
