//! Worlds that are interfered with, and what they keep to themselves.

mod rules;
mod recorded;

use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};

use super::*;
use crate::draw::Distribution;
use crate::world::SECOND_NS;
use crate::world::check::check;
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
    setup_of(4, "1")
}

/// The same with so many pods, and so many that stay.
fn setup_of(replicas: u32, min_scale: &str) -> Setup {
    let annotations = [("dormouse.dev/container-concurrency", "3"), (MIN_SCALE, min_scale)];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = parse(&annotations.into(), &Annotations::new(), &ClusterDefaults::default());
    let at_once = Distribution::Constant(0);
    let function = Function {
        name: FunctionName::new("default", "api"),
        settings: Arc::new(settings.unwrap().settings),
        policy: Policy::Kpa,
        replicas,
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

/// What `look` sees of a world as it begins.
fn begun_of<R>(setup: &Setup, look: impl FnOnce(&mut Sim<'_>) -> R) -> R {
    let clock = Cell::new(0);
    let mut sim = Sim::new(setup, 1, Clock(&clock)).unwrap();
    sim.begin();
    look(&mut sim)
}

/// What `look` sees of the usual one.
fn begun<R>(look: impl FnOnce(&mut Sim<'_>) -> R) -> R {
    begun_of(&setup(), look)
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
