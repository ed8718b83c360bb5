mod applying;
mod idling;
mod bursts;
mod properties;
mod remembering;
mod restoring;
mod standing;
mod rules;

use super::*;
use crate::settings::{Aggregation, Metric, Paused};

fn scaling() -> Scaling {
    Scaling { target_burst_capacity: -1.0, ..Scaling::default() }
}

fn average(value: f64, known_s: u32) -> Average {
    Average { value, known_s }
}

/// A tick of a long active function that knows its whole windows.
fn inputs(scaling: Scaling, ready: u32, stable: f64, panic: f64) -> Inputs {
    Inputs {
        now_us: 1_000 * SECOND_US,
        why: Why::Tick,
        ready,
        replicas: ready,
        reachability: Reachability::Reachable,
        path: Path::Proxied,
        in_flight: 0,
        lost_in_flight: 0,
        held: 0,
        refused: 0,
        arriving_rps: 0.0,
        start_up_us: None,
        keep: None,
        averages: Some(Averages {
            stable: average(stable, scaling.stable_window_s),
            panic: average(panic, scaling.panic_window_s),
        }),
        missing: Missing::Unknown,
        panic: None,
        highest: 0,
        phase: Phase::Active { since_us: 0 },
        initial: None,
        idle: None,
        scaling: Arc::new(scaling),
    }
}

fn decide(inputs: Inputs) -> Decision {
    conclude::conclude(inputs).decision
}

fn rules(decision: &Decision) -> Vec<String> {
    decision.reasons.iter().map(ToString::to_string).collect()
}

#[test]
fn golden_vectors_of_the_defaults() {
    let spare = Scaling { target_burst_capacity: 211.0, ..scaling() };
    let one_at_a_time = Scaling { target: 0.7, total: 1.0, ..spare.clone() };
    for (scaling, ready, stable, panic, desired, burst, panicking) in [
        (&spare, 0, 1.0, 1.0, 1, -212, false),
        (&spare, 0, 70.0, 70.0, 1, -281, false),
        (&spare, 0, 71.0, 71.0, 2, -282, true),
        (&spare, 1, 140.0, 140.0, 2, -251, true),
        (&spare, 1, 70.0, 210.0, 3, -321, true),
        (&spare, 2, 150.0, 150.0, 3, -161, false),
        (&spare, 3, 89.0, 89.0, 2, 0, false),
        (&spare, 3, 90.0, 90.0, 2, -1, false),
        (&spare, 10, 10.0, 10.0, 5, 779, false),
        (&spare, 50, 10.0, 10.0, 25, 4779, false),
        (&spare, 10, 600.0, 1390.0, 20, -601, true),
        (&one_at_a_time, 0, 1.0, 1.0, 2, -212, true),
        (&one_at_a_time, 1, 0.5, 0.5, 1, -211, false),
        (&one_at_a_time, 3, 2.0, 2.0, 3, -210, false),
        (&one_at_a_time, 3, 2.1, 2.1, 4, -211, false),
    ] {
        let decision = decide(inputs(scaling.clone(), ready, stable, panic));
        let have = (decision.unbounded, decision.excess_burst_capacity, decision.panic.is_some());
        assert_eq!(have, (desired, burst, panicking), "{decision}");
    }
}

#[test]
fn panic_does_not_fall_and_ends_a_stable_window_after_its_last_cause() {
    let scaling = Scaling {
        target: 1.0,
        total: 4.0 / 3.0,
        target_burst_capacity: 98.0,
        max_scale_up_rate: 10.0,
        max_scale_down_rate: 10.0,
        ..scaling()
    };
    let mut panic = None;
    for (at_s, ready, stable, panicked, desired, burst, panicking) in [
        (0, 10, 11.0, 25.0, 25, -110, true),
        (30, 40, 30.0, 41.0, 41, -86, true),
        (62, 55, 50.0, 56.0, 50, -81, false),
    ] {
        let decision = decide(Inputs {
            now_us: at_s * SECOND_US,
            panic,
            ..inputs(scaling.clone(), ready, stable, panicked)
        });
        panic = decision.panic;
        let have = (decision.unbounded, decision.excess_burst_capacity, panic.is_some());
        assert_eq!(have, (desired, burst, panicking), "{decision}");
    }
}

fn check(inputs: Inputs, want: &[&str], desired: u32) {
    let decision = decide(inputs);
    assert_eq!(rules(&decision), want);
    assert_eq!(decision.desired, desired, "{decision}");
}

#[test]
fn each_rule_of_load_says_what_it_did() {
    let idle = inputs(scaling(), 8, 0.0, 0.0);
    check(idle, &["0 → 4 by max-scale-down-rate 2 of 8 ready"], 4);
    let slow = Scaling { max_scale_up_rate: 1.5, ..scaling() };
    let loaded = inputs(slow, 2, 700.0, 0.0);
    check(loaded, &["10 → 3 by max-scale-up-rate 1.5 of 2 ready"], 3);
    let three = Scaling { activation_scale: 3, ..scaling() };
    check(inputs(three, 2, 1.0, 1.0), &["1 → 3 by activation-scale 3"], 3);
    let burst = inputs(scaling(), 1, 140.0, 350.0);
    check(burst, &["2 → 5 by panic (wants 5, highest 5)"], 5);
    let delayed = Scaling { scale_down_delay_s: 30, ..scaling() };
    let falling = Inputs { highest: 4, ..inputs(delayed, 2, 70.0, 70.0) };
    check(falling, &["1 → 4 by scale-down-delay 30 s"], 4);
    let min = Scaling { min_scale: 3, ..scaling() };
    check(inputs(min, 2, 70.0, 70.0), &["1 → 3 by min-scale 3"], 3);
    let max = Scaling { max_scale: 3, ..scaling() };
    check(inputs(max, 4, 700.0, 0.0), &["10 → 3 by max-scale 3"], 3);
}

#[test]
fn paused_leaves_replicas_as_they_are() {
    let paused = || Scaling { paused: Paused::Yes, min_scale: 2, max_scale: 3, ..scaling() };
    check(inputs(paused(), 5, 700.0, 0.0), &["10 → 3 by max-scale 3", "3 → 5 by paused"], 5);
    let idle = decide(inputs(paused(), 1, 0.0, 0.0));
    assert_eq!(idle.outcome, Outcome::Keep, "{idle}");
    let wake = Inputs { why: Why::Wake, ready: 0, replicas: 0, ..inputs(paused(), 0, 0.0, 0.0) };
    check(wake, &["0 → 1 by wake", "1 → 2 by min-scale 2", "2 → 0 by paused"], 0);
    let start = Inputs { why: Why::Start, ..inputs(paused(), 7, 0.0, 0.0) };
    assert_eq!(decide(start).outcome, Outcome::Keep);
}

#[test]
fn what_another_writer_asked_for_is_respected() {
    let kept = |keep, inputs: Inputs| Inputs { keep: Some(keep), ..inputs };
    let bounded = || Scaling { max_scale: 3, ..scaling() };
    let zero = kept(Keep::Zero, inputs(bounded(), 2, 140.0, 140.0));
    check(zero, &["2 → 0 by another writer, who set it to 0"], 0);
    let wake = Inputs { why: Why::Wake, replicas: 0, ..inputs(scaling(), 0, 0.0, 0.0) };
    check(
        kept(Keep::Zero, wake),
        &["0 → 1 by wake", "1 → 0 by another writer, who set it to 0"],
        0,
    );
    let five = kept(Keep::SetByOther(5), inputs(bounded(), 2, 700.0, 140.0));
    check(five, &["10 → 3 by max-scale 3", "3 → 5 by another writer, who set it to 5"], 5);
    check(kept(Keep::SetByOther(2), inputs(scaling(), 3, 210.0, 210.0)), &[], 3);
    let rollout = kept(Keep::Rollout(2), inputs(scaling(), 2, 70.0, 70.0));
    check(rollout, &["1 → 2 by rollout of 2 under way"], 2);
}

#[test]
fn each_rule_that_keeps_replicas_says_so() {
    let idle = || inputs(scaling(), 1, 0.0, 0.0);
    let partial = Averages { stable: average(70.0, 59), panic: average(70.0, 6) };
    let partial = Inputs { averages: Some(partial), ..inputs(scaling(), 2, 0.0, 0.0) };
    check(partial, &["1 → 2 by coverage (59 of 60 s known)"], 2);
    let open = Inputs { in_flight: 2, held: 1, ..idle() };
    check(open, &["0 → 1 by open requests (2 in flight, 1 held)"], 1);
    let wake = Inputs { why: Why::Wake, ready: 0, replicas: 0, ..idle() };
    check(wake, &["0 → 1 by wake"], 1);
    let fresh = Inputs { initial: Some(4), ..idle() };
    check(fresh, &["0 → 4 by initial-scale 4"], 4);
    let phase = Phase::Starting { since_us: 990 * SECOND_US };
    let starting = Inputs { ready: 0, replicas: 2, phase, ..idle() };
    check(starting, &["0 → 2 by start-up (for 10 of 630 s)"], 2);
    let phase = Phase::Active { since_us: 950 * SECOND_US };
    let active = Inputs { replicas: 2, phase, ..idle() };
    check(active, &["0 → 1 by active for 50 of 60 s"], 1);
}

#[test]
fn zero_needs_a_silent_and_wholly_known_window() {
    let idle = || inputs(scaling(), 1, 0.0, 0.0);
    assert_eq!(decide(idle()).outcome, Outcome::ScaleTo(0));
    for kept in [
        inputs(scaling(), 1, 0.000_001, 0.0),
        Inputs {
            averages: Some(Averages { stable: average(0.0, 59), ..Averages::default() }),
            ..idle()
        },
        Inputs { in_flight: 1, ..idle() },
        Inputs { phase: Phase::Active { since_us: 940 * SECOND_US + 1 }, ..idle() },
        Inputs { phase: Phase::Starting { since_us: 370 * SECOND_US + 1 }, ready: 0, ..idle() },
    ] {
        assert_eq!(decide(kept).outcome, Outcome::Keep);
    }
    // Given up: it had no load and was never ready.
    let given_up =
        Inputs { phase: Phase::Starting { since_us: 370 * SECOND_US }, ready: 0, ..idle() };
    assert_eq!(decide(given_up).outcome, Outcome::ScaleTo(0));
    let unknown = Inputs { averages: None, ..idle() };
    assert_eq!(decide(unknown).outcome, Outcome::NoData);
}

#[test]
fn what_lost_reporters_had_in_flight_keeps_the_pods_it_needs() {
    let rps = Scaling { metric: Metric::Rps, ..scaling() };
    for (scaling, want, why) in [
        (scaling(), 8, "1 → 8 by 500 requests in flight at lost activators"),
        (rps, 1, "0 → 1 by open requests (500 in flight, 0 held)"),
    ] {
        let lost = Inputs { in_flight: 500, lost_in_flight: 500, ..inputs(scaling, 1, 0.0, 0.0) };
        let decision = decide(lost);
        assert_eq!(decision.desired, want);
        assert_eq!(rules(&decision).last().map(String::as_str), Some(why));
    }
}

#[test]
fn a_decision_is_one_line() {
    let decision = decide(inputs(Scaling { max_scale: 3, ..scaling() }, 2, 250.5, 90.0));
    assert_eq!(
        decision.to_string(),
        "tick: scale to 3; 4 → 3 by max-scale 3; concurrency 250.5 (60/60 s) ÷ 70 = 4, \
         panic 90 (6/6 s), 2 of 2 ready"
    );
    let decision = decide(Inputs { averages: None, ..inputs(scaling(), 2, 0.0, 0.0) });
    assert_eq!(
        decision.to_string(),
        "tick: keep 2; 0 → 2 by coverage (0 of 60 s known); nothing known of the load, 2 of 2 ready"
    );
}
