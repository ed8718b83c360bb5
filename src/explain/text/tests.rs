use dormouse_autoscaler::status::{FunctionStatus, State};
use dormouse_policy::decision::{Missing, Observation, Scaler, Why};
use dormouse_policy::function::{FunctionName, WorkloadKind};
use dormouse_policy::readings::{Load, Sample};
use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};

use super::*;

/// Noon of the first day, Unix time in milliseconds.
const NOON_MS: u64 = 12 * 3600 * 1000;

/// Decisions two seconds apart on a function with one pod, under that load each.
fn explained(loads: &[f64]) -> Explanation {
    let none = Annotations::new();
    let settings = parse(&none, &none, &ClusterDefaults::default()).unwrap().settings;
    let mut scaler = Scaler::new(settings.scaling, Missing::Unknown, 1, 1, 0);
    let decisions = (1_u64..).zip(loads).map(|(number, concurrency)| {
        for second in 2 * number - 2..2 * number {
            scaler.record(second, Sample { concurrency: *concurrency, ..Sample::default() });
        }
        let load = Load { settled_s: 2 * number, ..Load::default() };
        let observation = Observation::new(2_000_000 * number, Why::Tick, 1, 1, load);
        let decision = scaler.decide(&observation);
        Kept {
            at_ms: NOON_MS + 2_000 * number,
            line: decision.to_string(),
            reproduced: decision.replay() == decision,
            decision,
        }
    });
    Explanation {
        path: "always".to_owned(),
        decisions: decisions.collect(),
        status: FunctionStatus {
            name: FunctionName::new("default", "hello"),
            kind: WorkloadKind::Deployment,
            state: State::Ready,
            ready: 1,
            desired: 1,
            pods: Vec::new(),
            in_flight: 0,
            held: 0,
            rps: 0.0,
            coverage: 1.0,
            endpoints: Vec::new(),
            failure: None,
            message: None,
            last: None,
        },
    }
}

/// The lines that begin with that word.
fn lines<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().map(str::trim_start).filter(|line| line.starts_with(word)).collect()
}

#[test]
fn a_decision_shows_its_figures_its_rules_and_its_result() {
    let text = render(&explained(&[250.0]), NOON_MS + 5_000);
    let shown: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("12:")).collect();
    let expected = [
        "12:00:02.000Z (3 s ago)  tick",
        "  stable  concurrency 250.00 over 60 s (2 s of it known)",
        "  panic   concurrency 250.00 over 6 s (2 s of it known)",
        "  now     1 of 1 ready, 0 in flight, 0 held, 0 refused",
        "  target  70 per pod, which asks for 4",
    ];
    assert_eq!(shown[..expected.len()], expected, "{text}");
    assert_eq!(shown.last(), Some(&"  result  scale to 4"));
}

#[test]
fn decisions_that_keep_what_there_is_for_the_same_reasons_are_folded() {
    let text = render(&explained(&[1.0, 2.0, 3.0, 250.0, 250.0, 1.0]), NOON_MS + 60_000);
    assert_eq!(lines(&text, "same"), ["same    3 times since 12:00:02.000Z"]);
    assert_eq!(lines(&text, "result").len(), 4, "{text}");
    assert_eq!(lines(&text, "stable")[0], "stable  concurrency 2.00 over 60 s (6 s of it known)");
    let times = lines(&text, "12:");
    assert!(times[0].starts_with("12:00:06") && times[3].starts_with("12:00:12"), "newest last");
}

#[test]
fn a_decision_that_comes_out_otherwise_is_marked_and_stands_by_itself() {
    let mut explanation = explained(&[1.0, 1.0, 1.0]);
    explanation.decisions[1].decision.desired = 7;
    assert_eq!(crate::explain::decide_again(&mut explanation.decisions), 1);
    let text = render(&explanation, NOON_MS);
    assert_eq!(lines(&text, "NOT REPRODUCED").len(), 1);
    assert_eq!(lines(&text, "result").len(), 3);
    assert_eq!(lines(&text, "same").len(), 0);
}

#[test]
fn one_of_whom_nothing_was_decided_says_so() {
    assert!(render(&explained(&[]), NOON_MS).contains("nothing was decided yet"));
}
