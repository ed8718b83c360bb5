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
//! Functions that share nothing in such a world are lived through one by one (`apart`), with the
//! same score: each one's events stay in this order.
//!
//! Reading order: [`setup`], [`score`], `engine` (the loop), `serving` (a request's way),
//! `activator`, `reporting` and `silence` (what activators know and say), `deciding` (the
//! autoscaler), `hpa` and `histogram` (policies beside the live one), `cluster` and `pod` (where
//! requests are served), `faults`, `floor`, `ledger` (the account).

#![allow(
    clippy::cast_possible_truncation,
    reason = "places and numbers are of things in memory, fewer than 2^32: functions and \
              activators are bounded, so many requests or pods would be a terabyte"
)]

mod setup;
mod score;
mod series;
mod times;
mod engine;
mod apart;
mod serving;
mod activator;
mod reporting;
mod silence;
mod deciding;
mod cluster;
mod pod;
mod faults;
mod settling;
mod check;
mod floor;
mod hpa;
mod histogram;
mod ledger;
mod queue;
mod parcels;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use hpa::Hpa;
pub use queue::FUNCTIONS_MAX;
pub use score::{Ended, Logged, Overshoot, Row, Score, Scorecard, Waited};
pub use series::{BINS_MAX, Course, DECISIONS_MAX, Extent, Recording, Series};
pub use setup::{
    Api, Arrivals, Capacity, Fault, Function, Kill, Load, Log, Nodes, Policy, Rate, Readiness,
    Report, SECOND_NS, Services, Setup, StartUp, Ticking, World,
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
    /// What is to be killed is not there.
    #[error("a fault is of an activator, a node or a function that there is")]
    Faults,
    /// The cuts are not in order, or too many.
    #[error("cuts must be in order of time and fewer than 65535")]
    Cuts,
    /// What is to be recorded cannot be.
    #[error("a recording is of functions that are there, each once, in 1 to {BINS_MAX} bins")]
    Recording,
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
    match apart::run(setup, seed)? {
        Some(card) => Ok(card),
        None => engine::run(setup, seed, None, |_| Ok(())).map(|(card, _)| card),
    }
}

/// The same, and how the functions that are asked for went through it, in their order. Functions
/// under [`Policy::Floor`] are worked out afterwards and have no way through it.
///
/// # Errors
/// [`RunError`]
pub fn record(
    setup: &Setup,
    seed: u64,
    recording: &Recording,
) -> Result<(Scorecard, Vec<Series>), RunError> {
    engine::run(setup, seed, Some(recording), |_| Ok(()))
}

/// The same, checked after every event against all that is there counted anew: many times slower.
///
/// # Errors
/// [`RunError`]
pub fn run_checked(setup: &Setup, seed: u64) -> Result<Scorecard, RunError> {
    engine::run(setup, seed, None, check::check).map(|(card, _)| card)
}

/// Lives through several worlds on so many threads, at least one; the scores are in the order of
/// the jobs, and the same on any number of threads.
pub fn run_all(jobs: &[(&Setup, u64)], threads: usize) -> Vec<Result<Scorecard, RunError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            // Relaxed: each number is drawn once, and nothing else is shared.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((setup, seed)) = jobs.get(number) else {
                return done;
            };
            done.push((number, run(setup, *seed)));
        }
    };
    let mut done: Vec<(usize, Result<Scorecard, RunError>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for worker in workers {
            match worker.join() {
                Ok(others) => done.extend(others),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, card)| card).collect()
}
