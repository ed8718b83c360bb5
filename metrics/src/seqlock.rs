//! Words that one thread writes and any thread copies: a single-writer seqlock over relaxed words.
//!
//! One sequence may guard words in several places, so that what a request writes at once costs one
//! pass of it, and what is read often lies dense.
//!
//! Rejected: bare atomics read apart (a reader could pair a start with no start time), one packed
//! word (overflows within hours), plain words (undefined behaviour), a mutex (the writer is the
//! data path).
//!
//! The orderings are checked by `tests/loom.rs`.

use crate::sync::{AtomicU64, Ordering, READ_TRIES_MAX, fence, spin_loop};

/// What makes the writes of one thread to some words whole.
#[derive(Debug)]
pub(crate) struct Sequence(
    /// Even while the words are at rest, odd while the writer is among them. Written by the owner
    /// alone, read by anyone.
    AtomicU64,
);

impl Default for Sequence {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Sequence {
    /// Makes all that `change` does to its words seen by readers at once. For the owner alone: two
    /// writers would lose counts (never memory safety).
    #[inline]
    pub(crate) fn write(&self, change: impl FnOnce()) {
        let sequence = self.0.load(Ordering::Relaxed);
        debug_assert!(sequence.is_multiple_of(2), "a cell has one writer");
        self.0.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Release fence: whoever sees one of the stores below through its acquire fence also sees
        // the odd sequence above, and so throws its copy away.
        fence(Ordering::Release);
        change();
        // Release: whoever reads this even sequence with acquire sees every store before it.
        self.0.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// What `copy` made of the words while nobody wrote them, or none if the writer was in the way
    /// each time.
    #[inline]
    pub(crate) fn read<T>(&self, copy: impl Fn() -> T) -> Option<T> {
        for _ in 0..READ_TRIES_MAX {
            // Acquire: pairs with the writer's final release store.
            let before = self.0.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let copied = copy();
                // Acquire fence: if a load above saw a store of a later write, the load below sees
                // that write's odd sequence, or a still later one, and the copy is thrown away.
                fence(Ordering::Acquire);
                if self.0.load(Ordering::Relaxed) == before {
                    return Some(copied);
                }
            }
            spin_loop();
        }
        None
    }
}

/// Words under a [`Sequence`]: to be changed and copied only within it.
#[derive(Debug)]
pub(crate) struct Words<const N: usize>(
    /// Written by the owner alone, read by anyone. Relaxed: the sequence orders them.
    [AtomicU64; N],
);

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Words<N> {
    /// Adds to a word.
    #[inline]
    pub(crate) fn add(&self, word: usize, amount: u64) {
        // The only writer is this thread, so a relaxed load sees its own last store.
        self.0[word].store(self.own(word).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Sets every word to 0.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// A word as its owner sees it, at any time.
    #[inline]
    pub(crate) fn own(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    /// Every word.
    #[inline]
    pub(crate) fn copy(&self) -> [u64; N] {
        std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed))
    }
}
