//! The policy in an invented world. So far: recorded runs, read ([`recording`]) and replayed
//! through the policy ([`verify`]).
//!
//! Files are opened by the caller; what is read comes in as an argument.

pub mod recording;
pub mod verify;
