//! Which functions are counted. Touched when a function appears or goes, never by a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::counters::{Counters, Writer};

/// The functions being counted, by name.
#[derive(Debug)]
pub struct Registry {
    functions: DashMap<Arc<str>, Arc<Counters>>,
    workers: usize,
    /// Writers handed out. Relaxed: the number itself is all that is shared.
    writers: AtomicUsize,
}

impl Registry {
    /// A registry for that many worker threads, at least 1.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { functions: DashMap::new(), workers: workers.max(1), writers: AtomicUsize::new(0) }
    }

    /// The next worker's writer, to be taken on that worker's own thread; none once every worker
    /// has one.
    #[must_use]
    pub fn writer(&self) -> Option<Writer> {
        let worker = self.writers.fetch_add(1, Ordering::Relaxed);
        (worker < self.workers).then(|| Writer::new(worker))
    }

    /// The counters of `function`, begun at zero if it is new.
    #[must_use]
    pub fn register(&self, function: &str) -> Arc<Counters> {
        if let Some(counters) = self.functions.get(function) {
            return Arc::clone(&counters);
        }
        let fresh = || Arc::new(Counters::new(self.workers));
        Arc::clone(&self.functions.entry(function.into()).or_insert_with(fresh))
    }

    /// Forgets `function`. Guards that still count keep its counters alive, out of sight.
    pub fn remove(&self, function: &str) {
        self.functions.remove(function);
    }

    /// Every function and its counters, in no order.
    #[must_use]
    pub fn functions(&self) -> Vec<(Arc<str>, Arc<Counters>)> {
        self.functions.iter().map(|e| (Arc::clone(e.key()), Arc::clone(e.value()))).collect()
    }
}
