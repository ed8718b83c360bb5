//! One worker's cells: dense, grown in chunks that never move, so that recording is two look-ups
//! without a lock. Each worker has its own, so no two workers write one cache line.
//!
//! A cell lies in several places under one sequence: the flow, which every request writes twice and
//! every report reads, so that ten thousand of them are a few hundred KiB; the tally, which only
//! what went otherwise than well writes; and, while there are any, the histograms of `times`.

use std::sync::OnceLock;

use crate::counts::{Counts, TALLY_WORDS};
use crate::seqlock::{Sequence, Words};

/// Slots per chunk: 8 KiB of flows, so that a process with a few functions stays small.
const CHUNK: usize = 256;

/// A position in [`Flow`]: requests started.
pub(crate) const STARTED: usize = 0;
/// A position in [`Flow`]: requests ended.
pub(crate) const ENDED: usize = 1;
/// A position in [`Flow`]: Σ end times − Σ start times, in microseconds. Only the difference is
/// ever needed, and without a word to spare the cell is half a cache line.
pub(crate) const BALANCE: usize = 2;

/// The words of a [`Flow`].
pub(crate) type FlowWords = [u64; 3];

/// The concurrency of one function on one worker, and the sequence of all that is counted there.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(crate) struct Flow {
    sequence: Sequence,
    words: Words<3>,
}

impl Flow {
    #[inline]
    pub(crate) fn begin(&self, now_us: u64) {
        self.sequence.write(|| {
            self.words.add(STARTED, 1);
            self.words.add(BALANCE, now_us.wrapping_neg());
        });
    }

    /// One request ended, and readers see at once with it what `more` writes of the cell.
    #[inline]
    pub(crate) fn end(&self, now_us: u64, more: impl FnOnce()) {
        let begun = self.words.own(STARTED) != self.words.own(ENDED);
        assert!(begun, "a request that ends was begun");
        self.sequence.write(|| {
            self.words.add(ENDED, 1);
            self.words.add(BALANCE, now_us);
            more();
        });
    }

    #[inline]
    pub(crate) fn read(&self) -> Option<FlowWords> {
        self.sequence.read(|| self.words.copy())
    }
}

/// How the requests of one function fared on one worker, by the positions in `counts`.
pub(crate) type Tally = Words<TALLY_WORDS>;

/// One worker's cells.
#[derive(Debug)]
pub(crate) struct Slab {
    flows: Chunks<Flow>,
    tallies: Chunks<Tally>,
}

impl Slab {
    /// Room for that many slots, none of it taken yet.
    pub(crate) fn new(slots: usize) -> Self {
        Self { flows: Chunks::new(slots), tallies: Chunks::new(slots) }
    }

    /// Makes the cells of a slot, if they were never there.
    pub(crate) fn grow(&self, index: usize) {
        self.flows.grow(index);
        self.tallies.grow(index);
    }

    /// Makes a slot's cells as new. For whoever has the slot to itself.
    pub(crate) fn clear(&self, index: usize) {
        let (flow, tally) = (self.flow(index), self.tally(index));
        flow.sequence.write(|| {
            flow.words.clear();
            tally.clear();
        });
    }

    /// The flows of all slots, in order, up to the first chunk that is not there yet.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.0.iter().map_while(OnceLock::get).flat_map(|chunk| &chunk.0)
    }

    #[inline]
    pub(crate) fn flow(&self, index: usize) -> &Flow {
        self.flows.get(index)
    }

    /// To be written within the sequence of its flow.
    #[inline]
    pub(crate) fn tally(&self, index: usize) -> &Tally {
        self.tallies.get(index)
    }

    /// One more of what `word` counts.
    pub(crate) fn count(&self, index: usize, word: usize) {
        self.flow(index).sequence.write(|| self.tally(index).add(word, 1));
    }

    /// One less of what `begun` counts up and `ended` counts down, and readers see at once with it
    /// what `more` writes of the cell.
    pub(crate) fn count_back(
        &self,
        index: usize,
        (begun, ended): (usize, usize),
        more: impl FnOnce(),
    ) {
        let tally = self.tally(index);
        assert!(tally.own(begun) != tally.own(ended), "a count given back was taken");
        self.flow(index).sequence.write(|| {
            tally.add(ended, 1);
            more();
        });
    }

    /// A slot's counts, or none if the writer was in the way.
    #[inline]
    pub(crate) fn read(&self, index: usize) -> Option<Counts> {
        let (flow, tally) = (self.flow(index), self.tally(index));
        flow.sequence.read(|| Counts { flow: flow.words.copy(), tally: tally.copy() })
    }

    /// What `copy` made of words that are written within the sequence of a slot's flow.
    pub(crate) fn read_with<T>(&self, index: usize, copy: impl Fn() -> T) -> Option<T> {
        self.flow(index).sequence.read(copy)
    }
}

/// Aligned so that no chunk shares a cache line, or the one fetched with it, with another worker's.
#[derive(Debug)]
#[repr(align(128))]
struct Chunk<T>([T; CHUNK]);

#[derive(Debug)]
struct Chunks<T>(Box<[OnceLock<Box<Chunk<T>>>]>);

impl<T: Default> Chunks<T> {
    fn new(slots: usize) -> Self {
        Self((0..slots.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect())
    }

    fn grow(&self, index: usize) {
        let fresh = || Box::new(Chunk(std::array::from_fn(|_| T::default())));
        self.0[index / CHUNK].get_or_init(fresh);
    }

    #[inline]
    fn get(&self, index: usize) -> &T {
        let chunk = self.0[index / CHUNK].get().expect("a slot in use has cells");
        &chunk.0[index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{HELD_BEGUN, HELD_ENDED};

    fn slab() -> Slab {
        let slab = Slab::new(1);
        slab.grow(0);
        slab
    }

    #[test]
    #[should_panic(expected = "a request that ends was begun")]
    fn a_request_that_never_began_does_not_end() {
        let slab = slab();
        slab.flow(0).begin(1);
        slab.flow(0).end(2, || ());
        slab.flow(0).end(3, || ());
    }

    #[test]
    #[should_panic(expected = "a count given back was taken")]
    fn a_count_never_taken_is_not_given_back() {
        let slab = slab();
        slab.count(0, HELD_BEGUN);
        slab.count_back(0, (HELD_BEGUN, HELD_ENDED), || ());
        slab.count_back(0, (HELD_BEGUN, HELD_ENDED), || ());
    }
}
