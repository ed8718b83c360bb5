//! What breaks shows in the field that it must show in.

use std::cmp::Ordering;

use dormouse_policy::decision::Why;
use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    Capacity, Fault, Kill, Nodes, RunError, SECOND_NS, Score, Setup, run_checked,
};

use crate::kit::*;

/// Ten requests a second of one second each, three activators, four nodes, two pods that stay.
fn steady() -> Setup {
    let annotations = [("autoscaling.knative.dev/min-scale", "2")];
    let mut function = function("one", &annotations, Poisson { mean_ns: SECOND_NS / 10 });
    function.replicas = 2;
    function.service = Distribution::Constant(SECOND_NS);
    function.capacity = Capacity::Share(count(100));
    let mut setup = setup(vec![function], 300);
    setup.world.activators = count(3);
    setup.world.report.delay_ns = 5_000_000;
    setup.world.api.latency_ns = 10_000_000;
    let nodes = Nodes { count: count(4), pods: count(10), schedule_ns: 80_000_000 };
    setup.world.nodes = Some(nodes);
    setup
}

fn checked(setup: &Setup) -> Score {
    run_checked(setup, 1).unwrap_or_else(|error| panic!("{error}")).functions[0].from(0)
}

fn with(kill: Kill) -> (Score, Score) {
    let before = checked(&steady());
    let mut setup = steady();
    setup.world.faults = vec![Fault { at_ns: 150 * SECOND_NS, kill, for_ns: 8 * SECOND_NS }];
    (before, checked(&setup))
}

#[test]
fn an_activator_takes_its_requests_along() {
    let (before, after) = with(Kill::Activator(1));
    assert_eq!((before.lost, before.arrived), (0, after.arrived));
    assert!((1..=20).contains(&after.lost), "a third of ten in flight: {}", after.lost);
    assert_eq!(after.answered + after.lost + after.open, after.arrived);
}

#[test]
fn a_pod_takes_its_requests_along_and_another_comes() {
    let (before, after) = with(Kill::Pod(0));
    assert_eq!(before.lost, 0);
    assert!((1..=15).contains(&after.lost), "half of ten in flight: {}", after.lost);
    assert!(after.ready_ns < before.ready_ns);
    let missed_ns = before.ready_ns - after.ready_ns;
    assert!(missed_ns >= 2 * u128::from(SECOND_NS), "its start: {missed_ns}");
}

#[test]
fn a_node_takes_its_pods_along() {
    let (before, after) = with(Kill::Node(0));
    assert_eq!(before.lost, 0);
    assert!(after.lost > 0);
}

#[test]
fn without_a_leader_held_requests_wait_for_the_next_one() {
    let arrival_ns = 150 * SECOND_NS;
    let wait = |faults: Vec<Fault>| {
        let mut setup = setup(vec![function("one", &[], At(vec![arrival_ns]))], 300);
        setup.world.faults = faults;
        checked(&setup).wait.sum_ns
    };
    let kill = Kill::Leader;
    let fault = Fault { at_ns: arrival_ns - SECOND_NS, kill, for_ns: 6 * SECOND_NS };
    let (before, after) = (wait(Vec::new()), wait(vec![fault]));
    assert_eq!(before, 2 * u128::from(SECOND_NS));
    assert_eq!(after - before, 5 * u128::from(SECOND_NS), "until somebody leads again");
}

/// What one leader measured of start-ups, the activators tell the next.
#[test]
fn a_new_leader_knows_how_long_a_start_takes() {
    let arrivals = At([10, 300].map(|at| at * SECOND_NS).to_vec());
    let mut setup = setup(vec![function("one", &[], arrivals)], 400);
    let (kill, for_ns) = (Kill::Leader, 6 * SECOND_NS);
    setup.world.faults = vec![Fault { at_ns: 200 * SECOND_NS, kill, for_ns }];
    let card = run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"));
    let wakes = card.log.iter().map(|it| &it.decision.inputs).filter(|it| it.why == Why::Wake);
    let known_us: Vec<_> = wakes.map(|it| it.start_up_us).collect();
    assert!(matches!(known_us[..], [None, Some(2_000_000..2_500_000)]), "{known_us:?}");
}

/// What an activator counted in its last second dies with it: that second is unknown, and what is
/// not known scales nothing down.
#[test]
fn an_activators_restart_changes_a_decision() {
    let to_zero_us = |faults: Vec<Fault>| {
        let annotations = [("autoscaling.knative.dev/window", "30s")];
        let times = (0..100).map(|at| at * SECOND_NS).collect();
        let mut setup = setup(vec![function("one", &annotations, At(times))], 400);
        setup.world.activators = count(2);
        setup.world.faults = faults;
        let card = run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"));
        let last = card.log.last().unwrap();
        assert_eq!(last.decision.desired, 0);
        last.decision.inputs.now_us
    };
    let kill = Kill::Activator(0);
    let fault = Fault { at_ns: 120 * SECOND_NS, kill, for_ns: 8 * SECOND_NS };
    let (before_us, after_us) = (to_zero_us(Vec::new()), to_zero_us(vec![fault]));
    assert!(after_us >= before_us + 20_000_000, "{before_us} {after_us}");
}

/// Else it would be another one's fault, and be mended with that.
#[test]
fn what_is_not_there_cannot_be_killed() {
    for kill in [Kill::Activator(3), Kill::Pod(1), Kill::Node(4)] {
        let mut setup = steady();
        setup.world.faults = vec![Fault { at_ns: SECOND_NS, kill, for_ns: SECOND_NS }];
        assert_eq!(run_checked(&setup, 1), Err(RunError::Faults));
    }
}

/// Reports that do not arrive are made up for by the next; the world goes on as it would.
#[test]
fn a_lost_report_puts_a_decision_off_and_loses_no_load() {
    let mut setup = steady();
    let before = checked(&setup);
    setup.world.report.loss = 0.3;
    let after = checked(&setup);
    assert_eq!((after.arrived, after.lost), (before.arrived, 0));
}

/// The figure of a committed scorecard, of all functions under the first seed.
fn figure(scorecard: &str, name: &str) -> f64 {
    let report: serde_json::Value = serde_json::from_str(scorecard).unwrap();
    let figure = &report["results"][0]["all"][name];
    figure.as_f64().unwrap_or_else(|| panic!("{name}: {figure}"))
}

#[test]
fn every_fault_has_a_scenario_whose_scorecard_differs_where_it_must() {
    const QUIET: &str = include_str!("../../scenarios/quiet.json");
    let faults = [
        (include_str!("../../scenarios/activator-restart.json"), "lost", Ordering::Greater),
        (include_str!("../../scenarios/pod-failure.json"), "lost", Ordering::Greater),
        (include_str!("../../scenarios/pod-failure.json"), "ready_seconds", Ordering::Less),
        (include_str!("../../scenarios/node-failure.json"), "lost", Ordering::Greater),
        (include_str!("../../scenarios/leader-loss.json"), "scale_ups", Ordering::Less),
        (include_str!("../../scenarios/report-loss.json"), "pod_seconds", Ordering::Greater),
        (include_str!("../../scenarios/slow-api.json"), "waited.scaling", Ordering::Greater),
    ];
    for (scorecard, name, differs) in faults {
        let (fault, quiet) = (figure(scorecard, name), figure(QUIET, name));
        assert_eq!(fault.total_cmp(&quiet), differs, "{name}: {fault} beside {quiet}");
    }
}
