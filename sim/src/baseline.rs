//! What came of it before: figures beside those of a file, and by how much they may differ.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;

use crate::metric::Metric;
use crate::report::SCHEMA;
use crate::scenario::Node;

const NO_SUCH_METRIC: &str = "there is no such metric";

/// By how much a figure may differ from a baseline's.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// Which: the name of a metric, or what stands before its point.
    pub metric: String,
    /// As a share of the baseline's.
    pub share: f64,
}

/// A figure that differs by more.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it stands: policy, seed, function and metric.
    pub figure: String,
    /// What it was; none = it was not there.
    pub was: Option<Value>,
    /// What it is; none = it is not there any more.
    pub is: Option<Value>,
}

/// Why a baseline cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is no report.
    #[error("is no report of a simulation: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Its shape is another one.
    #[error("has schema {0}, this is of schema {SCHEMA}")]
    Schema(Value),
}

impl FromStr for Tolerance {
    type Err = String;

    /// Reads `wait.p99=5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, share) = text.split_once('=').ok_or("must be METRIC=PERCENT%")?;
        match is_known(metric) {
            true => Ok(Self { metric: metric.to_owned(), share: share_of(share)? }),
            false => Err(format!("{metric}: {NO_SUCH_METRIC}")),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        write!(f, "{}: was {}, is {}", self.figure, show(&self.was), show(&self.is))
    }
}

/// The figures in which two JSON reports differ by more than is tolerated, in the order of the
/// later one.
///
/// # Errors
/// One of them is no such report.
pub fn differences(
    was: &str,
    is: &str,
    tolerated: &[Tolerance],
) -> Result<Vec<Difference>, Unusable> {
    let was = figures(was)?.into_iter().map(|(figure, _, value)| (figure, value));
    let mut was: BTreeMap<_, _> = was.collect();
    let mut differences = Vec::new();
    for (figure, metric, now) in figures(is)? {
        let before = was.remove(&figure);
        let share = tolerated.iter().find(|own| covers(&own.metric, &metric));
        let share = share.map_or(0.0, |own| own.share);
        if !before.as_ref().is_some_and(|before| is_near(before, &now, share)) {
            differences.push(Difference { figure, was: before, is: Some(now) });
        }
    }
    let gone = was.into_iter();
    differences.extend(gone.map(|(figure, value)| Difference {
        figure,
        was: Some(value),
        is: None,
    }));
    Ok(differences)
}

/// Name, metric and value of every figure of a report.
fn figures(report: &str) -> Result<Vec<(String, String, Value)>, Unusable> {
    let report: Value = serde_json::from_str(report)?;
    if report["schema"] != SCHEMA {
        return Err(Unusable::Schema(report["schema"].clone()));
    }
    let mut figures = Vec::new();
    let rows = report["results"].as_array().into_iter().flatten();
    for row in rows {
        let policy = row["policy"].as_str().unwrap_or_default();
        let functions = row["functions"].as_object().into_iter().flatten();
        let functions = functions.map(|(name, values)| (name.as_str(), values));
        for (function, values) in [("all", &row["all"])].into_iter().chain(functions) {
            for (metric, value) in values.as_object().into_iter().flatten() {
                let name = format!("{policy}, seed {}, {function}: {metric}", row["seed"]);
                figures.push((name, metric.clone(), value.clone()));
            }
        }
    }
    Ok(figures)
}

fn is_near(was: &Value, is: &Value, share: f64) -> bool {
    match (was.as_f64(), is.as_f64()) {
        (Some(was), Some(is)) => (was - is).abs() <= share * was.abs(),
        _ => was == is,
    }
}

/// Reads `score.tolerance`.
pub(crate) fn tolerances(node: &Node<'_>) -> Vec<Tolerance> {
    let Some(section) = node.section() else {
        return Vec::new();
    };
    let tolerance = |(name, node): (String, Node<'_>)| {
        if !is_known(&name) {
            node.fault(NO_SUCH_METRIC);
        }
        Some(Tolerance { share: node.read(share_of)?, metric: name })
    };
    section.entries().into_iter().filter_map(tolerance).collect()
}

fn is_known(name: &str) -> bool {
    Metric::shown().iter().any(|own| covers(name, &own.to_string()))
}

/// Reads a percentage.
///
/// # Errors
/// The rule that it breaks.
pub fn share_of(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|text| text.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "must be a percentage from 0% to 100%".to_owned())
}

/// Whether a tolerance of that name is one of this figure: `wait` is of `wait.p99` too.
fn covers(tolerance: &str, figure: &str) -> bool {
    figure.strip_prefix(tolerance).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

pub(crate) fn as_table<S: Serializer>(all: &[Tolerance], serializer: S) -> Result<S::Ok, S::Error> {
    let mut table = serializer.serialize_map(Some(all.len()))?;
    for tolerance in all {
        table.serialize_entry(&tolerance.metric, &format!("{}%", tolerance.share * 100.0))?;
    }
    table.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(wait: &str) -> String {
        format!(
            "{{\"schema\": 1, \"results\": [{{\"policy\": \"now\", \"seed\": 3, \"all\": \
             {{\"arrived\": 7, \"wait.p99\": {wait}}}, \"functions\": {{}}}}]}}"
        )
    }

    #[test]
    fn a_figure_may_differ_by_what_is_tolerated() {
        let told = |was, is, share: f64| {
            let tolerated = [Tolerance { metric: "wait".to_owned(), share }];
            let found = differences(&report(was), &report(is), &tolerated).unwrap();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(told("100", "100", 0.0).is_empty());
        assert!(told("100", "105", 0.05).is_empty());
        assert_eq!(told("100", "106", 0.05), ["now, seed 3, all: wait.p99: was 100, is 106"]);
        assert_eq!(told("100", "94", 0.05).len(), 1, "better is another figure too");
        assert_eq!(told("100", "\"never\"", 1.0).len(), 1);
        assert_eq!(told("null", "0", 1.0).len(), 1);
    }

    #[test]
    fn a_tolerance_is_read_as_it_is_typed() {
        let read = str::parse::<Tolerance>;
        assert_eq!(read("wait=5%"), Ok(Tolerance { metric: "wait".to_owned(), share: 0.05 }));
        assert_eq!(read("wait.p99=0%").map(|it| it.share), Ok(0.0));
        for (text, rule) in [
            ("wait", "must be METRIC=PERCENT%"),
            ("weight=5%", "weight: there is no such metric"),
            ("wait=5", "must be a percentage from 0% to 100%"),
            ("wait=-5%", "must be a percentage from 0% to 100%"),
            ("wait=NaN%", "must be a percentage from 0% to 100%"),
        ] {
            assert_eq!(read(text), Err(rule.to_owned()), "{text}");
        }
    }

    #[test]
    fn figures_that_come_and_go_are_told() {
        let gone = differences(&report("1"), "{\"schema\": 1, \"results\": []}", &[]).unwrap();
        assert_eq!(gone.len(), 2);
        assert!(gone.iter().all(|difference| difference.is.is_none()));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in ["", "[]", "{\"schema\": 2}", "{\"schema\": 1"] {
            assert!(differences(text, &report("1"), &[]).is_err(), "{text}");
        }
    }
}
