//! What came of it before: figures beside those of a file, and by how much they may differ.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::metric::Metric;
use crate::scenario::Node;

/// By how much a figure may differ from a baseline's.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// Which: the name of a metric, or what stands before its point.
    pub metric: String,
    /// As a share of the baseline's.
    pub share: f64,
}

/// A figure that differs by more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where it stands: policy, seed, function and figure.
    pub figure: String,
    /// What it was.
    pub was: String,
    /// What it is.
    pub is: String,
}

/// Reads `score.tolerance`.
pub(crate) fn tolerances(node: &Node<'_>) -> Vec<Tolerance> {
    let Some(section) = node.section() else {
        return Vec::new();
    };
    let tolerance = |(name, node): (String, Node<'_>)| {
        let known: Vec<_> = Metric::shown().iter().map(ToString::to_string).collect();
        if !known.iter().any(|own| covers(&name, own)) {
            node.fault("there is no such metric");
        }
        let share = node.read(|text| {
            let percent = text.strip_suffix('%').and_then(|text| text.trim().parse::<f64>().ok());
            percent
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| percent / 100.0)
                .ok_or_else(|| "must be a percentage from 0% to 100%".to_owned())
        })?;
        Some(Tolerance { metric: name, share })
    };
    section.entries().into_iter().filter_map(tolerance).collect()
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
