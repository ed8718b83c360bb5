//! The lock-free aggregator: what happened.
//!
//! Every worker thread owns one [`Writer`](counters::Writer). For each function it has one
//! [`cell`](cell::Cell) that it alone writes: requests started and ended, the sum of their start
//! times and of their end times, and how requests fared. At any time t, with the cells of all
//! workers summed at one common t,
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
//! Time is `u64` microseconds on one monotonic clock per process, handed in; all arithmetic wraps.
//! What is absent on purpose: I/O, a clock, Kubernetes, HTTP.

pub mod cell;
pub mod counters;
pub mod registry;
