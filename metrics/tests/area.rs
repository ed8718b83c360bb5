//! The area under the concurrency curve against an oracle that keeps every request.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use dormouse_metrics::counters::{Clock, InFlight, Refusal};
use dormouse_metrics::registry::Registry;
use proptest::prelude::*;

/// A clock the test moves.
#[derive(Clone, Default)]
struct TestClock(Rc<Cell<u64>>);

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.get()
    }
}

#[test]
fn one_request_from_1_s_to_4_s_read_at_2_s_and_6_s() {
    let registry = Registry::new(1);
    let writer = registry.writer().unwrap();
    let counters = registry.register("default/hello");
    let clock = TestClock::default();
    clock.0.set(1_000_000);
    let request = writer.begin(&counters, clock.clone());
    assert_eq!(counters.read(2_000_000).unwrap().area_us, 1_000_000);
    clock.0.set(4_000_000);
    drop(request);
    let reading = counters.read(6_000_000).unwrap();
    assert_eq!((reading.area_us, reading.in_flight, reading.started), (3_000_000, 0, 1));
}

#[test]
fn a_guard_gives_back_what_it_took() {
    let registry = Registry::new(1);
    let writer = registry.writer().unwrap();
    assert!(registry.writer().is_none(), "one writer a worker");
    let counters = registry.register("default/hello");
    let request = writer.begin(&counters, TestClock::default());
    let held = request.hold();
    let reading = counters.read(0).unwrap();
    assert_eq!((reading.in_flight, reading.held), (1, 1));
    drop(held);
    assert_eq!(counters.read(0).unwrap().held, 0);
    request.refuse(Refusal::QueueTimeout);
    drop(request);
    let reading = counters.read(0).unwrap();
    assert_eq!(reading.in_flight, 0);
    assert_eq!(reading.refused, Refusal::ALL.map(|r| u64::from(r == Refusal::QueueTimeout)));
}

#[test]
fn registering_twice_is_the_same_function_and_removing_forgets_it() {
    let registry = Registry::new(2);
    let first = registry.register("a/b");
    assert!(Arc::ptr_eq(&first, &registry.register("a/b")));
    registry.remove("a/b");
    assert!(registry.functions().is_empty());
    assert!(!Arc::ptr_eq(&first, &registry.register("a/b")));
}

proptest! {
    /// Whatever the schedule, and wherever the clock starts (also just below its wrap), the area
    /// between two readings is the sum of the overlaps of all requests with the interval.
    #[test]
    fn area_equals_the_sum_of_overlaps(
        base in prop_oneof![Just(0u64), Just(u64::MAX - 5_000), any::<u64>()],
        steps in prop::collection::vec(
            (0u64..1_000, any::<bool>(), any::<prop::sample::Index>()), 1..60,
        ),
    ) {
        let registry = Registry::new(1);
        let writer = registry.writer().unwrap();
        let counters = registry.register("f");
        let clock = TestClock::default();
        let (mut now, mut area) = (0u64, 0u64);
        let mut open: Vec<InFlight<TestClock>> = Vec::new();
        clock.0.set(base);
        let origin = counters.read(base).unwrap().area_us;
        for (wait, begin, which) in steps {
            area += wait * open.len() as u64;
            now += wait;
            clock.0.set(base.wrapping_add(now));
            if begin {
                open.push(writer.begin(&counters, clock.clone()));
            } else if !open.is_empty() {
                drop(open.swap_remove(which.index(open.len())));
            }
            let reading = counters.read(base.wrapping_add(now)).unwrap();
            prop_assert_eq!(reading.area_us.wrapping_sub(origin), area);
            prop_assert_eq!(reading.in_flight, open.len() as u64);
        }
    }
}
