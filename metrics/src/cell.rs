//! One worker's counters of one function: a single-writer seqlock over relaxed words.
//!
//! Rejected: two bare atomics read apart (a reader could pair a start with no start time), one
//! packed word (overflows within hours), plain words (undefined behaviour), a mutex (the writer is
//! the data path).

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Reads of one cell before it is called unknown. A write is a handful of stores, so a reader that
/// loses this often shares its core with a preempted writer and should not spin on.
const READ_TRIES_MAX: usize = 64;

/// The words of a cell, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Requests started.
    Started,
    /// Requests ended.
    Ended,
    /// Sum of start times, in microseconds.
    StartSum,
    /// Sum of end times, in microseconds.
    EndSum,
    /// Requests that began to be held.
    HeldBegun,
    /// Requests that ceased to be held.
    HeldEnded,
    /// Requests refused because a queue was full.
    QueueFull,
    /// Requests whose time in the queue ran out.
    QueueTimeout,
    /// Requests refused because the function cannot start.
    CannotStart,
    /// Requests whose whole time ran out.
    RequestTimeout,
    /// Requests that may have been delivered and got no answer.
    Ambiguous,
    /// Requests whose client left before its answer.
    ClientGone,
}

/// How many words a cell has.
pub const WORDS: usize = Word::ClientGone as usize + 1;

/// A consistent copy of a cell's words.
pub type Words = [u64; WORDS];

/// One worker's counters of one function.
#[derive(Debug, Default)]
pub struct Cell {
    /// Even while the words are at rest, odd while the writer is among them. Written by the owning
    /// worker alone, read by anyone.
    sequence: AtomicU64,
    /// Written by the owning worker alone, read by anyone. Relaxed: the sequence orders them.
    words: [AtomicU64; WORDS],
}

impl Cell {
    /// Adds to words, seen by readers all at once. Only the owning worker may call this; two
    /// writers would lose counts (never memory safety).
    pub(crate) fn add(&self, amounts: &[(Word, u64)]) {
        // The only writer is this thread, so a relaxed load sees its own last store.
        let sequence = self.sequence.load(Ordering::Relaxed);
        debug_assert!(sequence.is_multiple_of(2), "a cell has one writer");
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Release fence: whoever sees one of the stores below through its acquire fence also sees
        // the odd sequence above, and so throws its copy away.
        fence(Ordering::Release);
        for &(word, amount) in amounts {
            let word = &self.words[word as usize];
            word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
        // Release: whoever reads this even sequence with acquire sees every store before it.
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// A consistent copy, or none if the writer was in the way each time.
    #[must_use]
    pub fn read(&self) -> Option<Words> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Two words that always grow together must never be seen apart.
    #[test]
    fn a_read_never_sees_half_a_write() {
        let cell = Cell::default();
        let rounds = 200_000;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..rounds {
                    cell.add(&[(Word::Started, 1), (Word::StartSum, 3)]);
                }
            });
            let mut last = 0;
            while last < rounds {
                let Some(words) = cell.read() else { continue };
                assert_eq!(words[Word::StartSum as usize], 3 * words[Word::Started as usize]);
                assert!(words[Word::Started as usize] >= last, "counts never fall");
                last = words[Word::Started as usize];
            }
        });
    }

    #[test]
    fn a_writer_in_the_way_makes_the_cell_unknown_not_zero() {
        let cell = Cell::default();
        cell.add(&[(Word::Started, 5)]);
        cell.sequence.store(3, Ordering::Relaxed);
        assert_eq!(cell.read(), None);
    }
}
