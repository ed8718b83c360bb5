//! The queue of the process: held requests of functions with a concurrency limit, and the slots at
//! their pods.
//!
//! While nobody is held, beginning and ending a request cost one shared atomic each, the pod's
//! slots. The queue is behind a mutex that is touched only once somebody is held; no lock is kept
//! while anything is told, waited for or dropped that could need it again.
//!
//! That nobody is forgotten rests on two orders, each of one thread: whoever gives a slot back
//! looks afterwards whether anybody is held; whoever is held looks afterwards for a slot. See
//! [`dormouse_policy::admission::Slots`] for why one of them sees the other.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_policy::admission::{CommonBound, Ticket};
use tokio::sync::oneshot;

use super::queue::{Entered, Queue};
use super::{Came, Outcome};
use crate::balance;
use crate::function::{Function, View};
use crate::pod::Pod;
use crate::problem::Problem;

/// Held requests of functions with a concurrency limit.
pub(crate) struct Limited {
    queue: Mutex<Queue>,
}

/// What a request that is not held goes on with.
#[derive(Debug)]
pub(crate) enum Grant {
    /// Some pod takes requests; which one is chosen when the request is sent.
    Any,
    /// A slot at a pod.
    Slot(Slot),
}

/// A pod's slot. Dropping it gives it to the oldest held request, or back.
#[must_use = "dropping it gives it back"]
pub(crate) struct Slot {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    /// Who is to have it next; taken when it is only to be given back.
    next: Option<(Arc<Limited>, Arc<Function>)>,
}

impl Limited {
    /// Nothing held, drawing on the bound over all functions.
    pub(crate) fn new(common: Arc<CommonBound>) -> Self {
        Self { queue: Mutex::new(Queue::new(common)) }
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        function: &Arc<Function>,
        view: &View,
        limit: NonZeroU32,
        came: Came,
        deadline_us: u64,
        bytes: impl FnOnce() -> u64,
    ) -> Entered<Grant> {
        let slot = || self.slot(function, view, limit).map(Grant::Slot);
        if matches!(came, Came::Anew)
            && function.bound.taken().requests == 0
            && let Some(slot) = slot()
        {
            return Entered::Forward(slot);
        }
        let entered = self.queue().enter(function, came, deadline_us, bytes, slot);
        if matches!(entered, Entered::Hold { .. }) {
            // A slot given back since found nobody held.
            self.release(function);
        }
        entered
    }

    /// What a held request of `function` can go on with now.
    pub(super) fn grant(self: &Arc<Self>, function: &Arc<Function>) -> Option<Grant> {
        let view = function.view.load();
        match view.limit {
            None => view.takes_requests().then_some(Grant::Any),
            Some(limit) => self.slot(function, &view, limit).map(Grant::Slot),
        }
    }

    /// Gives what can be granted to the oldest held requests of `function`.
    pub(super) fn release(self: &Arc<Self>, function: &Arc<Function>) {
        // Nobody is held: the usual case, and not worth the lock.
        while function.bound.taken().requests > 0 {
            let released = self.queue().release(function, || self.grant(function));
            let Some((sender, grant)) = released else {
                return;
            };
            function.released.fetch_add(1, Ordering::Relaxed);
            if let Err(Outcome::Released(Grant::Slot(slot))) = sender.send(Outcome::Released(grant))
            {
                // The receiver is gone; the next in line is looked for here, not one call deeper.
                slot.give_back();
            }
        }
    }

    pub(super) fn refuse(&self, function: &Function, problem: &Problem) {
        loop {
            let refused = self.queue().refuse(function.id);
            let Some(sender) = refused else {
                return;
            };
            drop(sender.send(Outcome::Refused(problem.clone())));
        }
    }

    pub(super) fn expire(&self, now_us: u64) {
        loop {
            let expired = self.queue().expire(now_us);
            let Some(sender) = expired else {
                return;
            };
            drop(sender.send(Outcome::Expired));
        }
    }

    pub(super) fn cancel(
        &self,
        function: &Function,
        ticket: Ticket,
    ) -> Option<oneshot::Sender<Outcome>> {
        self.queue().cancel(function.id, ticket)
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        self.queue().next_deadline_us()
    }

    pub(super) fn held(&self, function: &Function) -> usize {
        // Nobody is held: the usual case, and not worth the lock.
        if function.bound.taken().requests == 0 { 0 } else { self.queue().held(function.id) }
    }

    pub(super) fn held_in_all(&self) -> usize {
        self.queue().held_in_all()
    }

    fn slot(
        self: &Arc<Self>,
        function: &Arc<Function>,
        view: &View,
        limit: NonZeroU32,
    ) -> Option<Slot> {
        let pod = balance::take_slot(&view.pods, limit)?;
        let next = Some((Arc::clone(self), Arc::clone(function)));
        Some(Slot { pod: Arc::clone(pod), next })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every method leaves the queue whole, also one that panics.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Gives it back and leaves it to the caller who is to have it next.
    fn give_back(mut self) {
        self.next = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pod.slots.give_back();
        if let Some((limited, function)) = self.next.take() {
            limited.release(&function);
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("pod", &self.pod.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
