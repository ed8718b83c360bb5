//! What came of it, written down: for people, as JSON, as JUnit, as CSV, as Markdown, for
//! Prometheus, and drawn; by [`comparison`] of policies, too.

mod heading;
mod figures;
mod markup;
mod text;
mod json;
mod junit;
mod csv;
mod markdown;
mod summary;
mod prometheus;
pub mod comparison;
mod chart;
mod svg;
mod page;
mod html;
mod sweep;

use crate::courses::Courses;
use crate::judge::{Outcome, Verdict};

pub use json::{SCHEMA, effective};
pub use junit::Suites;
pub use sweep::SweepKind;
pub use text::verdict_line;

/// The JSON Schema of whatever is written as JSON: what each field means, its unit and range.
pub const JSON_SCHEMA: &str = include_str!("report/schema.json");

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
    /// For a pull request or the summary of a step.
    Markdown,
    /// The means, for Prometheus.
    Prometheus,
    /// How it went, drawn.
    Drawn(Drawing),
}

/// A kind of report that shows how functions went through the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// The charts alone.
    Svg,
    /// One page that holds everything.
    Html,
}

impl Kind {
    /// All, by name.
    pub const ALL: [(&str, Self); 8] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("junit", Self::Junit),
        ("csv", Self::Csv),
        ("md", Self::Markdown),
        ("prom", Self::Prometheus),
        ("svg", Self::Drawn(Drawing::Svg)),
        ("html", Self::Drawn(Drawing::Html)),
    ];

    /// The kind of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let kind = Self::ALL.iter().find(|(own, _)| *own == name);
        kind.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(own, _)| *own).collect();
            let (last, others) = names.split_last().expect("there are some");
            unknown_kind(name, &format!("{} or {last}", others.join(", ")))
        })
    }

    /// The report. `courses` are what a [`Drawing`] shows beside the figures; others need none.
    #[must_use]
    pub fn write(
        self,
        outcome: &Outcome<'_>,
        verdicts: &[Verdict],
        courses: Option<&Courses>,
    ) -> String {
        match self {
            Self::Text => text::write(outcome, verdicts),
            Self::Json => json::write(outcome, verdicts),
            Self::Junit => junit::write(outcome, verdicts),
            Self::Csv => csv::write(outcome),
            Self::Markdown => summary::write(outcome, verdicts),
            Self::Prometheus => prometheus::write(outcome, verdicts),
            Self::Drawn(Drawing::Svg) => svg::write(outcome, courses),
            Self::Drawn(Drawing::Html) => html::write(outcome, verdicts, courses),
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
pub(crate) mod tests;
