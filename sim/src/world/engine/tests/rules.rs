//! What is checked after every event: each rule is seen in a world that was made to break it.

use dormouse_policy::admission::{Amount, Arrival, Bound};

use super::*;
use crate::world::activator::Grant;
use crate::world::pod::Phase;

/// What is done to a world behind its back.
type Interference = fn(&mut Sim<'_>);

/// The rule that such a world is seen to break.
fn broken(setup: &Setup, interfere: Interference) -> String {
    begun_of(setup, |sim| {
        assert_eq!(check(sim), Ok(()));
        interfere(sim);
        check(sim).unwrap_err()
    })
}

/// An activator holds so many requests that nothing else knows of.
fn hold(sim: &mut Sim<'_>, count: u32) {
    let activator = &mut sim.activators[0];
    let bound = &activator.views[0].bound;
    for _ in 0..count {
        let held = activator.admission.arrive(0, bound, u64::MAX, || 1, || None::<Grant>);
        assert!(matches!(held, Arrival::Hold(_)), "{held:?}");
    }
}

/// One pod more is on the only node than it has room for.
fn crowd(sim: &mut Sim<'_>) {
    sim.set_replicas(0, 11, &[]);
    let pending = sim.cluster.pending[0];
    sim.pods[pending.at as usize].node = Some(0);
    sim.cluster.nodes[0].1 += 1;
}

#[test]
fn every_rule_is_checked() {
    let interferences: [(Interference, &str); 15] = [
        (
            |sim| sim.functions[0].ledger.forget_an_arrival(),
            "requests arrived and known of: 1 by the account, 0 there",
        ),
        (|sim| sim.functions[0].ledger.enter(0), "requests inside: 1 by the account, 0 there"),
        (|sim| sim.functions[0].ledger.hold(0), "requests held: 1 by the account, 0 there"),
        (
            |sim| {
                hold(sim, 1);
                let everything = Amount { requests: u64::MAX, bytes: u64::MAX };
                sim.activators[0].views[0].bound = Arc::new(Bound::new(everything));
            },
            "places taken: 0 by the account, 1 there",
        ),
        (
            |sim| {
                let depth = sim.functions[0].spec.settings.admission.queue_depth;
                let more = Amount { requests: u64::from(depth) + 1, bytes: u64::MAX };
                sim.activators[0].views[0].bound.set_limit(more);
                hold(sim, depth + 1);
            },
            "held: 1001, at most 1000",
        ),
        (|sim| hold(sim, 1), "requests in all queues: 1 by the account, 0 there"),
        (|sim| sim.functions[0].ledger.set_pods(9, 0), "pods: 9 by the account, 4 there"),
        (|sim| sim.functions[0].ledger.set_ready(3, 0), "ready pods: 3 by the account, 4 there"),
        (|sim| sim.functions[0].replicas = 3, "pods that stay: 4, at most 3"),
        (|sim| sim.pods[2].phase = Phase::Terminating, "sent to a pod that is Terminating"),
        (
            |sim| sim.activators[0].views[0].pods[1].requests = 5,
            "requests sent to a pod: 5, at most 0",
        ),
        (
            |sim| {
                let view = &sim.activators[0].views[0];
                assert!((0..4).all(|_| view.pods[0].slots.try_take(9)));
            },
            "slots: 4, at most 3",
        ),
        (|sim| sim.activators[0].views[0].wanted = true, "activator-0 keeps a wake to itself"),
        (|sim| sim.cluster.nodes[0].1 = 5, "node: pods: 5 by the account, 4 there"),
        (crowd, "node: pods: 11, at most 10"),
    ];
    for (interfere, want) in interferences {
        let found = broken(&setup(), interfere);
        assert!(found.ends_with(want), "{want:?} is not in {found:?}");
    }
}

/// A function sleeps; somebody comes, and is held; the frame that says so goes astray.
#[test]
fn a_wake_that_nobody_hears_of_is_missed() {
    let setup = Setup { end_ns: 600 * SECOND_NS, ..setup_of(0, "0") };
    begun_of(&setup, |sim| {
        sim.live(check).unwrap();
        sim.arrive(0);
        assert_eq!(check(sim), Ok(()), "it is on its way");
        sim.frames = Parcels::default();
        assert_eq!(check(sim), Err("default/api: a wake is lost".to_owned()));
    });
}

/// What is sent on must find a pod, and what leaves a queue is a request.
#[test]
fn a_world_that_contradicts_itself_in_the_middle_of_something_ends() {
    let faults: [(Interference, &str); 2] = [
        (
            |sim| {
                // It is one pod of which nobody knows any more whether it takes requests.
                sim.activators[0].views[0].limit = 0;
                sim.activators[0].views[0].pods.iter_mut().for_each(|known| known.tried = false);
                sim.arrive(0);
            },
            "a grant was given where no pod takes requests",
        ),
        (
            |sim| {
                hold(sim, 1);
                sim.release(0, 0);
            },
            "a ticket without a request",
        ),
    ];
    for (interfere, want) in faults {
        let fault = begun(|sim| {
            interfere(sim);
            sim.fault.take()
        });
        assert_eq!(fault.as_deref(), Some(want));
    }
}
