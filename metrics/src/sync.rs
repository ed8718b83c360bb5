//! The seam for the model checker: every atomic of `seqlock` and `slots` comes from here, and
//! `tests/loom.rs` compiles those files with a seam of its own.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

/// Reads of one cell before it is called unknown. A write is a handful of stores, so a reader that
/// loses this often shares its core with a preempted writer and should not spin on.
pub(crate) const READ_TRIES_MAX: usize = 64;
