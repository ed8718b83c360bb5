//! What holds for every decision.

use proptest::prelude::*;

use super::*;
use crate::idle::Idleness;
use crate::settings::{Burst, ScaleToZero};

fn any_scaling() -> impl Strategy<Value = Scaling> {
    let loads = (0.01_f64..200.0, prop_oneof![Just(-1.0), Just(0.0), 0.0_f64..500.0]);
    let rates = (1.01_f64..20.0, 1.01_f64..20.0, 1.1_f64..10.0);
    let scales = (0_u32..5, 0_u32..8, 0_u32..4, 0_u32..60);
    let zero = (any::<bool>(), 0_u64..90, 0_u64..90, 0_usize..3);
    let all = (loads, rates, scales, 6_u32..120, zero);
    all.prop_map(|(loads, rates, scales, window_s, zero)| Scaling {
        target: loads.0,
        target_burst_capacity: loads.1,
        max_scale_up_rate: rates.0,
        max_scale_down_rate: rates.1,
        panic_threshold: rates.2,
        min_scale: scales.0,
        max_scale: if scales.1 == 0 { 0 } else { scales.0 + scales.1 },
        activation_scale: scales.2,
        scale_down_delay_s: scales.3,
        stable_window_s: window_s,
        scale_to_zero: if zero.0 { ScaleToZero::Allowed } else { ScaleToZero::Refused },
        scale_to_zero_grace_us: zero.1 * SECOND_US,
        scale_to_zero_retention_us: zero.2 * SECOND_US,
        burst: [Burst::Kpa, Burst::Queue, Burst::StartUp][zero.3],
        ..scaling()
    })
}

fn any_keep() -> impl Strategy<Value = Option<Keep>> {
    prop_oneof![
        Just(None),
        Just(Some(Keep::Zero)),
        (0_u32..20).prop_map(|replicas| Some(Keep::SetByOther(replicas))),
        (0_u32..20).prop_map(|replicas| Some(Keep::Rollout(replicas))),
    ]
}

fn any_pause() -> impl Strategy<Value = Paused> {
    prop_oneof![Just(Paused::No), Just(Paused::Yes)]
}

prop_compose! {
    fn any_inputs()(
        scaling in any_scaling(),
        pods in (0_u32..30, 0_u32..30),
        arrivals in (0_u64..50, 0.0_f64..200.0, proptest::option::of(0_u64..20_000_000)),
        load in (0_u64..3, prop_oneof![Just(0.0), 0.0_f64..3000.0], 0.0_f64..3000.0),
        known_s in prop_oneof![Just(None), (0_u32..130).prop_map(Some)],
        why in prop_oneof![Just(Why::Start), Just(Why::Tick), Just(Why::Wake), Just(Why::Pressure)],
        panic in proptest::option::of((0_u64..1000, 0_u32..40)),
        highest in 0_u32..20,
        phase in (0_u8..5, 0_u64..1000),
        (path, reachable) in (0_u64..1200, any::<bool>()),
        initial in proptest::option::of(1_u32..6),
        idle in proptest::option::of((0_u64..900, 0.0_f64..50.0, 0.0_f64..50.0)),
    ) -> Inputs {
        let since_us = phase.1 * SECOND_US;
        Inputs {
            why,
            replicas: pods.1,
            in_flight: load.0,
            lost_in_flight: load.0.saturating_sub(1) * 100,
            refused: arrivals.0,
            arriving_rps: arrivals.1,
            start_up_us: arrivals.2,
            averages: known_s.map(|known_s| Averages {
                stable: average(load.1, known_s.min(scaling.stable_window_s)),
                panic: average(load.2, 6),
            }),
            panic: panic.map(|(since_s, most)| Panic { since_us: since_s * SECOND_US, most }),
            highest,
            idle: idle.filter(|_| load.0 == 0).map(|(for_s, warm, cold)| Idleness {
                for_us: for_s * SECOND_US,
                from_s: 4.0,
                to_s: Some(6.0),
                warm,
                cold,
                pre_warm_us: None,
            }),
            phase: match phase.0 {
                0 => Phase::Asleep,
                1 => Phase::Waking { since_us },
                2 => Phase::Starting { since_us },
                3 => Phase::Active { since_us },
                _ => Phase::Idle { since_us },
            },
            reachability: match reachable {
                true => Reachability::Reachable,
                false => Reachability::Unreachable,
            },
            path: match path {
                0..1000 => Path::ProxiedSince(path * SECOND_US),
                1000..1100 => Path::Proxied,
                _ => Path::Direct,
            },
            initial,
            ..inputs(scaling, pods.0, 0.0, 0.0)
        }
    }
}

proptest! {
    #[test]
    fn reasons_turn_the_raw_figure_into_the_result(
        inputs in any_inputs(),
        paused in any_pause(),
        keep in any_keep(),
    ) {
        let scaling = Scaling { paused, ..(*inputs.scaling).clone() };
        let decision = decide(Inputs { scaling: Arc::new(scaling), keep, ..inputs });
        prop_assert!(paused == Paused::No || decision.desired == decision.inputs.replicas);
        let mut figure = decision.raw;
        for reason in &decision.reasons {
            prop_assert_eq!(reason.before, figure);
            let settles = matches!(reason.rule, Rule::IdleCost(_));
            prop_assert!(settles || reason.after != figure);
            figure = reason.after;
        }
        prop_assert_eq!(figure, decision.desired);
    }

    #[test]
    fn a_kept_decision_can_be_made_again(inputs in any_inputs()) {
        let decision = decide(inputs);
        prop_assert_eq!(&decision.replay(), &decision);
        let json = serde_json::to_string(&decision).unwrap();
        let read: Decision = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&read, &decision);
        prop_assert_eq!(read.replay(), decision);
    }

    #[test]
    fn what_is_not_wholly_known_never_scales_down(inputs in any_inputs(), tick in any::<bool>()) {
        let mut inputs = Inputs { idle: None, ..inputs };
        inputs.why = if tick { Why::Tick } else { Why::Wake };
        let scaling = Arc::clone(&inputs.scaling);
        if let Some(averages) = &mut inputs.averages {
            averages.stable.known_s = averages.stable.known_s.min(scaling.stable_window_s - 1);
        }
        let floor = match scaling.max_scale {
            0 => inputs.replicas,
            max => inputs.replicas.min(max),
        };
        prop_assert!(decide(inputs).desired >= floor);
    }

    #[test]
    fn the_result_is_within_bounds_and_a_wake_wakes(inputs in any_inputs()) {
        let (scaling, why) = (Arc::clone(&inputs.scaling), inputs.why);
        let unreachable = inputs.reachability == Reachability::Unreachable;
        let desired = decide(inputs).desired;
        prop_assert!(unreachable || desired >= scaling.min_scale);
        let lowers = why != Why::Pressure;
        prop_assert!(scaling.max_scale == 0 || desired <= scaling.max_scale || !lowers);
        prop_assert!(why != Why::Wake || desired >= 1);
    }

    #[test]
    fn an_early_decision_only_raises(inputs in any_inputs()) {
        let replicas = inputs.replicas;
        let decision = decide(Inputs { why: Why::Pressure, ..inputs });
        prop_assert!(decision.desired >= replicas, "{}", decision);
    }

    /// Before bounds and the way to zero, that is: an idle function's pods are kept as they are,
    /// and the first request may show that fewer would do.
    #[test]
    fn more_load_never_asks_for_less(inputs in any_inputs(), more in 0.0_f64..1000.0) {
        let before = decide(inputs.clone()).unbounded;
        let mut raised = inputs;
        if let Some(averages) = &mut raised.averages {
            averages.stable.value += more;
            averages.panic.value += more;
        }
        prop_assert!(decide(raised).unbounded >= before);
    }
}
