//! Reports to seconds: what the activators counted becomes the metric of each whole second.
//!
//! [`Reporters`] knows who reports and up to when; it is shared by all functions. Each function has
//! a [`Meter`], which spreads the growth between two readings over the seconds it covers. A second
//! every reporter has covered is settled: it leaves the meter once, in order, either known or,
//! where a reporter was lost or began anew, unknown. Until then its load so far is a lower bound.

mod meter;
mod reporters;

pub use meter::{Counters, Load, Meter, Sample};
pub use reporters::{Departure, Reporters, SILENCE_US_MAX, Span};

#[cfg(test)]
mod tests;
