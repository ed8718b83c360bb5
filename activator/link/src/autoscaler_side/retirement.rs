//! One retirement, from PREPARE to COMMIT or ABORT: the part that can be said without knowing who
//! is connected.

use std::collections::BTreeSet;

use crate::frame::Retiring;

/// How long an activator keeps to a PREPARE that is not renewed, in milliseconds. Five renewals
/// fit, so that four may be late before a pod that is being stopped is used again.
pub const HOLD_MS: u64 = 5_000;

/// Pause between renewals of an open PREPARE, in microseconds: each second, as design has it.
pub(super) const RENEW_US: u64 = 1_000_000;

/// Longest wait for every acknowledgement, in microseconds. Requests that outlast it on a pod
/// are what termination grace periods are for; towards zero they mean the function is not idle.
pub(super) const ACKNOWLEDGE_US_MAX: u64 = 5_000_000;

/// How a retirement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The order was placed: the pods are gone.
    Committed,
    /// The pods stay.
    Aborted(Abort),
}

/// Why a retirement was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// A request arrived, or a later decision wants the pods.
    Recalled,
    /// Some activator still had requests in flight there, or did not answer.
    Unacknowledged,
    /// No activator was connected when the time was up.
    NoActivator,
    /// The order to stop the pods failed.
    OrderFailed,
    /// The function left the table.
    FunctionGone,
}

/// An open retirement.
#[derive(Debug)]
pub(super) struct Retirement {
    pub(super) epoch: u64,
    pub(super) pods: Retiring,
    pub(super) phase: Phase,
    pub(super) renew_at_us: u64,
}

/// Where an open retirement is.
#[derive(Debug)]
pub(super) enum Phase {
    /// PREPARE is out; the reporters named have not acknowledged.
    Preparing { waiting: BTreeSet<String>, deadline_us: u64 },
    /// The order to stop the pods is placed, its outcome unknown: no way back.
    Patching,
}

/// What the passing of time or an acknowledgement makes of a retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Patch,
    Abort(Abort),
}

impl Retirement {
    pub(super) fn start(
        epoch: u64,
        pods: Retiring,
        waiting: BTreeSet<String>,
        now_us: u64,
    ) -> Self {
        Self {
            epoch,
            pods,
            phase: Phase::Preparing {
                waiting,
                deadline_us: now_us.saturating_add(ACKNOWLEDGE_US_MAX),
            },
            renew_at_us: now_us.saturating_add(RENEW_US),
        }
    }

    /// Preparing → Patching once nobody is waited for.
    pub(super) fn acknowledged(&mut self, reporter: &str) -> Turn {
        match &mut self.phase {
            Phase::Preparing { waiting, .. } => {
                waiting.remove(reporter);
                if waiting.is_empty() {
                    self.phase = Phase::Patching;
                    Turn::Patch
                } else {
                    Turn::Stay
                }
            }
            Phase::Patching => Turn::Stay,
        }
    }

    /// The reporter's word, if it gave it, no longer counts: it left and its hold cannot be
    /// renewed, or it just joined.
    pub(super) fn wait_for(&mut self, reporter: &str) {
        if let Phase::Preparing { waiting, .. } = &mut self.phase {
            waiting.insert(reporter.to_owned());
        }
    }

    /// Preparing → Patching or → aborted at the deadline, by what the pods are: named pods are
    /// stopped with requests on them, which their grace period covers; zero is not.
    pub(super) fn time_passed(&mut self, connected: usize, now_us: u64) -> Turn {
        let Phase::Preparing { deadline_us, .. } = self.phase else {
            return Turn::Stay;
        };
        if now_us < deadline_us {
            return Turn::Stay;
        }
        if connected == 0 {
            return Turn::Abort(Abort::NoActivator);
        }
        match self.pods {
            Retiring::All => Turn::Abort(Abort::Unacknowledged),
            Retiring::Named(_) => {
                self.phase = Phase::Patching;
                Turn::Patch
            }
        }
    }

    /// The next moment at which time alone changes something.
    pub(super) fn due_us(&self) -> u64 {
        match self.phase {
            Phase::Preparing { deadline_us, .. } => deadline_us.min(self.renew_at_us),
            Phase::Patching => self.renew_at_us,
        }
    }
}
