//! Everything, for programs. `sim/README.md` says what each field means.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::settings::Settings;
use serde::Serialize;
use serde_json::Value;

use super::Compared;
use crate::compare::{Basis, Row};
use crate::input::Hashed;
use crate::report::json::{Judged, judged, number, settings};
use crate::scenario::Scenario;
use crate::statistics::CONFIDENCE;
use crate::world::NOT_MODELLED;

/// The version of the shape that is written here.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    baseline: &'a str,
    basis: Interval,
    margin: f64,
    seeds: &'a [u64],
    rows: Vec<Difference<'a>>,
    assertions: Vec<Judged<'a>>,
    scenarios: Vec<World<'a>>,
    not_modelled: [&'a str; NOT_MODELLED.len()],
}

#[derive(Serialize)]
struct Interval {
    confidence: f64,
    of: &'static str,
    count: usize,
}

#[derive(Serialize)]
struct Difference<'a> {
    policy: &'a str,
    figure: String,
    baseline: Value,
    value: Value,
    difference: Value,
    low: Value,
    high: Value,
    verdict: String,
    start_up: BTreeMap<String, Option<String>>,
    seeds: Vec<[Value; 2]>,
}

#[derive(Serialize)]
struct World<'a> {
    scenario: &'a Scenario,
    settings: BTreeMap<&'a str, &'a BTreeMap<String, Arc<Settings>>>,
    inputs: &'a [Hashed],
    notices: &'a [String],
}

pub(super) fn write(compared: &Compared<'_>) -> String {
    let comparison = compared.comparison;
    let (of, count) = match comparison.basis {
        Basis::Seeds(count) => ("seeds", count),
        Basis::Functions(count) => ("functions", count),
        Basis::TooFewFunctions(count) => ("too few functions", count),
    };
    let each = compared.outcomes.iter().zip(compared.verdicts);
    let assertions = each.flat_map(|(outcome, verdicts)| {
        verdicts.iter().map(|verdict| judged(outcome.plan, verdict))
    });
    let plans = compared.outcomes.iter().map(|outcome| outcome.plan);
    let report = Report {
        schema: SCHEMA,
        baseline: &comparison.baseline,
        basis: Interval { confidence: CONFIDENCE, of, count },
        margin: comparison.margin,
        seeds: &comparison.seeds,
        rows: comparison.rows.iter().map(difference).collect(),
        assertions: assertions.collect(),
        scenarios: plans
            .map(|plan| World {
                scenario: &plan.scenario,
                settings: settings(plan),
                inputs: &plan.inputs,
                notices: &plan.notices,
            })
            .collect(),
        not_modelled: NOT_MODELLED,
    };
    let text = serde_json::to_string_pretty(&report).expect("nothing in it cannot be JSON");
    text + "\n"
}

fn difference(row: &Row) -> Difference<'_> {
    let start_up = row.with_start_up.iter().map(|(percent, verdict)| {
        let by = f64::from(*percent) / 100.0;
        (by.to_string(), verdict.map(|verdict| verdict.to_string()))
    });
    Difference {
        policy: &row.policy,
        figure: row.metric.to_string(),
        baseline: number(Some(row.was)),
        value: number(Some(row.is)),
        difference: change(row.difference()),
        low: change(row.interval.map(|interval| interval.low)),
        high: change(row.interval.map(|interval| interval.high)),
        verdict: row.verdict.to_string(),
        start_up: start_up.collect(),
        seeds: row
            .seeds
            .iter()
            .map(|pair| [pair.baseline, pair.other].map(|figure| number(Some(figure))))
            .collect(),
    }
}

/// A difference; one that is infinite is the word for it.
fn change(difference: Option<f64>) -> Value {
    match difference {
        Some(f64::INFINITY) => Value::from("infinite"),
        Some(f64::NEG_INFINITY) => Value::from("-infinite"),
        difference => number(difference),
    }
}
