//! One worker's cells: dense, grown in chunks that never move, so that recording is two look-ups
//! without a lock. Each worker has its own, so no two workers write one cache line.

use std::sync::OnceLock;

use crate::counts::{Counts, RESPONSES, TALLY_WORDS, TallyWords};
use crate::seqlock::Seqlock;

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

/// What every request writes twice: the concurrency of one function on one worker.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(crate) struct Flow(Seqlock<3>);

impl Flow {
    #[inline]
    pub(crate) fn begin(&self, now_us: u64) {
        self.0.add([(STARTED, 1), (BALANCE, now_us.wrapping_neg())]);
    }

    #[inline]
    pub(crate) fn end(&self, now_us: u64) {
        assert!(self.0.own(STARTED) != self.0.own(ENDED), "a request that ends was begun");
        self.0.add([(ENDED, 1), (BALANCE, now_us)]);
    }

    #[inline]
    pub(crate) fn read(&self) -> Option<FlowWords> {
        self.0.read()
    }
}

/// How the requests of one function fared on one worker, by the positions in `counts`.
#[derive(Debug, Default)]
pub(crate) struct Tally(Seqlock<TALLY_WORDS>);

impl Tally {
    /// One more.
    #[inline]
    pub(crate) fn count(&self, word: usize) {
        self.0.add([(word, 1)]);
    }

    /// One more answer, and one more `other` with it.
    #[inline]
    pub(crate) fn answer(&self, class: usize, other: Option<usize>) {
        match other {
            None => self.0.add([(RESPONSES + class, 1)]),
            Some(other) => self.0.add([(RESPONSES + class, 1), (other, 1)]),
        }
    }

    /// One less of what `begun` counts up and `ended` counts down.
    pub(crate) fn end(&self, begun: usize, ended: usize) {
        assert!(self.0.own(begun) != self.0.own(ended), "a count given back was taken");
        self.0.add([(ended, 1)]);
    }
}

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
        self.flow(index).0.clear();
        self.tally(index).0.clear();
    }

    /// The flows of all slots, in order, up to the first chunk that is not there yet.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.0.iter().map_while(OnceLock::get).flat_map(|chunk| &chunk.0)
    }

    #[inline]
    pub(crate) fn flow(&self, index: usize) -> &Flow {
        self.flows.get(index)
    }

    #[inline]
    pub(crate) fn tally(&self, index: usize) -> &Tally {
        self.tallies.get(index)
    }

    /// A slot's counts, or none if the writer was in the way. The flow is copied first: what it
    /// shows as ended has left its mark in the tally.
    pub(crate) fn read(&self, index: usize) -> Option<Counts> {
        let flow = self.flow(index).read()?;
        let tally: TallyWords = self.tally(index).0.read()?;
        Some(Counts { flow, tally })
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
