//! What the committed scenarios say of what breaks: each beside itself with nothing broken.

use std::cmp::Ordering;

use dormouse_sim::metric::Metric;
use dormouse_sim::world::{Api, Kill, Log, Logged, Scorecard, Setup, World, run_checked};

use crate::swarm;

/// One that breaks something, and the figures that must tell.
struct Case {
    name: &'static str,
    text: &'static str,
    /// Takes the fault out of the world, and nothing else.
    mend: fn(&mut World),
    /// How each compares with what comes of it unbroken.
    differs: &'static [(&'static str, Ordering)],
}

const CASES: [Case; 6] = [
    Case {
        name: "activator-restart",
        text: include_str!("../../scenarios/activator-restart.toml"),
        mend: |world| world.faults.clear(),
        differs: &[("lost", Ordering::Greater), ("pod_seconds", Ordering::Greater)],
    },
    Case {
        name: "pod-failure",
        text: include_str!("../../scenarios/pod-failure.toml"),
        mend: |world| world.faults.clear(),
        differs: &[("lost", Ordering::Greater), ("ready_seconds", Ordering::Less)],
    },
    Case {
        name: "node-failure",
        text: include_str!("../../scenarios/node-failure.toml"),
        mend: |world| world.faults.clear(),
        differs: &[("lost", Ordering::Greater), ("ready_seconds", Ordering::Less)],
    },
    Case {
        name: "leader-loss",
        text: include_str!("../../scenarios/leader-loss.toml"),
        mend: |world| world.faults.clear(),
        differs: &[("scale_ups", Ordering::Less)],
    },
    Case {
        name: "report-loss",
        text: include_str!("../../scenarios/report-loss.toml"),
        mend: |world| world.report.loss = 0.0,
        differs: &[("pod_seconds", Ordering::Greater)],
    },
    Case {
        name: "slow-api",
        text: include_str!("../../scenarios/slow-api.toml"),
        mend: |world| world.api = Api { latency_ns: 0, rate: None },
        differs: &[("waited.scaling", Ordering::Greater), ("pod_seconds", Ordering::Greater)],
    },
];

/// The scenario's world as it is, and unbroken.
fn worlds(case: &Case) -> [Setup; 2] {
    let mut broken = swarm::setup(case.text);
    broken.events_max = u64::MAX;
    let mut whole = broken.clone();
    (case.mend)(&mut whole.world);
    assert_ne!(broken.world, whole.world, "{}: there is nothing to mend", case.name);
    [broken, whole]
}

fn card(setup: &Setup, seed: u64) -> Scorecard {
    run_checked(setup, seed).unwrap_or_else(|error| panic!("{error}"))
}

/// A figure of both seeds that the scenarios are run with.
fn figure(setup: &Setup, metric: Metric) -> f64 {
    let of = |seed| metric.of(&card(setup, seed).functions[0].from(0), None).unwrap();
    [1, 2].map(of).iter().sum()
}

#[test]
fn every_fault_differs_in_its_figure_from_the_same_world_unbroken() {
    for case in &CASES {
        let [broken, whole] = worlds(case);
        for (name, differs) in case.differs {
            let metric = Metric::parse(name).unwrap();
            let (broken, whole) = (figure(&broken, metric), figure(&whole, metric));
            let told = format!("{}: {name}: {broken} beside {whole}", case.name);
            assert_eq!(broken.total_cmp(&whole), *differs, "{told}");
        }
    }
}

/// A fault that is not in the table would have no such figure.
#[test]
fn every_kind_of_fault_is_among_them() {
    let kills = CASES.iter().flat_map(|case| worlds(case)[0].world.faults.clone());
    let kills: Vec<_> = kills.map(|fault| fault.kill).collect();
    for kind in ["activator", "leader", "pod", "node"] {
        let is_it = |kill: &Kill| {
            kind == match kill {
                Kill::Activator(_) => "activator",
                Kill::Leader => "leader",
                Kill::Pod(_) => "pod",
                Kill::Node(_) => "node",
            }
        };
        assert!(kills.iter().any(is_it), "{kind}");
    }
}

#[test]
fn an_activators_restart_changes_a_decision() {
    let decided = worlds(&CASES[0]).map(|setup| {
        let setup = Setup { log: Log::Changes, ..setup };
        let decided = |logged: Logged| (logged.decision.inputs.now_us, logged.decision.desired);
        card(&setup, 1).log.into_iter().map(decided).collect::<Vec<_>>()
    });
    let [broken, whole] = &decided;
    let is_before = |(at_us, _): &&(u64, u32)| *at_us < 4 * 60 * 1_000_000;
    let before = |log: &[(u64, u32)]| log.iter().take_while(is_before).count();
    let same = before(whole);
    assert!(same > 0 && broken[..same] == whole[..same], "until it breaks: {decided:?}");
    assert_ne!(broken[same..], whole[same..], "and then not: {decided:?}");
}
