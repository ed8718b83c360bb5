//! One pod as the data path sees it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use dormouse_policy::admission::Slots;

/// A pod. Lives as long as the table lists it, through every change of its function's view.
#[derive(Debug)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// Its addresses, one per pod port of the function.
    pub(crate) addresses: Vec<SocketAddr>,
    /// A [`State`]. Written by the control thread, and by a worker that could not reach the pod;
    /// read by workers. Acquire and release: who sees Usable may act on the pod as listed.
    state: AtomicU8,
    /// Told to stop using it. Written by the control thread, read by workers; a worker that was
    /// asked to settle after the write cannot miss it, because both happen on its own thread.
    retiring: AtomicBool,
    /// Requests in flight here, a counter per worker: each is written by its worker alone and read
    /// by the control thread, which needs the sum only after every worker settled.
    in_flight: Box<[CachePadded<AtomicU64>]>,
    /// Requests that were granted a slot here under a concurrency limit, by all workers.
    pub(crate) slots: CachePadded<Slots>,
}

/// What is known of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Not known to take requests; being tried.
    Trying,
    /// Takes requests.
    Usable,
}

impl Pod {
    /// A pod nothing is known of yet.
    pub(crate) fn new(name: String, addresses: Vec<SocketAddr>, workers: usize) -> Self {
        Self {
            name,
            addresses,
            state: AtomicU8::new(State::Trying as u8),
            retiring: AtomicBool::new(false),
            in_flight: (0..workers).map(|_| CachePadded::default()).collect(),
            slots: CachePadded::default(),
        }
    }

    /// Whether a request may be sent here now.
    pub(crate) fn takes_requests(&self) -> bool {
        self.state() == State::Usable && !self.is_retiring()
    }

    /// What is known of it.
    pub(crate) fn state(&self) -> State {
        if self.state.load(Ordering::Acquire) == State::Usable as u8 {
            State::Usable
        } else {
            State::Trying
        }
    }

    /// Sets what is known of it; true if that was news.
    pub(crate) fn set_state(&self, state: State) -> bool {
        self.state.swap(state as u8, Ordering::AcqRel) != state as u8
    }

    /// Whether it is to be left alone.
    pub(crate) fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Acquire)
    }

    /// Leaves it alone, or ceases to.
    pub(crate) fn set_retiring(&self, retiring: bool) {
        self.retiring.store(retiring, Ordering::Release);
    }

    /// Counts a request in flight, from `worker`'s own thread.
    pub(crate) fn begin(&self, worker: usize) {
        let count = &self.in_flight[worker];
        // The only writer is this thread.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Ends what was counted so, from the same thread.
    pub(crate) fn end(&self, worker: usize) {
        let count = &self.in_flight[worker];
        let before = count.load(Ordering::Relaxed);
        assert!(before > 0, "what ends here was begun before");
        count.store(before - 1, Ordering::Release);
    }

    /// Requests in flight here from one worker.
    pub(crate) fn in_flight_of(&self, worker: usize) -> u64 {
        self.in_flight[worker].load(Ordering::Relaxed)
    }

    /// Whether nothing is in flight here from any worker, nor about to be: a slot may be granted
    /// to a request that its worker has not sent yet.
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: pairs with the release in `end`, so that zero here means the worker is done with
        // the pod.
        self.slots.taken() == 0
            && self.in_flight.iter().all(|count| count.load(Ordering::Acquire) == 0)
    }
}
