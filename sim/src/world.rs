//! The policy in an invented world: discrete events in whole nanoseconds.
//!
//! A [`Setup`] and a seed make a [`Scorecard`], always the same one. What is invented are arrivals,
//! service times, the coming and going of pods, delays and faults; what decides, counts, admits and
//! retires are the live crates.

mod score;
mod setup;
mod times;

pub use score::{Ended, Logged, Overshoot, Row, Score, Scorecard, Waited};
pub use setup::{
    Api, Arrivals, Capacity, Fault, Function, Kill, Load, Log, Nodes, Policy, Rate, Readiness,
    Report, SECOND_NS, Setup, StartUp, Ticking, World,
};
pub use times::{Quantile, Times};
