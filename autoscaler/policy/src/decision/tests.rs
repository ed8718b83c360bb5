use proptest::prelude::*;

use super::*;
use crate::readings::Sample;
use crate::settings::{Aggregation, Metric};

fn scaling() -> Scaling {
    Scaling {
        metric: Metric::Concurrency,
        target: 70.0,
        total: 100.0,
        target_burst_capacity: -1.0,
        stable_window_s: 60,
        panic_window_s: 6,
        panic_threshold: 2.0,
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        min_scale: 0,
        max_scale: 0,
        initial_scale: None,
        activation_scale: 0,
        scale_down_delay_s: 0,
        aggregation: Aggregation::Linear,
    }
}

fn average(value: f64, known_s: u32) -> Average {
    Average { value, known_s }
}

/// A tick of a long active function that knows its whole windows.
fn inputs(scaling: Scaling, ready: u32, stable: f64, panic: f64) -> Inputs {
    Inputs {
        now_us: 1_000 * SECOND_US,
        why: Why::Tick,
        ready,
        replicas: ready,
        in_flight: 0,
        held: 0,
        averages: Some(Averages {
            stable: average(stable, scaling.stable_window_s),
            panic: average(panic, scaling.panic_window_s),
        }),
        missing: Missing::Unknown,
        panic: None,
        highest: 0,
        phase: Phase::Active { since_us: 0 },
        initial: None,
        scaling: Arc::new(scaling),
    }
}

fn decide(inputs: Inputs) -> Decision {
    conclude::conclude(inputs).decision
}

fn rules(decision: &Decision) -> Vec<String> {
    decision.reasons.iter().map(ToString::to_string).collect()
}

#[test]
fn golden_vectors_of_the_defaults() {
    let spare = Scaling {
        target_burst_capacity: 211.0,
        ..scaling()
    };
    let one_at_a_time = Scaling {
        target: 0.7,
        total: 1.0,
        ..spare.clone()
    };
    for (scaling, ready, stable, panic, desired, burst, panicking) in [
        (&spare, 0, 1.0, 1.0, 1, -212, false),
        (&spare, 0, 70.0, 70.0, 1, -281, false),
        (&spare, 0, 71.0, 71.0, 2, -282, true),
        (&spare, 1, 140.0, 140.0, 2, -251, true),
        (&spare, 1, 70.0, 210.0, 3, -321, true),
        (&spare, 2, 150.0, 150.0, 3, -161, false),
        (&spare, 3, 89.0, 89.0, 2, 0, false),
        (&spare, 3, 90.0, 90.0, 2, -1, false),
        (&spare, 10, 10.0, 10.0, 5, 779, false),
        (&spare, 50, 10.0, 10.0, 25, 4779, false),
        (&spare, 10, 600.0, 1390.0, 20, -601, true),
        (&one_at_a_time, 0, 1.0, 1.0, 2, -212, true),
        (&one_at_a_time, 1, 0.5, 0.5, 1, -211, false),
        (&one_at_a_time, 3, 2.0, 2.0, 3, -210, false),
        (&one_at_a_time, 3, 2.1, 2.1, 4, -211, false),
    ] {
        let decision = decide(inputs(scaling.clone(), ready, stable, panic));
        let have = (
            decision.unbounded,
            decision.excess_burst_capacity,
            decision.panic.is_some(),
        );
        assert_eq!(have, (desired, burst, panicking), "{decision}");
    }
}

#[test]
fn panic_does_not_fall_and_ends_a_stable_window_after_its_last_cause() {
    let scaling = Scaling {
        target: 1.0,
        total: 4.0 / 3.0,
        target_burst_capacity: 98.0,
        max_scale_up_rate: 10.0,
        max_scale_down_rate: 10.0,
        ..scaling()
    };
    let mut panic = None;
    for (at_s, ready, stable, panicked, desired, burst, panicking) in [
        (0, 10, 11.0, 25.0, 25, -110, true),
        (30, 40, 30.0, 41.0, 41, -86, true),
        (62, 55, 50.0, 56.0, 50, -81, false),
    ] {
        let decision = decide(Inputs {
            now_us: at_s * SECOND_US,
            panic,
            ..inputs(scaling.clone(), ready, stable, panicked)
        });
        panic = decision.panic;
        let have = (
            decision.unbounded,
            decision.excess_burst_capacity,
            panic.is_some(),
        );
        assert_eq!(have, (desired, burst, panicking), "{decision}");
    }
}

#[test]
fn each_rule_says_what_it_did() {
    let base = || inputs(scaling(), 2, 0.0, 0.0);
    let set = |change: fn(&mut Scaling)| {
        let mut scaling = scaling();
        change(&mut scaling);
        scaling
    };
    let cases: [(Inputs, &[&str], u32); 13] = [
        (
            inputs(scaling(), 8, 0.0, 0.0),
            &["0 → 4 by max-scale-down-rate 2 of 8 ready"],
            4,
        ),
        (
            inputs(set(|s| s.max_scale_up_rate = 1.5), 2, 700.0, 0.0),
            &["10 → 3 by max-scale-up-rate 1.5 of 2 ready"],
            3,
        ),
        (
            inputs(set(|s| s.activation_scale = 3), 2, 1.0, 1.0),
            &["1 → 3 by activation-scale 3"],
            3,
        ),
        (
            inputs(scaling(), 1, 140.0, 350.0),
            &["2 → 5 by panic (wants 5, highest 5)"],
            5,
        ),
        (
            Inputs {
                highest: 4,
                ..inputs(set(|s| s.scale_down_delay_s = 30), 2, 70.0, 70.0)
            },
            &["1 → 4 by scale-down-delay 30 s"],
            4,
        ),
        (
            Inputs {
                averages: Some(Averages {
                    stable: average(70.0, 59),
                    panic: average(70.0, 6),
                }),
                ..base()
            },
            &["1 → 2 by coverage (59 of 60 s known)"],
            2,
        ),
        (
            Inputs {
                in_flight: 2,
                held: 1,
                ready: 1,
                replicas: 1,
                ..base()
            },
            &["0 → 1 by open requests (2 in flight, 1 held)"],
            1,
        ),
        (
            Inputs {
                why: Why::Wake,
                ready: 0,
                replicas: 0,
                averages: None,
                ..base()
            },
            &["0 → 1 by wake"],
            1,
        ),
        (
            Inputs {
                initial: Some(4),
                ..base()
            },
            &[
                "0 → 1 by max-scale-down-rate 2 of 2 ready",
                "1 → 4 by initial-scale 4",
            ],
            4,
        ),
        (
            Inputs {
                ready: 0,
                phase: Phase::Starting {
                    since_us: 990 * SECOND_US,
                },
                ..base()
            },
            &["0 → 2 by start-up (for 10 s)"],
            2,
        ),
        (
            Inputs {
                ready: 1,
                phase: Phase::Active {
                    since_us: 950 * SECOND_US,
                },
                ..base()
            },
            &["0 → 1 by active for 50 of 60 s"],
            1,
        ),
        (
            inputs(set(|s| s.min_scale = 3), 2, 70.0, 70.0),
            &["1 → 3 by min-scale 3"],
            3,
        ),
        (
            inputs(set(|s| s.max_scale = 3), 4, 700.0, 0.0),
            &["10 → 3 by max-scale 3"],
            3,
        ),
    ];
    for (inputs, want, desired) in cases {
        let decision = decide(inputs);
        assert_eq!(rules(&decision), want);
        assert_eq!(decision.desired, desired, "{decision}");
    }
}

#[test]
fn zero_needs_a_silent_and_wholly_known_window() {
    let idle = || inputs(scaling(), 1, 0.0, 0.0);
    assert_eq!(decide(idle()).outcome, Outcome::ScaleTo(0));
    for kept in [
        inputs(scaling(), 1, 0.000_001, 0.0),
        Inputs {
            averages: Some(Averages {
                stable: average(0.0, 59),
                ..Averages::default()
            }),
            ..idle()
        },
        Inputs {
            in_flight: 1,
            ..idle()
        },
        Inputs {
            phase: Phase::Active {
                since_us: 940 * SECOND_US + 1,
            },
            ..idle()
        },
        Inputs {
            phase: Phase::Starting {
                since_us: 370 * SECOND_US + 1,
            },
            ready: 0,
            ..idle()
        },
        Inputs {
            initial: Some(1),
            ..idle()
        },
    ] {
        assert_eq!(decide(kept).outcome, Outcome::Keep);
    }
    // Given up: it had no load and was never ready.
    let given_up = Inputs {
        phase: Phase::Starting {
            since_us: 370 * SECOND_US,
        },
        ready: 0,
        ..idle()
    };
    assert_eq!(decide(given_up).outcome, Outcome::ScaleTo(0));
    let unknown = Inputs {
        averages: None,
        ..idle()
    };
    assert_eq!(decide(unknown).outcome, Outcome::NoData);
}

#[test]
fn a_start_brings_the_initial_scale_up_or_down() {
    for (initial, min_scale, replicas, want) in [
        (Some(1), 0, 3, Outcome::ScaleTo(1)),
        (Some(3), 0, 3, Outcome::Keep),
        (Some(1), 2, 3, Outcome::ScaleTo(2)),
        (None, 0, 0, Outcome::Keep),
        (None, 1, 0, Outcome::ScaleTo(1)),
    ] {
        let decision = decide(Inputs {
            why: Why::Start,
            replicas,
            ready: 0,
            initial,
            averages: None,
            ..inputs(
                Scaling {
                    min_scale,
                    ..scaling()
                },
                0,
                0.0,
                0.0,
            )
        });
        assert_eq!(decision.outcome, want, "{decision}");
    }
}

#[test]
fn a_decision_is_one_line() {
    let decision = decide(inputs(
        Scaling {
            max_scale: 3,
            ..scaling()
        },
        2,
        250.5,
        90.0,
    ));
    assert_eq!(
        decision.to_string(),
        "tick: concurrency 250.5 (60/60 s) ÷ 70 = 4, panic 90 (6/6 s), 2 of 2 ready; \
         4 → 3 by max-scale 3; scale to 3"
    );
    let decision = decide(Inputs {
        averages: None,
        ..inputs(scaling(), 2, 0.0, 0.0)
    });
    assert_eq!(
        decision.to_string(),
        "tick: nothing known of the load, 2 of 2 ready; 0 → 2 by coverage (0 of 60 s known); keep 2"
    );
}

#[test]
fn a_reason_in_json() {
    let decision = decide(inputs(
        Scaling {
            max_scale: 3,
            ..scaling()
        },
        2,
        250.5,
        90.0,
    ));
    let json = serde_json::to_value(&decision.reasons[0]).unwrap();
    let want = serde_json::json!({
        "rule": "max-scale", "inputs": { "max": 3 }, "before": 4, "after": 3
    });
    assert_eq!(json, want);
}

fn load(settled_s: u64, incomplete: &[f64]) -> Load {
    let sample = |concurrency: &f64| Sample {
        concurrency: *concurrency,
        rps: 0.0,
    };
    Load {
        settled_s,
        incomplete: incomplete.iter().map(sample).collect(),
        ..Load::default()
    }
}

fn observe(now_s: u64, why: Why, ready: u32, replicas: u32, load: Load) -> Observation {
    Observation {
        now_us: now_s * SECOND_US,
        why,
        ready,
        replicas,
        load,
    }
}

fn record(scaler: &mut Scaler, seconds: std::ops::Range<u64>, concurrency: f64) {
    for second in seconds {
        scaler.record(
            second,
            Sample {
                concurrency,
                rps: 0.0,
            },
        );
    }
}

fn tick(scaler: &mut Scaler, now_s: u64, pods: u32, load: Load) -> Decision {
    scaler.decide(&observe(now_s, Why::Tick, pods, pods, load))
}

#[test]
fn a_fresh_function_keeps_its_replicas_until_it_was_ready_for_a_window() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 3, 0);
    let start = scaler.decide(&observe(0, Why::Start, 0, 3, Load::default()));
    assert_eq!(start.outcome, Outcome::Keep);
    for (now_s, ready, want) in [(70, 0, 3), (80, 3, 3), (138, 3, 3), (140, 3, 1)] {
        record(&mut scaler, now_s - 60..now_s, 0.0);
        let decision = scaler.decide(&observe(now_s, Why::Tick, ready, 3, load(now_s, &[])));
        assert_eq!(decision.desired, want, "{decision}");
    }
}

#[test]
fn a_burst_on_a_sleeping_function_is_not_thinned_by_its_sleep() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 0, 0);
    record(&mut scaler, 0..100, 0.0);
    let wake = scaler.decide(&observe(100, Why::Wake, 0, 0, load(100, &[])));
    assert_eq!(wake.outcome, Outcome::ScaleTo(1));
    // The wake's own second is not whole.
    record(&mut scaler, 100..101, 20.0);
    record(&mut scaler, 101..102, 700.0);
    let decision = scaler.decide(&observe(102, Why::Tick, 0, 1, load(102, &[])));
    assert_eq!(decision.desired, 10, "{decision}");
    // Again asleep: the next wake begins anew, even if no decision saw the sleep.
    let wake = scaler.decide(&observe(500, Why::Wake, 0, 0, load(500, &[])));
    assert_eq!(wake.inputs.averages, None);
    assert_eq!(
        wake.inputs.phase,
        Phase::Waking {
            since_us: 500 * SECOND_US
        }
    );
    let pending = scaler.decide(&observe(501, Why::Wake, 0, 0, load(501, &[])));
    assert_eq!(pending.inputs.phase, wake.inputs.phase);
}

#[test]
fn an_unsettled_second_raises_and_never_lowers() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 70.0);
    let settled = tick(&mut scaler, 101, 1, load(100, &[]));
    assert_eq!(settled.raw, 1);
    let quiet = tick(&mut scaler, 101, 1, load(100, &[0.0, 0.0]));
    assert_eq!(quiet.inputs.averages, settled.inputs.averages);
    let burst = tick(&mut scaler, 101, 1, load(100, &[2_000.0, 10.0]));
    let averages = burst.inputs.averages.unwrap();
    assert_eq!(averages.stable, average(102.166_667, 60));
    assert_eq!(averages.panic, average(391.666_667, 6));
}

#[test]
fn silence_of_the_reporters_is_not_idleness() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 0.0);
    assert_eq!(
        tick(&mut scaler, 101, 1, load(100, &[])).outcome,
        Outcome::ScaleTo(0)
    );
    // The newest settled second is 99: at 102 s that is as late as a report may be.
    assert_eq!(
        tick(&mut scaler, 102, 1, load(100, &[])).outcome,
        Outcome::ScaleTo(0)
    );
    let waiting = tick(&mut scaler, 103, 1, load(100, &[]));
    assert_eq!(waiting.outcome, Outcome::Keep);
    assert_eq!(rules(&waiting), ["0 → 1 by coverage (59 of 60 s known)"]);
    assert_eq!(
        tick(&mut scaler, 300, 1, load(100, &[])).outcome,
        Outcome::NoData
    );
    record(&mut scaler, 100..300, 0.0);
    assert_eq!(
        tick(&mut scaler, 300, 1, load(300, &[])).outcome,
        Outcome::ScaleTo(0)
    );
}

#[test]
fn other_settings_take_hold_and_other_windows_begin_anew() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 140.0);
    scaler.configure(Arc::new(Scaling {
        target: 35.0,
        ..scaling()
    }));
    assert_eq!(tick(&mut scaler, 100, 1, load(100, &[])).raw, 4);
    scaler.configure(Arc::new(Scaling {
        stable_window_s: 30,
        ..scaling()
    }));
    assert_eq!(
        tick(&mut scaler, 100, 1, load(100, &[])).inputs.averages,
        None
    );
}

#[test]
fn without_data_a_kpa_window_is_idle_only_in_path() {
    let at = |target_burst_capacity| {
        let scaling = Scaling {
            target_burst_capacity,
            ..scaling()
        };
        let mut scaler = Scaler::new(Arc::new(scaling), Missing::Zero, 1, 1, 0);
        tick(&mut scaler, 100, 1, Load::default()).inputs.averages
    };
    assert_eq!(at(211.0), None);
    assert_eq!(at(0.0), None);
    assert_eq!(at(-1.0), Some(Averages::default()));
}

fn any_scaling() -> impl Strategy<Value = Scaling> {
    let loads = (
        0.01_f64..200.0,
        prop_oneof![Just(-1.0), Just(0.0), 0.0_f64..500.0],
    );
    let rates = (1.01_f64..20.0, 1.01_f64..20.0, 1.1_f64..10.0);
    let scales = (0_u32..5, 0_u32..8, 0_u32..4, 0_u32..60);
    (loads, rates, scales, 6_u32..120).prop_map(|(loads, rates, scales, window_s)| Scaling {
        target: loads.0,
        target_burst_capacity: loads.1,
        max_scale_up_rate: rates.0,
        max_scale_down_rate: rates.1,
        panic_threshold: rates.2,
        min_scale: scales.0,
        max_scale: if scales.1 == 0 {
            0
        } else {
            scales.0 + scales.1
        },
        activation_scale: scales.2,
        scale_down_delay_s: scales.3,
        stable_window_s: window_s,
        ..scaling()
    })
}

prop_compose! {
    fn any_inputs()(
        scaling in any_scaling(),
        pods in (0_u32..30, 0_u32..30),
        load in (0_u64..3, prop_oneof![Just(0.0), 0.0_f64..3000.0], 0.0_f64..3000.0),
        known_s in prop_oneof![Just(None), (0_u32..130).prop_map(Some)],
        why in prop_oneof![Just(Why::Start), Just(Why::Tick), Just(Why::Wake)],
        panic in proptest::option::of((0_u64..1000, 0_u32..40)),
        highest in 0_u32..20,
        phase in (0_u8..4, 0_u64..1000),
        initial in proptest::option::of(1_u32..6),
    ) -> Inputs {
        let since_us = phase.1 * SECOND_US;
        Inputs {
            why,
            replicas: pods.1,
            in_flight: load.0,
            averages: known_s.map(|known_s| Averages {
                stable: average(load.1, known_s.min(scaling.stable_window_s)),
                panic: average(load.2, 6),
            }),
            panic: panic.map(|(since_s, most)| Panic { since_us: since_s * SECOND_US, most }),
            highest,
            phase: match phase.0 {
                0 => Phase::Asleep,
                1 => Phase::Waking { since_us },
                2 => Phase::Starting { since_us },
                _ => Phase::Active { since_us },
            },
            initial,
            ..inputs(scaling, pods.0, 0.0, 0.0)
        }
    }
}

proptest! {
    #[test]
    fn reasons_turn_the_raw_figure_into_the_result(inputs in any_inputs()) {
        let decision = decide(inputs);
        let mut figure = decision.raw;
        for reason in &decision.reasons {
            prop_assert_eq!(reason.before, figure);
            prop_assert_ne!(reason.after, figure);
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
    fn what_is_not_wholly_known_never_scales_down(inputs in any_inputs()) {
        let scaling = Arc::clone(&inputs.scaling);
        let known_s = inputs.averages.map_or(0, |averages| averages.stable.known_s);
        prop_assume!(inputs.why != Why::Start && known_s < scaling.stable_window_s);
        let floor = match scaling.max_scale {
            0 => inputs.replicas,
            max => inputs.replicas.min(max),
        };
        prop_assert!(decide(inputs).desired >= floor);
    }

    #[test]
    fn the_result_is_within_bounds_and_a_wake_wakes(inputs in any_inputs()) {
        let (scaling, why) = (Arc::clone(&inputs.scaling), inputs.why);
        let desired = decide(inputs).desired;
        prop_assert!(desired >= scaling.min_scale);
        prop_assert!(scaling.max_scale == 0 || desired <= scaling.max_scale);
        prop_assert!(why != Why::Wake || desired >= 1);
    }

    #[test]
    fn more_load_never_asks_for_less(inputs in any_inputs(), more in 0.0_f64..1000.0) {
        let before = decide(inputs.clone()).desired;
        let mut raised = inputs;
        if let Some(averages) = &mut raised.averages {
            averages.stable.value += more;
            averages.panic.value += more;
        }
        prop_assert!(decide(raised).desired >= before);
    }
}
