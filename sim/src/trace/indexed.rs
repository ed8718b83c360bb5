//! Traces with an index: arrivals by function and time, read where they are wanted, so that a
//! simulation holds none of them in memory, however many there are.
//!
//! - head, 28 bytes: [`MAGIC`], version (u16), whether service times are known (u16, 0 or 1), the
//!   resolution in nanoseconds (u64), the first tick of all (u64);
//! - a section per function: groups of arrivals of one tick, ascending. Ticks since the group
//!   before (the first: since the head's), how many, and where service times are known, runs of
//!   equal ones: twice the microseconds, plus 1 if another number says how many but two they are;
//! - table: how many functions, and by name of each: name, what it was called in the source, where
//!   its section begins, how long it is, requests, first and last tick since the head's;
//! - foot, 32 bytes: where the table begins (u64), requests in all (u64), version again (u32),
//!   CRC-32 of all before it (u32), [`END`].
//!
//! Numbers of fixed length are little-endian; others, and the lengths before texts, are LEB128. A
//! tick is a time in units of the resolution since 1970, or since the source's own zero.

mod read;
mod write;

pub use read::{Arrivals, Faulty, Indexed, Services};
pub use write::{Row, Summary, Unwritable, Writer};

/// How a trace begins.
pub const MAGIC: [u8; 8] = *b"dormtrc\n";

/// How it ends.
pub const END: [u8; 8] = *b"trc end\n";

/// The version of its shape. Another one cannot be read.
pub const VERSION: u16 = 1;

const HEAD_BYTES: usize = 28;

const FOOT_BYTES: usize = 32;

/// Most functions of a trace: each has an entry in memory, and a reader in a simulation.
pub const FUNCTIONS_MAX: usize = 100_000;

/// Longest name, in bytes: what a label of Kubernetes holds.
pub const NAME_BYTES_MAX: usize = 63;

/// Longest text of what a function was called in its source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1024;

/// The coarsest resolution, in nanoseconds: a day.
pub const RESOLUTION_NS_MAX: u64 = 86_400_000_000_000;

/// The longest service time, in microseconds: a day.
pub const SERVICE_US_MAX: u64 = 86_400_000_000;

/// What a trace is, beside its arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether service times are known.
    pub times: Times,
    /// Arrivals lie in units of this, in nanoseconds, from 1 to [`RESOLUTION_NS_MAX`].
    pub resolution_ns: u64,
    /// The tick of the first arrival.
    pub first_tick: u64,
}

/// Whether service times are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Of every request.
    Known,
    /// Of none.
    Unknown,
}

/// One function of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name: a-z, 0-9 and -, at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// What it was called where the trace is from.
    pub source: String,
    /// Where its section begins, in bytes.
    pub begin: u64,
    /// How long that is, in bytes.
    pub length: u64,
    /// How many requests it has.
    pub requests: u64,
    /// The tick of the first one, since the trace's first.
    pub first: u64,
    /// The tick of the last one, since the trace's first.
    pub last: u64,
}

/// Whether a text may be the name of a function.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
