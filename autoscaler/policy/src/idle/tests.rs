use proptest::prelude::*;

use super::bins::{BOUNDS_US, bin, seconds};
use super::*;

const SECOND_US: u64 = 1_000_000;

/// Bins with mass in random cases: every way through them can be tried.
const FEW: usize = 9;

fn weights(few: &[f64], never: f64) -> [f64; BINS + 1] {
    let mut weights = [0.0; BINS + 1];
    weights[..few.len()].copy_from_slice(few);
    weights[BINS] = never;
    weights
}

/// What a way through the first bins costs, bin i warm if `is_warm(i)` and all others cold, by
/// following each gap from its begin to its end.
fn cost(
    weights: &[f64; BINS + 1],
    end: f64,
    start_up_us: u64,
    is_warm: impl Fn(usize) -> bool,
) -> f64 {
    let length_s = |at: usize| seconds(BOUNDS_US[at + 1] - BOUNDS_US[at]);
    let mut cost = 0.0;
    for (ends_in, weight) in weights.iter().enumerate() {
        let (mut own, mut has_pod) = (0.0, true);
        for at in 0..=ends_in.min(FEW) {
            if at < FEW && is_warm(at) {
                own += if has_pod { 0.0 } else { seconds(start_up_us) };
                own += if at == ends_in { length_s(at) / 2.0 } else { length_s(at) };
                has_pod = true;
            } else {
                own += if at == ends_in { end } else { 0.0 };
                has_pod = false;
            }
        }
        cost += weight * own;
    }
    cost
}

/// The bins in which who follows the plan has a pod.
fn followed(plan: &Plan, start_up_us: u64) -> u32 {
    let mut replicas = 1;
    let mut warm = 0;
    for (at, bound_us) in BOUNDS_US.into_iter().take(FEW).enumerate() {
        let now_us = match replicas {
            0 => (1 << 40) + bound_us - start_up_us,
            _ => (1 << 40) + bound_us,
        };
        let idleness = plan.look(1 << 40, now_us, replicas);
        replicas = u32::from(idleness.is_worth_a_pod(replicas));
        warm |= replicas << at;
    }
    warm
}

proptest! {
    #[test]
    fn no_way_through_a_gap_is_cheaper_than_the_plan(
        few in prop::collection::vec(prop_oneof![Just(0.0), 0.0_f64..5.0], FEW),
        never in 0.01_f64..3.0,
        end in 0.1_f64..60.0,
        start_up_us in 0_u64..6_000_000,
    ) {
        let weights = weights(&few, never);
        let plan = Plan::of(&weights, end, start_up_us);
        let of = |ways: u32| cost(&weights, end, start_up_us, |at| ways >> at & 1 == 1);
        let cheapest = (0..1 << FEW).map(of).fold(f64::INFINITY, f64::min);
        let first = plan.look(0, 0, 1);
        let total: f64 = few.iter().sum::<f64>() + never;
        let planned = first.warm.min(first.cold) * total;
        prop_assert!((planned - cheapest).abs() < 1e-9 * (1.0 + cheapest), "{planned} {cheapest}");
        let taken = of(followed(&plan, start_up_us));
        prop_assert!((taken - cheapest).abs() < 1e-9 * (1.0 + cheapest), "{taken} {cheapest}");
    }
}

#[test]
fn the_documented_example_comes_out() {
    // Bins of two seconds in place of ten, and all else a fifth.
    let plan = Plan::of(&weights(&[0.0, 1.0], 1e-12), 8.0 / 5.0, 400_000);
    let (first, second) = (plan.look(0, 0, 1), plan.look(0, 2_000_000, 1));
    let near = |figure: f64, want: f64| assert!((figure - want / 5.0).abs() < 1e-9, "{figure}");
    near(second.warm, 5.0);
    near(second.cold, 8.0);
    near(first.warm, 15.0);
    near(first.cold, 7.0);
    assert_eq!(first.pre_warm_us, Some(1_600_000));
    assert!(!first.is_worth_a_pod(1) && second.is_worth_a_pod(1));
}

#[test]
fn a_regular_gap_is_slept_through_until_just_before_its_end() {
    let mut gaps = Gaps::default();
    (0..50).for_each(|_| gaps.record(300 * SECOND_US));
    let plan = Plan::new(&gaps, 100.0, 2_000_000);
    let early = plan.look(0, 10 * SECOND_US, 1);
    assert!(!early.is_worth_a_pod(1), "{early:?}");
    let pre_warm_us = early.pre_warm_us.unwrap();
    let begin_us = BOUNDS_US[bin(300 * SECOND_US * 93 / 100)];
    assert!((begin_us - 2_000_000..300 * SECOND_US).contains(&pre_warm_us), "{pre_warm_us}");
    assert!(plan.look(0, pre_warm_us, 0).is_worth_a_pod(0));
    assert!(!plan.look(0, pre_warm_us - 1, 0).is_worth_a_pod(0));
    assert!(plan.look(0, 300 * SECOND_US, 1).is_worth_a_pod(1));
    assert!(!plan.look(0, 1_000 * SECOND_US, 1).is_worth_a_pod(1), "it did not come");
}

#[test]
fn the_dearer_a_cold_start_the_longer_a_pod_is_kept() {
    let kept_us = |cost: f64| {
        let plan = Plan::new(&Gaps::default(), cost, 2_000_000);
        let is_kept = |bound_us: &&u64| plan.look(0, **bound_us, 1).is_worth_a_pod(1);
        BOUNDS_US.iter().take_while(is_kept).last().copied()
    };
    let costs = [0.001, 30.0, 300.0, 3_000.0, 1e9];
    let kept = costs.map(kept_us);
    assert!(kept.is_sorted(), "{kept:?}");
    assert_eq!((kept[0], kept[4]), (None, Some(BOUNDS_US[BINS - 1])));
}

#[test]
fn looking_is_of_any_time() {
    let plan = Plan::new(&Gaps::default(), 1e9, u64::MAX);
    for (since_us, now_us) in [(0, u64::MAX), (u64::MAX, 0), (5, 5)] {
        for replicas in [0, 1] {
            let idleness = plan.look(since_us, now_us, replicas);
            assert!(idleness.warm.is_finite() && idleness.cold.is_finite(), "{idleness:?}");
        }
    }
}

/// A function of which second after second is taken in.
struct Seconds {
    idle: Idle,
    second: u64,
}

impl Seconds {
    fn new() -> Self {
        Self { idle: Idle::default(), second: 100 }
    }

    fn pass(&mut self, requests: impl IntoIterator<Item = u32>) -> &mut Self {
        for requests in requests {
            let rps = f64::from(requests);
            self.idle.record(self.second, Sample { concurrency: rps / 10.0, rps });
            self.second += 1;
        }
        self
    }

    fn quiet(&mut self, seconds: usize) -> &mut Self {
        self.pass(vec![0; seconds])
    }

    /// For how long it is idle, with the load beyond the settled seconds changed, so many seconds
    /// after these were settled.
    fn idle_s(&mut self, change: impl Fn(&mut Load), after_s: u64) -> Option<u64> {
        self.idle_with(1, change, after_s)
    }

    fn idle_with(
        &mut self,
        replicas: u32,
        change: impl Fn(&mut Load),
        after_s: u64,
    ) -> Option<u64> {
        let mut load = Load { settled_s: self.second, ..Load::default() };
        change(&mut load);
        let now_us = (self.second + after_s) * SECOND_US;
        let idleness = self.idle.look(now_us, &load, 60, 300.0, None, replicas);
        idleness.map(|idleness| idleness.for_us / SECOND_US)
    }

    fn gaps_s(&self) -> Gaps {
        self.idle.gaps.clone()
    }
}

#[test]
fn gaps_are_from_the_last_second_with_load_to_the_next() {
    let mut seconds = Seconds::new();
    seconds.quiet(40).pass([1]).quiet(9).pass([2, 1]).quiet(29).pass([1]);
    let mut want = Gaps::default();
    // What was before the first request is not known to be whole.
    [10, 30].into_iter().for_each(|gap_s| want.record(gap_s * SECOND_US));
    assert_eq!(seconds.gaps_s().seen(), 2);
    assert_eq!(seconds.gaps_s().expected().to_vec(), want.expected().to_vec());
}

#[test]
fn a_gap_of_which_a_second_is_unknown_teaches_nothing() {
    let mut seconds = Seconds::new();
    seconds.pass([1]).quiet(9);
    seconds.second += 1;
    seconds.quiet(9).pass([1]);
    assert_eq!(seconds.gaps_s().seen(), 0);
    seconds.quiet(9).pass([1]);
    assert_eq!(seconds.gaps_s().seen(), 1);
}

#[test]
fn a_gap_that_was_slept_through_counts_whole() {
    let mut seconds = Seconds::new();
    seconds.pass([1]).quiet(9);
    seconds.second += 600;
    seconds.idle.sleep_through(seconds.second);
    seconds.quiet(3).pass([1]);
    let mut want = Gaps::default();
    want.record(613 * SECOND_US);
    assert_eq!(seconds.gaps_s(), want);
}

#[test]
fn idle_is_only_who_is_certain_to_be() {
    let mut seconds = Seconds::new();
    assert_eq!(seconds.idle_s(|_| {}, 0), None, "nothing was seen yet");
    seconds.pass([1]).quiet(9);
    assert_eq!(seconds.idle_s(|_| {}, 0), Some(9));
    assert_eq!(seconds.idle_s(|_| {}, 3), Some(12));
    assert_eq!(seconds.idle_s(|_| {}, 4), None, "reports are late");
    assert_eq!(seconds.idle_s(|load| load.in_flight = 1, 0), None);
    let begun = Sample { concurrency: 0.0, rps: 1.0 };
    assert_eq!(seconds.idle_s(|load| load.incomplete = vec![begun], 0), None);
    assert_eq!(seconds.idle_s(|load| load.settled_s += 1, 0), None, "the last second is unknown");
    seconds.second += 1;
    seconds.quiet(59);
    assert_eq!(seconds.idle_s(|_| {}, 0), None, "a hole in the last minute");
    seconds.quiet(1);
    assert_eq!(seconds.idle_s(|_| {}, 0), Some(70), "a whole window is known");
    seconds.idle.look_anew();
    assert_eq!(seconds.idle_s(|_| {}, 0), None);
}

#[test]
fn a_function_never_asked_for_is_idle_since_it_was_first_seen() {
    let mut seconds = Seconds::new();
    seconds.quiet(20);
    assert_eq!(seconds.idle_s(|_| {}, 0), Some(20));
    assert_eq!(seconds.idle_with(0, |_| {}, 0), None, "asleep, nothing is expected of it");
    seconds.pass([1]).quiet(5);
    assert_eq!(seconds.idle_with(0, |_| {}, 0), Some(5));
}

#[test]
fn what_comes_within_a_start_up_of_a_gaps_end_would_have_waited_too() {
    let mut seconds = Seconds::new();
    seconds.idle.watch.set_start_up(3_000_000);
    for _ in 0..2_000 {
        seconds.pass([4, 2, 1, 9, 9]).quiet(10);
    }
    let requests = seconds.gaps_s().requests();
    assert!((requests - 7.0).abs() < 0.1, "{requests}");
    // A gap shorter than a start-up is no gap that anybody could have slept through.
    let mut seconds = Seconds::new();
    seconds.idle.watch.set_start_up(3_000_000);
    for _ in 0..100 {
        seconds.pass([9]).quiet(2);
    }
    assert!((seconds.gaps_s().requests() - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_learnt_of_one_function_takes_less_than_two_kilobytes() {
    let mut seconds = Seconds::new();
    for gap in 1..200 {
        seconds.pass([1]).quiet(gap * 3);
    }
    let heap = seconds.gaps_s().bytes();
    assert!(size_of::<Idle>() + heap <= 2_048, "{} + {heap}", size_of::<Idle>());
}
