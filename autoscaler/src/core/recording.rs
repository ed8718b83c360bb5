//! What the core writes down of its deciding: every call that the policy saw, in order, so that the
//! record can be replayed. The lines leave as actions; nothing waits for them.

use std::sync::Arc;

use dormouse_policy::decision::Decision;
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::Reporters;
use dormouse_policy::record::{Decided, Gone, Line, Report, SNAPSHOT_US, Snapshot, Taken};

use super::function::Scaling;

/// Reports and readings kept for the next line; then they are a line of their own. While everything
/// sleeps nothing is decided, and reports come all the same.
pub(super) const PENDING_MAX: usize = 1_024;

/// Whether decisions are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// They are.
    Kept,
    /// They are not.
    None,
}

/// What is still to be written down, and since when every line was.
#[derive(Debug)]
pub(super) struct Recording {
    wall_us: u64,
    /// Heard since the last line.
    heard: Vec<Report>,
    /// Reports and readings in `heard`.
    pending: usize,
    /// Grows whenever lines are lost: snapshots of an earlier run of lines are worth nothing.
    run: u64,
    /// To be written.
    lines: Vec<Line>,
}

/// When a function's last snapshot was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotTaken {
    run: u64,
    at_us: u64,
}

impl Recording {
    pub(super) fn new(record: Record, wall_us: u64) -> Option<Self> {
        let recording = Self { wall_us, heard: Vec::new(), pending: 0, run: 0, lines: Vec::new() };
        (record == Record::Kept).then_some(recording)
    }

    /// What is to be written now, in order.
    pub(super) fn drain(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// What is still to be written, with what was heard and led to no decision.
    pub(super) fn end(&mut self) -> Vec<Line> {
        self.flush();
        self.drain()
    }

    /// Lines did not get into the record.
    pub(super) fn lines_lost(&mut self) {
        self.run += 1;
    }

    pub(super) fn hear(&mut self, report: Report) {
        self.pending += 1 + report.readings.len();
        self.heard.push(report);
        if self.pending >= PENDING_MAX {
            self.flush();
        }
    }

    pub(super) fn gone(&mut self, gone: Gone) {
        self.flush();
        self.lines.push(Line::Gone(gone));
    }

    /// Writes down what was heard and led to no decision yet.
    fn flush(&mut self) {
        if !self.heard.is_empty() {
            let heard = self.take_heard();
            self.lines.push(Line::Heard(heard));
        }
    }

    /// Writes down what deciding on a function remembers now.
    pub(super) fn snapshot(
        &mut self,
        function: &FunctionName,
        taken: Taken,
        reporters: &Reporters,
        scaling: &mut Scaling,
        at_us: u64,
    ) {
        self.flush();
        scaling.snapshot = Some(SnapshotTaken { run: self.run, at_us });
        self.lines.push(Line::Snapshot(Box::new(Snapshot {
            function: function.clone(),
            at_us,
            wall_ms: (self.wall_us + at_us) / 1_000,
            taken,
            reporters: reporters.clone(),
            meter: scaling.meter.clone(),
            scaler: scaling.scaler.clone(),
        })));
    }

    /// Writes down a decision just made, and a snapshot if one is due.
    pub(super) fn decided(
        &mut self,
        function: &FunctionName,
        decision: &Arc<Decision>,
        reporters: &Reporters,
        scaling: &mut Scaling,
    ) {
        let now_us = decision.inputs.now_us;
        let heard = self.take_heard();
        self.lines.push(Line::Decided(Box::new(Decided {
            function: function.clone(),
            wall_ms: (self.wall_us + now_us) / 1_000,
            heard,
            decision: Arc::clone(decision),
        })));
        let is_fresh = |taken: SnapshotTaken| {
            taken.run == self.run && now_us.saturating_sub(taken.at_us) < SNAPSHOT_US
        };
        if !scaling.snapshot.is_some_and(is_fresh) {
            self.snapshot(function, Taken::Periodic, reporters, scaling, now_us);
        }
    }

    fn take_heard(&mut self) -> Vec<Report> {
        self.pending = 0;
        std::mem::take(&mut self.heard)
    }
}
