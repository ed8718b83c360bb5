//! An invented fleet in the columns of Azure Functions 2019: five hundred functions, eight hours,
//! about three million requests, by a seed.
//!
//! Shares of triggers are those of a sample of the data set (vhive-serverless/invitro, 500
//! functions): half are timers, of which a few times an hour is usual; the others have mean rates
//! spread log-normally over six powers of ten, so that a few functions have most of the requests,
//! and are silent for spells.

use std::fmt::Write;

use dormouse_sim::draw::{Distribution, Stream};

/// How many functions.
pub(crate) const FUNCTIONS: u64 = 500;

/// How many minutes.
pub(crate) const MINUTES: u64 = 480;

/// How many requests, within one in a hundred.
pub(crate) const REQUESTS: u64 = 3_000_000;

/// Of a thousand functions, those with each trigger.
const TRIGGERS: [(&str, u64); 6] = [
    ("timer", 494),
    ("http", 278),
    ("queue", 138),
    ("orchestration", 50),
    ("event", 28),
    ("storage", 12),
];

/// Minutes from one run of a timer to the next.
const PERIODS: [u64; 8] = [1, 5, 5, 10, 15, 15, 30, 60];

/// What a trace is made of: its two files.
pub(crate) struct Trace {
    /// Requests by the minute.
    pub(crate) counts: String,
    /// Percentiles of how long they take.
    pub(crate) durations: String,
    /// Requests in all.
    pub(crate) requests: u64,
}

struct Shape {
    trigger: &'static str,
    per_minute: Vec<f64>,
}

/// The trace of a seed.
pub(crate) fn trace(seed: u64) -> Trace {
    let shapes: Vec<Shape> = (0..FUNCTIONS).map(|number| shape(seed, number)).collect();
    let sum = |timers: bool| -> f64 {
        let of = shapes.iter().filter(|it| (it.trigger == "timer") == timers);
        of.flat_map(|it| &it.per_minute).sum()
    };
    let scale = (REQUESTS as f64 - sum(true)) / sum(false);
    let mut trace = Trace { counts: header(), durations: duration_header(), requests: 0 };
    for (number, shape) in (0..).zip(&shapes) {
        let rounding = Stream::new(seed, "rounding", number);
        let _ = write!(trace.counts, "owner-{0},app-{0},function-{0},{1}", number, shape.trigger);
        for (minute, expected) in (0..).zip(&shape.per_minute) {
            let expected = if shape.trigger == "timer" { *expected } else { expected * scale };
            // So that the mean is the one expected however small it is.
            let count = (expected + rounding.unit(minute)).floor() as u64;
            trace.requests += count;
            let _ = write!(trace.counts, ",{count}");
        }
        trace.counts.push('\n');
        trace.durations.push_str(&durations(seed, number));
    }
    trace
}

fn header() -> String {
    let minutes = (1..=MINUTES).map(|minute| format!(",{minute}"));
    let minutes: String = minutes.collect();
    format!("HashOwner,HashApp,HashFunction,Trigger{minutes}\n")
}

fn duration_header() -> String {
    let shares = [0, 1, 25, 50, 75, 99, 100].map(|share| format!(",percentile_Average_{share}"));
    format!("HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum{}\n", shares.concat())
}

fn shape(seed: u64, number: u64) -> Shape {
    let draws = Stream::new(seed, "function", number);
    let mut place = number * 1_000 / FUNCTIONS;
    let found = TRIGGERS.iter().find(|(_, share)| match place.checked_sub(*share) {
        Some(left) => {
            place = left;
            false
        }
        None => true,
    });
    let trigger = found.map_or("http", |(trigger, _)| trigger);
    if trigger == "timer" {
        let period = PERIODS[draws.below(0, PERIODS.len() as u64) as usize];
        let first = draws.below(1, period);
        let is_due = |minute| f64::from(u8::from(minute % period == first));
        return Shape { trigger, per_minute: (0..MINUTES).map(is_due).collect() };
    }
    // A 99th percentile three hundred times the median.
    let rate = Distribution::log_normal(1_000_000, 300_000_000).at(draws.unit(2)) as f64;
    let spell = 1 + draws.below(3, 60);
    let busy = 0.05 + 0.95 * draws.unit(4);
    let spells = Stream::new(seed, "spells", number);
    let level = |minute| match spells.unit(minute / spell) < busy {
        true => rate * (0.5 + spells.unit(MINUTES + minute)),
        false => 0.0,
    };
    Shape { trigger, per_minute: (0..MINUTES).map(level).collect() }
}

fn durations(seed: u64, number: u64) -> String {
    let draws = Stream::new(seed, "durations", number);
    // Medians between milliseconds and minutes.
    let median_ns = Distribution::log_normal(300_000_000, 30_000_000_000).at(draws.unit(0));
    let tail = 1.2 + 20.0 * draws.unit(1);
    let median_ms = (median_ns as f64 / 1e6).clamp(1.0, 60_000.0);
    let ms = [0.3, 0.4, 0.8, 1.0, 1.0 + 0.1 * tail, tail, 2.0 * tail].map(|it| it * median_ms);
    let columns: String = ms.map(|ms| format!(",{ms:.0}")).concat();
    format!("owner-{number},app-{number},function-{number},0,0,0,0{columns}\n")
}
