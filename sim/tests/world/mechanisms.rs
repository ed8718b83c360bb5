//! What the parts of the world do, each seen in the figure that it is there for.

use dormouse_policy::decision::Why;
use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    Capacity, Function, Kill, Log, Nodes, Policy, Rate, SECOND_NS, Score, Setup, run_checked,
};

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
fn what_is_ordered_at_the_beginning_is_scored() {
    let floor = [("autoscaling.knative.dev/min-scale", "2")];
    let mut setup = setup(vec![function("one", &floor, At(Vec::new()))], 60);
    setup.cuts_ns = vec![0];
    let score = checked(&setup);
    assert_eq!((score.scale_ups, score.pre_warms), (1, 1));
}

/// A request at 10 s for a pod that listens after 2 s and serves it in one; the world ends at 30 s.
#[test]
fn the_integrals_are_those_of_the_definitions_to_the_nanosecond() {
    let one = [("autoscaling.knative.dev/max-scale", "1")];
    let mut setup = setup(vec![one_at_a_time(&one, &[10], 1)], 30);
    let s = |seconds: u64| u128::from(seconds * SECOND_NS);
    let integrals = |score: &Score| {
        let Score { pod_ns, ready_ns, need_ns, under_ns, over_ns, inside_ns, .. } = score;
        [*pod_ns, *ready_ns, *need_ns, *under_ns, *over_ns, *inside_ns]
    };
    let checked = |setup: &Setup| integrals(&checked(setup));
    assert_eq!(checked(&setup), [s(20), s(18), s(3), s(2), s(17), s(3)]);
    // Without a limit one pod is needed for any number.
    setup.functions[0] = function("one", &[], At(vec![10 * SECOND_NS; 3]));
    setup.functions[0].service = Distribution::Constant(SECOND_NS);
    assert_eq!(checked(&setup), [s(20), s(18), s(3), s(2), s(17), s(9)]);
    // A pod is there until its containers are gone, a second after its last order.
    setup.functions[0].policy = Policy::FixedIdle { keep_ns: 0 };
    setup.functions[0].start_up.stop = Distribution::Constant(5 * SECOND_NS);
    let [long, ..] = checked(&setup);
    setup.functions[0].start_up.stop = Distribution::Constant(SECOND_NS);
    let [short, ..] = checked(&setup);
    assert_eq!(long - short, s(4));
}

/// Two pods' start-up is 2 s: the layer of the first is needed from 10 to 11 s and from 12 to 13 s,
/// and again from 60 s on; the second's once.
#[test]
fn the_floor_is_the_least_of_staying_and_starting_anew_in_each_layer() {
    let mut function = one_at_a_time(&[], &[10, 12, 60, 60], 1);
    (function.policy, function.capacity) = (Policy::Floor, Capacity::Slots(count(1)));
    let floor = checked(&setup(vec![function], 100));
    // Of the first layer: 2 s to start, 3 s needed, 1 s of a short gap, 2 s instead of a long one;
    // of the second: 2 s and 1 s.
    assert_eq!(floor.pod_ns, u128::from((2 + 3 + 1 + 2 + 2 + 1) * SECOND_NS));
    assert_eq!((floor.arrived, floor.answered, floor.waited.total()), (4, 4, 0));
}

/// What takes time on the way is waited for: a request at zero, by each of them alone.
#[test]
fn every_delay_of_a_wake_is_in_the_wait() {
    let wait_ns = |change: &dyn Fn(&mut Setup)| {
        let mut setup = setup(vec![one_at_a_time(&[], &[10], 1)], 60);
        change(&mut setup);
        checked(&setup).wait.most_ns
    };
    let at_once_ns = wait_ns(&|_| {});
    assert_eq!(at_once_ns, 2 * SECOND_NS);
    let later_ns = |change: &dyn Fn(&mut Setup)| wait_ns(change) - at_once_ns;
    let ms = 1_000_000;
    assert_eq!(later_ns(&|it| it.world.api.latency_ns = 30 * ms), 30 * ms);
    let nodes = |it: &mut Setup| {
        it.world.nodes = Some(Nodes { count: count(1), pods: count(1), schedule_ns: 40 * ms });
    };
    assert_eq!(later_ns(&nodes), 40 * ms);
    // Said to the autoscaler, and told by it of the pod.
    let delay_ns = later_ns(&|it| it.world.report.delay_ns = 50 * ms);
    assert!((50 * ms..=100 * ms).contains(&delay_ns), "{delay_ns}");
}

/// Three requests at once for one place in the queue, and no pod in time for it.
#[test]
fn who_is_refused_or_times_out_waited_at_zero() {
    let annotations = [("dormouse.dev/queue-depth", "1"), ("dormouse.dev/queue-timeout", "1s")];
    let score = checked(&setup(vec![one_at_a_time(&annotations, &[5, 5, 5], 1)], 60));
    assert_eq!((score.refused, score.timed_out, score.answered), (2, 1, 0));
    assert_eq!((score.waited.at_zero, score.waited.total()), (3, 3));
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

/// A long request comes while a pod's function is decided to be idle, and is in no report yet. The
/// pod stays, for its activator does not let it go.
#[test]
fn a_pod_with_a_request_that_nobody_reported_does_not_go() {
    let lived = |arrivals_ns: Vec<u64>| {
        let mut function = function("one", &[], At(arrivals_ns));
        function.service = Distribution::Constant(45 * SECOND_NS);
        let mut setup = setup(vec![function], 300);
        setup.world.report.delay_ns = SECOND_NS / 2;
        run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"))
    };
    let first_ns = 10 * SECOND_NS;
    let alone = lived(vec![first_ns]);
    let to_zero = alone.log.iter().find(|it| it.decision.desired == 0);
    let to_zero_ns = to_zero.unwrap().decision.inputs.now_us * 1_000;
    let card = lived(vec![first_ns, to_zero_ns - SECOND_NS / 10]);
    let decided = |it: &&dormouse_sim::world::Logged| it.decision.desired == 0;
    let again = card.log.iter().find(decided).unwrap();
    assert_eq!(again.decision.inputs.now_us * 1_000, to_zero_ns, "it is decided all the same");
    let score = card.functions[0].from(0);
    assert_eq!((score.answered, score.lost, score.cold_starts), (2, 0, 1));
}

/// Four pods of which load wants one, each with a request: a pod that is too many has five seconds
/// to be left and thirty to end, and what outlasts them goes with it.
#[test]
fn requests_longer_than_a_pods_grace_are_lost_when_fewer_pods_are_wanted() {
    let lost = |annotations: &[(&str, &str)], service_s| {
        let mut function = function("one", annotations, At(vec![50 * SECOND_NS; 4]));
        function.replicas = 4;
        function.service = Distribution::Constant(service_s * SECOND_NS);
        checked(&setup(vec![function], 300)).lost
    };
    assert!((1..=3).contains(&lost(&[], 120)));
    assert_eq!(lost(&[], 30), 0);
    assert_eq!(lost(&[("autoscaling.knative.dev/min-scale", "4")], 120), 0);
}

/// Whoever is held at a function that may not wake is asked for at every tick, until it gives up.
#[test]
fn a_wake_that_is_not_answered_is_decided_on_at_every_tick() {
    let annotations = [("dormouse.dev/paused", "true"), ("dormouse.dev/queue-timeout", "30s")];
    let mut setup = setup(vec![one_at_a_time(&annotations, &[10], 1)], 60);
    setup.log = Log::All;
    let card = run_checked(&setup, 1).unwrap_or_else(|error| panic!("{error}"));
    let wakes = card.log.iter().filter(|it| it.decision.inputs.why == Why::Wake);
    assert_eq!(wakes.count(), 16, "at once, and every two seconds of thirty");
}
