//! The answer to a range query of Prometheus: how many requests there were in each step, of each
//! series. `increase(http_requests_total[1m])` by steps of a minute is such a query.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::by_line::wrong;
use super::{ALL, Found, Import, ImportError, Moment, SECOND_NS};
use crate::input::unpacked;
use crate::lines::{Fault, Unreadable};

/// Longest answer read, in bytes: it is in memory whole, and Prometheus gives 11 000 points of a
/// series at most.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Most requests in a step of a series.
const COUNT_MAX: f64 = 1e12;

// Parts are read one after the other, each from its own text, for their places in the answer are
// told, and their shape is known only once its head is.

#[derive(Deserialize)]
struct Answer<'t> {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(borrow)]
    data: Option<Data<'t>>,
}

#[derive(Deserialize)]
struct Data<'t> {
    #[serde(rename = "resultType")]
    kind: String,
    #[serde(borrow)]
    result: &'t RawValue,
}

#[derive(Deserialize)]
struct Row<'t> {
    metric: BTreeMap<String, String>,
    #[serde(borrow)]
    values: Vec<&'t RawValue>,
}

/// A row whose points are read.
struct Series<'t> {
    metric: BTreeMap<String, String>,
    points: Vec<Point<'t>>,
}

struct Point<'t> {
    text: &'t str,
    at_ns: u64,
    count: f64,
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

/// The text of an answer, and the name of its file.
#[derive(Clone, Copy)]
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl<'t> Source<'t> {
    /// Reads a part of the text, which is called `path` there; the whole has no name.
    fn part<T: Deserialize<'t>>(
        self,
        part: &'t str,
        path: impl FnOnce() -> String,
    ) -> Result<T, Unreadable> {
        let mut json = serde_json::Deserializer::from_str(part);
        let whole = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| (error.path().to_string(), error.into_inner()));
        let read = whole.and_then(|read| match json.end() {
            Ok(()) => Ok(read),
            Err(error) => Err((".".to_owned(), error)),
        });
        read.map_err(|(within, error)| {
            let path = match (path(), within.as_str()) {
                (path, ".") if path.is_empty() => "answer".to_owned(),
                (path, ".") => path,
                (path, further) if path.is_empty() || further.starts_with('[') => path + further,
                (path, field) => format!("{path}.{field}"),
            };
            // The place follows from the whole text: that within the part would mislead.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let rule = error.to_string();
            let rule = rule.strip_suffix(&place).unwrap_or(&rule);
            let further = (error.line() as u64).saturating_sub(1);
            self.unreadable(self.line(part) + further, wrong(&path, rule))
        })
    }

    /// The line in which a part of the text begins, from 1.
    fn line(self, part: &str) -> u64 {
        let before = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = self.text.as_bytes().get(..before).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn unreadable(self, line: u64, fault: Fault) -> Unreadable {
        Unreadable { file: self.file.to_owned(), line, fault }
    }

    /// The series of the answer.
    fn series(self) -> Result<Vec<Series<'t>>, Unreadable> {
        let answer: Answer<'t> = self.part(self.text, String::new)?;
        let head = |field, rule| self.unreadable(self.line(self.text), wrong(field, rule));
        let Some(data) = answer.data.filter(|_| answer.status == "success") else {
            let rule = format!("{:?}, not success: {}", answer.status, answer.error);
            return Err(head("status", rule));
        };
        if data.kind != "matrix" {
            let rule = format!("{:?}: must be matrix, as of a range query", data.kind);
            return Err(head("data.resultType", rule));
        }
        let rows: Vec<Row<'t>> = self.part(data.result.get(), || "data.result".to_owned())?;
        let series = rows.into_iter().enumerate().map(|(number, Row { metric, values })| {
            let points = values.iter().enumerate().map(|(point, value)| {
                let text = value.get();
                let (Seconds(at_ns), Count(count)) = self.part(text, || name(number, point))?;
                Ok(Point { text, at_ns, count })
            });
            Ok(Series { metric, points: points.collect::<Result<_, Unreadable>>()? })
        });
        series.collect()
    }
}

/// What a point is called in the answer.
fn name(series: usize, point: usize) -> String {
    format!("data.result[{series}].values[{point}]")
}

pub(super) fn read(
    import: &mut Import<'_>,
    file: &str,
    input: impl Read,
) -> Result<(), ImportError> {
    let text = text(input, file)?;
    let source = Source { file, text: text.strip_prefix('\u{feff}').unwrap_or(&text) };
    let series = source.series()?;
    let step_ns = step_ns(import.resolution_ns, &series);
    let step_ns = step_ns.map_err(|fault| source.unreadable(1, fault))?;
    import.resolution_ns = Some(step_ns);
    for (number, Series { metric, points }) in series.iter().enumerate() {
        let at = |place: usize, fault| {
            let line = points.get(place).map_or(1, |point| source.line(point.text));
            source.unreadable(line, fault)
        };
        let label = import.field("function").map(str::to_owned);
        let function = match label {
            None => ALL,
            Some(label) => metric.get(&label).map(String::as_str).ok_or_else(|| {
                at(0, wrong(&format!("data.result[{number}].metric.{label}"), "is missing"))
            })?,
        };
        let mut left = 0.0;
        for (place, point) in points.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| points[before].at_ns);
            check_step(before, point.at_ns, step_ns).map_err(|rule| {
                let rule = format!("{rule} {}", name(number, place.saturating_sub(1)));
                at(place, wrong(&name(number, place), rule))
            })?;
            // What rounding leaves goes on to the next step, so that the sum stays.
            left += point.count;
            let whole = libm::floor(left + 1e-6).max(0.0);
            left -= whole;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in its range by the check of what it is made of"
            )]
            let requests = whole as u64;
            let at_ns = match import.moment() {
                Moment::Start => Some(point.at_ns),
                Moment::End => point.at_ns.checked_sub(step_ns),
            };
            let at_ns = at_ns.ok_or_else(|| {
                at(place, wrong(&name(number, place), "is in the first step of 1970"))
            })?;
            if requests > 0 {
                let function = Cow::Borrowed(function);
                let found = Found { function, at_ns, duration_ns: None, requests };
                import.take(&found)?.map_err(|fault| at(place, fault))?;
            }
        }
    }
    Ok(())
}

/// Whether a point is some steps after the one before it; the rule if not.
fn check_step(before_ns: Option<u64>, at_ns: u64, step_ns: u64) -> Result<(), String> {
    let is_later = before_ns
        .is_none_or(|before_ns| at_ns > before_ns && (at_ns - before_ns).is_multiple_of(step_ns));
    match is_later {
        true => Ok(()),
        false => Err(format!("must be some steps of {} ms after", step_ns / 1_000_000)),
    }
}

/// The whole answer.
fn text(input: impl Read, file: &str) -> Result<String, Unreadable> {
    let fault = |fault| Unreadable { file: file.to_owned(), line: 0, fault };
    let input = unpacked(file, input).map_err(|error| fault(error.into()))?;
    let mut bytes = Vec::new();
    let length = input.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
    if length.map_err(|error| fault(error.into()))? as u64 > ANSWER_BYTES_MAX {
        let rule = format!("has more than {ANSWER_BYTES_MAX} bytes; ask for a shorter time");
        return Err(fault(wrong("answer", rule)));
    }
    String::from_utf8(bytes)
        .map_err(|error| fault(Fault::Encoding(error.utf8_error().valid_up_to())))
}

/// The step: what was asked for, else the shortest distance of two points.
fn step_ns(known_ns: Option<u64>, series: &[Series<'_>]) -> Result<u64, Fault> {
    let distances = series.iter().flat_map(|series| {
        series.points.windows(2).map(|pair| pair[1].at_ns.saturating_sub(pair[0].at_ns))
    });
    let shortest = distances.filter(|ns| *ns > 0).min();
    known_ns.or(shortest).filter(|ns| *ns <= 86_400 * SECOND_NS).ok_or_else(|| {
        let rule = "has no two points, from which its step would follow; --resolution says it";
        wrong("data.result", rule)
    })
}
