//! Annotations to settings, readings to decisions, arrivals to admission: everything Dormouse
//! decides, as values and state machines.
//!
//! The crate is pure. Time is a `u64` of microseconds on the caller's monotonic clock (`*_us`),
//! chance and I/O do not occur, and the same calls give the same answers on every machine, which is
//! why the live autoscaler, the local mode and the simulator can share it byte for byte.
//!
//! Reading order: [`function`] (what a function is), [`settings`] (what its annotations ask for),
//! [`window`] (averages over seconds), [`readings`] (reports to seconds), [`idle`] (when to sleep),
//! [`decision`] (averages to replicas, with reasons), [`tick`] (when), [`burst`] (sizing by what is
//! asked for now), [`admission`] (forward, hold or shed one request), [`record`] (what was decided,
//! written down so that it can be decided again).

pub mod function;
pub mod settings;
pub mod window;
pub mod readings;
pub mod idle;
pub mod decision;
pub mod tick;
pub mod burst;
pub mod admission;
pub mod record;
pub mod fingerprint;
