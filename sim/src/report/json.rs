//! Everything, for programs and as a baseline. `sim/README.md` says what each field means.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::settings::Settings;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::input::Hashed;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::metric::Metric;
use crate::plan::Plan;
use crate::scenario::{Scenario, Time};
use crate::world::{NOT_MODELLED, Score};

/// The version of the shape that is written here.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    scenario: &'a Scenario,
    settings: BTreeMap<&'a str, &'a BTreeMap<String, Arc<Settings>>>,
    inputs: &'a [Hashed],
    notices: &'a [String],
    results: Vec<Row<'a>>,
    assertions: Vec<Judged<'a>>,
    not_modelled: [&'a str; NOT_MODELLED.len()],
}

#[derive(Serialize)]
struct Row<'a> {
    policy: &'a str,
    seed: u64,
    events: u64,
    all: Map<String, Value>,
    functions: BTreeMap<&'a str, Map<String, Value>>,
}

#[derive(Serialize)]
pub(super) struct Judged<'a> {
    assertion: &'a str,
    policy: &'a str,
    ruling: &'static str,
    figure: Value,
    bound: Value,
    seed: Option<u64>,
    from: Option<Time>,
    until: Option<Time>,
}

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let plan = outcome.plan;
    let report = Report {
        schema: SCHEMA,
        scenario: &plan.scenario,
        settings: settings(plan),
        inputs: &plan.inputs,
        notices: &plan.notices,
        results: rows(outcome),
        assertions: verdicts.iter().map(|verdict| judged(plan, verdict)).collect(),
        not_modelled: NOT_MODELLED,
    };
    let text = serde_json::to_string_pretty(&report).expect("nothing in it cannot be JSON");
    text + "\n"
}

/// The effective scenario, as a scenario: with every default filled in, and the settings that come
/// of all annotations beside it, as comments.
#[must_use]
pub fn effective(plan: &Plan) -> String {
    let mut text =
        toml::to_string(&plan.scenario).expect("a scenario that was read can be written");
    for (policy, functions) in settings(plan) {
        for (function, settings) in functions {
            let settings = serde_json::to_value(&**settings).expect("settings can be JSON");
            text += &format!("\n# settings of {function} under {policy}\n");
            for (group, values) in settings.as_object().into_iter().flatten() {
                match values.as_object() {
                    Some(values) => values.iter().for_each(|(key, value)| {
                        text += &format!("# {group}.{key} = {value}\n");
                    }),
                    None => text += &format!("# {group} = {values}\n"),
                }
            }
        }
    }
    for Hashed { name, sha256 } in &plan.inputs {
        text += &format!("\n# {name}: sha256 {sha256}");
    }
    text + "\n"
}

pub(super) fn settings(plan: &Plan) -> BTreeMap<&str, &BTreeMap<String, Arc<Settings>>> {
    let policies = plan.scenario.policies.iter().map(|policy| policy.name.as_str());
    policies.zip(&plan.settings).collect()
}

fn rows<'a>(outcome: &Outcome<'a>) -> Vec<Row<'a>> {
    let plan = outcome.plan;
    let jobs = plan.jobs().into_iter().zip(&outcome.cards);
    let figures = |score: &Score| figures(plan, score);
    jobs.map(|(job, card)| Row {
        policy: &plan.scenario.policies[job.policy].name,
        seed: job.seed,
        events: card.events,
        all: figures(&outcome.score(card, None, plan.scored())),
        functions: (plan.scenario.functions.iter())
            .map(|function| {
                let key = function.name.as_str();
                (key, figures(&outcome.score(card, Some(key), plan.scored())))
            })
            .collect(),
    })
    .collect()
}

fn figures(plan: &Plan, score: &Score) -> Map<String, Value> {
    let price = plan.scenario.score.price.as_ref();
    let known =
        Metric::shown().into_iter().filter(|metric| *metric != Metric::Cost || price.is_some());
    known.map(|metric| (metric.to_string(), number(metric.of(score, price)))).collect()
}

/// A figure; one that is infinite is the word for it.
pub(super) fn number(figure: Option<f64>) -> Value {
    match figure {
        None => Value::Null,
        Some(figure) if figure.is_infinite() => Value::from("never"),
        #[allow(
            clippy::cast_possible_truncation,
            clippy::float_cmp,
            reason = "whole and within 2⁵³, so that nothing is lost"
        )]
        Some(figure) if figure == libm::trunc(figure) && figure.abs() < 9e15 => {
            Value::from(figure as i64)
        }
        Some(figure) => Value::from(figure),
    }
}

pub(super) fn judged<'a>(plan: &'a Plan, verdict: &'a Verdict) -> Judged<'a> {
    Judged {
        assertion: &verdict.assertion.text,
        policy: &plan.scenario.policies[verdict.policy].name,
        ruling: match verdict.ruling {
            Ruling::Holds => "holds",
            Ruling::Fails => "fails",
            Ruling::NoData => "no data",
        },
        figure: number(verdict.figure),
        bound: number(verdict.bound),
        seed: verdict.seed,
        from: verdict.moment.map(|(from, _)| from),
        until: verdict.moment.map(|(_, until)| until),
    }
}
