//! Held requests of one worker: who waits, for what, and who still has a client.
//!
//! The order and the bounds are `policy`'s admission machine; this module does the waiting around
//! it. A held request costs one entry here and no task or timer: one deadline loop per worker
//! serves them all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::admission::{Admission, Arrival, Bound, Capacity, Ticket};
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::function::{Function, FunctionId};
use crate::network::{Look, Peer};
use crate::problem::Problem;

/// How often held requests' clients are looked at, where hyper cannot see them leave (it looks only
/// while it may read): one system call each, so a place is freed within a quarter of a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// One worker's held requests.
pub(crate) struct Held {
    admission: RefCell<Admission<FunctionId>>,
    waiting: RefCell<HashMap<Ticket, Waiting>>,
    /// Told when the earliest deadline may have changed.
    deadlines: Notify,
    /// Told when there is a client to look at.
    clients: Notify,
    clock: Clock,
}

struct Waiting {
    function: FunctionId,
    outcome: oneshot::Sender<Outcome>,
    client: Rc<dyn Peer>,
}

/// How a held request's waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A pod can take it.
    Released,
    /// Its deadline passed.
    Expired,
    /// It is to be answered with this.
    Refused(Problem),
    /// Its client left.
    ClientGone,
}

/// A held request. Dropping it frees its place.
#[must_use = "dropping it frees its place"]
pub(crate) struct Parked<'a> {
    held: &'a Held,
    function: FunctionId,
    /// Its ticket, for [`Held::hold_again`].
    pub(crate) ticket: Ticket,
    outcome: oneshot::Receiver<Outcome>,
}

impl Parked<'_> {
    /// Waits for the end of the waiting.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        // The sender is dropped unsent only when the worker ends, and its clients with it.
        (&mut self.outcome).await.unwrap_or(Outcome::ClientGone)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.held.waiting.borrow_mut().remove(&self.ticket);
        self.held.admission.borrow_mut().cancel(self.function, self.ticket);
    }
}

impl Held {
    /// Nothing held, drawing on the bound over all functions.
    pub(crate) fn new(all: Arc<Bound>, clock: Clock) -> Self {
        Self {
            admission: RefCell::new(Admission::new(all)),
            waiting: RefCell::default(),
            deadlines: Notify::new(),
            clients: Notify::new(),
            clock,
        }
    }

    /// What becomes of a request that arrives.
    pub(crate) fn arrive(
        &self,
        function: &Function,
        capacity: Capacity,
        deadline_us: u64,
    ) -> Arrival {
        self.admission.borrow_mut().arrive(function.id, &function.bound, capacity, deadline_us)
    }

    /// A place for a request that was forwarded and found no pod, its old one if it had one.
    pub(crate) fn hold_again(
        &self,
        function: &Function,
        ticket: Option<Ticket>,
        deadline_us: u64,
    ) -> Ticket {
        let mut admission = self.admission.borrow_mut();
        admission.hold_again(function.id, &function.bound, ticket, deadline_us)
    }

    /// Waits under a ticket.
    pub(crate) fn park(
        &self,
        function: FunctionId,
        ticket: Ticket,
        client: Rc<dyn Peer>,
    ) -> Parked<'_> {
        let (sender, outcome) = oneshot::channel();
        let waiting = Waiting { function, outcome: sender, client };
        self.waiting.borrow_mut().insert(ticket, waiting);
        self.deadlines.notify_one();
        self.clients.notify_one();
        Parked { held: self, function, ticket, outcome }
    }

    /// How many requests of `function` are held here.
    pub(crate) fn count(&self, function: FunctionId) -> usize {
        self.admission.borrow().held(function)
    }

    /// How many requests are held here.
    pub(crate) fn count_all(&self) -> usize {
        self.admission.borrow().held_in_all()
    }

    /// Ends the waiting of every held request of `function`, oldest first.
    pub(crate) fn end_all(&self, function: FunctionId, outcome: &Outcome) {
        while let Some(ticket) = {
            let mut admission = self.admission.borrow_mut();
            admission.release(function)
        } {
            self.tell(ticket, outcome.clone());
        }
    }

    /// Lets requests expire at their deadlines, for as long as it is polled.
    pub(crate) async fn keep_deadlines(&self) {
        loop {
            let next_us = self.admission.borrow().next_deadline_us();
            match next_us {
                None => self.deadlines.notified().await,
                Some(next_us) => tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant(next_us)) => {}
                    () = self.deadlines.notified() => {}
                },
            }
            let now_us = self.clock.now_us();
            while let Some((_, ticket)) = {
                let mut admission = self.admission.borrow_mut();
                admission.expire(now_us)
            } {
                self.tell(ticket, Outcome::Expired);
            }
        }
    }

    /// Frees the places of clients that left, for as long as it is polled.
    pub(crate) async fn keep_clients(&self) {
        loop {
            if self.waiting.borrow().is_empty() {
                self.clients.notified().await;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            let gone: Vec<(Ticket, FunctionId)> = self
                .waiting
                .borrow()
                .iter()
                .filter(|(_, waiting)| waiting.client.look() == Look::Gone)
                .map(|(ticket, waiting)| (*ticket, waiting.function))
                .collect();
            for (ticket, function) in gone {
                if self.admission.borrow_mut().cancel(function, ticket) {
                    self.tell(ticket, Outcome::ClientGone);
                }
            }
        }
    }

    fn tell(&self, ticket: Ticket, outcome: Outcome) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&ticket) {
            // A receiver dropped in this very turn freed its place by itself.
            drop(waiting.outcome.send(outcome));
        }
    }
}
