//! The policy in an invented world: [`world`] runs it on drawn or recorded load ([`draw`] is its
//! chance). Recorded runs of it are read by [`recording`] and replayed by [`verify`].
//!
//! Files are opened by the caller; what is read comes in as an argument.

pub mod draw;
pub mod world;
pub mod recording;
pub mod verify;
