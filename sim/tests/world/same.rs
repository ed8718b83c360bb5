//! One world, whoever decides in it and however it is run.

use std::sync::{Arc, Mutex};

use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    Arrivals, Capacity, Ended, Fault, Hpa, Kill, Load, Log, Nodes, Policy, Rate, SECOND_NS, Setup,
    Ticking, run, run_all, run_checked,
};

use crate::kit::*;

/// A load that writes down what it was asked for.
#[derive(Clone)]
struct Recorded(Poisson, Arc<Mutex<Vec<u64>>>);

impl Load for Recorded {
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_> {
        Box::new(Recording(self.0.arrivals(seed), &self.1))
    }
}

struct Recording<'a>(Box<dyn Arrivals + 'a>, &'a Mutex<Vec<u64>>);

impl Arrivals for Recording<'_> {
    fn next(&mut self) -> Option<u64> {
        let next = self.0.next();
        self.1.lock().unwrap().extend(next);
        next
    }
}

fn world(policy: Policy, load: impl Load + 'static) -> Setup {
    let mut function = function("one", &[], load);
    function.policy = policy;
    function.service = Distribution::log_normal(40_000_000, 900_000_000);
    setup(vec![function], 1_800)
}

const KEEP: Policy = Policy::FixedIdle { keep_ns: 600 * SECOND_NS };

const HPA: Policy =
    Policy::Hpa(Hpa { window_s: 15, tolerance: 0.1, stabilisation_us: 300_000_000 });

#[test]
fn arrivals_and_service_times_are_the_same_under_every_policy() {
    let lived = |policy| {
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let load = Recorded(Poisson { mean_ns: 20 * SECOND_NS }, Arc::clone(&arrivals));
        let score = score(&world(policy, load), 4);
        assert_eq!(score.open, 0);
        let arrivals = arrivals.lock().unwrap().clone();
        (arrivals, score.latency.sum_ns - score.wait.sum_ns)
    };
    let kpa = lived(Policy::Kpa);
    assert!(kpa.0.len() > 50);
    for policy in [KEEP, HPA, Policy::HybridHistogram, Policy::Floor] {
        assert_eq!(kpa, lived(policy), "{policy:?}");
    }
}

#[test]
fn scorecards_are_the_same_on_any_number_of_threads() {
    let mut setups =
        [Policy::Kpa, KEEP].map(|policy| world(policy, Poisson { mean_ns: 7 * SECOND_NS }));
    setups[0].log = Log::All;
    let jobs: Vec<_> =
        setups.iter().flat_map(|setup| (0..5).map(move |seed| (setup, seed))).collect();
    let lived = |threads| {
        let cards: Vec<_> = run_all(&jobs, threads).into_iter().map(Result::unwrap).collect();
        format!("{cards:?}")
    };
    let one = lived(1);
    assert_eq!(one, lived(2));
    assert_eq!(one, lived(7));
}

/// Functions of every kind in a world in which everything breaks, at times within each other.
fn everything_breaks() -> Setup {
    let limited = [("dormouse.dev/container-concurrency", "2"), ("dormouse.dev/queue-depth", "20")];
    let learnt = [("dormouse.dev/idle-cost", "100")];
    let early = [("dormouse.dev/burst", "start-up")];
    let mut functions = vec![
        function("limited", &limited, Poisson { mean_ns: SECOND_NS / 20 }),
        function("learnt", &learnt, Poisson { mean_ns: 90 * SECOND_NS }),
        function("early", &early, Poisson { mean_ns: SECOND_NS / 5 }),
        function("kept", &[], Poisson { mean_ns: 200 * SECOND_NS }),
    ];
    for (number, function) in functions.iter_mut().enumerate() {
        function.service = Distribution::log_normal(100_000_000, 2 * SECOND_NS);
        function.start_up.boot = Distribution::log_normal(SECOND_NS, 9 * SECOND_NS);
        function.replicas = u32::try_from(number).unwrap();
    }
    functions[0].capacity = Capacity::Slots(count(2));
    functions[2].capacity = Capacity::Share(count(4));
    functions[3].policy = KEEP;
    let mut setup = setup(functions, 1_800);
    setup.world.activators = count(3);
    (setup.world.report.delay_ns, setup.world.report.loss) = (5_000_000, 0.05);
    setup.world.api.latency_ns = 10_000_000;
    setup.world.api.rate = Some(Rate { every_ns: SECOND_NS, burst: 2 });
    setup.world.nodes = Some(Nodes { count: count(3), pods: count(8), schedule_ns: 80_000_000 });
    let kills = [Kill::Activator(1), Kill::Pod(0), Kill::Leader, Kill::Node(0), Kill::Activator(0)];
    let faults = kills.into_iter().cycle().zip(0..15).map(|(kill, number)| {
        let at_ns = (100 + number * 109) * SECOND_NS;
        Fault { at_ns, kill, for_ns: (5 + number * 13) * SECOND_NS }
    });
    setup.world.faults = faults.collect();
    setup
}

#[test]
fn whatever_breaks_the_bytes_are_the_same_on_any_number_of_threads() {
    let mut setup = everything_breaks();
    setup.log = Log::All;
    let jobs: Vec<_> = (0..7).map(|seed| (&setup, seed)).collect();
    let lived = |threads| {
        let cards: Vec<_> = run_all(&jobs, threads).into_iter().map(Result::unwrap).collect();
        assert!(cards.iter().all(|card| card.ended == Ended::Time));
        format!("{cards:?}")
    };
    let one = lived(1);
    assert_eq!(one, lived(2));
    assert_eq!(one, lived(7));
}

#[test]
fn whatever_breaks_ticks_in_sleep_change_nothing() {
    let mut setup = everything_breaks();
    let awake = run_checked(&setup, 3).unwrap();
    setup.ticking = Ticking::Always;
    let always = run(&setup, 3).unwrap();
    assert!(awake.functions == always.functions && awake.log == always.log);
    let lost: u64 = awake.functions.iter().map(|row| row.from(0).lost).sum();
    let woken: u64 = awake.functions.iter().map(|row| row.from(0).cold_starts).sum();
    assert!(lost > 0 && woken > 0, "{lost} lost, {woken} cold starts");
}

/// Requests at 0 s, 300 s and 1 000 s, a pod kept for ten minutes after the last.
#[test]
fn a_fixed_idle_time_is_kept_to_the_tick() {
    let times = At([10, 310, 1_010].map(|at| at * SECOND_NS).to_vec());
    let card = card(&world(KEEP, times), 1);
    let score = card.functions[0].from(0);
    assert_eq!((score.cold_starts, score.scale_downs), (2, 2));
    let to_zero = card.log.iter().filter(|logged| logged.decision.desired == 0);
    let first_us = to_zero.map(|logged| logged.decision.inputs.now_us).next().unwrap();
    assert!((910_000_000..914_000_000).contains(&first_us), "{first_us}");
}

/// A pause of 630 s is learnt: from then on a pod is there from 540 s of idleness on.
#[test]
fn a_pause_that_was_learnt_is_slept_through_until_shortly_before_its_end() {
    let times = At([10, 640, 1_300].map(|at| at * SECOND_NS).to_vec());
    let card = card(&world(Policy::HybridHistogram, times), 1);
    let score = card.functions[0].from(0);
    assert_eq!((score.cold_starts, score.pre_warms, score.pre_warms_wasted), (2, 1, 0));
    assert_eq!(score.waited.total(), 2);
    let mut raised = card.log.iter().map(|logged| &logged.decision);
    let pre_warm = raised.rfind(|it| it.desired > it.inputs.replicas).unwrap();
    // The second request waited for two seconds and was served in less than one.
    let at_us = pre_warm.inputs.now_us;
    assert!((1_182_000_000..1_186_000_000).contains(&at_us), "{at_us}");
}

#[test]
fn a_function_that_is_to_come_back_is_ticked_and_no_other() {
    for policy in [HPA, Policy::HybridHistogram] {
        let lived = |ticking| {
            let setup = world(policy, Poisson { mean_ns: 200 * SECOND_NS });
            let setup = Setup { ticking, end_ns: 7_200 * SECOND_NS, ..setup };
            run_checked(&setup, 9).unwrap()
        };
        let awake = lived(Ticking::Awake);
        assert_eq!(awake, lived(Ticking::Always), "{policy:?}");
    }
}

#[test]
fn the_built_in_autoscaler_has_a_pod_from_the_beginning_to_the_end() {
    let times = At(vec![600 * SECOND_NS]);
    let score = score(&world(HPA, times), 1);
    assert_eq!((score.cold_starts, score.scale_downs, score.pods_most), (0, 0, 1));
    assert_eq!(score.waited.total(), 0);
}
