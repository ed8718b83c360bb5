//! One world, whoever decides in it and however it is run.

use std::sync::{Arc, Mutex};

use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{Arrivals, Load, Log, Policy, SECOND_NS, Setup, run_all};

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
    assert_eq!(kpa, lived(KEEP));
    assert_eq!(kpa, lived(Policy::Floor));
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
