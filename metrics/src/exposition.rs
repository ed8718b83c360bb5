//! What is counted, as Prometheus scrapes it.
//!
//! Each function has the series of the plain counts and gauges; a series with a cause, class or
//! phase appears once it is not 0, and those of a histogram while there is one, so that ten
//! thousand functions are some ten series each. Labels are `namespace` and `function`, and per
//! family one of the closed sets of [`counts`](crate::counts).

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use crate::counters::Counters;
use crate::counts::{CodeClass, Reading, Refusal, UpstreamError, WakePhase};
use crate::exposition::text::Seconds;
use crate::histogram::Distribution;
use crate::registry::Registry;
use crate::times::Timed;

pub mod text;

pub use text::{Format, Kind, Text, label};

/// The published buckets of a histogram end at 2^10 µs = 1.024 ms, each doubling, up to 2^26 µs =
/// 67 s, beyond which the default queue time-out lies; the finer ones inside add nothing to a
/// chart.
const BUCKET_BITS: std::ops::RangeInclusive<u32> = 10..=26;

/// Room for a series, so that the text is seldom moved while it grows.
const SERIES_BYTES: usize = 96;

/// How many series a function has while nothing is wrong.
const SERIES: usize = 10;

/// Puts what is counted into words, and remembers what it published.
#[derive(Debug)]
pub struct Exporter {
    registry: Arc<Registry>,
    /// The area last published of each function, by the number of its slot's use. Workers are read
    /// one after the other, so that a request which began meanwhile can make the computed area a
    /// few microseconds less than the last; a counter must not fall.
    published_us: HashMap<u64, u64>,
}

/// One function's part.
struct Row {
    labels: String,
    area_us: u64,
    reading: Reading,
    held: Option<Box<Distribution>>,
    response: Option<Box<Distribution>>,
}

impl Exporter {
    /// For everything in `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, published_us: HashMap::new() }
    }

    /// All that was counted up to `now_us`. A function that could not be read is left out, and the
    /// number of these is said: unknown is not zero.
    #[must_use]
    pub fn expose(&mut self, format: Format, now_us: u64) -> String {
        let mut functions = self.registry.functions();
        functions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut published_us = HashMap::with_capacity(functions.len());
        let rows: Vec<Row> = functions
            .iter()
            .filter_map(|(name, counters)| {
                let last_us = self.published_us.get(&counters.slot.id).copied().unwrap_or(0);
                let row = Row::new(name, counters, now_us, last_us);
                let area_us = row.as_ref().map_or(last_us, |row| row.area_us);
                published_us.insert(counters.slot.id, area_us);
                row
            })
            .collect();
        self.published_us = published_us;
        let mut text = Text::new(format, rows.len() * SERIES * SERIES_BYTES);
        text.family("dormouse_functions", Kind::Gauge, "Functions that requests are counted for.");
        text.sample("", "", None, functions.len());
        text.family(
            "dormouse_unreadable_functions",
            Kind::Gauge,
            "Functions left out here because a worker was writing whenever it was read.",
        );
        text.sample("", "", None, functions.len() - rows.len());
        counts(&mut text, &rows);
        by_label(&mut text, &rows);
        times(&mut text, &rows);
        text.finish()
    }
}

impl Row {
    fn new(name: &str, counters: &Counters, now_us: u64, last_us: u64) -> Option<Self> {
        let reading = counters.read(now_us)?;
        let falls = reading.area_us.wrapping_sub(last_us) > u64::MAX / 2;
        let (namespace, function) = name.split_once('/').unwrap_or(("", name));
        let mut labels = String::with_capacity(name.len() + 32);
        label(&mut labels, "namespace", namespace);
        label(&mut labels, "function", function);
        Some(Self {
            labels,
            area_us: if falls { last_us } else { reading.area_us },
            reading,
            held: counters.times(Timed::Held).map(Box::new),
            response: counters.times(Timed::Response).map(Box::new),
        })
    }
}

/// A family with one series per function.
fn family<V: Display>(
    text: &mut Text,
    rows: &[Row],
    (name, kind, help): (&str, Kind, &str),
    value: impl Fn(&Row) -> V,
) {
    text.family(name, kind, help);
    for row in rows {
        text.sample("", &row.labels, None, value(row));
    }
}

fn counts(text: &mut Text, rows: &[Row]) {
    let requests = ("dormouse_requests", Kind::Counter, "Requests that arrived.");
    family(text, rows, requests, |row| row.reading.started);
    let area = (
        "dormouse_concurrency_seconds",
        Kind::Counter,
        "Time that requests were in flight, added up; its rate is the mean concurrency.",
    );
    family(text, rows, area, |row| Seconds(row.area_us));
    let in_flight =
        ("dormouse_requests_in_flight", Kind::Gauge, "Requests in flight, held ones included.");
    family(text, rows, in_flight, |row| row.reading.in_flight);
    let held = ("dormouse_requests_held", Kind::Gauge, "Requests held until a pod takes requests.");
    family(text, rows, held, |row| row.reading.held);
    let holds = ("dormouse_holds", Kind::Counter, "Times a request began to be held.");
    family(text, rows, holds, |row| row.reading.held_total);
    let streams =
        ("dormouse_open_streams", Kind::Gauge, "Connections that became tunnels and are open.");
    family(text, rows, streams, |row| row.reading.open_streams);
    let abandoned = (
        "dormouse_abandoned_requests",
        Kind::Counter,
        "Requests whose client left before an answer began.",
    );
    family(text, rows, abandoned, |row| row.reading.abandoned);
}

/// A family with a series per function and member of a closed set, those at 0 left out.
fn family_by<T: Copy, const N: usize>(
    text: &mut Text,
    rows: &[Row],
    (name, help): (&str, &str),
    (label, set, value): (&str, [T; N], fn(T) -> &'static str),
    of: impl Fn(&Reading) -> [u64; N],
) {
    text.family(name, Kind::Counter, help);
    for row in rows {
        for (member, count) in set.into_iter().zip(of(&row.reading)) {
            if count > 0 {
                text.sample("", &row.labels, Some((label, value(member))), count);
            }
        }
    }
}

fn by_label(text: &mut Text, rows: &[Row]) {
    let responses =
        ("dormouse_responses", "Requests answered, by whomever, counted when the answer ended.");
    let codes = ("code", CodeClass::ALL, CodeClass::label as fn(_) -> _);
    family_by(text, rows, responses, codes, |reading| reading.responses);
    let refused = ("dormouse_refused_requests", "Requests answered without their function.");
    let causes = ("reason", Refusal::ALL, Refusal::label as fn(_) -> _);
    family_by(text, rows, refused, causes, |reading| reading.refused);
    let wakes =
        ("dormouse_wakes", "Wakes of functions without a usable pod, by how far they came.");
    let phases = ("phase", WakePhase::ALL, WakePhase::label as fn(_) -> _);
    family_by(text, rows, wakes, phases, |reading| reading.wakes);
    let errors = ("dormouse_upstream_errors", "What went wrong towards pods.");
    let kinds = ("reason", UpstreamError::ALL, UpstreamError::label as fn(_) -> _);
    family_by(text, rows, errors, kinds, |reading| reading.upstream_errors);
}

fn times(text: &mut Text, rows: &[Row]) {
    let ends: Vec<String> =
        BUCKET_BITS.map(|bits| Seconds(1 << bits).to_string()).chain(["+Inf".into()]).collect();
    let mut family = |name, help, of: fn(&Row) -> Option<&Distribution>| {
        text.family(name, Kind::Histogram, help);
        for row in rows {
            if let Some(times) = of(row) {
                let at_most = times.at_most(BUCKET_BITS).chain([times.count()]);
                for (end, count) in ends.iter().zip(at_most) {
                    text.sample("_bucket", &row.labels, Some(("le", end)), count);
                }
                text.sample("_count", &row.labels, None, times.count());
                text.sample("_sum", &row.labels, None, Seconds(times.sum_us()));
            }
        }
    };
    family("dormouse_held_seconds", "How long requests were held.", |row| row.held.as_deref());
    family(
        "dormouse_response_seconds",
        "From the arrival of a request to the end of its function's answer.",
        |row| row.response.as_deref(),
    );
}
