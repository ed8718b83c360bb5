//! What a sweep came to: for people, as JSON, as Markdown, drawn, on a page.

mod text;
mod markdown;
mod plot;
mod html;

use serde::Serialize;

use super::{Drawing, unknown_kind};
use crate::metric::Metric;
use crate::sweep::{Basis, Candidate, Change, Choice, Finding, Goal, Half, Lower, Slice, Sweep};

/// A report of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepKind {
    /// For people.
    Text,
    /// Everything, for programs and to be merged.
    Json,
    /// For a pull request.
    Markdown,
    /// Its plot, or all of it on a page.
    Drawn(Drawing),
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    sweep: &'a Sweep,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Conclusion>,
}

/// What follows from the whole, for programs.
#[derive(Serialize)]
struct Conclusion {
    frontier: Vec<usize>,
    best: Option<usize>,
    finding: &'static str,
}

impl SweepKind {
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
    pub fn write(self, sweep: &Sweep) -> String {
        match self {
            Self::Text => text::write(sweep),
            Self::Json => json(sweep),
            Self::Markdown => markdown::write(sweep),
            Self::Drawn(Drawing::Svg) => html::image(sweep),
            Self::Drawn(Drawing::Html) => html::write(sweep),
        }
    }
}

fn json(sweep: &Sweep) -> String {
    let conclusion = is_whole(sweep).then(|| {
        let choice = sweep.choice();
        Conclusion {
            frontier: sweep.frontier().iter().map(|candidate| candidate.number).collect(),
            best: choice.best.map(|candidate| candidate.number),
            finding: match choice.finding {
                Finding::Suggested => "suggested",
                Finding::NoneBetter => "none better",
                Finding::Chance => "chance",
                Finding::Raises => "raises",
                Finding::TooFew => "too few",
            },
        }
    });
    let written = Written { sweep, conclusion };
    serde_json::to_string_pretty(&written).expect("nothing in it cannot be JSON") + "\n"
}

/// Whether anything follows from it: of a slice nothing does.
fn is_whole(sweep: &Sweep) -> bool {
    sweep.partition.of == Slice::WHOLE.of
}

/// What is said of a slice instead.
fn unconcluded(sweep: &Sweep) -> String {
    format!("{}: {} of them; `sim merge` concludes", sweep.partition, sweep.candidates.len())
}

/// The frontier, of a whole, from the least cost on, and the baseline.
fn shown(sweep: &Sweep) -> Vec<&Candidate> {
    let mut shown = if is_whole(sweep) { sweep.frontier() } else { Vec::new() };
    if !shown.iter().any(|candidate| candidate.number == 0) {
        shown.push(&sweep.baseline);
    }
    shown
}

/// The rows of what is [`shown`], from the least cost on: name, and what was chosen
/// on and judged by of each figure.
fn rows(sweep: &Sweep) -> Vec<(String, Vec<String>)> {
    let Goal { cost, waiting, .. } = sweep.of.goal;
    let head = [cost, waiting].map(|it| [format!("{it}, chosen"), format!("{it}, judged")]);
    let mut rows = vec![(String::new(), head.concat())];
    for candidate in shown(sweep) {
        let mean = candidate.mean();
        let judged = candidate.judged.as_ref().map(|it| crate::sweep::Figures::mean(&it.seeds));
        let show = |metric: Metric, figure: Option<f64>| {
            figure.map_or_else(|| "-".to_owned(), |figure| metric.unit().show(figure))
        };
        let cells = vec![
            show(cost, Some(mean.cost)),
            show(cost, judged.map(|it| it.cost)),
            show(waiting, Some(mean.waiting)),
            show(waiting, judged.map(|it| it.waiting)),
        ];
        rows.push((candidate.name(&sweep.of.baseline), cells));
    }
    rows
}

/// What the scenario is called.
fn title(sweep: &Sweep) -> &str {
    match sweep.of.scenario["name"].as_str() {
        None | Some("") => "scenario",
        Some(name) => name,
    }
}

fn halves(sweep: &Sweep) -> String {
    let half = |half: &Half| format!("{} to {}, seeds {}", half.from, half.until, half.seeds());
    let (chosen, judged) = (half(&sweep.of.chosen_on), half(&sweep.of.judged_on));
    format!("chosen on {chosen}; judged by {judged}")
}

/// What is to be done, in a sentence.
fn finding(sweep: &Sweep, choice: &Choice<'_>) -> String {
    let Goal { cost, waiting, lower, margin } = sweep.of.goal;
    let name = choice.best.map_or_else(String::new, |it| it.name(&sweep.of.baseline));
    let (lowered, kept) = match lower {
        Lower::Cost => (cost, waiting),
        Lower::Waiting => (waiting, cost),
    };
    let changes = format!("{}; {}", changed(cost, choice.cost), changed(waiting, choice.waiting));
    let nothing = "nothing is suggested";
    match choice.finding {
        Finding::Suggested => format!("suggested: {name}: {changes}"),
        Finding::NoneBetter => format!(
            "{nothing}: no candidate lowers {lowered} and keeps {kept} within {} %",
            margin * 100.0
        ),
        Finding::Chance => {
            format!("{nothing}: what {name} gained where it was chosen may be chance: {changes}")
        }
        Finding::Raises => format!("{nothing}: {name} raises {kept}: {changes}"),
        Finding::TooFew => {
            let few = match sweep.of.basis {
                Basis::Seeds => "one seed leaves everything open; --seed 1..10 gives ten",
                Basis::Functions => {
                    "fewer than 8 functions, or figures that are no sums, leave everything open"
                }
            };
            format!("{nothing}: {few}; the best was {name}: {changes}")
        }
    }
}

fn changed(metric: Metric, change: Change) -> String {
    let show = |difference: f64| match change.share(difference) {
        Some(share) => format!("{:+.1} %", share * 100.0),
        None => format!("{difference:+}"),
    };
    let difference = show(change.is - change.was);
    match change.interval {
        Some(interval) => {
            format!("{metric} {difference} ({} to {})", show(interval.low), show(interval.high))
        }
        None => format!("{metric} {difference}"),
    }
}

/// The annotations that are suggested, as YAML.
fn block(choice: &Choice<'_>) -> Option<String> {
    let best = choice.best.filter(|_| choice.finding == Finding::Suggested)?;
    let quoted = |value: &String| serde_json::to_string(value).expect("a text can be JSON");
    let lines = best.set.iter().map(|(key, value)| format!("    {key}: {}\n", quoted(value)));
    Some(format!("metadata:\n  annotations:\n{}", lines.collect::<String>()))
}
