//! The policy against the oracle, on cases nobody thought of.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::case::{Path, Policy, Seen, Start, Want, Why, line};
use crate::kpa::Oracle;
use crate::mismatches;

fn any_policy() -> impl Strategy<Value = Policy> {
    let loads = (
        prop_oneof![Just("concurrency"), Just("rps")],
        prop_oneof![Just(0.7), Just(7.0), Just(70.0), 0.01..200.0],
        prop_oneof![Just(1.0), Just(100.0), 0.5..300.0],
        prop_oneof![Just(-1.0), Just(0.0), Just(211.0), 0.1..400.0],
    );
    let rates = (
        prop_oneof![Just(1.1), Just(10.0), Just(1000.0)],
        prop_oneof![Just(1.1), Just(2.0), Just(10.0)],
        prop_oneof![Just(1.1), Just(2.0), Just(10.0)],
    );
    let windows = (6_u64..70, 1_u64..100, prop_oneof![Just(0_u64), 1_u64..40], any::<bool>());
    let scales = (0_u32..6, 0_u32..4, 0_u32..9, proptest::option::of(0_u32..7), any::<bool>());
    let zero = (0_u64..40_000, 0_u64..40_000);
    (loads, rates, windows, scales, zero).prop_map(|(loads, rates, windows, scales, zero)| Policy {
        metric: loads.0,
        target: loads.1,
        total: loads.2,
        target_burst_capacity: loads.3,
        max_scale_up_rate: rates.0,
        max_scale_down_rate: rates.1,
        panic_threshold: rates.2,
        stable_s: windows.0,
        panic_s: (windows.0 * windows.1 / 100).max(1),
        delay_s: windows.2,
        exponential: windows.3,
        activation_scale: scales.0,
        min_scale: scales.1,
        max_scale: if scales.2 == 0 { 0 } else { scales.1 + scales.2 },
        initial_scale: scales.3,
        never_zero: scales.4,
        grace_ms: zero.0,
        retention_ms: zero.1,
    })
}

/// One step, its times relative to the step before.
#[derive(Clone, Debug)]
struct Step {
    after_ms: u64,
    /// How long before the step, in milliseconds, and what.
    samples: Vec<(u64, f64)>,
    ready: u32,
    starting: u32,
    wake: bool,
    unreachable: bool,
    path: u64,
    in_flight: u64,
    unsettled: Vec<f64>,
}

fn any_step() -> impl Strategy<Value = Step> {
    // Figures with few digits, so that averages meet the bounds between pods exactly, too.
    let value =
        || prop_oneof![Just(0.0), (0_u32..4_000).prop_map(|tenths| f64::from(tenths) / 10.0)];
    let after_ms = prop_oneof![8 => Just(2_000_u64), 2 => 1_u64..5_000, 1 => 5_000_u64..90_000];
    let age_ms = prop_oneof![9 => 0_u64..2_500, 1 => 0_u64..80_000];
    (
        after_ms,
        vec((age_ms, value()), 0..5),
        (0_u32..9, 0_u32..3),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        0_u64..200_000,
        prop_oneof![5 => Just(0_u64), 1 => 1_u64..9],
        vec(value(), 0..4),
    )
        .prop_map(|(after_ms, samples, pods, odd, path, in_flight, unsettled)| Step {
            after_ms,
            samples,
            ready: pods.0,
            starting: pods.1,
            wake: odd.0,
            unreachable: odd.1,
            path,
            in_flight,
            unsettled,
        })
}

/// What is seen in a step at `t_ms`, after samples up to the second `settled` were final.
fn seen(start: &Start, step: &Step, t_ms: u64, settled: &mut u64) -> Seen {
    let mut seen = Seen::tick(t_ms, step.ready);
    seen.replicas = step.ready + step.starting;
    seen.why = if step.wake { Why::Wake } else { Why::Tick };
    seen.unreachable = step.unreachable;
    seen.in_flight = step.in_flight;
    seen.path = match step.path {
        0..60_000 => Path::ProxiedSince(start.start_ms + step.path),
        60_000..160_000 => Path::Proxied,
        _ => Path::Direct,
    };
    let sample = |&(age_ms, value): &(u64, f64)| (t_ms.saturating_sub(age_ms), value);
    seen.samples = step.samples.iter().map(sample).collect();
    if start.missing_is_unknown {
        // Seconds come once, in order, and are final then; some never come.
        let now = t_ms / 1000;
        let until = now.saturating_sub(step.unsettled.len() as u64).max(*settled);
        let values = step.samples.iter().map(|(_, value)| *value).cycle();
        let seconds = (*settled..until).zip(values);
        let known = seconds.filter(|(second, _)| second % 11 != 3);
        seen.samples = known.map(|(second, value)| (second * 1000, value)).collect();
        seen.settled = until;
        seen.unsettled.clone_from(&step.unsettled);
        *settled = until;
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_on_whatever_happens(
        policy in any_policy(),
        start_ms in prop_oneof![0_u64..100_000, Just(1_700_000_000_000)],
        pods in (0_u32..6, 0_u32..3),
        missing_is_unknown in any::<bool>(),
        steps in vec(any_step(), 1..60),
    ) {
        let (load, ready) = ("random".to_owned(), pods.0);
        let replicas = pods.0 + pods.1;
        let start = Start { load, policy, start_ms, ready, replicas, missing_is_unknown };
        let mut oracle = Oracle::new(&start);
        let (mut t_ms, mut settled) = (start_ms, start_ms / 1000);
        let made: Vec<(Seen, Want)> = steps
            .iter()
            .map(|step| {
                t_ms += step.after_ms;
                let seen = seen(&start, step, t_ms, &mut settled);
                let want = oracle.step(&seen);
                (seen, want)
            })
            .collect();
        let line = line(0, &start, &made);
        let (tally, mismatches) = mismatches(&line);
        prop_assert!(mismatches.is_empty(), "{}: {}\n{}", tally, mismatches[0], line);
    }
}
