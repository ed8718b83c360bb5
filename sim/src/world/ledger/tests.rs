use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};

use super::*;
use crate::draw::Distribution;
use crate::world::setup::{Arrivals, Load, Policy, SECOND_NS, StartUp};

const STABLE_NS: u64 = 60 * SECOND_NS;

struct Silence;

impl Load for Silence {
    fn arrivals(&self, _: u64) -> Box<dyn Arrivals + '_> {
        Box::new(Self)
    }
}

impl Arrivals for Silence {
    fn next(&mut self) -> Option<u64> {
        None
    }
}

impl Ledger {
    /// Somebody arrived of whom nothing else is known: a fault that only the account can make.
    pub(in crate::world) fn forget_an_arrival(&mut self) {
        self.now().arrived += 1;
    }
}

/// The account of a function whose pods serve one request at a time, in one part.
fn ledger() -> Ledger {
    let none = Annotations::new();
    let settings = parse(&none, &none, &ClusterDefaults::default()).unwrap().settings;
    let at_once = Distribution::Constant(0);
    let function = Function {
        name: FunctionName::new("default", "api"),
        settings: Arc::new(settings),
        policy: Policy::Kpa,
        replicas: 0,
        load: Arc::new(Silence),
        service: at_once.clone(),
        capacity: Capacity::Slots(NonZeroU32::MIN),
        start_up: StartUp { image: at_once.clone(), boot: at_once.clone(), stop: at_once },
        wait_bounds_ns: Vec::new(),
        latency_bounds_ns: Vec::new(),
    };
    Ledger::new(&function, 1, 20_000_000)
}

fn score(ledger: Ledger, now_s: u64) -> Score {
    ledger.close(now_s * SECOND_NS).remove(0)
}

#[test]
fn a_flap_is_an_increase_past_what_was_lowered_within_a_stable_window() {
    let flaps = |orders: &[(u64, u32, u32)]| {
        let mut ledger = ledger();
        for &(at_s, from, to) in orders {
            match to > from {
                true => ledger.raise(from, to, STABLE_NS, at_s * SECOND_NS),
                false => ledger.lower(from, to, at_s * SECOND_NS),
            }
        }
        score(ledger, 1_000).flaps
    };
    assert_eq!(flaps(&[(100, 5, 2), (160, 2, 6)]), 1);
    assert_eq!(flaps(&[(100, 5, 2), (161, 2, 6)]), 0, "a window has passed");
    assert_eq!(flaps(&[(100, 5, 2), (110, 2, 5)]), 0, "not past the earlier figure");
    assert_eq!(flaps(&[(100, 5, 2), (110, 2, 5), (120, 5, 6)]), 1, "in two steps");
    assert_eq!(flaps(&[(100, 5, 2), (110, 2, 6), (120, 6, 7)]), 1, "regretted once");
    assert_eq!(flaps(&[(100, 5, 4), (110, 4, 3), (120, 3, 5)]), 1, "the last decrease counts");
    assert_eq!(flaps(&[(100, 1, 5), (110, 5, 9)]), 0, "nothing was lowered");
}

#[test]
fn overshoot_is_what_a_scale_up_had_beyond_its_need() {
    let mut ledger = ledger();
    let at = |s: u64| s * SECOND_NS;
    ledger.enter(at(1));
    ledger.enter(at(1));
    ledger.raise(0, 3, STABLE_NS, at(1));
    ledger.set_ready(3, at(3));
    // The most of both counts, whenever it was: three ready, four needed.
    ledger.enter(at(4));
    ledger.enter(at(4));
    ledger.raise(3, 10, STABLE_NS, at(4));
    ledger.set_ready(10, at(6));
    ledger.lower(10, 1, at(60));
    ledger.set_ready(1, at(61));
    // What is ready before anything is raised is no overshoot.
    ledger.set_ready(50, at(62));
    let overshoot = score(ledger, 100).overshoot;
    assert_eq!((overshoot.count, overshoot.ready, overshoot.need), (1, 10, 4));
    assert!((overshoot.share() - 1.5).abs() < 1e-12);
}

#[test]
fn a_scale_up_without_any_need_is_no_overshoot() {
    let mut ledger = ledger();
    ledger.raise(0, 3, STABLE_NS, SECOND_NS);
    ledger.set_ready(3, 2 * SECOND_NS);
    ledger.lower(3, 0, 60 * SECOND_NS);
    assert_eq!(score(ledger, 100).overshoot.count, 0);
}

#[test]
fn a_pre_warm_that_no_request_used_is_wasted_once() {
    let wasted = |uses: bool, to: u32| {
        let mut ledger = ledger();
        ledger.raise(0, 2, STABLE_NS, SECOND_NS);
        if uses {
            ledger.send();
        }
        ledger.lower(2, to, 60 * SECOND_NS);
        let score = score(ledger, 100);
        (score.pre_warms, score.pre_warms_wasted, score.cold_starts)
    };
    assert_eq!(wasted(false, 0), (1, 1, 0));
    assert_eq!(wasted(true, 0), (1, 0, 0));
    assert_eq!(wasted(false, 1), (1, 0, 0), "one of its pods is still there");
}

#[test]
fn a_wake_for_a_held_request_is_a_cold_start_and_never_wasted() {
    let mut ledger = ledger();
    ledger.enter(SECOND_NS);
    ledger.hold(SECOND_NS);
    ledger.raise(0, 1, STABLE_NS, SECOND_NS);
    ledger.lower(1, 0, 60 * SECOND_NS);
    let score = score(ledger, 100);
    assert_eq!((score.pre_warms, score.pre_warms_wasted, score.cold_starts), (0, 0, 1));
}

#[test]
fn what_comes_of_an_order_is_of_the_part_that_it_was_given_in() {
    let mut ledger = ledger();
    ledger.raise(0, 2, STABLE_NS, SECOND_NS);
    ledger.set_ready(2, 2 * SECOND_NS);
    ledger.enter(3 * SECOND_NS);
    ledger.cut(4 * SECOND_NS);
    ledger.lower(2, 0, 60 * SECOND_NS);
    let parts = ledger.close(100 * SECOND_NS);
    let of = |part: &Score| {
        (part.scale_ups, part.overshoot.count, part.pre_warms, part.pre_warms_wasted)
    };
    assert_eq!(parts.iter().map(of).collect::<Vec<_>>(), [(1, 1, 1, 1), (0, 0, 0, 0)]);
    assert_eq!(parts[1].scale_downs, 1);
}

#[test]
fn who_was_not_answered_waited_longer_than_any() {
    let mut ledger = ledger();
    let visit = |sent_ns, cause| Visit { part: 0, arrived_ns: 0, sent_ns, cause };
    let ends = [
        (visit(20_000_000, Cause::AtZero), Fate::Answered),
        (visit(20_000_001, Cause::AtZero), Fate::Answered),
        (visit(0, Cause::AtZero), Fate::TimedOut),
        (visit(0, Cause::Scaling), Fate::Refused),
        (visit(0, Cause::Saturated), Fate::Lost),
    ];
    for (visit, fate) in ends {
        ledger.enter(SECOND_NS);
        ledger.leave(visit, fate, SECOND_NS);
    }
    let score = score(ledger, 1);
    let waited = score.waited;
    assert_eq!((waited.at_zero, waited.scaling, waited.saturated), (2, 1, 1));
    assert_eq!(score.wait.total(), 5);
}
