//! The report for people.

use std::fmt::Write;

use super::{figures, heading, told};
use crate::judge::{Outcome, Ruling, Verdict};
use crate::world::NOT_MODELLED;

/// Functions of which each has a table of its own.
pub(super) const TABLES_MAX: usize = 8;

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let plan = outcome.plan;
    let mut text = String::new();
    line(&mut text, format_args!("{}: {}", heading::title(plan), heading::extent(plan)));
    for notice in &plan.notices {
        line(&mut text, format_args!("notice: {notice}"));
    }
    table(&mut text, outcome, None);
    let keys = &plan.scenario.functions;
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
    if let Some(caveat) = heading::without_open(outcome) {
        line(&mut text, format_args!("\n{caveat}"));
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
    let policies = &outcome.plan.scenario.policies;
    let mut rows = vec![(String::new(), policies.iter().map(|it| it.name.clone()).collect())];
    for figures in figures::of(outcome, key) {
        rows.push((figures.metric.to_string(), figures.cells()));
    }
    columns(text, &rows);
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
