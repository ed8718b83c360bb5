//! Features of the machine, one by one; every order of events is in `schedules`.

use std::sync::Arc;

use super::{Admission, Amount, Arrival, Bound, CommonBound, Full, Measure, Scope, Slots, Ticket};

mod schedules;

/// Bytes that no bound of these tests minds.
const SMALL: u64 = 1;

fn bound(requests: u64, bytes: u64) -> Arc<Bound> {
    Arc::new(Bound::new(Amount { requests, bytes }))
}

fn common(requests: u64, bytes: u64, functions: u64) -> Arc<CommonBound> {
    let common = CommonBound::new(Amount { requests, bytes });
    common.set_functions(functions);
    Arc::new(common)
}

fn machine(common: &Arc<CommonBound>) -> Admission<u32> {
    Admission::new(Arc::clone(common))
}

/// An arrival that finds no pod.
fn waits(
    machine: &mut Admission<u32>,
    function: u32,
    bound: &Arc<Bound>,
    bytes: u64,
) -> Arrival<()> {
    machine.arrive(function, bound, 5, || bytes, || None)
}

#[track_caller]
fn held<G>(arrival: Arrival<G>) -> Ticket {
    match arrival {
        Arrival::Hold(ticket) => ticket,
        Arrival::Forward(_) => panic!("forwarded"),
        Arrival::Shed(full) => panic!("shed: {full:?}"),
    }
}

#[test]
fn forwards_with_a_grant_and_holds_behind_those_already_held() {
    let mut machine = machine(&common(10, 10, 1));
    let bound = bound(10, 10);
    assert_eq!(machine.arrive(1, &bound, 5, || SMALL, || Some('a')), Arrival::Forward('a'));
    let first = held(waits(&mut machine, 1, &bound, SMALL));
    let asks = || -> Option<()> { panic!("nobody may pass the one that came before") };
    let second = held(machine.arrive(1, &bound, 5, || SMALL, asks));
    assert_eq!(machine.release(1, || None::<()>), None);
    assert_eq!(machine.release(1, || Some('b')), Some((first, 'b')));
    assert_eq!(machine.release(1, || Some('c')), Some((second, 'c')));
    let asks = || -> Option<()> { panic!("nobody waits for it") };
    assert_eq!(machine.release(1, asks), None);
}

#[test]
fn each_bound_sheds_and_names_itself_and_a_shed_request_takes_no_place() {
    use Measure::{Bytes, Requests};
    use Scope::{All, Function};
    for (own, all, bytes, full) in [
        ((2, 100), (9, 100), 1, Full { scope: Function, measure: Requests }),
        ((9, 20), (9, 100), 10, Full { scope: Function, measure: Bytes }),
        ((9, 100), (2, 100), 1, Full { scope: All, measure: Requests }),
        ((9, 100), (9, 20), 10, Full { scope: All, measure: Bytes }),
    ] {
        let (own, all) = (bound(own.0, own.1), common(all.0, all.1, 1));
        let mut machine = machine(&all);
        let first = held(waits(&mut machine, 1, &own, bytes));
        held(waits(&mut machine, 1, &own, bytes));
        assert_eq!(waits(&mut machine, 1, &own, bytes), Arrival::Shed(full));
        let taken = Amount { requests: 2, bytes: 2 * bytes };
        assert_eq!((own.taken(), all.taken()), (taken, taken), "{full:?}");
        assert!(machine.cancel(1, first));
        held(waits(&mut machine, 1, &own, bytes));
    }
}

#[test]
fn a_greedy_function_leaves_the_others_their_shares() {
    for (functions, requests, bytes, greedy_max) in
        [(1, 1, 64, 800), (2, 1, 64, 750), (11, 1, 64, 709), (2, 100, 1, 750), (1_000, 1, 64, 700)]
    {
        let all = common(800 * requests, 800 * bytes, functions);
        let mut machine = machine(&all);
        let (own, other) = (bound(u64::MAX, u64::MAX), bound(u64::MAX, u64::MAX));
        let mut greedy = 0;
        while matches!(waits(&mut machine, 1, &own, bytes), Arrival::Hold(_)) {
            greedy += 1;
        }
        assert_eq!(greedy, greedy_max, "of {functions} functions");
        let mut share = 0;
        while matches!(waits(&mut machine, 2, &other, bytes), Arrival::Hold(_)) {
            share += 1;
        }
        if functions > 1 {
            let least = all.share().requests.min(all.share().bytes / bytes);
            assert!(share >= least.max(1), "{share} of {functions} functions");
        }
    }
}

#[test]
fn a_changed_limit_sheds_new_ones_and_keeps_the_old() {
    let all = common(10, 100, 1);
    let mut machine = machine(&all);
    let own = bound(3, 100);
    let tickets: Vec<_> = (0..3).map(|_| held(waits(&mut machine, 1, &own, SMALL))).collect();
    own.set_limit(Amount { requests: 1, bytes: 100 });
    assert!(matches!(waits(&mut machine, 1, &own, SMALL), Arrival::Shed(_)));
    for ticket in tickets {
        assert_eq!(machine.release(1, || Some(())), Some((ticket, ())));
    }
    held(waits(&mut machine, 1, &own, SMALL));
}

#[test]
fn expires_by_deadline_across_functions() {
    let mut machine = machine(&common(10, 10, 2));
    let own = bound(10, 10);
    for (function, deadline_us) in [(1, 30), (2, 10)] {
        held(machine.arrive(function, &own, deadline_us, || SMALL, || None::<()>));
    }
    assert_eq!(machine.next_deadline_us(), Some(10));
    assert_eq!(machine.expire(9), None);
    assert_eq!(machine.expire(10).map(|(function, _)| function), Some(2));
    assert_eq!(machine.expire(29), None);
    assert_eq!(machine.held_in_all(), 1);
}

#[test]
fn an_undelivered_request_returns_to_its_old_place_whatever_the_bounds() {
    let mut machine = machine(&common(2, 2, 1));
    let own = bound(2, 2);
    let first = held(waits(&mut machine, 1, &own, SMALL));
    held(waits(&mut machine, 1, &own, SMALL));
    machine.release(1, || Some(())).unwrap();
    held(waits(&mut machine, 1, &own, SMALL));
    assert_eq!(machine.hold_again(1, &own, Some(first), 1, SMALL), first);
    assert_eq!(own.taken(), Amount { requests: 3, bytes: 3 });
    assert_eq!(machine.release(1, || Some(())), Some((first, ())));
}

#[test]
fn slots_end_at_their_limit() {
    let slots = Slots::default();
    assert!(slots.try_take(2) && slots.try_take(2) && !slots.try_take(2));
    assert!(slots.try_take(3), "the limit is whatever holds now");
    slots.give_back();
    assert!(!slots.try_take(1), "and a lowered one is waited for");
    assert_eq!(slots.taken(), 2);
}
