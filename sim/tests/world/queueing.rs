//! Queues whose figures are known in closed form.

use std::ops::Range;

use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{Capacity, Score, Setup, Times, run_all};

use crate::kit::*;

/// The mean service time, in nanoseconds.
const MEAN_NS: u64 = 10_000_000;

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
    let parts = 20;
    let cut = |part| warm_up_ns + part * requests / parts * mean_ns;
    setup.cuts_ns = (0..parts).map(cut).collect();
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
    let means: Vec<f64> = means.collect();
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

/// Requests after which the mean wait of M/M/c has a relative standard error of `error`.
///
/// For M/M/1 the asymptotic variance of the waits, in squared service times per request, is
/// ρ(2 + 5ρ − 4ρ² + ρ³) ÷ (1 − ρ)⁴ and their mean ρ ÷ (1 − ρ) (D. J. Daley, 1968): at ρ = 0.9 the
/// relative variance is 35 900 ÷ 81 = 443 per request. With c servers the queue is that of M/M/1
/// while all are busy, which an arrival finds with Erlang's C instead of ρ.
fn requests(c: u32, rho: f64, error: f64) -> u64 {
    let one = rho * (2.0 + 5.0 * rho - 4.0 * rho * rho + rho * rho * rho);
    let relative = one / (rho * rho * (1.0 - rho) * (1.0 - rho));
    let requests = relative * rho / erlang_c(c, f64::from(c) * rho) / (error * error);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some millions")]
    let requests = requests as u64;
    requests
}

/// Points at which at least one in fifty waits, each run for as long as its variance asks for.
#[test]
fn waits_are_those_of_erlang() {
    // Servers, load in percent, the standard error aimed at, in thousandths, and the first seed.
    let points = [(1, 30, 3.0, 0), (2, 50, 3.0, 0), (10, 70, 3.0, 0), (1, 90, 7.0, 0)];
    for (c, percent, error, seed) in points {
        let requests = requests(c, percent as f64 / 100.0, error / 1_000.0) / 2;
        let service = Distribution::Exponential { mean_ns: MEAN_NS };
        let setup = station(Capacity::Slots(count(c)), percent, service, requests);
        let rho = percent as f64 / 100.0;
        let waits = erlang_c(c, f64::from(c) * rho);
        assert!(waits >= 0.02);
        let want_ns = waits * MEAN_NS as f64 / (f64::from(c) * (1.0 - rho));
        close(
            &format!("c {c}, {percent} %"),
            batch_means(&setup, seed..seed + 2, |part| &part.wait),
            want_ns,
        );
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
