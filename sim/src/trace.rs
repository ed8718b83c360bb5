//! Recorded loads: counts by the minute and how long requests took, or arrivals ([`indexed`]).
//!
//! What a file holds is checked cell by cell, and whatever is wrong with it is named by file, line
//! and column. Gzip is unpacked, a byte-order mark, CRLF and quotes are taken; of a file only
//! functions × minutes are kept in memory.

pub(crate) mod table;
mod filter;
mod azure;
mod periods;
pub mod indexed;

pub use azure::{Row, counts, durations};
pub use filter::{COUNTS_COLUMNS, Filter, INDEXED_COLUMNS};
pub use periods::periods;
pub use table::Fault;

/// Most requests of a function in a minute: a hundred times what the largest site recorded had.
const COUNT_MAX: u32 = 100_000_000;

/// Most cells that are kept of a file, so that a wrong file does not take all memory: ten times the
/// functions of a day of a large cloud.
const CELLS_MAX: usize = 1 << 28;

#[cfg(test)]
mod tests;
