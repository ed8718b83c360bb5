//! Queues whose figures are known: of each request by the recursion of Kiefer and Wolfowitz, and on
//! average in closed form.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::thread;

use dormouse_sim::draw::{Distribution, Stream};
use dormouse_sim::world::{
    Arrivals, Capacity, Load, SECOND_NS, Score, Services, Setup, Times, run_all,
};

use crate::kit::*;

/// The mean service time, in nanoseconds.
const MEAN_NS: u64 = 10_000_000;

/// Batches of one run, by whose means its error is estimated.
const BATCHES: u64 = 20;

/// One pod that is always there, at the load `percent`, requests arriving at random.
fn station(capacity: Capacity, percent: u64, service: Distribution, requests: u64) -> Setup {
    let (limit, c) = match capacity {
        Capacity::Slots(c) => (c.get(), u64::from(c.get())),
        Capacity::Share(_) | Capacity::Unlimited => (0, 1),
    };
    let limit = limit.to_string();
    let annotations = [
        ("autoscaling.knative.dev/min-scale", "1"),
        ("autoscaling.knative.dev/max-scale", "1"),
        ("dormouse.dev/container-concurrency", &limit),
        ("dormouse.dev/queue-depth", "100000"),
        ("dormouse.dev/queue-timeout", "1h"),
        ("dormouse.dev/request-timeout", "1h"),
    ];
    let mean_ns = MEAN_NS * 100 / (c * percent);
    let mut function = function("station", &annotations, Poisson { mean_ns });
    function.replicas = 1;
    function.capacity = capacity;
    function.service = service;
    let warm_up_ns = 2_000 * MEAN_NS;
    let mut setup = setup(vec![function], 0);
    setup.end_ns = warm_up_ns + requests * mean_ns;
    let cut = |part| warm_up_ns + part * requests / BATCHES * mean_ns;
    setup.cuts_ns = (0..BATCHES).map(cut).collect();
    setup
}

/// The mean of the parts' means, and its standard error by the parts: batch means, over worlds of
/// these seeds.
fn batch_means(setup: &Setup, seeds: Range<u64>, figure: fn(&Score) -> &Times) -> (f64, f64) {
    let jobs: Vec<_> = seeds.map(|seed| (setup, seed)).collect();
    let cards = run_all(&jobs, 2).into_iter().map(|card| card.unwrap());
    let means = cards.flat_map(|card| {
        let parts = card.functions[0].parts.iter();
        parts.map(|part| figure(part).mean_ns().unwrap()).collect::<Vec<_>>()
    });
    mean_and_error(&means.collect::<Vec<_>>())
}

fn mean_and_error(means: &[f64]) -> (f64, f64) {
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let squares: f64 = means.iter().map(|it| (it - mean) * (it - mean)).sum();
    (mean, libm::sqrt(squares / (count - 1.0) / count))
}

#[track_caller]
fn close(what: &str, got: (f64, f64), want: f64) {
    let (mean, error) = got;
    let off = (mean - want).abs();
    assert!(
        off <= 0.01 * want && off <= 3.0 * error,
        "{what}: {mean} ± {error} for {want}, off by {} %, {} errors",
        off / want * 100.0,
        off / error,
    );
}

/// The probability that an arrival waits in M/M/c: Erlang's C, by the recursion of his B.
fn erlang_c(c: u32, offered: f64) -> f64 {
    let blocked = (1..=c).fold(1.0, |b, n| offered * b / (f64::from(n) + offered * b));
    let rho = offered / f64::from(c);
    blocked / (1.0 - rho * (1.0 - blocked))
}

/// The mean wait of M/M/c, in mean service times.
fn mean_wait(c: u32, rho: f64) -> f64 {
    erlang_c(c, f64::from(c) * rho) / (f64::from(c) * (1.0 - rho))
}

/// Requests after which the mean wait of M/M/c has that relative standard error.
///
/// The sum of waits is ∫ line dt, which is beside w, the mean wait, for each arrival a functional
/// of a birth-and-death process, and has an asymptotic variance (W. Whitt, 1992). With λ arrivals
/// per service time, πᵢ the probability of i inside, qᵢ = max(0, i − c) of them in line, and
/// λπᵢΔᵢ = −Σ_{j ≤ i} πⱼ(qⱼ − λw), it is per arrival
///
/// > Σ πᵢ ((Δᵢ − w)² + Δᵢ²)
///
/// For one server that is ρ(2 + 5ρ − 4ρ² + ρ³) ÷ (1 − ρ)⁴ (D. J. Daley, 1968): 443 w² at ρ = 0.9.
fn requests(c: u32, rho: f64, error: f64) -> u64 {
    let (lambda, wait) = (f64::from(c) * rho, mean_wait(c, rho));
    let line = lambda * wait;
    // Beyond this many in line the rest is less than a billionth.
    let most = f64::from(c) + 30.0 / (1.0 - rho);
    let births = std::iter::successors(Some((0.0, 1.0)), |(i, weight)| {
        (*i < most).then(|| (i + 1.0, weight * lambda / (i + 1.0_f64).min(f64::from(c))))
    });
    let (mut whole, mut below, mut variance) = (0.0, 0.0, 0.0);
    for (i, weight) in births {
        let in_line = (i - f64::from(c)).max(0.0);
        below += weight * (in_line - line);
        let delta = match i < f64::from(c) {
            true => -below / (lambda * weight),
            // The same by the geometric tail: what is left of the sum is nothing but rounding.
            false => rho / (1.0 - rho) * (in_line - line + 1.0 / (1.0 - rho)) / lambda,
        };
        whole += weight;
        variance += weight * ((delta - wait) * (delta - wait) + delta * delta);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some millions")]
    let requests = (variance / whole / (wait * wait * error * error)) as u64;
    requests
}

#[test]
fn the_length_of_a_run_is_that_of_daley_for_one_server() {
    for rho in [0.3, 0.6, 0.9] {
        let daley = (2.0 + 5.0 * rho - 4.0 * rho * rho + rho * rho * rho)
            / (rho * (1.0 - rho) * (1.0 - rho));
        let requests = requests(1, rho, 0.01) as f64 / 1e4;
        assert!((requests / daley - 1.0).abs() < 1e-3, "{requests} for {daley}");
    }
}

/// Arrivals at random and their services, as a list of their own.
#[derive(Clone, Copy)]
struct Queue {
    c: u32,
    percent: u64,
}

/// Draws one after the other.
struct Draws(Distribution, Stream, u64);

impl Draws {
    fn new(mean_ns: u64, seed: u64, name: &str) -> Self {
        Self(Distribution::Exponential { mean_ns }, Stream::new(seed, name, 0), 0)
    }

    fn next(&mut self) -> u64 {
        self.2 += 1;
        self.0.at(self.1.unit(self.2))
    }
}

impl Queue {
    fn gaps(self, seed: u64) -> Draws {
        Draws::new(MEAN_NS * 100 / (u64::from(self.c) * self.percent), seed, "gaps")
    }

    fn services(seed: u64) -> Draws {
        Draws::new(MEAN_NS, seed, "services")
    }

    /// How long requests wait, by the recursion of Kiefer and Wolfowitz (1955): each is served by
    /// the server that is free first.
    fn waits_ns(self, seed: u64) -> impl Iterator<Item = u64> {
        let (mut gaps, mut services) = (self.gaps(seed), Self::services(seed));
        let mut free_ns: BinaryHeap<_> = (0..self.c).map(|_| Reverse(0)).collect();
        let mut now_ns = 0;
        std::iter::from_fn(move || {
            now_ns += gaps.next();
            let mut first = free_ns.peek_mut()?;
            let begins_ns = now_ns.max(first.0);
            first.0 = begins_ns + services.next();
            Some(begins_ns - now_ns)
        })
    }
}

/// The first requests of a queue under seed 0.
struct First(Queue, u64);

struct Arriving {
    gaps: Draws,
    at_ns: u64,
    left: u64,
}

impl Load for First {
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_> {
        Box::new(Arriving { gaps: self.0.gaps(seed), at_ns: 0, left: self.1 })
    }

    fn services(&self) -> Option<Box<dyn Services + '_>> {
        Some(Box::new(Queue::services(0)))
    }
}

impl Arrivals for Arriving {
    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.at_ns += self.gaps.next();
        Some(self.at_ns)
    }
}

impl Services for Draws {
    fn next_ns(&mut self) -> u64 {
        self.next()
    }
}

/// Servers and load in percent, at which one in fifty waits or more.
const POINTS: [Queue; 4] = [
    Queue { c: 1, percent: 90 },
    Queue { c: 2, percent: 50 },
    Queue { c: 10, percent: 70 },
    Queue { c: 50, percent: 90 },
];

/// To the nanosecond, so that whatever holds of the recursion holds of the world.
#[test]
fn every_request_waits_as_the_recursion_says() {
    const REQUESTS: u64 = 300_000;
    for queue in POINTS {
        let capacity = Capacity::Slots(count(queue.c));
        let mut setup = station(capacity, queue.percent, Distribution::Constant(0), REQUESTS);
        let bounds_ns: Vec<u64> = (0..200).map(|nth| nth * MEAN_NS / 20).collect();
        setup.functions[0].load = std::sync::Arc::new(First(queue, REQUESTS));
        setup.functions[0].wait_bounds_ns.clone_from(&bounds_ns);
        setup.cuts_ns = vec![0];
        setup.end_ns += 600 * SECOND_NS;
        let score = score(&setup, 0);
        let mut waits = Times::new(bounds_ns.len());
        let first = queue.waits_ns(0).take(usize::try_from(REQUESTS).unwrap());
        first.for_each(|wait_ns| waits.record(wait_ns, &bounds_ns));
        assert_eq!(score.wait, waits, "c {}, {} %", queue.c, queue.percent);
    }
}

/// Mean waits by batches after a warm-up, in two runs at once.
fn recursed(queue: Queue, requests: u64) -> (f64, f64) {
    let batches = |seed| {
        let mut waits = queue.waits_ns(seed).skip(10_000);
        let each = usize::try_from(requests / 2 / BATCHES).unwrap();
        let mut mean = || waits.by_ref().take(each).sum::<u64>() as f64 / each as f64;
        (0..BATCHES).map(|_| mean()).collect::<Vec<_>>()
    };
    let means: Vec<f64> = thread::scope(|scope| {
        let runs = [0, 1].map(|seed| scope.spawn(move || batches(seed)));
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    mean_and_error(&means)
}

/// Each point is run until three standard errors are a hundredth.
const ERROR: f64 = 0.01 / 3.0;

#[test]
fn waits_are_those_of_erlang() {
    for queue @ Queue { c, percent } in POINTS {
        let rho = percent as f64 / 100.0;
        assert!(erlang_c(c, f64::from(c) * rho) >= 0.02);
        let got = recursed(queue, requests(c, rho, ERROR));
        close(&format!("c {c}, {percent} %"), got, mean_wait(c, rho) * MEAN_NS as f64);
    }
}

/// The same of whole worlds with draws of their own, where that is soon done: with ten and fifty
/// servers it would take 29 and 170 million requests, whatever the load, which go by the recursion.
#[test]
fn a_world_waits_as_erlang_says() {
    for Queue { c, percent } in [Queue { c: 1, percent: 30 }, Queue { c: 2, percent: 50 }] {
        let rho = percent as f64 / 100.0;
        let service = Distribution::Exponential { mean_ns: MEAN_NS };
        let requests = requests(c, rho, ERROR) / 2;
        let setup = station(Capacity::Slots(count(c)), percent, service, requests);
        let got = batch_means(&setup, 0..2, |part| &part.wait);
        close(&format!("c {c}, {percent} %"), got, mean_wait(c, rho) * MEAN_NS as f64);
    }
}

/// The mean of M/G/1 with processor sharing is s ÷ (1 − ρ) whatever the shape of service times.
#[test]
fn sharing_is_insensitive_to_the_shape_of_service_times() {
    let bimodal =
        Distribution::Bimodal { low_ns: MEAN_NS / 2, high_ns: MEAN_NS * 11 / 2, high_share: 0.1 };
    for service in [Distribution::Constant(MEAN_NS), bimodal] {
        assert!((service.mean_ns() / MEAN_NS as f64 - 1.0).abs() < 1e-9);
        let what = format!("{service:?}");
        let setup = station(Capacity::Share(count(1)), 60, service, 1_500_000);
        close(&what, batch_means(&setup, 0..1, |part| &part.latency), MEAN_NS as f64 / 0.4);
    }
}
