//! Sleeping by what was learnt of idle times.

use dormouse_policy::decision::Rule;
use dormouse_sim::world::{Kill, SECOND_NS, Setup, Ticking};

use crate::kit::*;

const COST: (&str, &str) = ("dormouse.dev/idle-cost", "100");

/// A request every five minutes for five hours, of which the last two are scored.
fn regular(annotations: &[(&str, &str)]) -> Setup {
    let times = At((1..60).map(|number| number * 300 * SECOND_NS).collect());
    let mut setup = setup(vec![function("regular", annotations, times)], 18_000);
    setup.cuts_ns = vec![10_800 * SECOND_NS];
    setup
}

#[test]
fn a_regular_gap_is_slept_through_and_a_pod_is_there_at_its_end() {
    let by_load = score(&regular(&[]), 1);
    assert_eq!(by_load.waited.total(), by_load.arrived);
    let card = card(&regular(&[COST]), 1);
    let planned = card.functions[0].from(0);
    assert_eq!((planned.waited.total(), planned.cold_starts), (0, 0));
    assert!(planned.pre_warms >= planned.arrived - 1);
    assert!(planned.pod_ns < by_load.pod_ns, "{} < {}", planned.pod_ns, by_load.pod_ns);
    let named = card.log.iter().filter(|logged| {
        logged.decision.reasons.iter().any(|reason| matches!(reason.rule, Rule::IdleCost(_)))
    });
    assert!(named.count() as u64 >= 2 * (planned.arrived - 1), "each change says why");
    for logged in &card.log {
        assert_eq!(logged.decision.replay(), logged.decision);
    }
}

#[test]
fn who_sleeps_needs_no_ticks_to_be_woken_in_time() {
    let awake = card(&regular(&[COST]), 1);
    let mut setup = regular(&[COST]);
    setup.ticking = Ticking::Always;
    let always = card(&setup, 1);
    assert_eq!(awake, always);
}

#[test]
fn a_new_leader_goes_on_with_what_the_last_one_learnt() {
    let mut setup = regular(&[COST]);
    setup.world.faults = vec![dormouse_sim::world::Fault {
        at_ns: 10_900 * SECOND_NS,
        kill: Kill::Leader,
        for_ns: 8 * SECOND_NS,
    }];
    let score = score(&setup, 1);
    assert!(score.waited.total() <= 1, "{:?}", score.waited);
}

#[test]
fn a_function_that_is_never_asked_for_again_is_left_asleep() {
    let mut setup = setup(vec![function("once", &[COST], At(vec![SECOND_NS]))], 40_000);
    setup.cuts_ns = vec![20_000 * SECOND_NS];
    let score = score(&setup, 1);
    assert_eq!((score.pre_warms, score.pod_ns), (0, 0));
}
