//! A comparison of policies, written down: for people, for a pull request, as JSON, and drawn.

mod text;
mod markdown;
mod json;
mod plot;
mod html;

use super::{Drawing, unknown_kind};
use crate::compare::{Comparison, Row, Verdict};
use crate::judge::{self, Outcome};
use crate::metric::Unit;
use crate::statistics::CONFIDENCE;

/// A kind of report on a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For people.
    Text,
    /// Everything, for programs.
    Json,
    /// For a pull request.
    Markdown,
    /// Its plots, or all of it on a page.
    Drawn(Drawing),
}

/// A comparison and what it was made of.
#[derive(Clone, Copy)]
pub struct Compared<'a> {
    /// The comparison.
    pub comparison: &'a Comparison,
    /// What came of each scenario, the baseline's first.
    pub outcomes: &'a [Outcome<'a>],
    /// What became of the assertions of each.
    pub verdicts: &'a [Vec<judge::Verdict>],
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
            "md" => Ok(Self::Markdown),
            "svg" => Ok(Self::Drawn(Drawing::Svg)),
            "html" => Ok(Self::Drawn(Drawing::Html)),
            _ => Err(unknown_kind(name, "text, json, md, svg or html")),
        }
    }

    /// The report.
    #[must_use]
    pub fn write(self, compared: &Compared<'_>) -> String {
        match self {
            Self::Text => text::write(compared),
            Self::Json => json::write(compared),
            Self::Markdown => markdown::write(compared),
            Self::Drawn(Drawing::Svg) => html::image(compared),
            Self::Drawn(Drawing::Html) => html::write(compared),
        }
    }
}

impl<'a> Compared<'a> {
    /// What it is called, and how long it is.
    fn title(&self) -> (&'a str, String) {
        let scenario = self.outcomes.first().map(|outcome| &outcome.plan.scenario);
        let name = scenario.map_or("", |scenario| scenario.name.as_str());
        let length = scenario.map_or(String::new(), |scenario| {
            format!("{} scored after {}", scenario.length, scenario.warmup)
        });
        (if name.is_empty() { "scenario" } else { name }, length)
    }

    /// What the figures and the verdicts stand on.
    fn stands_on(&self) -> String {
        let Comparison { basis, margin, seeds, .. } = self.comparison;
        let seeds = match seeds.as_slice() {
            [seed] => format!("seed {seed}"),
            seeds => format!("mean of {} seeds", seeds.len()),
        };
        let (share, margin) = (Unit::Share.show(CONFIDENCE), Unit::Share.show(*margin));
        format!("{seeds}; {share} intervals: {basis}; same: within {margin}")
    }

    /// The rows of a policy that have anything to tell.
    fn rows(&self, policy: &str) -> Vec<&'a Row> {
        let rows = self.comparison.rows.iter().filter(|row| row.policy == policy);
        let has_any =
            |row: &&Row| row.seeds.iter().any(|pair| pair.baseline > 0.0 || pair.other > 0.0);
        rows.filter(has_any).collect()
    }

    /// The rows of a policy as a table, with its head.
    fn table(&self, policy: &str) -> Vec<Vec<String>> {
        let baseline = self.comparison.baseline.as_str();
        let head = ["figure", baseline, policy, "difference", "verdict"].map(str::to_owned);
        let rows = self.rows(policy).into_iter().map(Self::cells);
        [head].into_iter().chain(rows).map(Vec::from).collect()
    }

    /// The cells of a row: its name, both figures, their difference and the verdict.
    fn cells(row: &Row) -> [String; 5] {
        let unit = row.metric.unit();
        [
            row.metric.to_string(),
            unit.show(row.was),
            unit.show(row.is),
            told(row),
            row.verdict.to_string(),
        ]
    }

    /// Whether the verdicts on a policy hold for other start-up times, a line for each of these.
    fn start_up_lines(&self, policy: &str) -> Vec<String> {
        let rows = self.rows(policy);
        let scaled = rows.first().map_or(&[][..], |row| &row.with_start_up);
        let line = |(at, (percent, _)): (usize, &(u32, Option<Verdict>))| {
            let others = rows.iter().filter_map(|row| {
                let (_, verdict) = row.with_start_up.get(at)?;
                let is_other = *verdict != Some(row.verdict);
                let word = verdict.map_or("no data".to_owned(), |verdict| verdict.to_string());
                is_other.then(|| format!("{} {word}", row.metric))
            });
            let others: Vec<_> = others.collect();
            let by = f64::from(*percent) / 100.0;
            match others.as_slice() {
                [] => format!("start-up × {by}: every verdict holds"),
                others => format!("start-up × {by}: {}; the others hold", others.join(", ")),
            }
        };
        scaled.iter().enumerate().map(line).collect()
    }

    /// Every assertion's line.
    fn assertion_lines(&self) -> Vec<String> {
        let each = self.outcomes.iter().zip(self.verdicts);
        let lines = each.flat_map(|(outcome, verdicts)| {
            verdicts.iter().map(|verdict| super::verdict_line(outcome, verdict))
        });
        lines.collect()
    }
}

/// A row as a line for people.
#[must_use]
pub fn row_line(row: &Row) -> String {
    let [metric, .., verdict] = Compared::cells(row);
    format!("{}: {metric}: {}: {verdict}", row.policy, told(row))
}

/// A difference and its interval: as shares of the baseline's figure where that is one.
fn told(row: &Row) -> String {
    let unit = row.metric.unit();
    let show = |difference: f64| match row.share(difference) {
        Some(share) => signed(Unit::Share, share),
        None => signed(unit, difference),
    };
    let difference = row.difference().map_or("none".to_owned(), show);
    match row.interval {
        Some(interval) => {
            format!("{difference} ({} to {})", show(interval.low), show(interval.high))
        }
        None => difference,
    }
}

fn signed(unit: Unit, value: f64) -> String {
    let sign = match value {
        value if value > 0.0 => "+",
        value if value < 0.0 => "−",
        _ => "",
    };
    match value.is_infinite() {
        true => format!("{sign}∞"),
        false => format!("{sign}{}", unit.show(value.abs())),
    }
}

#[cfg(test)]
mod tests;
