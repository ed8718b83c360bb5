//! A request's use of a pod.

use std::sync::Arc;

use crate::hold::limited::Slot;
use crate::pod::Pod;

/// A request's use of a pod. Dropping it ends the use.
#[derive(Debug)]
#[must_use = "dropping it ends the use"]
pub(crate) struct Lease {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    worker: usize,
    /// Its slot there, if the function has a concurrency limit: given up last, after the count.
    #[expect(dead_code, reason = "held for its drop")]
    slot: Option<Slot>,
}

impl Lease {
    /// Counts a request in flight at `pod`, from `worker`'s own thread.
    pub(crate) fn new(pod: Arc<Pod>, worker: usize) -> Self {
        pod.begin(worker);
        Self { pod, worker, slot: None }
    }

    /// Counts the request that holds `slot` as in flight there, from `worker`'s own thread.
    pub(crate) fn with_slot(slot: Slot, worker: usize) -> Self {
        let pod = Arc::clone(&slot.pod);
        pod.begin(worker);
        Self { pod, worker, slot: Some(slot) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pod.end(self.worker);
    }
}
