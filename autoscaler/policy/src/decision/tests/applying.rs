//! From load to replicas: bounds, reachability, and the way to zero.

use super::*;
use crate::settings::ScaleToZero;

const ACTIVE: Phase = Phase::Active { since_us: 0 };

/// Long active, without load, with that many replicas, all ready.
fn quiet(scaling: Scaling, replicas: u32) -> Inputs {
    Inputs { phase: ACTIVE, ..inputs(scaling, replicas, 0.0, 0.0) }
}

fn idle(scaling: Scaling, for_s: u64) -> Inputs {
    Inputs { phase: idle_for(for_s), ..quiet(scaling, 1) }
}

fn idle_for(for_s: u64) -> Phase {
    Phase::Idle { since_us: (1_000 - for_s) * SECOND_US }
}

#[test]
fn a_function_that_may_not_sleep_keeps_one_pod() {
    let awake = Scaling { scale_to_zero: ScaleToZero::Refused, ..scaling() };
    check(quiet(awake, 1), &["0 → 1 by enable-scale-to-zero false"], 1);
}

#[test]
fn what_is_idle_is_kept_for_its_retention() {
    let kept = || Scaling { scale_to_zero_retention_us: 40 * SECOND_US, ..scaling() };
    let first = decide(quiet(kept(), 1));
    assert_eq!(rules(&first), ["0 → 1 by retention (idle for 0 of 40 s)"]);
    assert_eq!(first.phase, idle_for(0));
    check(idle(kept(), 39), &["0 → 1 by retention (idle for 39 of 40 s)"], 1);
    check(idle(kept(), 40), &[], 0);
    // Those that are left when the load ends all at once are kept as they are, within the bound.
    let fast = || Scaling { max_scale_down_rate: 100.0, ..kept() };
    check(quiet(fast(), 5), &["0 → 5 by retention (idle for 0 of 40 s)"], 5);
    let bounded = Scaling { max_scale: 2, ..fast() };
    check(quiet(bounded, 5), &["0 → 2 by retention (idle for 0 of 40 s)"], 2);
}

#[test]
fn routers_are_given_grace_to_find_the_activators() {
    let grace = || Scaling { scale_to_zero_grace_us: 30 * SECOND_US, ..scaling() };
    let since = |path_s: u64, idle_s| Inputs {
        path: Path::ProxiedSince((1_000 - path_s) * SECOND_US),
        ..idle(grace(), idle_s)
    };
    check(since(29, 3), &["0 → 1 by grace (29 of 30 s)"], 1);
    check(since(30, 3), &[], 0);
    // Idle for the longer of grace and retention is as good.
    check(since(3, 29), &["0 → 1 by grace (29 of 30 s)"], 1);
    check(since(3, 30), &[], 0);
    check(idle(grace(), 0), &[], 0);
    let direct = Inputs { path: Path::Direct, ..idle(grace(), 900) };
    check(direct, &["0 → 1 by grace (0 of 30 s)"], 1);
}

#[test]
fn what_is_wanted_again_is_active_anew() {
    let loaded = Inputs { phase: idle_for(20), ..inputs(scaling(), 1, 1.0, 1.0) };
    assert_eq!(decide(loaded.clone()).phase, Phase::Active { since_us: 1_000 * SECOND_US });
    let gone = Inputs { ready: 0, ..loaded };
    assert_eq!(decide(gone).phase, Phase::Starting { since_us: 1_000 * SECOND_US });
    let held = Inputs { in_flight: 1, ..idle(scaling(), 20) };
    assert_eq!(decide(held).phase, Phase::Active { since_us: 1_000 * SECOND_US });
}

/// A lost report neither makes a function idle nor begins its idleness anew.
#[test]
fn what_is_not_wholly_known_does_not_change_the_phase() {
    let partly = |inputs: Inputs| {
        let averages = Averages { stable: average(0.0, 59), panic: average(0.0, 6) };
        decide(Inputs { averages: Some(averages), ..inputs }).phase
    };
    assert_eq!(partly(quiet(scaling(), 1)), ACTIVE);
    assert_eq!(partly(idle(scaling(), 20)), idle_for(20));
    assert_eq!(decide(Inputs { averages: None, ..idle(scaling(), 20) }).phase, idle_for(20));
}

#[test]
fn what_nothing_leads_to_keeps_no_floor_and_falls_at_once() {
    let unreachable = |inputs: Inputs| Inputs { reachability: Reachability::Unreachable, ..inputs };
    let floored = Scaling {
        min_scale: 3,
        scale_down_delay_s: 60,
        scale_to_zero_retention_us: 60 * SECOND_US,
        ..scaling()
    };
    let reachable = Inputs { highest: 9, initial: Some(7), ..quiet(floored, 8) };
    check(
        reachable.clone(),
        &["0 → 4 by max-scale-down-rate 2 of 8 ready", "4 → 9 by scale-down-delay 60 s"],
        9,
    );
    check(unreachable(reachable), &[], 0);
}

#[test]
fn a_floor_is_kept_before_a_start_is_waited_for() {
    let floored = Scaling { min_scale: 2, ..scaling() };
    let starting = Inputs {
        ready: 0,
        phase: Phase::Starting { since_us: 990 * SECOND_US },
        ..quiet(floored, 5)
    };
    check(starting, &["0 → 2 by min-scale 2"], 2);
}

#[test]
fn requests_go_straight_to_pods_that_can_bear_a_burst() {
    for (wanted, ready, spare, want) in [
        (1, 1, 0, Route::Serve),
        (3, 2, 500, Route::Serve),
        (1, 1, -1, Route::Proxy),
        (0, 1, 5, Route::Proxy),
        (1, 0, 5, Route::Proxy),
    ] {
        assert_eq!(Route::choose(wanted, ready, spare), want, "{wanted} {ready} {spare}");
    }
    let spare = Scaling { target_burst_capacity: 211.0, ..scaling() };
    assert_eq!(decide(inputs(spare.clone(), 3, 89.0, 89.0)).route(), Route::Serve);
    assert_eq!(decide(inputs(spare.clone(), 3, 89.0, 89.1)).route(), Route::Proxy);
    let unknown = Inputs { averages: None, ..inputs(spare, 9, 0.0, 0.0) };
    assert_eq!(decide(unknown).route(), Route::Proxy);
}

#[test]
fn the_first_excess_burst_capacity_is_that_of_the_initial_scale() {
    for (burst, initial, want) in [(-1.0, 3, -1), (0.0, 3, 0), (211.5, 3, 88), (211.5, 1, -111)] {
        let scaling = Scaling { target_burst_capacity: burst, ..scaling() };
        let start = Inputs { why: Why::Start, initial: Some(initial), ..quiet(scaling, 1) };
        assert_eq!(decide(start).excess_burst_capacity, want);
    }
}
