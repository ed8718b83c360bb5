//! Which functions are counted. Touched when a function appears or goes, never by a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::counters::{Counters, Loads, Shared};
use crate::slab::Slab;
use crate::slots::Slots;
use crate::writer::{Parking, Writer};

/// Most functions counted at once: three times the ten thousand that one activator is made for.
pub const FUNCTIONS_MAX: usize = 32_768;

/// The functions being counted, by name.
#[derive(Debug)]
pub struct Registry {
    functions: DashMap<Arc<str>, Counters>,
    shared: Arc<Shared>,
    /// Per worker, whether its writer was taken. Relaxed: the flag itself is all that is shared.
    taken: Box<[AtomicBool]>,
}

/// A function that is not counted any more. Dropping it gives its slot back: to be done once no
/// worker can look the function up.
#[derive(Debug)]
#[must_use = "dropping it says that no worker can look the function up any more"]
pub struct Removed {
    counters: Counters,
}

impl Drop for Removed {
    fn drop(&mut self) {
        self.counters.shared.slots.give_back(self.counters.slot);
    }
}

/// Every slot is in use, or was until just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many there are.
    pub functions_max: usize,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "all {} places for functions to be counted are taken", self.functions_max)
    }
}

impl std::error::Error for Full {}

impl Registry {
    /// A registry of up to [`FUNCTIONS_MAX`] functions for that many worker threads, at least 1.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::bounded(workers, FUNCTIONS_MAX)
    }

    /// The same with a bound of the caller's own.
    #[must_use]
    pub fn bounded(workers: usize, functions_max: usize) -> Self {
        let workers = workers.max(1);
        let shared = Shared {
            slots: Slots::new(functions_max, workers),
            slabs: (0..workers).map(|_| Arc::new(Slab::new(functions_max))).collect(),
            times: Default::default(),
        };
        Self {
            functions: DashMap::new(),
            shared: Arc::new(shared),
            taken: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// The writer of a worker, numbered from 0, to be taken once and on that worker's own thread.
    #[must_use]
    pub fn writer(&self, worker: usize) -> Option<Writer> {
        let taken = self.taken.get(worker)?.swap(true, Ordering::Relaxed);
        (!taken).then(|| Writer::new(worker, &self.shared))
    }

    /// What tells that a worker's thread sleeps. It counts as asleep until its writer is taken.
    #[must_use]
    pub fn parking(&self, worker: usize) -> Parking {
        Parking { shared: Arc::clone(&self.shared), worker }
    }

    /// The counters of `function` (`namespace/name`), begun at zero if it is new.
    ///
    /// # Errors
    /// [`Full`].
    pub fn register(&self, function: &str) -> Result<Counters, Full> {
        match self.functions.entry(function.into()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(new) => Ok(new.insert(self.take()?).clone()),
        }
    }

    fn take(&self) -> Result<Counters, Full> {
        let Shared { slots, slabs, .. } = &*self.shared;
        let at_rest = |index| self.shared.sum(index).is_some_and(|counts| counts.at_rest());
        let full = || Full { functions_max: slots.len() };
        let slot = slots.take(at_rest).ok_or_else(full)?;
        for slab in slabs {
            slab.grow(slot.index);
            slab.clear(slot.index);
        }
        Ok(Counters { shared: Arc::clone(&self.shared), slot })
    }

    /// Forgets `function`, if it is known. What is in flight is still counted, out of sight; its
    /// slot is used again once it was given back, that has ended and every worker has passed a
    /// quiescent point.
    pub fn remove(&self, function: &str) -> Option<Removed> {
        self.functions.remove(function).map(|(_, counters)| Removed { counters })
    }

    /// The load on every function, with all workers summed at `now_us`.
    #[must_use]
    pub fn loads(&self, now_us: u64) -> Loads {
        Loads::read(&self.shared, now_us)
    }

    /// Every function and its counters, in no order.
    #[must_use]
    pub fn functions(&self) -> Vec<(Arc<str>, Counters)> {
        self.functions.iter().map(|e| (Arc::clone(e.key()), e.value().clone())).collect()
    }
}
