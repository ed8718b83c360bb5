//! What came of it, written down: for people, as JSON, as JUnit, as CSV; by [`comparison`] of
//! policies, too.

mod text;
mod json;
mod junit;
mod csv;
mod markdown;
pub mod comparison;

use crate::judge::{Outcome, Verdict};

pub use json::{SCHEMA, effective};
pub use text::verdict_line;

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For people.
    Text,
    /// Everything, for programs and as a baseline.
    Json,
    /// The assertions, for CI.
    Junit,
    /// Every figure of every function, for spreadsheets.
    Csv,
}

impl Kind {
    /// The kind of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "junit" => Ok(Self::Junit),
            "csv" => Ok(Self::Csv),
            _ => Err(unknown_kind(name, "text, json, junit or csv")),
        }
    }

    /// The report.
    #[must_use]
    pub fn write(self, outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
        match self {
            Self::Text => text::write(outcome, verdicts),
            Self::Json => json::write(outcome, verdicts),
            Self::Junit => junit::write(outcome, verdicts),
            Self::Csv => csv::write(outcome),
        }
    }
}

fn unknown_kind(name: &str, known: &str) -> String {
    format!("{name:?}: must be {known}")
}

/// A verdict's figure, bound, seed and moment, as people read them.
fn told(verdict: &Verdict) -> String {
    let unit = verdict.assertion.metric.unit();
    let show = |value: Option<f64>| value.map_or("no data".to_owned(), |value| unit.show(value));
    let mut text = format!("{} against {}", show(verdict.figure), show(verdict.bound));
    if let Some(seed) = verdict.seed {
        text += &format!(", seed {seed}");
    }
    if let Some((from, until)) = verdict.moment {
        text += &format!(", worst from {from} to {until}");
    }
    text
}

#[cfg(test)]
mod tests;
