//! From the first request at zero to the order that wakes its function, beside its floor: the same
//! loopback writes and thread hand-overs with nothing between.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dormouse_figures::{Figure, Goal, row};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::Start;

/// Functions woken, one after the other; each is one sample.
const FUNCTIONS: usize = 40;

/// Samples of the floor.
const FLOORS: usize = 400;

const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

pub(crate) fn run() {
    let floor = floor(Way::ToTheAutoscaler);
    let wakes = Figure::of(wakes().into_iter().map(micros).collect());
    row("`dormouse up`: request at zero → order", wakes, "µs", Goal::None);
    row("the same way, empty", floor, "µs", Goal::None);
}

/// How far a request's news goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    ToTheAutoscaler,
    /// Which hands it on over one connection more.
    ToTheApiServer,
}

pub(crate) fn floor(way: Way) -> Figure {
    Figure::of(floors(way).into_iter().map(micros).collect())
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn wakes() -> Vec<Duration> {
    let functions: Vec<Function> = (0..FUNCTIONS)
        .map(|number| Function::fixture(&format!("f{number}"), &["mirror"]))
        .collect();
    let start = Start::new()
        .unrecorded()
        .log("warn,dormouse_autoscaler=debug")
        .argument("--log-format", "json");
    let up = start.functions(&functions.iter().collect::<Vec<_>>()).up();
    let mut wakes = Vec::new();
    for number in 0..FUNCTIONS {
        let name = format!("f{number}");
        up.wait_asleep(&name);
        let mark = up.log().len();
        let sent_us = time_of_day_us(SystemTime::now());
        assert_eq!(up.get(&name, "/").status, 200);
        let ordered_us = up.log().wait_after(mark, "the order in the log", |lines| {
            lines.iter().find_map(|line| ordered_us(line, &name))
        });
        wakes.push(Duration::from_micros((ordered_us + DAY_US - sent_us) % DAY_US));
    }
    wakes
}

fn time_of_day_us(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).expect("we live after 1970");
    u64::try_from(since.as_micros()).expect("and before the year 500 000") % DAY_US
}

/// The time of day of the log line by which the local cluster takes an order for that function:
/// `{"timestamp":"2030-01-31T12:34:56.789012Z",…,"message":"scale","function":"default/f0",…}`.
fn ordered_us(line: &str, function: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line["message"] != "scale" || line["function"] != format!("default/{function}") {
        return None;
    }
    let (_, time) = line["timestamp"].as_str()?.trim_end_matches('Z').split_once('T')?;
    let mut parts = time.split([':', '.']);
    let mut next = || parts.next()?.parse::<u64>().ok();
    let (hours, minutes, seconds, micros) = (next()?, next()?, next()?, next()?);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

/// A request's way to the order, empty: client → worker by loopback, worker → the activator's link
/// thread by hand-over, to the autoscaler by loopback; from there to the API server likewise.
fn floors(way: Way) -> Vec<Duration> {
    let (mut client, mut worker) = pair();
    let (mut activator, mut end) = pair();
    let (hand, handed) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut byte = [0];
            while worker.read(&mut byte).is_ok_and(|length| length > 0) {
                hand.send(byte).expect("the link thread listens");
            }
        });
        scope.spawn(move || {
            for byte in handed {
                activator.write_all(&byte).expect("the autoscaler reads");
            }
        });
        if matches!(way, Way::ToTheApiServer) {
            let (mut onward, server) = pair();
            let mut autoscaler = std::mem::replace(&mut end, server);
            scope.spawn(move || {
                let mut byte = [0];
                while autoscaler.read(&mut byte).is_ok_and(|length| length > 0) {
                    onward.write_all(&byte).expect("the API server reads");
                }
            });
        }
        let floors = (0..FLOORS)
            .map(|_| {
                let sent = Instant::now();
                client.write_all(&[1]).expect("the worker reads");
                end.read_exact(&mut [0]).expect("the one before it writes");
                sent.elapsed()
            })
            .collect();
        drop(client);
        floors
    })
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has one");
    let one = TcpStream::connect(address).expect("it listens");
    let (other, _) = listener.accept().expect("one has dialled");
    for stream in [&one, &other] {
        stream.set_nodelay(true).expect("a fresh socket takes options");
    }
    (one, other)
}
