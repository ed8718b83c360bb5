//! The counters of one function over all workers, and the guards that count.

use std::marker::PhantomData;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::cell::{Cell, Word, Words};

/// Tells a guard the time when it gives its count back.
pub trait Clock {
    /// Microseconds on the process' monotonic clock.
    fn now_us(&self) -> u64;
}

/// Why a request was not answered by its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its queue, or all of them together, was full.
    QueueFull,
    /// Its time in the queue ran out.
    QueueTimeout,
    /// The function cannot start.
    CannotStart,
    /// Its whole time ran out.
    RequestTimeout,
    /// It may have been delivered and got no answer.
    Ambiguous,
    /// Its client left first.
    ClientGone,
}

impl Refusal {
    /// Every cause, in the order of its counters.
    pub const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::QueueTimeout,
        Self::CannotStart,
        Self::RequestTimeout,
        Self::Ambiguous,
        Self::ClientGone,
    ];

    fn word(self) -> Word {
        match self {
            Self::QueueFull => Word::QueueFull,
            Self::QueueTimeout => Word::QueueTimeout,
            Self::CannotStart => Word::CannotStart,
            Self::RequestTimeout => Word::RequestTimeout,
            Self::Ambiguous => Word::Ambiguous,
            Self::ClientGone => Word::ClientGone,
        }
    }
}

/// The counters of one function: a cell per worker.
#[derive(Debug)]
pub struct Counters {
    cells: Box<[CachePadded<Cell>]>,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| CachePadded::default()).collect() }
    }

    /// All workers' counts summed at `now_us`, or none if a worker could not be read.
    #[must_use]
    pub fn read(&self, now_us: u64) -> Option<Reading> {
        let mut sum: Words = Words::default();
        for cell in &self.cells {
            for (total, word) in sum.iter_mut().zip(cell.read()?) {
                *total = total.wrapping_add(word);
            }
        }
        let word = |word: Word| sum[word as usize];
        let in_flight = word(Word::Started).wrapping_sub(word(Word::Ended));
        Some(Reading {
            at_us: now_us,
            area_us: word(Word::EndSum)
                .wrapping_sub(word(Word::StartSum))
                .wrapping_add(in_flight.wrapping_mul(now_us)),
            started: word(Word::Started),
            in_flight,
            held: word(Word::HeldBegun).wrapping_sub(word(Word::HeldEnded)),
            refused: Refusal::ALL.map(|refusal| word(refusal.word())),
        })
    }
}

/// The counters of one function at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The moment, in microseconds.
    pub at_us: u64,
    /// The area under the concurrency curve, in request-microseconds, wrapping.
    pub area_us: u64,
    /// Requests started, wrapping.
    pub started: u64,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
    /// Of these, the held ones.
    pub held: u64,
    /// Requests refused, by cause in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

/// One worker's right to write its cells. It stays on its thread: that is what makes a cell
/// single-writer.
#[derive(Debug)]
pub struct Writer {
    worker: usize,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Writer {
    pub(crate) fn new(worker: usize) -> Self {
        Self { worker, stays_on_its_thread: PhantomData }
    }

    /// The worker's number, from 0.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn begin<C: Clock>(&self, counters: &Arc<Counters>, clock: C) -> InFlight<C> {
        let now_us = clock.now_us();
        counters.cells[self.worker].add(&[(Word::Started, 1), (Word::StartSum, now_us)]);
        InFlight {
            counters: Arc::clone(counters),
            worker: self.worker,
            clock,
            stays_on_its_thread: PhantomData,
        }
    }
}

/// A request in flight. Dropping it ends the request.
#[derive(Debug)]
#[must_use = "dropping it ends the request"]
pub struct InFlight<C: Clock> {
    counters: Arc<Counters>,
    worker: usize,
    clock: C,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl<C: Clock> InFlight<C> {
    /// Counts the request as held until the guard is dropped.
    pub fn hold(&self) -> Held {
        self.cell().add(&[(Word::HeldBegun, 1)]);
        Held {
            counters: Arc::clone(&self.counters),
            worker: self.worker,
            stays_on_its_thread: PhantomData,
        }
    }

    /// Counts the request as refused.
    pub fn refuse(&self, refusal: Refusal) {
        self.cell().add(&[(refusal.word(), 1)]);
    }

    fn cell(&self) -> &Cell {
        &self.counters.cells[self.worker]
    }
}

impl<C: Clock> Drop for InFlight<C> {
    fn drop(&mut self) {
        let now_us = self.clock.now_us();
        self.cell().add(&[(Word::Ended, 1), (Word::EndSum, now_us)]);
    }
}

/// A held request. Dropping it ends the holding, not the request.
#[derive(Debug)]
#[must_use = "dropping it ends the holding"]
pub struct Held {
    counters: Arc<Counters>,
    worker: usize,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.cells[self.worker].add(&[(Word::HeldEnded, 1)]);
    }
}
