//! The policy in an invented world: discrete events in whole nanoseconds.
//!
//! A [`Setup`] and a seed make a [`Scorecard`], always the same one ([`run`]). What is invented are
//! arrivals, service times, the coming and going of pods, delays and faults. What counts
//! (`dormouse-metrics`), admits, measures and decides (`dormouse-policy`) and what wakes, recalls
//! and retires (`dormouse-link`) are the live crates: without one of them this does not build.
//!
//! Order: events are by time, then by class (fault, completion, pod, arrival, report, tick, timer),
//! then by function, then by which was put first. So a slot that is given back in the nanosecond of
//! an arrival is free for it, and a tick sees the report of its own nanosecond.
//!
//! Reading order: [`setup`], [`score`], `engine` (the loop), `serving` (a request's way),
//! `activator` and `reporting` (what activators know and say), `deciding` (the autoscaler),
//! `cluster` and `pod` (where requests are served), `faults`, `floor`, `ledger` (the account).

mod setup;
mod score;
mod times;
mod engine;
mod serving;
mod activator;
mod reporting;
mod deciding;
mod cluster;
mod pod;
mod faults;
mod floor;
mod ledger;
mod queue;
mod parcels;

pub use queue::FUNCTIONS_MAX;
pub use score::{Ended, Logged, Overshoot, Row, Score, Scorecard, Waited};
pub use setup::{
    Api, Arrivals, Capacity, Fault, Function, Kill, Load, Log, Nodes, Policy, Rate, Readiness,
    Report, SECOND_NS, Setup, StartUp, Ticking, World,
};
pub use times::{Quantile, Times};

/// What the world leaves out, one a line: every report says so.
pub const NOT_MODELLED: [&str; 10] = [
    "the network: bytes, bandwidth, connections, retries of clients",
    "what proxying and counting cost, and how many workers an activator has",
    "requests sent to a pod that is gone but not yet known to be: they are lost with it",
    "calls to the API server that fail, and watches that are late by more than a call",
    "how Kubernetes finds out that a node is gone: it knows at once",
    "a second autoscaler that wakes functions while the leader is away",
    "pods that cannot start, and their back-off",
    "what pods on one node cost each other, and what a request needs but time",
    "clients that leave",
    "replicas changed by anybody else",
];

/// A world that cannot be, or that broke a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// There are too many functions.
    #[error("a world has at most {FUNCTIONS_MAX} functions")]
    Functions,
    /// Two functions have one name.
    #[error("two functions have one name")]
    Names,
    /// There are too many activators.
    #[error("a world has at most 1024 activators")]
    Activators,
    /// The cuts are not in order, or too many.
    #[error("cuts must be in order of time and fewer than 65535")]
    Cuts,
    /// Something that must hold in every world does not. It is a fault of the program.
    #[error("seed {seed}, {at_ns} ns: {what}")]
    Broken {
        /// The seed of the world.
        seed: u64,
        /// When.
        at_ns: u64,
        /// What does not hold.
        what: String,
    },
}

/// Lives through a world and gives its score. Every run checks at its end that no request is
/// unaccounted for, and that the counters come to the time that requests spent, to the microsecond.
///
/// # Errors
/// [`RunError`]
pub fn run(setup: &Setup, seed: u64) -> Result<Scorecard, RunError> {
    engine::run(setup, seed, |_| Ok(()))
}
