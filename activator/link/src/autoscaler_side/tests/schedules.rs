//! Random schedules of the protocol, watched by an onlooker who sees only frames and outputs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Disconnect(u8),
    Retire { all: bool },
    Acknowledge(u8),
    Recall(u8),
    Patched(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u8).prop_map(Step::Connect),
        (0..3u8).prop_map(Step::Disconnect),
        any::<bool>().prop_map(|all| Step::Retire { all }),
        (0..3u8).prop_map(Step::Acknowledge),
        (0..3u8).prop_map(Step::Recall),
        any::<bool>().prop_map(Step::Patched),
        (0..7 * SECOND_US).prop_map(Step::Wait),
    ]
}

/// What an onlooker who sees only frames and outputs knows.
#[derive(Default)]
struct Onlooker {
    /// Live connections by activator, and the open PREPARE each has heard.
    heard: BTreeMap<u8, (Connection, Option<u64>)>,
    acknowledged: BTreeSet<u8>,
    existing: BTreeSet<u8>,
    open: Option<(u64, bool)>,
    epoch_last: u64,
}

impl Onlooker {
    fn see(&mut self, outputs: Vec<Output>) -> Result<(), TestCaseError> {
        for output in outputs {
            match output {
                Output::Send(to, frame) => self.see_frame(to, frame)?,
                Output::Patch { epoch, .. } => {
                    let (open, all) = self.open.unwrap();
                    prop_assert_eq!(open, epoch);
                    if all {
                        prop_assert_eq!(&self.acknowledged, &self.existing);
                    }
                }
                Output::Ended { epoch, .. } => {
                    prop_assert_eq!(self.open.take().map(|open| open.0), Some(epoch));
                    self.acknowledged.clear();
                }
                Output::Lost { reporter } => {
                    self.existing.remove(&reporter.parse::<u8>().unwrap());
                }
                _ => {}
            }
        }
        let open = self.open.map(|open| open.0);
        for (_, heard) in self.heard.values() {
            prop_assert_eq!(*heard, open, "everyone connected knows what is open");
        }
        Ok(())
    }

    fn see_frame(&mut self, to: Connection, frame: Down) -> Result<(), TestCaseError> {
        let Some((_, heard)) = self.heard.values_mut().find(|(at, _)| *at == to) else {
            return Ok(());
        };
        match frame {
            Down::Prepare { epoch, .. } => {
                prop_assert!(heard.is_none_or(|heard| heard == epoch));
                *heard = Some(epoch);
            }
            Down::Commit { epoch, .. } | Down::Abort { epoch, .. } => {
                prop_assert_eq!(heard.take(), Some(epoch), "exactly one ending each");
            }
            _ => {}
        }
        Ok(())
    }

    fn act(&mut self, side: &mut AutoscalerSide, number: u64, step: Step, now_us: u64) {
        match step {
            Step::Connect(who) => {
                let connection = Connection(number);
                self.heard.insert(who, (connection, None));
                self.existing.insert(who);
                self.acknowledged.remove(&who);
                side.hear(connection, hello(&who.to_string()), now_us);
            }
            Step::Disconnect(who) => {
                if let Some((connection, _)) = self.heard.remove(&who) {
                    self.acknowledged.remove(&who);
                    side.disconnected(connection, now_us);
                }
            }
            Step::Retire { all } => {
                let named = Retiring::Named(vec!["hello-1".into()]);
                let pods = if all { Retiring::All } else { named };
                if let Ok(epoch) = side.retire(&name(), pods, now_us) {
                    assert!(epoch > self.epoch_last && self.open.is_none());
                    self.epoch_last = epoch;
                    self.open = Some((epoch, all));
                }
            }
            Step::Acknowledge(who) => {
                if let Some((connection, Some(epoch))) = self.heard.get(&who) {
                    self.acknowledged.insert(who);
                    side.hear(*connection, prepared(*epoch), now_us);
                }
            }
            Step::Recall(who) => {
                if let Some((connection, Some(epoch))) = self.heard.get(&who) {
                    let recall = Up::Recall { function: name(), epoch: *epoch };
                    side.hear(*connection, recall, now_us);
                }
            }
            Step::Patched(placed) => {
                let outcome = if placed { Patched::Placed } else { Patched::Failed };
                side.patched(&name(), self.epoch_last, outcome);
            }
            Step::Wait(_) => side.time_passed(now_us),
        }
    }
}

proptest! {
    #[test]
    fn any_schedule_keeps_the_promises(steps in prop::collection::vec(step(), 0..60)) {
        let mut side = side(&[]);
        let mut onlooker = Onlooker::default();
        let mut now_us = 0;
        for (number, step) in (0..).zip(steps) {
            if let Step::Wait(us) = step {
                now_us += us;
            }
            onlooker.act(&mut side, number, step, now_us);
            onlooker.see(side.drain())?;
        }
        now_us += 5 * SECOND_US;
        side.time_passed(now_us);
        onlooker.see(side.drain())?;
        side.patched(&name(), onlooker.epoch_last, Patched::Failed);
        onlooker.see(side.drain())?;
        prop_assert_eq!(onlooker.open, None, "nothing stays open");
    }
}
