//! The modes of `dormouse.dev/burst`.

use super::*;
use crate::settings::Burst;

/// 40 open requests, 5 refused, 30 a second arriving, of a function at zero.
fn burst(burst: Burst, start_up_us: Option<u64>) -> Inputs {
    Inputs {
        why: Why::Wake,
        ready: 0,
        replicas: 0,
        in_flight: 40,
        held: 40,
        refused: 5,
        arriving_rps: 30.0,
        start_up_us,
        averages: None,
        phase: Phase::Waking { since_us: 0 },
        ..inputs(Scaling { target: 7.0, burst, ..scaling() }, 0, 0.0, 0.0)
    }
}

#[test]
fn a_wake_is_sized_by_what_waits() {
    check(
        burst(Burst::Kpa, Some(2_500_000)),
        &["0 → 1 by open requests (40 in flight, 40 held)"],
        1,
    );
    let open = "0 → 1 by open requests (40 in flight, 40 held)";
    let queue = burst(Burst::Queue, Some(2_500_000));
    check(queue, &[open, "1 → 7 by burst (40 open, 5 refused, 0 to come)"], 7);
    let start_up = burst(Burst::StartUp, Some(2_500_000));
    check(start_up, &[open, "1 → 18 by burst (40 open, 5 refused, 75 to come)"], 18);
    let not_learnt = burst(Burst::StartUp, None);
    check(not_learnt, &[open, "1 → 7 by burst (40 open, 5 refused, 0 to come)"], 7);
}

#[test]
fn an_early_decision_keeps_what_a_tick_would_lower() {
    let at = |why| {
        let scaling = Scaling { burst: Burst::Queue, max_scale: 4, ..scaling() };
        Inputs { why, replicas: 6, ..inputs(scaling, 6, 70.0, 70.0) }
    };
    check(at(Why::Tick), &["1 → 3 by max-scale-down-rate 2 of 6 ready"], 3);
    let kept = [
        "1 → 3 by max-scale-down-rate 2 of 6 ready",
        "3 → 6 by pressure, which only raises, with 6 asked for",
    ];
    check(at(Why::Pressure), &kept, 6);
}

#[test]
fn pods_on_their_way_are_capacity_where_their_start_up_is_reckoned_with() {
    let panics = |burst| {
        let inputs = inputs(Scaling { burst, ..scaling() }, 1, 140.0, 350.0);
        decide(Inputs { replicas: 5, ..inputs }).panic.is_some()
    };
    assert!(panics(Burst::Kpa));
    assert!(panics(Burst::Queue));
    assert!(!panics(Burst::StartUp));
}

#[test]
fn a_burst_in_json() {
    let decision = decide(burst(Burst::Queue, None));
    let json = serde_json::to_value(decision.reasons[1]).unwrap();
    let want = serde_json::json!({
        "rule": "burst", "inputs": { "open": 40, "refused": 5, "to_come": 0.0 },
        "before": 1, "after": 7
    });
    assert_eq!(json, want);
    assert_eq!(decision.replay(), decision);
}
