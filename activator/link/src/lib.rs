//! What activator and autoscaler say to each other, and the state each side keeps of it.
//!
//! The crate is pure: [`frame`] are the words and their bytes, [`activator_side`] and
//! [`autoscaler_side`] the state machines that say and hear them. Sockets, clocks and tokens are
//! the callers' affair, so that every turn of the protocol can be tested as plain calls.

pub mod frame;
pub mod activator_side;
pub mod autoscaler_side;

/// A connection, numbered by who keeps it; a number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);
