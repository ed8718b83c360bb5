//! What breaks shows in the field that it must show in.

use dormouse_policy::decision::{Average, Decision, Why};
use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    Capacity, Fault, Kill, Log, Nodes, RunError, SECOND_NS, Score, Setup, run_checked,
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

/// Ten requests at any time for a hundred seconds and then none, with so many reports lost: what
/// was decided.
fn under_loss(loss: f64) -> Vec<Decision> {
    let annotations = [("autoscaling.knative.dev/window", "30s")];
    let times = (0..1_000).map(|tenth| tenth * SECOND_NS / 10).collect();
    let mut function = function("one", &annotations, At(times));
    (function.service, function.replicas) = (Distribution::Constant(SECOND_NS), 1);
    let mut setup = setup(vec![function], 400);
    setup.log = Log::All;
    setup.world.report.loss = loss;
    let card = run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((card.functions[0].from(0).arrived, card.functions[0].from(0).lost), (1_000, 0));
    card.log.into_iter().map(|it| it.decision).collect()
}

/// The next report makes up for one that does not arrive: until then its seconds are unknown, and
/// what is unknown scales nothing down.
#[test]
fn a_lost_report_puts_a_decision_off_and_loses_no_load() {
    let to_zero_s = |log: &[Decision]| {
        log.iter().find(|it| it.desired == 0).map(|it| it.inputs.now_us / 1_000_000)
    };
    let stable = |log: &[Decision]| -> Vec<Average> {
        let is_steady = |it: &&Decision| (40_000_000..100_000_000).contains(&it.inputs.now_us);
        let averages = log.iter().filter(is_steady).filter_map(|it| it.inputs.averages);
        averages.map(|it| it.stable).collect()
    };
    let logs = [0.0, 0.9, 1.0].map(under_loss);
    let [whole, few, none] = logs.each_ref().map(|log| stable(log));
    assert!(none.is_empty(), "without a report nothing is known: {none:?}");
    assert_eq!((whole.len(), few.len()), (30, 30));
    assert!(whole.iter().all(|it| it.known_s == 30), "{whole:?}");
    assert!(few.iter().any(|it| it.known_s < 30), "{few:?}");
    let is_all = |it: &Average| (it.value - 10.0).abs() < 1e-6;
    assert!(whole.iter().chain(&few).all(is_all), "what is known is known in full: {few:?}");
    let [whole, few, none] = logs.each_ref().map(|log| to_zero_s(log));
    assert!(few > whole.map(|at_s| at_s + 5), "{few:?} after {whole:?}");
    assert_eq!(none, None, "what is not known is not idle");
}

/// Also where that was the last one that had anything to say.
#[test]
fn what_a_lost_report_had_to_say_is_in_the_next() {
    for seed in 1..=20 {
        let annotations = [("autoscaling.knative.dev/window", "30s")];
        let mut function = function("one", &annotations, At(vec![10 * SECOND_NS]));
        (function.service, function.replicas) = (Distribution::Constant(SECOND_NS), 1);
        let mut setup = setup(vec![function], 40);
        setup.log = Log::All;
        setup.world.report.loss = 0.5;
        let card = run_checked(&setup, seed).unwrap_or_else(|error| panic!("{error}"));
        let averages = card.log.iter().filter_map(|it| it.decision.inputs.averages);
        let seconds = averages.map(|it| it.stable.value * f64::from(it.stable.known_s));
        let most = seconds.fold(0.0, f64::max);
        assert!((most - 1.0).abs() < 1e-4, "seed {seed}: {most} s of a request of one");
    }
}
