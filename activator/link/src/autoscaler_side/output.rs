//! What the autoscaler's side asks of its caller, and why it turns somebody away.

use dormouse_policy::function::FunctionName;

use super::retirement::Ending;
use crate::Connection;
use crate::frame::{Down, Learnt, Reading, VERSION};

/// Longest name of a reporter, in bytes: a pod's name is a DNS subdomain.
pub(super) const REPORTER_BYTES_MAX: usize = 253;

/// What the caller is to do, or to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this frame.
    Send(Connection, Down),
    /// Send what is queued, then close.
    Close(Connection, Fault),
    /// An activator is connected.
    Joined {
        /// Its name.
        reporter: String,
    },
    /// An activator's connection ended.
    Left {
        /// Its name.
        reporter: String,
    },
    /// An activator said that it ends, with everything answered.
    Gone {
        /// Its name.
        reporter: String,
    },
    /// An activator has been away for [`LOST_AFTER_US`](super::LOST_AFTER_US).
    Lost {
        /// Its name.
        reporter: String,
    },
    /// A report arrived.
    Report {
        /// Who reports.
        reporter: String,
        /// Its process: another one means its counters began again at zero.
        boot: u64,
        /// Up to when, on the reporter's clock, in microseconds.
        at_us: u64,
        /// The readings.
        readings: Vec<Reading>,
        /// What it knows of functions that other autoscalers learnt.
        learnt: Vec<Learnt>,
    },
    /// A function that no activator wanted awake is wanted awake now.
    Woken(FunctionName),
    /// Some activator has more open requests of a function than its share of the threshold.
    Pressed(FunctionName),
    /// Some activator's listeners changed.
    Listening,
    /// A retirement is acknowledged: stop its pods now and say how it went with
    /// [`AutoscalerSide::patched`](super::AutoscalerSide::patched).
    Patch {
        /// The function.
        function: FunctionName,
        /// The retirement.
        epoch: u64,
    },
    /// A retirement is over.
    Ended {
        /// The function.
        function: FunctionName,
        /// The retirement.
        epoch: u64,
        /// How.
        ending: Ending,
    },
}

/// Why a connection is closed from this side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The peer is too far from us.
    #[error("version {0} is not within one of {VERSION}")]
    Version(u32),
    /// The peer's name is none.
    #[error("a reporter's name has 1 to {REPORTER_BYTES_MAX} bytes")]
    Reporter,
    /// The first frame was another.
    #[error("first frame is not Hello")]
    NoHello,
    /// A frame that this version should know, and does not.
    #[error("a frame of a kind that is none")]
    Unknown,
    /// Hello came again.
    #[error("second Hello")]
    SecondHello,
    /// The same reporter connected again.
    #[error("replaced by a newer connection of the same reporter")]
    Replaced,
}

/// Why a retirement was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetireError {
    /// Nobody could acknowledge, so nothing is known.
    #[error("no activator is connected")]
    NoActivator,
    /// An activator that may still serve is not connected.
    #[error("activator {0} is not connected")]
    Away(String),
    /// Another one is open.
    #[error("a retirement is open")]
    Open,
}

/// How the order to stop a retirement's pods went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patched {
    /// It was placed.
    Placed,
    /// It failed for good; the pods stay.
    Failed,
}
