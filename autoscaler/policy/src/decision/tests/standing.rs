//! Decisions that stand: whoever waits until then comes to the same as whoever ticks meanwhile.

use proptest::prelude::*;

use super::super::Standing;
use super::*;
use crate::readings::{Counters, Meter, Reporters, Span};
use crate::settings::{Burst, ScaleToZero};

/// What decides, and the function's pods.
#[derive(Clone, Debug, PartialEq)]
struct State {
    meter: Meter,
    scaler: Scaler,
    pods: u32,
}

/// Who makes no decision before that time, and the last one made.
struct Waiting {
    state: State,
    standing: Standing,
    desired: u32,
}

impl State {
    fn new(scaling: Scaling, pods: u32) -> Self {
        let scaler = Scaler::new(Arc::new(scaling), Missing::Unknown, pods, pods, 0);
        Self { meter: Meter::new(0), scaler, pods }
    }

    /// Decides, and says how long that stands.
    fn tick(&mut self, reporters: &Reporters, now_us: u64) -> (Decision, Standing) {
        let load = self.scaler.settle(&mut self.meter, reporters);
        let seen = Observation::new(now_us, Why::Tick, self.pods, self.pods, load);
        let decision = self.scaler.decide(&seen);
        let standing = self.scaler.standing(&seen, &decision);
        (decision, standing)
    }
}

/// A function with so many pods, whatever is decided, and seconds of that much area. Returns how
/// many ticks stood.
fn live(scaling: Scaling, pods: u32, area_us: &[u32]) -> Result<usize, TestCaseError> {
    let mut state = State::new(scaling, pods);
    let (mut reporters, mut counters) = (Reporters::new(), Counters::default());
    let mut waiting: Option<Waiting> = None;
    let mut stood = 0;
    for (second, area_us) in (1_u64..).zip(area_us) {
        let at_us = second * SECOND_US + 300_000;
        let span: Option<Span> = reporters.report("activator", 1, at_us, at_us);
        if *area_us > 0 {
            counters.area_us += u64::from(*area_us);
            counters.started += u64::from(*area_us);
            counters.in_flight = u64::from(area_us % 3);
            let concurrency = state.meter.read(span.unwrap(), counters);
            if let Some(waiting) = &mut waiting {
                waiting.state.meter.read(span.unwrap(), counters);
                let most = waiting.standing.concurrency_max;
                if !most.zip(concurrency).is_some_and(|(most, mean)| mean <= most) {
                    waiting.standing.until_us = 0;
                }
            }
        }
        if second % 2 == 1 {
            continue;
        }
        let now_us = at_us + 400_000;
        reporters.advance(now_us);
        let (decision, standing) = state.tick(&reporters, now_us);
        if let Some(other) = &mut waiting {
            if now_us < other.standing.until_us {
                stood += 1;
                prop_assert_eq!(decision.desired, other.desired, "{}", decision);
                continue;
            }
            prop_assert_eq!(&other.state.tick(&reporters, now_us), &(decision.clone(), standing));
            prop_assert_eq!(&other.state, &state);
            waiting = None;
        }
        if standing.until_us > now_us {
            let desired = decision.desired;
            waiting = Some(Waiting { state: state.clone(), standing, desired });
        }
    }
    Ok(stood)
}

/// Seconds of area, with pauses between: some so small that an average may lose it by rounding.
fn any_load() -> impl Strategy<Value = Vec<u32>> {
    let area_us = prop_oneof![1_u32..9, 1_000_u32..3_000, 1_000_u32..9_000_000];
    let spell = (1_usize..20, 0_usize..120, area_us);
    let load = proptest::collection::vec(spell, 1..5).prop_map(|spells| {
        let seconds = |(busy, idle, area_us): (usize, usize, u32)| {
            [vec![area_us; busy], vec![0; idle]].concat()
        };
        spells.into_iter().flat_map(seconds).collect::<Vec<u32>>()
    });
    load.prop_map(|load: Vec<u32>| [vec![0; 60], load].concat())
}

proptest! {
    #[test]
    fn whoever_waits_while_a_decision_stands_comes_to_the_same(
        load in any_load(),
        windows in (6_u32..70, 0_u32..100),
        scales in (0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3),
        target in prop_oneof![1 => 0.01_f64..2.0, 1 => Just(70.0)],
        waits in (0_u32..10, 0_u64..20, 0_u64..20),
        rare in 0_usize..8,
        pods in prop_oneof![4 => Just(1_u32), 1 => 2_u32..4],
    ) {
        let scaling = Scaling {
            target,
            stable_window_s: windows.0,
            panic_window_s: (windows.0 * windows.1 / 100).max(1),
            min_scale: scales.0,
            max_scale: if scales.1 == 0 { 0 } else { scales.0 + scales.1 },
            activation_scale: scales.2,
            scale_down_delay_s: scales.3.saturating_sub(1) * waits.0,
            scale_to_zero_grace_us: waits.1 * SECOND_US,
            scale_to_zero_retention_us: waits.2 * SECOND_US,
            scale_to_zero: if rare == 1 { ScaleToZero::Refused } else { ScaleToZero::Allowed },
            aggregation: match rare {
                2 => Aggregation::WeightedExponential,
                _ => Aggregation::Linear,
            },
            burst: if rare == 3 { Burst::StartUp } else { Burst::Kpa },
            idle_cost: (rare == 4).then_some(100.0),
            paused: if rare == 5 { Paused::Yes } else { Paused::No },
            ..scaling()
        };
        live(scaling, pods, &load)?;
    }
}

#[test]
fn what_one_pod_bears_is_decided_on_seldom() {
    let one = |area_us| [vec![0; 60], vec![area_us], vec![0; 199]].concat();
    // Of 130 ticks one sees the window become whole, others the load come and go; then one in 55 s
    // is enough.
    for policy in [scaling(), Scaling { min_scale: 1, ..scaling() }] {
        assert_eq!(live(policy, 1, &one(500_000)).unwrap(), 121);
    }
    assert_eq!(live(scaling(), 1, &[500_000; 260]).unwrap(), 123);
    // What is just the target might be rounded over it; with two pods one may be too many.
    let target_us = 70_000_000;
    assert_eq!(live(scaling(), 1, &[target_us; 260]).unwrap(), 0);
    assert_eq!(live(scaling(), 2, &[500_000; 260]).unwrap(), 0);
}
