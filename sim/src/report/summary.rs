//! The report as Markdown, for a pull request or the summary of a step.

use super::markdown::{Align, escaped, table};
use super::text::TABLES_MAX;
use super::{figures, heading, told};
use crate::judge::{Outcome, Ruling, Verdict};
use crate::world::NOT_MODELLED;

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let plan = outcome.plan;
    let mut text =
        format!("### {}\n\n{}\n", escaped(heading::title(plan)), escaped(&heading::extent(plan)),);
    for notice in &plan.notices {
        text += &format!("\nnotice: {}\n", escaped(notice));
    }
    if !verdicts.is_empty() {
        text += &format!("\n{}", assertions(outcome, verdicts));
    }
    text += &format!("\n{}", figures_of(outcome, None));
    let keys = &plan.scenario.functions;
    if keys.len() > 1 {
        for function in keys.iter().take(TABLES_MAX) {
            text += &format!(
                "\n<details><summary>{}</summary>\n\n{}\n</details>\n",
                super::markup::escaped(&function.name),
                figures_of(outcome, Some(&function.name)),
            );
        }
        if keys.len() > TABLES_MAX {
            let more = keys.len() - TABLES_MAX;
            text += &format!("\n{more} more functions are in -o json and -o csv\n");
        }
    }
    if let Some(caveat) = heading::without_open(outcome) {
        text += &format!("\n{caveat}\n");
    }
    text += "\n<details><summary>not modelled</summary>\n\n";
    for left_out in NOT_MODELLED {
        text += &format!("- {}\n", escaped(left_out));
    }
    text + "\n</details>\n"
}

fn assertions(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let mut rows = vec![["", "policy", "assertion", "figure"].map(str::to_owned).to_vec()];
    for verdict in verdicts {
        let (word, figure) = match verdict.ruling {
            Ruling::Holds => ("holds", told(verdict)),
            Ruling::Fails => ("FAILS", told(verdict)),
            Ruling::NoData => ("NO DATA", String::new()),
        };
        let policy = &outcome.plan.scenario.policies[verdict.policy].name;
        let assertion = &verdict.assertion.text;
        rows.push(vec![word.to_owned(), policy.clone(), assertion.clone(), figure]);
    }
    table(&[Align::Left; 4], &rows)
}

fn figures_of(outcome: &Outcome<'_>, key: Option<&str>) -> String {
    let policies = &outcome.plan.scenario.policies;
    let names = policies.iter().map(|policy| policy.name.clone());
    let mut rows: Vec<Vec<_>> = vec![["figure".to_owned()].into_iter().chain(names).collect()];
    for figures in figures::of(outcome, key) {
        rows.push([figures.metric.to_string()].into_iter().chain(figures.cells()).collect());
    }
    let columns = policies.iter().map(|_| Align::Right);
    let columns: Vec<_> = [Align::Left].into_iter().chain(columns).collect();
    table(&columns, &rows)
}
