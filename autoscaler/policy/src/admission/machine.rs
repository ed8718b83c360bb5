//! The machine: held requests in the order of their tickets, and when each gives up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::bound::{Bound, CommonBound, Full};

/// A held request's place in line. Lower is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What becomes of an arriving request.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<G> {
    /// Send it, with this grant.
    Forward(G),
    /// Wait for its release or expiry under this ticket.
    Hold(Ticket),
    /// Refuse it: this bound is reached.
    Shed(Full),
}

/// Held requests. `K` names a function.
#[derive(Debug)]
pub struct Admission<K> {
    queues: HashMap<K, Queue>,
    /// Every held request by deadline, for expiry in order.
    deadlines: BTreeSet<(u64, Ticket, K)>,
    common: Arc<CommonBound>,
    next_ticket: u64,
}

/// One function's held requests.
#[derive(Debug)]
struct Queue {
    bound: Arc<Bound>,
    /// First in first out is first key out, leaving early is by key.
    held: BTreeMap<Ticket, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    deadline_us: u64,
    bytes: u64,
}

impl<K: Copy + Ord + Hash> Admission<K> {
    /// A machine with nothing held, drawing on the bound over all functions.
    #[must_use]
    pub fn new(common: Arc<CommonBound>) -> Self {
        Self { queues: HashMap::new(), deadlines: BTreeSet::new(), common, next_ticket: 0 }
    }

    /// A request for `function` arrives. It is forwarded if nobody is held before it and there is a
    /// grant; else it waits until `deadline_us` at the longest, and keeps `bytes` of memory, which
    /// are asked for only then.
    pub fn arrive<G>(
        &mut self,
        function: K,
        bound: &Arc<Bound>,
        deadline_us: u64,
        bytes: impl FnOnce() -> u64,
        grant: impl FnOnce() -> Option<G>,
    ) -> Arrival<G> {
        if self.held(function) == 0
            && let Some(grant) = grant()
        {
            return Arrival::Forward(grant);
        }
        let bytes = bytes();
        if let Err(full) = bound.try_take(&self.common, bytes) {
            return Arrival::Shed(full);
        }
        let ticket = self.draw();
        self.insert(function, bound, ticket, Held { deadline_us, bytes });
        Arrival::Hold(ticket)
    }

    /// A request that was forwarded was not delivered and is to be held, in its old place if it had
    /// one. It was accepted before, so no bound turns it away.
    pub fn hold_again(
        &mut self,
        function: K,
        bound: &Arc<Bound>,
        ticket: Option<Ticket>,
        deadline_us: u64,
        bytes: u64,
    ) -> Ticket {
        let ticket = ticket.unwrap_or_else(|| self.draw());
        bound.take(&self.common, bytes);
        self.insert(function, bound, ticket, Held { deadline_us, bytes });
        ticket
    }

    /// Takes the oldest held request of `function` out with a grant to forward it, if both are
    /// there; a grant is asked for only if somebody waits for it.
    pub fn release<G>(
        &mut self,
        function: K,
        grant: impl FnOnce() -> Option<G>,
    ) -> Option<(Ticket, G)> {
        let ticket = self.oldest(function)?;
        let grant = grant()?;
        self.remove(function, ticket);
        Some((ticket, grant))
    }

    /// Takes the oldest held request of `function` out because it is to be refused.
    pub fn refuse(&mut self, function: K) -> Option<Ticket> {
        let ticket = self.oldest(function)?;
        self.remove(function, ticket);
        Some(ticket)
    }

    /// Takes one held request out because its client left. False if it was not held any more.
    pub fn cancel(&mut self, function: K, ticket: Ticket) -> bool {
        self.remove(function, ticket)
    }

    /// Takes out one request whose deadline is not after `now_us`, earliest first.
    pub fn expire(&mut self, now_us: u64) -> Option<(K, Ticket)> {
        let &(deadline_us, ticket, function) = self.deadlines.first()?;
        if deadline_us > now_us {
            return None;
        }
        self.remove(function, ticket);
        Some((function, ticket))
    }

    /// The earliest deadline of a held request.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline_us, ..)| deadline_us)
    }

    /// How many requests of `function` this machine holds.
    #[must_use]
    pub fn held(&self, function: K) -> usize {
        self.queues.get(&function).map_or(0, |queue| queue.held.len())
    }

    /// How many requests this machine holds.
    #[must_use]
    pub fn held_in_all(&self) -> usize {
        self.deadlines.len()
    }

    fn draw(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    fn oldest(&self, function: K) -> Option<Ticket> {
        self.queues.get(&function)?.held.first_key_value().map(|(ticket, _)| *ticket)
    }

    fn insert(&mut self, function: K, bound: &Arc<Bound>, ticket: Ticket, held: Held) {
        let queue = self
            .queues
            .entry(function)
            .or_insert_with(|| Queue { bound: Arc::clone(bound), held: BTreeMap::new() });
        queue.held.insert(ticket, held);
        self.deadlines.insert((held.deadline_us, ticket, function));
    }

    fn remove(&mut self, function: K, ticket: Ticket) -> bool {
        let Some(queue) = self.queues.get_mut(&function) else {
            return false;
        };
        let Some(held) = queue.held.remove(&ticket) else {
            return false;
        };
        queue.bound.give_back(&self.common, held.bytes);
        if queue.held.is_empty() {
            self.queues.remove(&function);
        }
        self.deadlines.remove(&(held.deadline_us, ticket, function));
        true
    }
}
