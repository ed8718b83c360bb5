//! What the parts of the world do, each seen in the figure that it is there for.

use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{Capacity, Function, Kill, Rate, SECOND_NS, Score, Setup, run_checked};

use crate::kit::*;

fn checked(setup: &Setup) -> Score {
    let card = run_checked(setup, 1).unwrap_or_else(|error| panic!("{error}"));
    card.functions[0].from(0)
}

/// One function with one request in each pod at a time, each of so many seconds.
fn one_at_a_time(annotations: &[(&str, &str)], arrivals_s: &[u64], service_s: u64) -> Function {
    let limit = [("dormouse.dev/container-concurrency", "1")];
    let arrivals = arrivals_s.iter().map(|second| second * SECOND_NS).collect();
    let mut function = function("one", &[&limit[..], annotations].concat(), At(arrivals));
    function.service = Distribution::Constant(service_s * SECOND_NS);
    function
}

/// Two pods at 80 % load that share their speed: sent to either by chance, a request takes s ÷ 0.2
/// on average, as in two queues by themselves. The shorter of two is much better.
#[test]
fn of_two_pods_the_less_busy_one_is_chosen() {
    let annotations =
        [("autoscaling.knative.dev/min-scale", "2"), ("autoscaling.knative.dev/max-scale", "2")];
    let mut function = function("one", &annotations, Poisson { mean_ns: 62_500_000 });
    function.replicas = 2;
    function.service = Distribution::Exponential { mean_ns: SECOND_NS / 10 };
    function.capacity = Capacity::Share(count(1));
    let mean_ns = score(&setup(vec![function], 20_000), 1).latency.mean_ns().unwrap();
    assert!((0.25e9..0.42e9).contains(&mean_ns), "{mean_ns}");
}

#[test]
fn a_request_ends_when_its_whole_time_is_over() {
    let annotations = [("dormouse.dev/request-timeout", "10s")];
    let mut function = one_at_a_time(&annotations, &[0], 100);
    function.replicas = 1;
    let score = checked(&setup(vec![function], 60));
    assert_eq!((score.timed_out, score.answered), (1, 0));
    assert_eq!(score.inside_ns, 10 * u128::from(SECOND_NS));
}

#[test]
fn a_held_request_ends_when_its_time_in_the_queue_is_over() {
    let annotations = [("dormouse.dev/queue-timeout", "5s")];
    let mut function = one_at_a_time(&annotations, &[10], 1);
    function.start_up.boot = Distribution::Constant(30 * SECOND_NS);
    let score = checked(&setup(vec![function], 60));
    assert_eq!((score.timed_out, score.refused, score.cold_starts), (1, 0, 1));
    assert_eq!(score.inside_ns, 5 * u128::from(SECOND_NS));
}

/// Without a report nothing is known, and what is not known scales nothing down.
#[test]
fn pods_stay_while_every_report_is_lost() {
    let lowered = |loss| {
        let mut function = one_at_a_time(&[], &[], 1);
        function.replicas = 2;
        let mut setup = setup(vec![function], 300);
        setup.world.report.loss = loss;
        checked(&setup).scale_downs
    };
    assert!(lowered(0.0) > 0);
    assert_eq!(lowered(1.0), 0);
}

/// Four functions ask for more at once; three calls wait until a rate lets them through.
#[test]
fn orders_wait_for_the_rate_of_the_api_server() {
    let ready_ns = |rate| {
        let grown = |number: u32| {
            let arrivals = vec![20 * SECOND_NS; 4];
            let mut function = one_at_a_time(&[], &[], 100);
            function.name =
                dormouse_policy::function::FunctionName::new("default", &format!("f{number}"));
            function.load = std::sync::Arc::new(At(arrivals));
            function.replicas = 1;
            function
        };
        let mut setup = setup((0..4).map(grown).collect(), 60);
        setup.world.api.rate = rate;
        let card = run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"));
        card.functions.iter().map(|row| row.from(0).ready_ns).sum::<u128>()
    };
    let free_ns = ready_ns(None);
    let slow_ns = ready_ns(Some(Rate { every_ns: 100 * SECOND_NS, burst: 1 }));
    assert!(slow_ns + 60 * u128::from(SECOND_NS) < free_ns, "{slow_ns} {free_ns}");
}

/// A pod that listens after two seconds is found at the next try of whoever waits for it, or by the
/// kubelet, which looks once a minute.
#[test]
fn an_activator_that_waits_for_a_pod_finds_it_before_the_kubelet_does() {
    let wait_ns = |shortcut_ns| {
        let mut setup = setup(vec![one_at_a_time(&[], &[10], 1)], 100);
        setup.world.readiness.probe_ns = 60 * SECOND_NS;
        setup.world.readiness.shortcut_ns = shortcut_ns;
        checked(&setup).wait.most_ns
    };
    let shortcut_ns = 10_000_000;
    let with_ns = wait_ns(Some(shortcut_ns));
    assert!((2 * SECOND_NS..=2 * SECOND_NS + shortcut_ns).contains(&with_ns), "{with_ns}");
    assert!(wait_ns(None) > 3 * SECOND_NS);
}

/// The same activator is killed again while it is away, and comes back once.
#[test]
fn a_fault_within_another_does_not_end_it() {
    let answered = |faults: &[(u64, u64)]| {
        let mut function = one_at_a_time(&[], &(0..60).collect::<Vec<_>>(), 1);
        function.replicas = 2;
        let mut setup = setup(vec![function], 60);
        let fault = |&(at_s, for_s): &(u64, u64)| dormouse_sim::world::Fault {
            at_ns: at_s * SECOND_NS,
            kill: Kill::Activator(0),
            for_ns: for_s * SECOND_NS,
        };
        setup.world.faults = faults.iter().map(fault).collect();
        checked(&setup).answered
    };
    assert_eq!(answered(&[(20, 20)]), answered(&[(20, 20), (25, 5)]));
}
