//! What deciding remembers survives being written down: whoever goes on from the text decides as
//! whoever was never interrupted.

use proptest::prelude::*;

use super::*;
use crate::readings::{Counters, Meter, Reporters};

/// One thing that happens to a function, after so many milliseconds.
#[derive(Clone, Debug)]
enum Step {
    /// A reporter says what it counted: area grown by, requests begun, in flight; its clock is so
    /// far behind, in milliseconds.
    Report { reporter: u8, boot: u64, area_ms: u32, started: u32, in_flight: u64, behind_ms: u64 },
    /// A decision is due.
    Decide { why: Why, ready: u32, replicas: u32 },
    /// Other settings.
    Configure { target: f64, delay_s: u32, window_s: u32 },
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let report = (0_u8..3, 1_u64..3, 0_u32..9_000, 0_u32..9, 0_u64..4, 0_u64..3_000).prop_map(
        |(reporter, boot, area_ms, started, in_flight, behind_ms)| Step::Report {
            reporter,
            boot,
            area_ms,
            started,
            in_flight,
            behind_ms,
        },
    );
    let why = prop_oneof![4 => Just(Why::Tick), 1 => Just(Why::Wake)];
    let decide = (why, 0_u32..4, 0_u32..4).prop_map(|(why, ready, replicas)| Step::Decide {
        why,
        ready,
        replicas,
    });
    let configure = (1.0_f64..9.0, 0_u32..9, 6_u32..20)
        .prop_map(|(target, delay_s, window_s)| Step::Configure { target, delay_s, window_s });
    (0_u64..2_500, prop_oneof![8 => report, 8 => decide, 1 => configure])
}

/// All that deciding on one function remembers.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct State {
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
    counted: std::collections::BTreeMap<u8, Counters>,
}

impl State {
    fn new(missing: Missing, aggregation: Aggregation) -> Self {
        let scaling = Scaling { stable_window_s: 12, aggregation, ..scaling() };
        Self {
            reporters: Reporters::new(),
            meter: Meter::new(0),
            scaler: Scaler::new(Arc::new(scaling), missing, 1, 2, 0),
            counted: std::collections::BTreeMap::new(),
        }
    }

    fn apply(&mut self, step: &Step, now_us: u64) -> Option<Decision> {
        match *step {
            Step::Report { reporter, boot, area_ms, started, in_flight, behind_ms } => {
                let counted = self.counted.entry(reporter).or_default();
                counted.area_us = counted.area_us.wrapping_add(u64::from(area_ms) * 1_000);
                counted.started = counted.started.wrapping_add(u64::from(started));
                counted.in_flight = in_flight;
                let at_us = now_us.saturating_sub(behind_ms * 1_000);
                let name = format!("activator-{reporter}");
                if let Some(span) = self.reporters.report(&name, boot, at_us, now_us) {
                    self.meter.read(span, *counted);
                }
                None
            }
            Step::Decide { why, ready, replicas } => {
                self.reporters.advance(now_us);
                let load = self.scaler.settle(&mut self.meter, &self.reporters);
                Some(self.scaler.decide(&Observation::new(now_us, why, ready, replicas, load)))
            }
            Step::Configure { target, delay_s, window_s } => {
                self.scaler.configure(Arc::new(Scaling {
                    target,
                    scale_down_delay_s: delay_s,
                    stable_window_s: window_s,
                    ..scaling()
                }));
                None
            }
        }
    }
}

proptest! {
    #[test]
    fn whoever_goes_on_from_a_snapshot_decides_the_same(
        steps in proptest::collection::vec(any_step(), 1..120),
        missing in prop_oneof![Just(Missing::Unknown), Just(Missing::Zero)],
        aggregation in
            prop_oneof![Just(Aggregation::Linear), Just(Aggregation::WeightedExponential)],
        interrupted_every in 1_usize..9,
    ) {
        let mut uninterrupted = State::new(missing, aggregation);
        let mut restored = uninterrupted.clone();
        let mut now_us = 0;
        for (number, (pause_ms, step)) in steps.iter().enumerate() {
            now_us += pause_ms * 1_000;
            if number % interrupted_every == 0 {
                let text = serde_json::to_string(&restored).unwrap();
                restored = serde_json::from_str(&text).unwrap();
            }
            prop_assert_eq!(restored.apply(step, now_us), uninterrupted.apply(step, now_us));
            prop_assert_eq!(&restored, &uninterrupted);
        }
    }
}
