//! Which functions are counted where: bounds, and when a slot serves another function.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::cell::Cell;

use dormouse_metrics::counts::Reading;
use dormouse_metrics::registry::{Full, Registry};
use dormouse_metrics::times::{IDLE_US, Timed};
use dormouse_metrics::writer::Clock;

/// A clock the test moves.
struct At<'a>(&'a Cell<u64>);

impl Clock for At<'_> {
    fn now_us(&self) -> u64 {
        self.0.get()
    }
}

#[test]
fn a_worker_has_one_writer() {
    let registry = Registry::new(2);
    let writer = registry.writer(1).unwrap();
    assert_eq!(writer.worker(), 1);
    assert!(registry.writer(1).is_none(), "taken");
    assert!(registry.writer(2).is_none(), "no such worker");
    assert!(registry.writer(0).is_some());
}

#[test]
fn registering_twice_is_the_same_function_and_removing_forgets_it() {
    let registry = Registry::new(2);
    let writer = registry.writer(0).unwrap();
    let now_us = Cell::new(0);
    let first = registry.register("a/b").unwrap();
    drop(writer.begin(&first, At(&now_us)));
    assert_eq!(registry.register("a/b").unwrap().read(0).unwrap().started, 1);
    drop(registry.remove("a/b"));
    assert!(registry.functions().is_empty());
    assert!(registry.remove("a/b").is_none());
    assert_eq!(first.read(0), None, "gone is unknown, not zero");
    assert_eq!(registry.loads(0).of(&first), None);
    assert_eq!(registry.register("a/b").unwrap().read(0).unwrap().started, 0);
}

#[test]
fn a_full_registry_says_so_and_harms_nobody() {
    let registry = Registry::bounded(1, 300);
    let known: Vec<_> = (0..300).map(|n| registry.register(&format!("a/{n}")).unwrap()).collect();
    assert_eq!(registry.register("a/300").unwrap_err(), Full { functions_max: 300 });
    assert!(registry.register("a/299").is_ok(), "known ones are still found");
    assert!(known.iter().all(|counters| counters.read(0).is_some()));
    drop(registry.remove("a/7"));
    assert!(registry.register("a/300").is_ok());
}

#[test]
fn a_slot_is_used_again_only_after_everything_ended_and_every_worker_passed() {
    let registry = Registry::bounded(2, 1);
    let writers = [registry.writer(0).unwrap(), registry.writer(1).unwrap()];
    let now_us = Cell::new(5);
    let old = registry.register("a/old").unwrap();
    let request = writers[0].begin(&old, At(&now_us));
    let removed = registry.remove("a/old").unwrap();
    writers[0].quiescent();
    writers[1].quiescent();
    assert!(registry.register("a/new").is_err(), "not given back yet");
    drop(removed);
    assert!(registry.register("a/new").is_err(), "nobody passed since");
    writers[0].quiescent();
    assert!(registry.register("a/new").is_err(), "worker 1 may still begin");
    writers[1].quiescent();
    assert!(registry.register("a/new").is_err(), "a request is in flight");
    drop(request);
    let new = registry.register("a/new").unwrap();
    assert_eq!(new.read(9).unwrap(), Reading { at_us: 9, ..Reading::default() });
    assert_eq!(old.read(9), None);
    drop(writers[1].begin(&new, At(&now_us)));
    assert_eq!(new.read(9).unwrap().started, 1);
}

#[test]
fn a_parked_worker_and_one_that_ended_hold_no_function() {
    let registry = Registry::bounded(2, 1);
    let writers = [registry.writer(0).unwrap(), registry.writer(1).unwrap()];
    let parking = registry.parking(0);
    for round in 0..3 {
        drop(registry.register(&format!("a/{round}")).unwrap());
        drop(registry.remove(&format!("a/{round}")));
        writers[1].quiescent();
        assert!(registry.register("a/next").is_err(), "worker 0 is awake and did not pass");
        parking.park();
        assert!(registry.register("a/next").is_ok());
        drop(registry.remove("a/next"));
        writers[1].quiescent();
        parking.unpark();
    }
    drop(registry.register("a/b").unwrap());
    drop(registry.remove("a/b"));
    drop(writers);
    assert!(registry.register("a/b").is_ok());
}

#[test]
fn what_is_held_or_open_keeps_the_slot_too() {
    let registry = Registry::bounded(1, 1);
    let writer = registry.writer(0).unwrap();
    let clock = std::rc::Rc::new(Cell::new(0));
    #[derive(Clone)]
    struct Shared(std::rc::Rc<Cell<u64>>);
    impl Clock for Shared {
        fn now_us(&self) -> u64 {
            self.0.get()
        }
    }
    let old = registry.register("a/old").unwrap();
    let mut request = writer.begin(&old, Shared(clock));
    let held = request.hold();
    let stream = request.open_stream();
    drop(request);
    drop(registry.remove("a/old"));
    writer.quiescent();
    assert!(registry.register("a/new").is_err());
    drop(held);
    assert!(registry.register("a/new").is_err());
    drop(stream);
    assert!(registry.register("a/new").is_ok());
}

#[test]
fn histograms_come_with_the_first_use_and_go_when_idle() {
    let registry = Registry::bounded(1, 1);
    let writer = registry.writer(0).unwrap();
    let now_us = Cell::new(0);
    let counters = registry.register("a/b").unwrap();
    let answer = |counters| {
        let mut request = writer.begin(counters, At(&now_us));
        now_us.set(now_us.get() + 2_000);
        request.answered(200);
    };
    assert_eq!(counters.times(Timed::Response), None);
    answer(&counters);
    answer(&counters);
    assert_eq!(counters.times(Timed::Response).unwrap().count(), 2);
    assert_eq!(counters.times(Timed::Held), None, "nothing was held");
    now_us.set(now_us.get() + IDLE_US - 1);
    writer.give_up_idle(now_us.get());
    assert_eq!(counters.times(Timed::Response).unwrap().count(), 2);
    now_us.set(now_us.get() + 1);
    writer.give_up_idle(now_us.get());
    assert_eq!(counters.times(Timed::Response), None);
    assert_eq!(counters.read(0).unwrap().started, 2, "counts stay");
    answer(&counters);
    assert_eq!(counters.times(Timed::Response).unwrap().count(), 1);
}

#[test]
fn a_slot_used_again_has_times_of_its_own() {
    let registry = Registry::bounded(1, 1);
    let writer = registry.writer(0).unwrap();
    let now_us = Cell::new(0);
    for round in 0..3 {
        let counters = registry.register(&format!("a/{round}")).unwrap();
        assert_eq!(counters.times(Timed::Response), None);
        let mut request = writer.begin(&counters, At(&now_us));
        now_us.set(now_us.get() + 1_000_000);
        request.answered(200);
        drop(request);
        assert_eq!(counters.times(Timed::Response).unwrap().count(), 1);
        drop(registry.remove(&format!("a/{round}")));
        writer.quiescent();
    }
}
