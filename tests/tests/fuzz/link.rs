//! Frames of the link, a line each, to their reader and on to the state machine that hears them.

use dormouse_link::Connection;
use dormouse_link::activator_side::{ActivatorSide, Identity, Wanted};
use dormouse_link::autoscaler_side::{AutoscalerSide, Output, Patched};
use dormouse_link::frame::{Down, Retiring, Up};
use dormouse_policy::decision::{Missing, Observation, Scaler, Why};
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::{Meter, Reporters};
use dormouse_policy::settings::Scaling;

use crate::engine::fuzz;

/// Time that passes between two frames: what runs out in seconds does so within a few of them.
const STEP_US: u64 = 700_000;

fn name() -> FunctionName {
    FunctionName::new("default", "a")
}

#[test]
fn down() {
    fuzz("down", &["prepare", "commit", "abort", "table", "welcome", "default/a"], |input| {
        let identity = Identity { reporter: "r".into(), boot: 1 };
        let mut side = ActivatorSide::new(identity, Vec::new());
        let mut now_us = 0;
        for line in input.split(|&byte| byte == b'\n') {
            let connection = Connection(now_us % 3);
            drop(side.connect(connection, "t".into()));
            if let Ok(frame) = serde_json::from_slice::<Down>(line) {
                drop(side.receive(connection, frame, now_us));
            }
            drop(side.wake(&name(), Wanted::Yes));
            drop(side.emptied(&name()));
            drop(side.wake(&name(), Wanted::No));
            now_us += STEP_US;
            drop(side.tick(now_us, &[]));
        }
    });
}

/// The autoscaler's side and what readings go through until they are a decision.
struct Autoscaler {
    side: AutoscalerSide,
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
    now_us: u64,
}

impl Autoscaler {
    fn new() -> Self {
        let mut side = AutoscalerSide::new();
        let entry = serde_json::json!({
            "function": name(), "endpoints": [], "pods": [], "probe": "connect",
            "queue_depth": 10, "queue_timeout_ms": 1000, "request_timeout_ms": 1000,
        });
        side.put(serde_json::from_value(entry).unwrap());
        let settings = std::sync::Arc::new(Scaling::default());
        Self {
            side,
            reporters: Reporters::new(),
            meter: Meter::new(0),
            scaler: Scaler::new(settings, Missing::Unknown, 1, 1, 0),
            now_us: 0,
        }
    }

    fn follow_link(&mut self) {
        for output in self.side.drain() {
            match output {
                Output::Close(connection, _) => self.side.disconnected(connection, self.now_us),
                Output::Patch { function, epoch } => {
                    self.side.patched(&function, epoch, Patched::Placed);
                }
                Output::Report { reporter, boot, at_us, readings, .. } => {
                    let span = self.reporters.report(&reporter, boot, at_us, self.now_us);
                    for reading in readings {
                        if let Some(span) = span {
                            self.meter.read(span, reading.counters());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn decide(&mut self) {
        drop(self.reporters.advance(self.now_us));
        let load = self.scaler.settle(&mut self.meter, &self.reporters);
        let observation = Observation::new(self.now_us, Why::Tick, 1, 1, load);
        let decision = self.scaler.decide(&observation);
        assert_eq!(decision.replay(), decision);
    }
}

#[test]
fn up() {
    fuzz("up", &["hello", "report", "wakes", "prepared", "recall", "default/a"], |input| {
        let mut autoscaler = Autoscaler::new();
        let mut connection = 0;
        for line in input.split(|&byte| byte == b'\n') {
            if let Ok(frame) = serde_json::from_slice::<Up>(line) {
                connection += u64::from(matches!(frame, Up::Hello { .. }));
                let now_us = autoscaler.now_us;
                autoscaler.side.hear(Connection(connection), frame, now_us);
            }
            // Refusals are as good as retirements here.
            drop(autoscaler.side.retire(&name(), Retiring::All, autoscaler.now_us));
            autoscaler.now_us += STEP_US;
            autoscaler.side.time_passed(autoscaler.now_us);
            autoscaler.follow_link();
            autoscaler.decide();
        }
    });
}
