//! Words that one thread writes and any thread copies: a single-writer seqlock over relaxed words.
//!
//! Rejected: bare atomics read apart (a reader could pair a start with no start time), one packed
//! word (overflows within hours), plain words (undefined behaviour), a mutex (the writer is the
//! data path).
//!
//! The orderings are checked by `tests/loom.rs`.

use crate::sync::{AtomicU64, Ordering, READ_TRIES_MAX, fence, spin_loop};

/// Words that one thread writes and any thread copies.
#[derive(Debug)]
pub(crate) struct Seqlock<const N: usize> {
    /// Even while the words are at rest, odd while the writer is among them. Written by the owner
    /// alone, read by anyone.
    sequence: AtomicU64,
    /// Written by the owner alone, read by anyone. Relaxed: the sequence orders them.
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Seqlock<N> {
    fn default() -> Self {
        Self { sequence: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const N: usize> Seqlock<N> {
    /// Adds to words, seen by readers all at once. For the owner alone: two writers would lose
    /// counts (never memory safety).
    #[inline]
    pub(crate) fn add<const K: usize>(&self, amounts: [(usize, u64); K]) {
        self.write(|words| {
            for (word, amount) in amounts {
                let sum = words[word].load(Ordering::Relaxed).wrapping_add(amount);
                words[word].store(sum, Ordering::Relaxed);
            }
        });
    }

    /// Sets every word to 0, seen by readers all at once. For the owner alone, or for whoever knows
    /// that the owner is done with it.
    pub(crate) fn clear(&self) {
        self.write(|words| words.iter().for_each(|word| word.store(0, Ordering::Relaxed)));
    }

    /// A word as its owner sees it.
    #[inline]
    pub(crate) fn own(&self, word: usize) -> u64 {
        // The only writer is this thread, so a relaxed load sees its own last store.
        self.words[word].load(Ordering::Relaxed)
    }

    #[inline]
    fn write(&self, change: impl FnOnce(&[AtomicU64; N])) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        debug_assert!(sequence.is_multiple_of(2), "a cell has one writer");
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Release fence: whoever sees one of the stores below through its acquire fence also sees
        // the odd sequence above, and so throws its copy away.
        fence(Ordering::Release);
        change(&self.words);
        // Release: whoever reads this even sequence with acquire sees every store before it.
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// A consistent copy, or none if the writer was in the way each time.
    #[inline]
    pub(crate) fn read(&self) -> Option<[u64; N]> {
        for _ in 0..READ_TRIES_MAX {
            // Acquire: pairs with the writer's final release store.
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
                // Acquire fence: if a load above saw a store of a later write, the load below sees
                // that write's odd sequence, or a still later one, and the copy is thrown away.
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return Some(words);
                }
            }
            spin_loop();
        }
        None
    }
}
