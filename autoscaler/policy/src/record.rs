//! The record of decisions: everything that deciding was told and what it made of it, one JSON
//! object a line, so that every decision can be made again elsewhere and later.
//!
//! A file opens with a [`Header`]. A [`Snapshot`] holds all that deciding on one function
//! remembers: one when the function begins, one a minute after that, one when its settings change.
//! A [`Decided`] line carries the reports heard since the line before, as they came in.
//! [`replay()`] goes through a record from any snapshot and demands the same decisions.
//!
//! Bytes in and out; files belong to the caller.

mod read;
mod replay;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Scaler};
use crate::function::FunctionName;
use crate::readings::{Counters, Departure, Meter, Reporters};

pub use read::{Fault, read};
pub use replay::{Difference, ReplayError, Replayer, Summary, Unreadable, replay};

/// What a header's `format` says.
pub const FORMAT: &str = "dormouse-record";

/// The version of the lines' shape, a snapshot's state included. Another one cannot be read.
pub const VERSION: u32 = 1;

/// How long after its last snapshot a function's next one is due, in microseconds: a reader that
/// enters the record anywhere has a minute to skip, and snapshots stay a small part of the file.
pub const SNAPSHOT_US: u64 = 60_000_000;

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// What deciding on a function remembers, after the lines before.
    Snapshot(Box<Snapshot>),
    /// Reports that no decision followed for a while, or that a snapshot already knows of.
    Heard(Vec<Report>),
    /// An activator is gone: it reports no more, and has nothing in flight.
    Gone(Gone),
    /// A decision.
    Decided(Box<Decided>),
    /// Lines are missing here. What follows can be replayed from each function's next snapshot.
    Gap {
        /// How many.
        lines: u64,
    },
}

/// What the record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// [`crate::decision::VERSION`] of the policy that decided; another one may decide otherwise.
    pub policy: u32,
    /// Unix time at 0 of the decider's monotonic clock, in microseconds.
    pub wall_us: u64,
}

/// All that deciding on one function remembers at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The function.
    pub function: FunctionName,
    /// When, on the decider's monotonic clock, in microseconds.
    pub at_us: u64,
    /// The same as Unix time, in milliseconds.
    pub wall_ms: u64,
    /// What it was taken for.
    pub taken: Taken,
    /// The reporters of all functions.
    pub reporters: Reporters,
    /// The function's readings.
    pub meter: Meter,
    /// Its windows, its settings and the rest.
    pub scaler: Scaler,
}

/// What a snapshot was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// The function is decided on from now on: first sight, with so many pods.
    Begin {
        /// Ready pods.
        ready: u32,
        /// Replicas asked for.
        replicas: u32,
    },
    /// Its settings changed just now.
    Settings,
    /// Its pods are of another template from now on.
    Redeploy {
        /// Ready pods.
        ready: u32,
        /// Replicas asked for.
        replicas: u32,
    },
    /// What others learnt of it before was taken over just now.
    Learnt,
    /// A minute has passed since the last one, or lines were lost.
    Periodic,
}

/// What one activator reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The activator's name.
    pub reporter: String,
    /// Its process life.
    pub boot: u64,
    /// Its own monotonic time, in microseconds.
    pub at_us: u64,
    /// When it was heard, on the decider's monotonic clock, in microseconds.
    pub heard_us: u64,
    /// The functions it named that are decided on.
    pub readings: Vec<Reading>,
}

/// One function in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The function.
    pub function: FunctionName,
    /// Its counters in that activator.
    pub counters: Counters,
}

/// The end of an activator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The activator's name.
    pub reporter: String,
    /// When it was known, on the decider's monotonic clock, in microseconds.
    pub at_us: u64,
    /// How.
    pub departure: Departure,
}

/// A decision and what was heard before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The function.
    pub function: FunctionName,
    /// When, as Unix time, in milliseconds.
    pub wall_ms: u64,
    /// What the activators reported since the last line, in order.
    pub heard: Vec<Report>,
    /// The decision with everything it was made from; `inputs.now_us` is its time.
    pub decision: Arc<Decision>,
}

impl Header {
    /// The header of a record that this policy writes; `wall_us` is Unix time at 0 of the monotonic
    /// clock, in microseconds.
    #[must_use]
    pub fn new(wall_us: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            policy: crate::decision::VERSION,
            wall_us,
        }
    }
}

impl Line {
    /// Appends the line, its end included, to `bytes`.
    ///
    /// # Errors
    /// It cannot be written as JSON; `bytes` may then end with a part of it.
    pub fn write_to(&self, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *bytes, self)?;
        bytes.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests;
