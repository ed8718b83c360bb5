//! Arbitrary bytes and damaged good input, to everything that reads what others wrote.
//!
//! Each target runs for [`engine::SECONDS`], longer if `DORMOUSE_FUZZ_SECONDS` says so. What it
//! begins with is in `corpus/`, a folder per target; a new file there is one more seed. A crash is
//! made small, shown, and told how to be seen again; an input that does not end is cut and told,
//! too.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

mod engine;
mod settings;
mod link;
mod recordings;
mod metrics;
mod sim;
