//! A function with an idle-cost sleeps when its pod is not worth its cost, and says so.

use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up};
use dormouse_tests::wait;
use serde_json::Value;

/// The first reason by a bin of idle-cost for so many replicas, of all that was decided.
fn reason(up: &Up, function: &str, replicas: u64) -> Option<Value> {
    let explained = up.ask_json(&["explain", function, "--json"]);
    let decisions = explained["decisions"].as_array().unwrap();
    let reasons = decisions.iter().filter_map(|kept| kept["decision"]["reasons"].as_array());
    let is_meant = |reason: &&Value| {
        reason["rule"] == "idle-cost"
            && reason["after"] == replicas
            && reason["inputs"]["warm"].is_number()
    };
    reasons.flatten().find(is_meant).cloned()
}

#[test]
fn it_sleeps_by_plan_and_explain_names_the_bin_and_both_costs() {
    // By load alone the one would sleep in an hour, the other one in seconds.
    let cheap = Function::demo("cheap", &[])
        .annotated("dormouse.dev/idle-cost", "0.001")
        .annotated("autoscaling.knative.dev/window", "3600s");
    let dear = Function::demo("dear", &[]).annotated("dormouse.dev/idle-cost", "1000000");
    let plain = Function::demo("plain", &[]);
    let up = Start::new().functions(&[&cheap, &dear, &plain]).up();
    for function in ["cheap", "dear", "plain"] {
        assert_eq!(up.get(function, "/").status, 200);
    }
    up.wait_asleep("cheap");
    up.wait_asleep("plain");
    up.wait("dear", "awake", |now| now["ready"] == 1);

    let slept = reason(&up, "cheap", 0).unwrap();
    let figure = |reason: &Value, name: &str| reason["inputs"][name].as_f64().unwrap();
    assert!(figure(&slept, "warm") > figure(&slept, "cold"), "{slept}");
    assert!(figure(&slept, "from_s") < figure(&slept, "to_s"), "{slept}");
    let kept = wait::until("kept by plan", || reason(&up, "dear", 1));
    assert!(figure(&kept, "warm") < figure(&kept, "cold"), "{kept}");

    let output = up.ask(&["explain", "cheap"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(" → 0 by idle-cost (idle for "));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!([", bin ", " s: warm ", ", cold "].iter().all(|word| line.contains(word)), "{line}");
}
