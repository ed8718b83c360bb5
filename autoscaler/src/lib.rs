//! Facts in, decisions, hands out: the control part of Dormouse.
//!
//! Reading order: [`cluster`] (the two traits towards the world), [`status`] (what others are
//! told), `leader` (who of several decides), `core` (what an event does: synchronous, no I/O),
//! `server` (the loop around it: sockets, clock, calls), with `server::peer` for one activator's
//! connection and `server::admin` for people.

pub mod cluster;
pub mod status;
mod leader;
mod core;
mod server;

pub use server::{
    Autoscaler, BindError, Bound, Certificate, Config, FindLeader, Gate, Leadership, NotAdmitted,
    RunError, TlsError, Victims, Vouch,
};
