//! Worlds that are interfered with: what is checked after every event sees it.

use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};

use super::*;
use crate::draw::Distribution;
use crate::world::SECOND_NS;
use crate::world::check::check;
use crate::world::pod::Phase;
use crate::world::setup::{Capacity, Load, Nodes, StartUp, Ticking, World};

const MIN_SCALE: &str = "autoscaling.knative.dev/min-scale";

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

/// Four ready pods on a node, under a limit of three requests each, and nobody who asks for them.
fn setup() -> Setup {
    let annotations = [("dormouse.dev/container-concurrency", "3"), (MIN_SCALE, "1")];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = parse(&annotations.into(), &Annotations::new(), &ClusterDefaults::default());
    let at_once = Distribution::Constant(0);
    let function = Function {
        name: FunctionName::new("default", "api"),
        settings: Arc::new(settings.unwrap().settings),
        policy: Policy::Kpa,
        replicas: 4,
        load: Arc::new(Silence),
        service: at_once.clone(),
        capacity: Capacity::Unlimited,
        start_up: StartUp { image: at_once.clone(), boot: at_once.clone(), stop: at_once },
        wait_bounds_ns: Vec::new(),
        latency_bounds_ns: Vec::new(),
    };
    let ten = NonZeroU32::new(10).unwrap();
    let nodes = Some(Nodes { count: NonZeroU32::MIN, pods: ten, schedule_ns: 0 });
    Setup {
        functions: vec![function],
        world: World { nodes, ..World::ideal() },
        end_ns: SECOND_NS,
        cuts_ns: vec![0],
        waited_over_ns: 0,
        events_max: u64::MAX,
        log: Log::None,
        ticking: Ticking::Awake,
    }
}

/// What `look` sees of the world as it begins.
fn begun<R>(look: impl FnOnce(&mut Sim<'_>) -> R) -> R {
    let (setup, clock) = (setup(), Cell::new(0));
    let mut sim = Sim::new(&setup, 1, Clock(&clock)).unwrap();
    sim.begin();
    look(&mut sim)
}

/// What is done to a world behind its back.
type Interference = fn(&mut Sim<'_>);

#[test]
fn every_rule_is_checked() {
    assert_eq!(begun(|sim| check(sim)), Ok(()));
    let interferences: [(Interference, &str); 9] = [
        (|sim| sim.functions[0].ledger.enter(0), "requests inside: 1 by the account, 0 there"),
        (|sim| sim.functions[0].ledger.hold(0), "requests held: 1 by the account, 0 there"),
        (|sim| sim.functions[0].ledger.set_pods(9, 0), "pods: 9 by the account, 4 there"),
        (|sim| sim.functions[0].ledger.set_ready(3, 0), "ready pods: 3 by the account, 4 there"),
        (|sim| sim.functions[0].replicas = 3, "pods that stay: 4, at most 3"),
        (|sim| sim.pods[2].phase = Phase::Terminating, "sent to a pod that is Terminating"),
        (
            |sim| sim.activators[0].views[0].pods[1].requests = 5,
            "requests sent to a pod: 5, at most 0",
        ),
        (|sim| sim.activators[0].views[0].wanted = true, "keeps a wake to itself"),
        (|sim| sim.cluster.nodes[0].1 = 5, "node: pods: 5 by the account, 4 there"),
    ];
    for (interfere, want) in interferences {
        let found = begun(|sim| {
            interfere(sim);
            check(sim)
        });
        let found = found.unwrap_err();
        assert!(found.contains(want), "{want:?} is not in {found:?}");
    }
}

#[test]
fn slots_beyond_the_limit_are_seen() {
    let found = begun(|sim| {
        let view = &mut sim.activators[0].views[0];
        assert!((0..4).all(|_| view.pods[0].slots.try_take(9)));
        check(sim)
    });
    assert!(found.unwrap_err().ends_with("slots: 4, at most 3"));
}

/// Little's law by two ledgers: a microsecond in one of them is seen.
#[test]
fn time_that_only_one_ledger_has_is_seen() {
    assert_eq!(begun(|sim| sim.reconcile(0)), Ok(()));
    let found = begun(|sim| {
        sim.activators[0].views[0].listed_us += 1;
        sim.reconcile(0)
    });
    assert!(found.unwrap_err().contains("the counters come to Some(0) request-µs, the requests"));
}

#[test]
fn pods_that_go_are_first_those_not_ready_and_then_the_newest() {
    let victims = |keep| {
        begun(|sim| {
            sim.pods[1].seen_ready = false;
            let victims = sim.victims(0, keep);
            victims.iter().map(|id| sim.pods[id.at as usize].serial).collect::<Vec<_>>()
        })
    };
    assert_eq!(victims(4), [0; 0]);
    assert_eq!(victims(3), [1]);
    assert_eq!(victims(1), [1, 3, 2]);
}

/// Of three hundred ticks, thirty are before the window is known.
#[test]
fn what_is_kept_idle_is_decided_on_once_a_window() {
    let decisions = |reports| {
        let setup = Setup { end_ns: 600 * SECOND_NS, log: Log::All, ..setup() };
        let clock = Cell::new(0);
        let mut sim = Sim::new(&setup, 1, Clock(&clock)).unwrap();
        sim.reports = reports;
        sim.begin();
        sim.live(check).unwrap();
        sim.log.len()
    };
    assert!(decisions(Reports::All) > 295);
    let seldom = decisions(Reports::WithNews);
    assert!(seldom < 45, "{seldom}");
}
