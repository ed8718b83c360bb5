//! Requests in line, and where each is told how its waiting ended.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_policy::admission::{Admission, Arrival, CommonBound, Full, Ticket};
use tokio::sync::oneshot;

use super::{Came, Outcome};
use crate::function::{Function, FunctionId};

/// Requests in line.
pub(super) struct Queue {
    admission: Admission<FunctionId>,
    /// One for each ticket held.
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
}

/// What became of a request that came to a queue.
pub(super) enum Entered<G> {
    /// It goes on with this grant.
    Forward(G),
    /// It waits.
    Hold {
        ticket: Ticket,
        /// How many of its function are in line, with it.
        in_line: usize,
        outcome: oneshot::Receiver<Outcome>,
    },
    /// This bound is reached.
    Shed(Full),
}

impl Queue {
    pub(super) fn new(common: Arc<CommonBound>) -> Self {
        Self { admission: Admission::new(common), waiting: HashMap::new() }
    }

    pub(super) fn enter<G>(
        &mut self,
        function: &Function,
        came: Came,
        deadline_us: u64,
        bytes: impl FnOnce() -> u64,
        grant: impl FnOnce() -> Option<G>,
    ) -> Entered<G> {
        let (id, bound) = (function.id, &function.bound);
        let ticket = match came {
            Came::Anew => match self.admission.arrive(id, bound, deadline_us, bytes, grant) {
                Arrival::Forward(grant) => return Entered::Forward(grant),
                Arrival::Shed(full) => return Entered::Shed(full),
                Arrival::Hold(ticket) => ticket,
            },
            Came::Back(ticket) => {
                self.admission.hold_again(id, bound, ticket, deadline_us, bytes())
            }
        };
        let (sender, outcome) = oneshot::channel();
        self.waiting.insert(ticket, sender);
        Entered::Hold { ticket, in_line: self.held(id), outcome }
    }

    /// Takes the oldest of a function out with a grant, if both are there.
    pub(super) fn release<G>(
        &mut self,
        function: &Function,
        grant: impl FnOnce() -> Option<G>,
    ) -> Option<(oneshot::Sender<Outcome>, G)> {
        let (ticket, grant) = self.admission.release(function.id, grant)?;
        Some((self.sender(ticket), grant))
    }

    /// Takes the oldest of a function out.
    pub(super) fn refuse(&mut self, function: FunctionId) -> Option<oneshot::Sender<Outcome>> {
        let ticket = self.admission.refuse(function)?;
        Some(self.sender(ticket))
    }

    /// Takes one out; none if it was not in line any more.
    pub(super) fn cancel(
        &mut self,
        function: FunctionId,
        ticket: Ticket,
    ) -> Option<oneshot::Sender<Outcome>> {
        let was_held = self.admission.cancel(function, ticket);
        was_held.then(|| self.sender(ticket))
    }

    /// Takes one out whose deadline is not after `now_us`.
    pub(super) fn expire(&mut self, now_us: u64) -> Option<oneshot::Sender<Outcome>> {
        let (_, ticket) = self.admission.expire(now_us)?;
        Some(self.sender(ticket))
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        self.admission.next_deadline_us()
    }

    pub(super) fn held(&self, function: FunctionId) -> usize {
        self.admission.held(function)
    }

    pub(super) fn held_in_all(&self) -> usize {
        self.admission.held_in_all()
    }

    fn sender(&mut self, ticket: Ticket) -> oneshot::Sender<Outcome> {
        self.waiting.remove(&ticket).expect("whoever is held can be told")
    }
}
