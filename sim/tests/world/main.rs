//! Worlds, and what must come of them.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

mod kit;
mod invariants;
mod same;
mod apart;
mod idling;
mod series;
mod mechanisms;
mod faults;
mod committed;
mod swarm;
mod queueing;
