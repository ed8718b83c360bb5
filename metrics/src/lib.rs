//! The lock-free aggregator: what happened.
//!
//! Every worker thread owns one [`Writer`](writer::Writer) and, behind it, one slab of cells that
//! it alone writes: for each function the requests started and ended, the sum of their start times
//! and of their end times, and how requests fared. At any time t, with the cells of all workers
//! summed at one common t,
//!
//! ```text
//! concurrency-seconds(t) = Σ end − Σ start + (started − ended) · t
//! ```
//!
//! is exact: the area under the concurrency curve. The mean concurrency of an interval is the
//! difference of two readings over its length, so nothing is sampled and nothing is lost when a
//! reading is late. Worked: one request from t = 1 s to t = 4 s, read at 2 s and at 6 s: areas
//! 1 s and 3 s; mean (3 − 1) ÷ (6 − 2) = 0.5.
//!
//! What a reading promises: each cell is copied whole, or the reading is none. Cells of several
//! workers are copied one after the other, so that what began or ended meanwhile may be in or out;
//! the next reading has it.
//!
//! Time is `u64` microseconds on one monotonic clock per process, handed in; all arithmetic wraps.
//! What is absent on purpose: I/O, a clock, Kubernetes, HTTP.

pub mod registry;
pub mod counters;
pub mod writer;
pub mod counts;
pub mod histogram;
pub mod times;
pub mod exposition;
mod slab;
mod slots;
mod seqlock;
mod sync;
