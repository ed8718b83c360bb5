//! A scripted open loop against `dormouse up`, and the same in the simulator, fed with what was
//! measured: when requests were sent, how long a pod takes to start and a request to be served, and
//! at which moment of the second the activator reports. Some minutes, most of them waiting for what
//! was scaled to zero. Prints both in one table, each line met or missed.
//!
//! All that is waited for is waited for by a timer, here and in the function, so that a busy
//! machine hardly shows; what still does is the same for both, for start and service are measured.

#![allow(clippy::print_stdout, reason = "what a bench is for")]
#![allow(clippy::disallowed_methods, reason = "requests are sent by the clock")]

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dormouse_figures::{median, quantile};
use dormouse_policy::function::FunctionName;
use dormouse_policy::record::Line;
use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};
use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    self, Arrivals, Capacity, Load, Log, Policy, Quantile, SECOND_NS, Setup,
};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host, pods};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep_until};

const NAME: &str = "demo";
const WORK: Duration = Duration::from_millis(200);
const ANNOTATIONS: [(&str, &str); 4] = [
    ("dormouse.dev/enabled", "true"),
    ("autoscaling.knative.dev/window", "10s"),
    // Without a bound a start that is a little slower has a burst ask for a dozen pods more.
    ("autoscaling.knative.dev/max-scale", "4"),
    ("dormouse.dev/container-concurrency", "2"),
];

/// Requests that waited longer count as waiting: beyond what a busy machine adds to any request.
const WAITED_OVER: Duration = Duration::from_millis(100);

/// How often the pods are counted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// From the last request until whatever was started is gone.
const AFTERWARDS: Duration = Duration::from_secs(25);

/// Seeds of which that one is taken whose activator reports when the live one did: so many that it
/// does to a few milliseconds.
const SEEDS: u64 = 1_000;

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

/// A request as its client saw it.
#[derive(Clone, Copy)]
struct Request {
    sent: Instant,
    took: Duration,
}

/// When the autoscaler's clock was zero, and at which moment of its seconds it hears reports.
struct Clock {
    zero: Instant,
    phase_ns: u64,
}

fn main() {
    let wall = (Instant::now(), SystemTime::now());
    let work = format!("{}ms", WORK.as_millis());
    let mut function = Function::demo(NAME, &["--start-delay", "2s", "--work", &work]);
    for (key, value) in ANNOTATIONS {
        function = function.annotated(key, value);
    }
    let up = Start::new().log("warn").functions(&[&function]).up();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs a few descriptors");
    // How long a start takes, of which nothing is scored.
    let start = runtime.block_on(send(up.gateway));
    up.wait_asleep_again(NAME);
    let origin = Instant::now() + Duration::from_secs(2);
    let end = origin + script().into_iter().max().unwrap_or_default() + AFTERWARDS;
    let (requests, (cold_starts, pod_seconds)) = runtime.block_on(async {
        tokio::join!(open_loop(up.gateway, origin), counted(up.admin, origin, end))
    });
    let clock = clock(&up, wall);
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
        cold_starts,
        waited: late.len() as u64,
        wait_p50_s: median(late.iter().copied()),
        wait_p99_s: quantile(late.iter().copied(), 0.99),
        pod_seconds,
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{} requests, start {boot:?}, service {service:?}, reports at {} ms of the second, load {}",
        requests.len(),
        clock.phase_ns / 1_000_000,
        load.trim(),
    );
    let all: Vec<Request> = [start].into_iter().chain(requests).collect();
    print(&measured, &simulate(&all, &clock, origin..end, boot, service));
}

/// The answer to a GET on a connection of its own.
async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    let answer = exchange.await.unwrap_or_else(|error| panic!("{host}{path}: {error}"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// One request, now.
async fn send(gateway: SocketAddr) -> Request {
    let sent = Instant::now();
    get(gateway, &host(NAME), "/").await;
    Request { sent, took: sent.elapsed() }
}

/// Sends what the script says from `origin` on, whatever is answered.
async fn open_loop(gateway: SocketAddr, origin: Instant) -> Vec<Request> {
    let mut sending = JoinSet::new();
    for at in script() {
        sleep_until((origin + at).into()).await;
        sending.spawn(send(gateway));
    }
    sending.join_all().await
}

/// How often pods came where there was none, and ∫ pods dt in seconds.
async fn counted(admin: SocketAddr, origin: Instant, end: Instant) -> (u64, f64) {
    let (mut cold_starts, mut pod_seconds) = (0, 0.0);
    let mut before = (origin, 0);
    let mut looks = interval_at(origin.into(), LOOK_EVERY);
    while before.0 < end {
        looks.tick().await;
        let answer = get(admin, "localhost", "/api/v1/functions").await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let all: serde_json::Value = serde_json::from_str(body).expect("it answers in JSON");
        let (at, count) = (Instant::now(), pods(&all[0]));
        pod_seconds += (at - before.0).as_secs_f64() * f64::midpoint(before.1 as f64, count as f64);
        cold_starts += u64::from(before.1 == 0 && count > 0);
        before = (at, count);
    }
    (cold_starts, pod_seconds)
}

/// By the record: its header has the time of day, which `wall` has, too.
fn clock(up: &Up, wall: (Instant, SystemTime)) -> Clock {
    let text = String::from_utf8(up.record()).expect("a record is text");
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let (mut zero, mut heard_us) = (wall.0, Vec::new());
    for line in lines {
        let reports = match line {
            Line::Header(header) => {
                let began = SystemTime::UNIX_EPOCH + Duration::from_micros(header.wall_us);
                zero += began.duration_since(wall.1).expect("it began after that");
                continue;
            }
            Line::Heard(reports) => reports,
            Line::Decided(decided) => decided.heard,
            _ => continue,
        };
        heard_us.extend(reports.into_iter().map(|report| report.heard_us));
    }
    // Beside the first one, so that a moment about a whole second is not torn apart.
    let first_us = heard_us.first().copied().expect("it reports") as f64;
    let beside_us = heard_us.iter().map(|us| (*us as f64 - first_us + 5e5).rem_euclid(1e6) - 5e5);
    let phase_us = (first_us + median(beside_us)).rem_euclid(1e6);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below a million")]
    let phase_ns = phase_us as u64 * 1_000;
    Clock { zero, phase_ns }
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

fn simulate(
    requests: &[Request],
    clock: &Clock,
    scored: Range<Instant>,
    boot: Duration,
    service: Duration,
) -> Figures {
    let annotations = ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = parse(&annotations.into(), &Annotations::new(), &ClusterDefaults::default());
    let settings = settings.unwrap_or_else(|faults| panic!("{faults:?}")).settings;
    let mut sent: Vec<u64> = requests.iter().map(|it| nanos(it.sent - clock.zero)).collect();
    sent.sort_unstable();
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
        end_ns: nanos(scored.end - clock.zero),
        cuts_ns: vec![nanos(scored.start - clock.zero)],
        waited_over_ns: nanos(WAITED_OVER),
        events_max: u64::MAX,
        log: Log::None,
        ticking: world::Ticking::Awake,
    };
    let report = setup.world.report;
    let off_ns = |seed: &u64| {
        let off_ns = report.phase_ns(*seed, 0, 0).abs_diff(clock.phase_ns);
        off_ns.min(SECOND_NS - off_ns)
    };
    let seed = (0..SEEDS).min_by_key(off_ns).expect("there are some");
    let score = world::run(&setup, seed).expect("a world keeps its rules").functions[0].from(0);
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
    println!("| | `dormouse up` | simulated | off by | at most | |");
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    let line = |what: &str, of: fn(&Figures) -> f64, most: f64| {
        let (measured, simulated) = (of(measured), of(simulated));
        let off = (simulated / measured - 1.0) * 100.0;
        let verdict = if off.abs() <= most { "met" } else { "MISSED" };
        println!(
            "| {what} | {measured:.2} | {simulated:.2} | {off:+.1} % | {most} % | {verdict} |"
        );
    };
    line("cold starts", |it| it.cold_starts as f64, 0.0);
    line("requests that waited", |it| it.waited as f64, 5.0);
    line("their wait, median, s", |it| it.wait_p50_s, 10.0);
    line("their wait, p99, s", |it| it.wait_p99_s, 10.0);
    line("pod-seconds", |it| it.pod_seconds, 3.0);
}
