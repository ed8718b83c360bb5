//! The answer to a range query of Prometheus: how many requests there were in each step, of each
//! series. `increase(http_requests_total[1m])` by steps of a minute is such a query.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::by_line::wrong;
use super::{ALL, Found, Import, ImportError, Moment, SECOND_NS};
use crate::input::unpacked;
use crate::lines::{Fault, Unreadable};

/// Longest answer read, in bytes: it is in memory whole, and Prometheus gives 11 000 points of a
/// series at most.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Most requests in a step of a series.
const COUNT_MAX: f64 = 1e12;

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(Seconds, Count)>,
}

/// A time, in nanoseconds since 1970.
struct Seconds(u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(0.0..1e9 * 4.0).contains(&seconds) {
            return Err(D::Error::custom(format_args!("{seconds}: must be seconds since 1970")));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in its range by the check before"
        )]
        let ms = libm::round(seconds * 1e3) as u64;
        Ok(Self(ms * 1_000_000))
    }
}

/// How many requests there were in a step; not a whole number where that was reckoned.
struct Count(f64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let count = text.parse().ok().filter(|count| (0.0..=COUNT_MAX).contains(count));
        count.map(Self).ok_or_else(|| {
            D::Error::custom(format_args!("{text:?}: must be a count from 0 to {COUNT_MAX:e}"))
        })
    }
}

pub(super) fn read(
    import: &mut Import<'_>,
    file: &str,
    input: impl Read,
) -> Result<(), ImportError> {
    let at = |fault| Unreadable { file: file.to_owned(), line: 0, fault };
    let series = answer(file, input)?;
    let step_ns = step_ns(import.resolution_ns, &series).map_err(at)?;
    import.resolution_ns = Some(step_ns);
    for (number, Series { metric, values }) in series.iter().enumerate() {
        let of = |point: usize| format!("data.result[{number}].values[{point}]");
        let label = import.field("function").map(str::to_owned);
        let function = match label {
            None => ALL,
            Some(label) => metric.get(&label).map(String::as_str).ok_or_else(|| {
                at(wrong(&format!("data.result[{number}].metric.{label}"), "is missing"))
            })?,
        };
        let mut left = 0.0;
        for (point, (Seconds(ns), Count(count))) in values.iter().enumerate() {
            let before = point.checked_sub(1).map(|before| values[before].0.0);
            if before.is_some_and(|before| {
                !(*ns - before.min(*ns)).is_multiple_of(step_ns) || *ns <= before
            }) {
                let rule = format!(
                    "must be some steps of {} ms after {}",
                    step_ns / 1_000_000,
                    of(point - 1)
                );
                return Err(at(wrong(&of(point), rule)).into());
            }
            // What rounding leaves goes on to the next step, so that the sum stays.
            left += count;
            let whole = libm::floor(left + 1e-6).max(0.0);
            left -= whole;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in its range by the check of what it is made of"
            )]
            let requests = whole as u64;
            let at_ns = match import.moment() {
                Moment::Start => Some(*ns),
                Moment::End => ns.checked_sub(step_ns),
            };
            let at_ns =
                at_ns.ok_or_else(|| at(wrong(&of(point), "is in the first step of 1970")))?;
            if requests > 0 {
                let function = Cow::Borrowed(function);
                let found = Found { function, at_ns, duration_ns: None, requests };
                import.take(&found)?.map_err(at)?;
            }
        }
    }
    Ok(())
}

/// The series of an answer.
fn answer(file: &str, input: impl Read) -> Result<Vec<Series>, ImportError> {
    let fault = |line, fault| Unreadable { file: file.to_owned(), line, fault };
    let input = unpacked(file, input).map_err(|error| fault(0, error.into()))?;
    let mut text = Vec::new();
    let length = input.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut text);
    if length.map_err(|error| fault(0, error.into()))? as u64 > ANSWER_BYTES_MAX {
        let rule = format!("has more than {ANSWER_BYTES_MAX} bytes; ask for a shorter time");
        return Err(fault(0, wrong("answer", rule)).into());
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut json = serde_json::Deserializer::from_slice(text);
    let answer: Answer = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, error) = (error.path().to_string(), error.inner());
        fault(error.line() as u64, wrong(&path, error.to_string()))
    })?;
    let Some(data) = answer.data.filter(|_| answer.status == "success") else {
        let rule = format!("{:?}, not success: {}", answer.status, answer.error);
        return Err(fault(0, wrong("status", rule)).into());
    };
    if data.kind != "matrix" {
        let rule = format!("{:?}: must be matrix, as of a range query", data.kind);
        return Err(fault(0, wrong("data.resultType", rule)).into());
    }
    let series: Vec<Series> = serde_path_to_error::deserialize(data.result).map_err(|error| {
        let path = format!("data.result{}", error.path());
        fault(0, wrong(&path, error.inner().to_string()))
    })?;
    Ok(series)
}

/// The step: what was asked for, else the shortest distance of two points.
fn step_ns(known_ns: Option<u64>, series: &[Series]) -> Result<u64, Fault> {
    let distances = series.iter().flat_map(|series| {
        series.values.windows(2).map(|pair| pair[1].0.0.saturating_sub(pair[0].0.0))
    });
    let shortest = distances.filter(|ns| *ns > 0).min();
    known_ns.or(shortest).filter(|ns| *ns <= 86_400 * SECOND_NS).ok_or_else(|| {
        let rule = "has no two points, from which its step would follow; --resolution says it";
        wrong("data.result", rule)
    })
}
