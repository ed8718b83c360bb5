//! Threads that fight for slots: never more than there are, and nobody forgotten.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use dormouse_link::frame::{Entry, Pod as Listed};
use dormouse_metrics::registry::Registry;
use dormouse_policy::admission::Amount;
use dormouse_policy::burst::StartUps;
use dormouse_policy::function::{FunctionName, Probe};

use super::*;
use crate::control::table::Table;

const THREADS: usize = 4;
const REQUESTS: usize = 10_000;
const PODS: usize = 2;
const LIMIT: u32 = 1;

/// Long past what any scheduler keeps a thread waiting: whoever waits so long was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

fn function(common: &Arc<CommonBound>) -> Arc<Function> {
    let pod = |number| Listed { name: format!("pod-{number}"), addresses: vec![], ready: true };
    let entry = Entry {
        function: FunctionName::new("default", "narrow"),
        endpoints: vec![],
        pods: (0..PODS).map(pod).collect(),
        probe: Probe::Reported,
        queue_depth: 1_000,
        container_concurrency: LIMIT,
        queue_timeout_ms: 1_000,
        request_timeout_ms: 1_000,
        pressure: None,
        start_ups: StartUps::default(),
        gaps: Default::default(),
        failure: None,
    };
    let mut table = Table::new(Arc::default(), Arc::clone(common), 1);
    table.update(&entry, 0, &Registry::new(1));
    Arc::clone(table.function(&entry.function).unwrap())
}

/// As a worker does it: enter, wait if need be.
async fn slot(limited: &Arc<Limited>, function: &Arc<Function>) -> Slot {
    let view = function.view.load_full();
    let limit = view.limit.unwrap();
    let granted = match limited.enter(function, &view, limit, Came::Anew, 0, || 1) {
        Entered::Forward(grant) => grant,
        Entered::Shed(full) => panic!("{full:?}"),
        Entered::Hold { outcome, .. } => {
            let told = tokio::time::timeout(FORGOTTEN, outcome).await;
            match told.expect("nobody is forgotten").unwrap() {
                Outcome::Released(grant) => grant,
                other => panic!("{other:?}"),
            }
        }
    };
    match granted {
        Grant::Slot(slot) => slot,
        Grant::Any => panic!("there is a limit"),
    }
}

#[test]
fn threads_never_hold_more_slots_than_there_are_and_none_waits_for_ever() {
    let common = Arc::new(CommonBound::new(Amount { requests: 1_000, bytes: 10_000 }));
    let limited = Arc::new(Limited::new(Arc::clone(&common)));
    let function = function(&common);
    let held: [AtomicU32; PODS] = Default::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (limited, function, held) = (&limited, &function, &held);
            scope.spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_time().build().unwrap().block_on(async {
                    for request in 0..REQUESTS {
                        let slot = slot(limited, function).await;
                        let pod = usize::from(slot.pod.name == "pod-1");
                        let before = held[pod].fetch_add(1, Ordering::SeqCst);
                        assert!(before < LIMIT, "above the limit");
                        if (request + thread) % 3 == 0 {
                            // Give the others a chance to come in vain.
                            std::thread::yield_now();
                        }
                        held[pod].fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            });
        }
    });
    assert_eq!((common.taken(), limited.held_in_all()), (Amount::default(), 0));
    assert!(function.view.load().pods.iter().all(|pod| pod.is_empty()));
}

#[test]
fn a_slot_told_to_nobody_goes_on_to_the_next() {
    let common = Arc::new(CommonBound::new(Amount { requests: 1_000, bytes: 10_000 }));
    let limited = Arc::new(Limited::new(Arc::clone(&common)));
    let function = function(&common);
    let view = function.view.load_full();
    let enter = || limited.enter(&function, &view, view.limit.unwrap(), Came::Anew, 0, || 1);
    let [Entered::Forward(first), Entered::Forward(_second)] = [enter(), enter()] else {
        panic!("a slot at each pod")
    };
    let mut waiting = Vec::new();
    for _ in 0..900 {
        let Entered::Hold { outcome, .. } = enter() else { panic!("no slot is left") };
        waiting.push(outcome);
    }
    let mut last = waiting.pop().unwrap();
    // Their clients left in the very moment.
    drop(waiting);
    drop(first);
    assert!(matches!(last.try_recv(), Ok(Outcome::Released(Grant::Slot(_)))));
}
