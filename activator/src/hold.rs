//! Held requests of one worker: who waits, for what, and who still has a client.
//!
//! The order and the bounds are `policy`'s admission machine; this module does the waiting around
//! it. A held request costs an entry in a [`queue`] and no task or timer: one deadline loop per
//! worker serves them all. Functions without a concurrency limit wait in the worker's own queue,
//! those with one in the queue of the process ([`limited`]).

pub(crate) mod limited;
mod queue;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_policy::admission::{CommonBound, Full, Ticket};
use tokio::sync::{Notify, oneshot};

use self::limited::{Grant, Limited};
use self::queue::{Entered, Queue};
use crate::clock::Clock;
use crate::function::{Function, View};
use crate::network::{Look, Peer};
use crate::problem::Problem;

/// How often held requests' clients are looked at, where hyper cannot see them leave (it looks only
/// while it may read): one system call each, so a place is freed within a quarter of a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// One worker's held requests.
pub(crate) struct Held {
    own: RefCell<Queue>,
    limited: Arc<Limited>,
    /// The clients of requests held here, in either queue.
    clients: RefCell<HashMap<(Line, Ticket), Waiting>>,
    /// Told when the earliest deadline may have changed.
    deadlines: Notify,
    /// Told when there is a client to look at.
    looks: Notify,
    clock: Clock,
}

/// Which queue a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// Its worker's own.
    Own,
    /// The process'.
    Shared,
}

struct Waiting {
    function: Arc<Function>,
    client: Rc<dyn Peer>,
}

/// How a held request's waiting ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A pod can take it.
    Released(Grant),
    /// Its deadline passed.
    Expired,
    /// It is to be answered with this.
    Refused(Problem),
    /// Its client left.
    ClientGone,
}

/// How a request comes to its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Came {
    /// For the first time.
    Anew,
    /// Because it was not delivered, to its old place if it had one.
    Back(Option<Ticket>),
}

/// What became of it.
pub(crate) enum Admitted<'a> {
    /// A pod can take it.
    Forward(Grant),
    /// It waits.
    Hold(Parked<'a>),
    /// This bound is reached.
    Shed(Full),
}

/// A held request. Dropping it frees its place.
#[must_use = "dropping it frees its place"]
pub(crate) struct Parked<'a> {
    held: &'a Held,
    function: Arc<Function>,
    line: Line,
    /// Its ticket, should it come back.
    pub(crate) ticket: Ticket,
    /// How many requests of the function are in its queue with it.
    pub(crate) in_line: usize,
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
        self.held.clients.borrow_mut().remove(&(self.line, self.ticket));
        drop(self.held.cancel(self.line, &self.function, self.ticket));
    }
}

impl Held {
    /// Nothing held; `limited` is the process' queue, `common` the bound over all functions.
    pub(crate) fn new(common: Arc<CommonBound>, limited: Arc<Limited>, clock: Clock) -> Self {
        Self {
            own: RefCell::new(Queue::new(common)),
            limited,
            clients: RefCell::default(),
            deadlines: Notify::new(),
            looks: Notify::new(),
            clock,
        }
    }

    /// Forwards a request, puts it in line until `deadline_us` or sheds it; held, it keeps `bytes`.
    pub(crate) fn admit(
        &self,
        function: &Arc<Function>,
        view: &View,
        came: Came,
        deadline_us: u64,
        bytes: impl FnOnce() -> u64,
        client: impl FnOnce() -> Rc<dyn Peer>,
    ) -> Admitted<'_> {
        let (line, entered) = match view.limit {
            None => {
                let grant = || view.takes_requests().then_some(Grant::Any);
                let mut own = self.own.borrow_mut();
                (Line::Own, own.enter(function, came, deadline_us, bytes, grant))
            }
            Some(limit) => {
                let entered = self.limited.enter(function, view, limit, came, deadline_us, bytes);
                (Line::Shared, entered)
            }
        };
        match entered {
            Entered::Forward(grant) => Admitted::Forward(grant),
            Entered::Shed(full) => Admitted::Shed(full),
            Entered::Hold { ticket, in_line, outcome } => {
                let waiting = Waiting { function: Arc::clone(function), client: client() };
                self.clients.borrow_mut().insert((line, ticket), waiting);
                self.deadlines.notify_one();
                self.looks.notify_one();
                let function = Arc::clone(function);
                let parked = Parked { held: self, function, line, ticket, in_line, outcome };
                // A pod may have become usable between the look for one and the place in line, and
                // the worker been told of it while nobody was there; and who comes back has not
                // looked for one.
                self.release_own(&parked.function);
                Admitted::Hold(parked)
            }
        }
    }

    /// How many requests of `function` are held here; of one with a limit, in the process.
    pub(crate) fn count(&self, function: &Function) -> usize {
        self.own.borrow().held(function.id) + self.limited.held(function)
    }

    /// How many requests wait in this worker's queue and the process'.
    pub(crate) fn count_all(&self) -> usize {
        self.own.borrow().held_in_all() + self.limited.held_in_all()
    }

    /// Releases held requests of `function`, oldest first, as long as a pod can take them.
    pub(crate) fn release(&self, function: &Arc<Function>) {
        self.release_own(function);
        self.limited.release(function);
    }

    fn release_own(&self, function: &Arc<Function>) {
        while let Some((sender, grant)) = {
            let mut own = self.own.borrow_mut();
            own.release(function, || self.limited.grant(function))
        } {
            function.released.fetch_add(1, Ordering::Relaxed);
            // A receiver dropped in this very turn gave up its place by itself.
            drop(sender.send(Outcome::Released(grant)));
        }
    }

    /// Ends the waiting of every held request of `function` with a problem.
    pub(crate) fn refuse(&self, function: &Function, problem: &Problem) {
        while let Some(sender) = {
            let mut own = self.own.borrow_mut();
            own.refuse(function.id)
        } {
            drop(sender.send(Outcome::Refused(problem.clone())));
        }
        self.limited.refuse(function, problem);
    }

    /// Lets requests expire at their deadlines, for as long as it is polled. The process' queue is
    /// kept by every worker that put a request there, so that its owner is among them.
    pub(crate) async fn keep_deadlines(&self) {
        loop {
            let next_us = [self.own.borrow().next_deadline_us(), self.limited.next_deadline_us()];
            match next_us.into_iter().flatten().min() {
                None => self.deadlines.notified().await,
                Some(next_us) => tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant(next_us)) => {}
                    () = self.deadlines.notified() => {}
                },
            }
            let now_us = self.clock.now_us();
            while let Some(sender) = {
                let mut own = self.own.borrow_mut();
                own.expire(now_us)
            } {
                drop(sender.send(Outcome::Expired));
            }
            self.limited.expire(now_us);
        }
    }

    /// Frees the places of clients that left, for as long as it is polled.
    pub(crate) async fn keep_clients(&self) {
        loop {
            if self.clients.borrow().is_empty() {
                self.looks.notified().await;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            let gone: Vec<_> = self
                .clients
                .borrow()
                .iter()
                .filter(|(_, waiting)| waiting.client.look() == Look::Gone)
                .map(|(&(line, ticket), waiting)| (line, ticket, Arc::clone(&waiting.function)))
                .collect();
            for (line, ticket, function) in gone {
                if let Some(sender) = self.cancel(line, &function, ticket) {
                    drop(sender.send(Outcome::ClientGone));
                }
            }
        }
    }

    fn cancel(
        &self,
        line: Line,
        function: &Function,
        ticket: Ticket,
    ) -> Option<oneshot::Sender<Outcome>> {
        match line {
            Line::Own => self.own.borrow_mut().cancel(function.id, ticket),
            Line::Shared => self.limited.cancel(function, ticket),
        }
    }
}
