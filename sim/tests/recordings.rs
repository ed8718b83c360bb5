//! The recorded runs of Knative's pod autoscaler: every step comes out the same, whenever it was,
//! and what was recorded otherwise is seen.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::io::Read;

use dormouse_sim::recording::{Case, Recording};
use dormouse_sim::verify::{Mismatch, Tally, replay};
use serde_json::{Value, json};

const RECORDINGS: &str = include_str!("../../autoscaler/policy/testdata/kpa.jsonl");

fn cases() -> Vec<Value> {
    RECORDINGS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(text: impl Read) -> Vec<Case> {
    Recording::new("recording", text).unwrap().collect::<Result<_, _>>().unwrap()
}

fn verify(cases: &[Value]) -> (Tally, Vec<Mismatch>) {
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    let text = lines.join("\n");
    let mut tally = Tally::default();
    let mut mismatches = Vec::new();
    let recording = Recording::new("recording", text.as_bytes()).unwrap();
    tally.add(recording, |mismatch| mismatches.push(mismatch.clone())).unwrap();
    (tally, mismatches)
}

#[track_caller]
fn agrees(cases: &[Value]) {
    let (tally, mismatches) = verify(cases);
    assert!(mismatches.is_empty(), "{tally}, first: {}", mismatches[0]);
    assert_eq!(tally.cases, cases.len() as u64);
}

fn shift(case: &mut Value, by_s: u64) {
    let later = |time: &mut Value| *time = json!(time.as_u64().unwrap() + by_s);
    for step in case["steps"].as_array_mut().unwrap() {
        later(&mut step["t"]);
        step["samples"].as_array_mut().unwrap().iter_mut().for_each(|pair| later(&mut pair[0]));
    }
}

#[test]
fn every_recorded_step_comes_out_the_same() {
    let mut tally = Tally::default();
    let recording = Recording::new("kpa.jsonl", RECORDINGS.as_bytes()).unwrap();
    tally.add(recording, |mismatch| panic!("{mismatch}")).unwrap();
    assert_eq!(tally.to_string(), "verified 150 cases, 18350 steps, 0 mismatches");
}

#[test]
fn every_decision_can_be_made_again() {
    for case in read(RECORDINGS.as_bytes()) {
        for (step, decision) in replay(&case) {
            assert_eq!(decision.replay(), decision, "case {}, t {}", case.id, step.t);
        }
    }
}

#[test]
fn the_hour_does_not_matter() {
    let mut today = cases();
    today.iter_mut().for_each(|case| shift(case, 1_700_000_000));
    agrees(&today);
}

/// The delay counts ticks of two seconds since the epoch, so that it alone depends on whether the
/// second is odd.
#[test]
fn odd_seconds_do_not_matter_where_nothing_is_delayed() {
    let mut odd = cases();
    odd.retain(|case| case["policy"]["scale_down_delay_s"] == 0);
    assert_eq!(odd.len(), 97);
    odd.iter_mut().for_each(|case| shift(case, 1));
    agrees(&odd);
}

#[test]
fn an_invalid_step_changes_no_state() {
    let mut without = cases();
    let mut left_out = 0;
    for case in &mut without {
        let steps = case["steps"].as_array_mut().unwrap();
        let before = steps.len();
        let first = steps[0].clone();
        steps.retain(|step| step["want"]["valid"] == true || !step["samples"][0].is_null());
        // The scaler starts with its first step.
        if steps.first() != Some(&first) {
            steps.insert(0, first);
        }
        left_out += before - steps.len();
    }
    assert!(left_out > 400, "{left_out}");
    agrees(&without);
    // Whatever else is seen in them does not matter either.
    let mut other = cases();
    for step in other.iter_mut().flat_map(|case| case["steps"].as_array_mut().unwrap()) {
        if step["want"]["valid"] == false {
            step["ready"] = json!(step["ready"].as_u64().unwrap() * 3 + 1);
        }
    }
    agrees(&other);
}

#[test]
fn a_falsified_figure_is_seen_whatever_its_field() {
    let honest = cases();
    let case = &honest[1];
    let (step, at) = (json!(case["steps"][7]), "14");
    assert_eq!((&step["t"], &step["want"]["valid"]), (&json!(14), &json!(true)));
    for (field, false_figure) in [
        ("valid", json!(false)),
        ("stable", json!(step["want"]["stable"].as_f64().unwrap() * 1.000_011 + 0.000_011)),
        ("panic", json!(step["want"]["panic"].as_f64().unwrap() * 1.000_011 + 0.000_011)),
        ("desired", json!(step["want"]["desired"].as_u64().unwrap() + 1)),
        ("excess_burst_capacity", json!(7)),
        ("panicking", json!(!step["want"]["panicking"].as_bool().unwrap())),
        ("replicas", json!(step["want"]["desired"].as_u64().unwrap() + 1)),
        ("known_s", json!(61)),
        ("route", json!("proxy")),
    ] {
        let mut falsified = case.clone();
        falsified["steps"][7]["want"][field] = false_figure.clone();
        let (tally, mismatches) = verify(&[falsified, honest[2].clone()]);
        assert_eq!((tally.cases, tally.mismatches, mismatches.len()), (2, 1, 1), "{field}");
        let Mismatch { case, load, t, field: found, want, got } = &mismatches[0];
        assert_eq!((*case, load.as_str(), t.as_str(), *found), (1, load.as_str(), at, field));
        assert_eq!(*want, false_figure.to_string().trim_matches('"'));
        assert_ne!(want, got);
    }
}

#[test]
fn data_where_none_is_expected_is_seen() {
    let mut case = cases().swap_remove(1);
    case["steps"][0]["samples"] = json!([]);
    let (_, mismatches) = verify(&[case]);
    let first = mismatches[0].to_string();
    assert!(first.ends_with("t 0: valid: want true, got false"), "{first}");
}
