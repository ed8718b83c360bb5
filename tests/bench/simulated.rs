//! A scripted open loop against `dormouse up`, and the same in the simulator, fed with what was
//! measured: when requests were sent, how long a pod takes to start and a request to be served.
//! Some minutes, most of them waiting for what was scaled to zero. Prints both in one table.

#![allow(clippy::print_stdout, reason = "what a bench is for")]
#![allow(clippy::disallowed_methods, reason = "requests are sent by the clock")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};
use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{self, Arrivals, Capacity, Load, Log, Policy, Quantile, Setup};
use dormouse_tests::figures::{median, quantile};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, pods};

const NAME: &str = "demo";
const WORK: Duration = Duration::from_millis(200);
const ANNOTATIONS: [(&str, &str); 3] = [
    ("dormouse.dev/enabled", "true"),
    ("autoscaling.knative.dev/window", "10s"),
    ("dormouse.dev/container-concurrency", "2"),
];

/// Requests that waited longer count as waiting.
const WAITED_OVER: Duration = Duration::from_millis(20);

/// How often the pods are counted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// From the last request until whatever was started is gone.
const AFTERWARDS: Duration = Duration::from_secs(25);

/// When requests are sent. Pauses are of 4 s, in which a pod stays, or of 30 s, in which all go:
/// 3 s and more from the 10 to 17 s after which a function with such a window goes to zero.
fn script() -> Vec<Duration> {
    let second = Duration::from_secs;
    let mut at: Vec<Duration> = [0, 30, 34, 38, 68, 72, 102].map(second).to_vec();
    let mut train = |from_s, per_s: u32, seconds: u32| {
        at.extend((0..per_s * seconds).map(|nth| second(from_s) + second(1) * nth / per_s));
    };
    train(132, 8, 20);
    train(182, 20, 20);
    at.push(second(232));
    at
}

/// What is compared.
struct Figures {
    cold_starts: u64,
    waited: u64,
    wait_p50_s: f64,
    wait_p99_s: f64,
    pod_seconds: f64,
}

/// What was seen of the pods.
#[derive(Default)]
struct Counted {
    cold_starts: u64,
    pod_seconds: f64,
}

/// A request as its client saw it.
struct Request {
    sent: Duration,
    took: Duration,
}

fn main() {
    let began = Instant::now();
    let work = format!("{}ms", WORK.as_millis());
    let mut function = Function::demo(NAME, &["--start-delay", "2s", "--work", &work]);
    for (key, value) in ANNOTATIONS {
        function = function.annotated(key, value);
    }
    let up = Start::new().unrecorded().log("warn").functions(&[&function]).up();
    // How long a start takes, of which nothing is scored.
    let start = send(&up, began);
    up.wait_asleep_again(NAME);
    let origin = began.elapsed() + Duration::from_secs(2);
    let (requests, counted) = live(&up, began, origin);
    drop(up);

    // A warm request waits for nothing: what it takes is the service.
    let warm = median(requests.iter().map(|it| it.took.as_secs_f64()));
    let service = Duration::from_secs_f64(warm.max(WORK.as_secs_f64()));
    let boot = start.took.saturating_sub(service);
    let waits: Vec<f64> =
        requests.iter().map(|it| it.took.saturating_sub(service).as_secs_f64()).collect();
    let late: Vec<f64> =
        waits.iter().copied().filter(|wait| *wait > WAITED_OVER.as_secs_f64()).collect();
    let measured = Figures {
        cold_starts: counted.cold_starts,
        waited: late.len() as u64,
        wait_p50_s: median(late.iter().copied()),
        wait_p99_s: quantile(late.iter().copied(), 0.99),
        pod_seconds: counted.pod_seconds,
    };
    println!("{} requests, start {boot:?}, service {service:?}", requests.len());
    let simulated = simulate(&requests, origin, boot, service);
    print(&measured, &simulated);
}

/// One request, now.
fn send(up: &Up, began: Instant) -> Request {
    let sent = began.elapsed();
    assert_eq!(up.get(NAME, "/").status, 200);
    Request { sent, took: began.elapsed() - sent }
}

/// Sends what the script says from `origin` on, and integrates the pods meanwhile.
fn live(up: &Up, began: Instant, origin: Duration) -> (Vec<Request>, Counted) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut counted = Counted::default();
            let mut last = (began.elapsed(), 0);
            // Relaxed: only how long it goes on depends on it.
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(LOOK_EVERY);
                let (count, now) = (up.now(NAME).map_or(0, |now| pods(&now)), began.elapsed());
                counted.cold_starts += u64::from(last.1 == 0 && count > 0);
                let mean = f64::midpoint(last.1 as f64, count as f64);
                counted.pod_seconds += (now - last.0).as_secs_f64() * mean;
                last = (now, count);
            }
            counted
        });
        let sending: Vec<_> = script()
            .into_iter()
            .map(|at| {
                thread::sleep((origin + at).saturating_sub(began.elapsed()));
                scope.spawn(|| send(up, began))
            })
            .collect();
        let requests = sending.into_iter().map(|request| request.join().expect("it is answered"));
        let requests: Vec<Request> = requests.collect();
        thread::sleep(AFTERWARDS);
        is_over.store(true, Ordering::Relaxed);
        (requests, counting.join().expect("the pods are counted"))
    })
}

/// The times at which requests were sent.
struct Sent(Vec<u64>);

impl Load for Sent {
    fn arrivals(&self, _: u64) -> Box<dyn Arrivals + '_> {
        Box::new(Sending(self.0.iter()))
    }
}

struct Sending<'a>(std::slice::Iter<'a, u64>);

impl Arrivals for Sending<'_> {
    fn next(&mut self) -> Option<u64> {
        self.0.next().copied()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("some minutes")
}

fn simulate(requests: &[Request], origin: Duration, boot: Duration, service: Duration) -> Figures {
    let annotations = ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = parse(&annotations.into(), &Annotations::new(), &ClusterDefaults::default());
    let settings = settings.unwrap_or_else(|faults| panic!("{faults:?}")).settings;
    let mut sent: Vec<u64> = requests.iter().map(|request| nanos(request.sent)).collect();
    sent.sort_unstable();
    let last = sent.last().copied().unwrap_or_default();
    let function = world::Function {
        name: FunctionName::new("default", NAME),
        settings: Arc::new(settings),
        policy: Policy::Kpa,
        replicas: 0,
        load: Arc::new(Sent(sent)),
        service: Distribution::Constant(nanos(service)),
        capacity: Capacity::Slots(NonZeroU32::new(2).expect("two")),
        start_up: world::StartUp {
            image: Distribution::Constant(0),
            boot: Distribution::Constant(nanos(boot)),
            stop: Distribution::Constant(0),
        },
        wait_bounds_ns: Vec::new(),
        latency_bounds_ns: Vec::new(),
    };
    let setup = Setup {
        functions: vec![function],
        world: world::World::ideal(),
        end_ns: last + nanos(AFTERWARDS),
        cuts_ns: vec![nanos(origin)],
        waited_over_ns: nanos(WAITED_OVER),
        events_max: u64::MAX,
        log: Log::None,
        ticking: world::Ticking::Awake,
    };
    let score = world::run(&setup, 1).expect("a world keeps its rules").functions[0].from(0);
    let total = score.wait.total().max(1);
    let (all, waited) = (total as f64, score.waited.total());
    // Of those that waited: they are the last of all.
    let wait_s = |share: f64| {
        let rank = 1.0 - (1.0 - share) * waited as f64 / all;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let ppm = (rank * 1e6) as u32;
        match score.wait.quantile(ppm) {
            Some(Quantile::Ns(ns)) => ns as f64 / 1e9,
            Some(Quantile::Infinite) | None => f64::NAN,
        }
    };
    Figures {
        cold_starts: score.cold_starts,
        waited,
        wait_p50_s: wait_s(0.5),
        wait_p99_s: wait_s(0.99),
        pod_seconds: score.pod_ns as f64 / 1e9,
    }
}

fn print(measured: &Figures, simulated: &Figures) {
    println!("| | `dormouse up` | simulated | off by | at most |");
    println!("| --- | --- | --- | --- | --- |");
    let line = |what: &str, of: fn(&Figures) -> f64, most: f64| {
        let (measured, simulated) = (of(measured), of(simulated));
        let off = (simulated / measured - 1.0) * 100.0;
        println!("| {what} | {measured:.2} | {simulated:.2} | {off:+.1} % | {most} % |");
    };
    line("cold starts", |it| it.cold_starts as f64, 0.0);
    line("requests that waited", |it| it.waited as f64, 5.0);
    line("their wait, median, s", |it| it.wait_p50_s, 10.0);
    line("their wait, p99, s", |it| it.wait_p99_s, 10.0);
    line("pod-seconds", |it| it.pod_seconds, 3.0);
}
