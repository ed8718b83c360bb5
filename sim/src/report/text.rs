//! The report for people.

use std::fmt::Write;

use super::told;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::metric::{Metric, Unit};
use crate::world::NOT_MODELLED;

/// Figures that are 0 under every policy are left out, but for these.
const ALWAYS: [&str; 5] = ["arrived", "answered", "waited", "cold_starts", "pod_seconds"];

/// Functions of which each has a table of its own.
const TABLES_MAX: usize = 8;

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let plan = outcome.plan;
    let scenario = &plan.scenario;
    let mut text = String::new();
    let title = if scenario.name.is_empty() { "scenario" } else { &scenario.name };
    line(
        &mut text,
        format_args!(
            "{title}: {} scored after {}, {}",
            scenario.length,
            scenario.warmup,
            match plan.seeds.as_slice() {
                [seed] => format!("seed {seed}"),
                seeds => format!("mean of {} seeds (and the range where they differ)", seeds.len()),
            },
        ),
    );
    for notice in &plan.notices {
        line(&mut text, format_args!("notice: {notice}"));
    }
    table(&mut text, outcome, None);
    let keys = &scenario.functions;
    if keys.len() > 1 {
        for function in keys.iter().take(TABLES_MAX) {
            line(&mut text, format_args!("\n{}", function.name));
            table(&mut text, outcome, Some(&function.name));
        }
        if keys.len() > TABLES_MAX {
            let more = keys.len() - TABLES_MAX;
            line(&mut text, format_args!("\n{more} more functions are in -o json and -o csv"));
        }
    }
    if !verdicts.is_empty() {
        text.push('\n');
    }
    for verdict in verdicts {
        line(&mut text, format_args!("{}", verdict_line(outcome, verdict)));
    }
    text.push_str("\nnot modelled:\n");
    for left_out in NOT_MODELLED {
        line(&mut text, format_args!("  {left_out}"));
    }
    text
}

/// One verdict, as a line for people.
#[must_use]
pub fn verdict_line(outcome: &Outcome<'_>, verdict: &Verdict) -> String {
    let word = match verdict.ruling {
        Ruling::Holds => "ok     ",
        Ruling::Fails => "FAILED ",
        Ruling::NoData => "NO DATA",
    };
    let policy = &outcome.plan.scenario.policies[verdict.policy].name;
    let mut text = format!("{word} {policy}: {}", verdict.assertion);
    if verdict.ruling != Ruling::NoData {
        text += &format!(": {}", told(verdict));
    }
    text
}

/// The figures, a row each, a column for each policy.
fn table(text: &mut String, outcome: &Outcome<'_>, key: Option<&str>) {
    let plan = outcome.plan;
    let policies = &plan.scenario.policies;
    let cut = plan.scored();
    let score = |policy, seed| outcome.score(outcome.card(policy, seed), key, cut);
    let scores: Vec<Vec<_>> = (0..policies.len())
        .map(|policy| (0..plan.seeds.len()).map(|seed| score(policy, seed)).collect())
        .collect();
    let mut rows = vec![(String::new(), policies.iter().map(|it| it.name.clone()).collect())];
    for metric in Metric::shown() {
        let figures = scores.iter().map(|seeds| {
            let price = plan.scenario.score.price.as_ref();
            let figures: Option<Vec<_>> =
                seeds.iter().map(|score| metric.of(score, price)).collect();
            figures.unwrap_or_default()
        });
        let figures: Vec<Vec<f64>> = figures.collect();
        let is_nothing = figures.iter().flatten().all(|figure| *figure <= 0.0);
        let name = metric.to_string();
        if is_nothing && !ALWAYS.contains(&name.as_str()) {
            continue;
        }
        let cells = figures.iter().map(|figures| cell(metric.unit(), figures)).collect();
        rows.push((name, cells));
    }
    columns(text, &rows);
}

/// The mean of the seeds, and the range where it is one.
fn cell(unit: Unit, figures: &[f64]) -> String {
    let Some((low, high)) = figures.iter().fold(None, |range: Option<(f64, f64)>, figure| {
        let (low, high) = range.unwrap_or((*figure, *figure));
        Some((low.min(*figure), high.max(*figure)))
    }) else {
        return "-".to_owned();
    };
    let mean = figures.iter().sum::<f64>() / figures.len() as f64;
    match unit.show(low) == unit.show(high) {
        true => unit.show(mean),
        false => format!("{} ({} to {})", unit.show(mean), unit.show(low), unit.show(high)),
    }
}

pub(super) fn columns(text: &mut String, rows: &[(String, Vec<String>)]) {
    let names = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let count = rows.first().map_or(0, |(_, cells)| cells.len());
    let widths: Vec<_> = (0..count)
        .map(|at| rows.iter().map(|(_, cells)| cells[at].chars().count()).max().unwrap_or(0))
        .collect();
    for (name, cells) in rows {
        let mut row = format!("  {name:names$}");
        for (cell, width) in cells.iter().zip(&widths) {
            row += &format!("  {cell:>width$}");
        }
        line(text, format_args!("{}", row.trim_end()));
    }
}

pub(super) fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}
