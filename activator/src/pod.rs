//! One pod as the data path sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

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

    /// Requests in flight here from one worker.
    pub(crate) fn in_flight_of(&self, worker: usize) -> u64 {
        self.in_flight[worker].load(Ordering::Relaxed)
    }

    /// Requests in flight here from all workers.
    pub(crate) fn in_flight(&self) -> u64 {
        // Acquire: pairs with the release in Lease's drop, so that zero here means the worker is
        // done with the pod.
        self.in_flight.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }
}

/// A request's use of a pod. Dropping it ends the use.
#[derive(Debug)]
#[must_use = "dropping it ends the use"]
pub(crate) struct Lease {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    worker: usize,
}

impl Lease {
    /// Counts a request in flight at `pod`, from `worker`'s own thread.
    pub(crate) fn new(pod: Arc<Pod>, worker: usize) -> Self {
        let count = &pod.in_flight[worker];
        // The only writer is this thread.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Self { pod, worker }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let count = &self.pod.in_flight[self.worker];
        let before = count.load(Ordering::Relaxed);
        assert!(before > 0, "a lease given back was taken before");
        count.store(before - 1, Ordering::Release);
    }
}
