//! `dormouse.dev/burst`: how many pods a crowd at a sleeping function wakes, and when.

use std::fs;

use dormouse_tests::http::together;
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up};
use serde_json::Value;

/// Held at once by a function of which one pod takes two.
const CROWD: usize = 12;

/// A function in that mode whose pods listen once the test opens the gate.
fn gated(start: &Start<'_>, burst: &str) -> Function {
    let gate = start.folder().join("gate");
    let program = dormouse_tests::program::fixture();
    let script = format!(
        "until [ -e '{}' ]; do sleep 0.02; done; exec '{}' mirror",
        gate.display(),
        program.display()
    );
    Function::running(burst, "/bin/sh", &["-c", &script])
        .annotated("dormouse.dev/burst", burst)
        .annotated("autoscaling.knative.dev/target", "2")
        .annotated("autoscaling.knative.dev/target-utilization-percentage", "100")
        .annotated("autoscaling.knative.dev/max-scale", "8")
}

/// Holds the crowd until `is_seen`, lets it go, and returns what was decided until then.
fn decisions(up: &Up, name: &str, is_seen: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| together(CROWD, |at| up.get(name, &format!("/{at}"))));
        up.wait_held(name, CROWD as u64);
        let seen = dormouse_tests::wait::until("the decisions", || {
            let explained = up.ask_json(&["explain", name, "--json"]);
            let decisions: Vec<Value> = explained["decisions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|kept| kept["decision"].clone())
                .collect();
            is_seen(&decisions).then_some(decisions)
        });
        fs::write(up.folder().join("gate"), "").unwrap();
        for answer in crowd.join().unwrap() {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        seen
    })
}

fn pressure(decisions: &[Value]) -> Option<&Value> {
    decisions.iter().find(|decision| decision["inputs"]["why"] == "pressure")
}

#[test]
fn a_crowd_wakes_as_many_pods_as_it_needs_without_waiting_for_a_tick() {
    for mode in ["queue", "start-up"] {
        let start = Start::new();
        let function = gated(&start, mode);
        let up = start.functions(&[&function]).up();
        let all = |decisions: &[Value]| decisions.iter().any(|decision| decision["desired"] == 6);
        let decisions = decisions(&up, mode, all);
        let early = pressure(&decisions).expect("a decision between two ticks");
        let rules: Vec<&Value> =
            early["reasons"].as_array().unwrap().iter().map(|reason| &reason["rule"]).collect();
        assert!(rules.contains(&&Value::from("burst")), "{early:#}");
        up.wait(mode, "at its crowd's size", |now| now["ready"] == 6);
    }
}

#[test]
fn in_kpa_mode_a_crowd_wakes_one_and_the_rest_waits_for_the_tick() {
    let start = Start::new();
    let function = gated(&start, "kpa");
    let up = start.functions(&[&function]).up();
    let ticked = |decisions: &[Value]| {
        decisions.iter().any(|it| it["inputs"]["why"] == "tick" && it["inputs"]["held"] == CROWD)
    };
    let decisions = decisions(&up, "kpa", ticked);
    assert_eq!(pressure(&decisions), None);
    let wake = decisions.iter().find(|decision| decision["inputs"]["why"] == "wake").unwrap();
    assert_eq!(wake["desired"], 1);
}
