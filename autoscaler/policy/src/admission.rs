//! Admission of one request: forward it, hold it, or shed it; later release it, let it expire, or
//! forget it because its client left.
//!
//! [`Admission`] is a pure state machine, one per worker. What several workers share, the bounds on
//! how many requests may be held, is drawn from [`Bound`]s. Its caller knows whether a pod can take
//! a request ([`Capacity`]) and does the waiting.
//!
//! Order: a function's requests leave first in, first out. A request that was released and could
//! not be delivered returns to its old place under its old ticket.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bound on held requests that several machines draw from.
#[derive(Debug)]
pub struct Bound {
    /// Places taken. Written and read by every worker. Relaxed: the number alone is shared, no
    /// other memory is published with it.
    taken: AtomicU32,
    /// Places there are. Written when the table changes, read by every worker. Relaxed, likewise.
    limit: AtomicU32,
}

impl Bound {
    /// A bound of `limit` places.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { taken: AtomicU32::new(0), limit: AtomicU32::new(limit) }
    }

    /// Changes the number of places. Requests already held keep theirs.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Places taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    fn try_take(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .is_ok()
    }

    /// For a request that was accepted before: it is never shed for want of a place.
    fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a place given back was taken before");
    }
}

/// A held request's place in line. Lower is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Whether a pod of the function can take a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// No pod can.
    None,
    /// A pod can.
    Open,
}

/// What becomes of an arriving request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Send it to a pod.
    Forward,
    /// Wait for its release or expiry under this ticket.
    Hold(Ticket),
    /// Refuse it: this bound is reached.
    Shed(Full),
}

/// The bound that an arrival met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The function's own queue depth.
    Function,
    /// The bound over all functions.
    All,
}

/// One worker's held requests. `K` names a function.
#[derive(Debug)]
pub struct Admission<K> {
    queues: HashMap<K, Queue>,
    /// Every held request by deadline, for expiry in order.
    deadlines: BTreeSet<(u64, Ticket, K)>,
    /// The bound over all functions.
    all: Arc<Bound>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Queue {
    bound: Arc<Bound>,
    /// Deadline by ticket: first in first out is first key out, leaving early is by key.
    held: BTreeMap<Ticket, u64>,
}

impl<K: Copy + Ord + std::hash::Hash> Admission<K> {
    /// A machine with nothing held, drawing on the bound over all functions.
    #[must_use]
    pub fn new(all: Arc<Bound>) -> Self {
        Self { queues: HashMap::new(), deadlines: BTreeSet::new(), all, next_ticket: 0 }
    }

    /// A request for `function` arrives; if it is held, then until `deadline_us` at the longest.
    pub fn arrive(
        &mut self,
        function: K,
        bound: &Arc<Bound>,
        capacity: Capacity,
        deadline_us: u64,
    ) -> Arrival {
        // Behind others even if a pod is free: their release is under way.
        if capacity == Capacity::Open && self.held(function) == 0 {
            return Arrival::Forward;
        }
        if !bound.try_take() {
            return Arrival::Shed(Full::Function);
        }
        if !self.all.try_take() {
            bound.give_back();
            return Arrival::Shed(Full::All);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.insert(function, bound, ticket, deadline_us);
        Arrival::Hold(ticket)
    }

    /// A request that was forwarded found no pod after all and is to be held, in its old place if
    /// it had one. It was accepted before, so no bound turns it away.
    pub fn hold_again(
        &mut self,
        function: K,
        bound: &Arc<Bound>,
        ticket: Option<Ticket>,
        deadline_us: u64,
    ) -> Ticket {
        let ticket = ticket.unwrap_or_else(|| {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            ticket
        });
        bound.take();
        self.all.take();
        self.insert(function, bound, ticket, deadline_us);
        ticket
    }

    /// Takes the oldest held request of `function` out, to be forwarded.
    pub fn release(&mut self, function: K) -> Option<Ticket> {
        let ticket = *self.queues.get(&function)?.held.first_key_value()?.0;
        self.remove(function, ticket).then_some(ticket)
    }

    /// Takes one held request out because its client left or it is refused. False if it was not
    /// held any more.
    pub fn cancel(&mut self, function: K, ticket: Ticket) -> bool {
        self.remove(function, ticket)
    }

    /// Takes out one request whose deadline is not after `now_us`, earliest first.
    pub fn expire(&mut self, now_us: u64) -> Option<(K, Ticket)> {
        let &(deadline_us, ticket, function) = self.deadlines.first()?;
        if deadline_us > now_us {
            return None;
        }
        self.remove(function, ticket).then_some((function, ticket))
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

    fn insert(&mut self, function: K, bound: &Arc<Bound>, ticket: Ticket, deadline_us: u64) {
        let queue = self
            .queues
            .entry(function)
            .or_insert_with(|| Queue { bound: Arc::clone(bound), held: BTreeMap::new() });
        queue.held.insert(ticket, deadline_us);
        self.deadlines.insert((deadline_us, ticket, function));
    }

    fn remove(&mut self, function: K, ticket: Ticket) -> bool {
        let Some(queue) = self.queues.get_mut(&function) else {
            return false;
        };
        let Some(deadline_us) = queue.held.remove(&ticket) else {
            return false;
        };
        queue.bound.give_back();
        self.all.give_back();
        if queue.held.is_empty() {
            self.queues.remove(&function);
        }
        self.deadlines.remove(&(deadline_us, ticket, function));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(all: u32) -> Admission<u32> {
        Admission::new(Arc::new(Bound::new(all)))
    }

    #[test]
    fn forwards_while_a_pod_can_take_it_and_holds_behind_those_already_held() {
        let mut admission = machine(10);
        let bound = Arc::new(Bound::new(10));
        assert_eq!(admission.arrive(1, &bound, Capacity::Open, 5), Arrival::Forward);
        let Arrival::Hold(first) = admission.arrive(1, &bound, Capacity::None, 5) else {
            panic!("held while no pod can take it")
        };
        let Arrival::Hold(second) = admission.arrive(1, &bound, Capacity::Open, 5) else {
            panic!("held behind the one that came before")
        };
        assert_eq!(admission.release(1), Some(first));
        assert_eq!(admission.release(1), Some(second));
        assert_eq!(admission.release(1), None);
    }

    #[test]
    fn a_full_function_sheds_its_own_and_no_others() {
        let mut admission = machine(3);
        let (small, large) = (Arc::new(Bound::new(1)), Arc::new(Bound::new(10)));
        assert!(matches!(admission.arrive(1, &small, Capacity::None, 5), Arrival::Hold(_)));
        let full = Arrival::Shed(Full::Function);
        assert_eq!(admission.arrive(1, &small, Capacity::None, 5), full);
        assert!(matches!(admission.arrive(2, &large, Capacity::None, 5), Arrival::Hold(_)));
        assert!(matches!(admission.arrive(2, &large, Capacity::None, 5), Arrival::Hold(_)));
        assert_eq!(admission.arrive(2, &large, Capacity::None, 5), Arrival::Shed(Full::All));
        assert_eq!((small.taken(), large.taken()), (1, 2), "a shed request takes no place");
    }

    #[test]
    fn expires_by_deadline_across_functions() {
        let mut admission = machine(10);
        let bound = Arc::new(Bound::new(10));
        admission.arrive(1, &bound, Capacity::None, 30);
        admission.arrive(2, &bound, Capacity::None, 10);
        assert_eq!(admission.next_deadline_us(), Some(10));
        assert_eq!(admission.expire(9), None);
        assert_eq!(admission.expire(10).map(|(function, _)| function), Some(2));
        assert_eq!(admission.expire(29), None);
        assert_eq!(admission.held_in_all(), 1);
    }

    #[test]
    fn an_undelivered_request_returns_to_its_old_place() {
        let mut admission = machine(2);
        let bound = Arc::new(Bound::new(2));
        for deadline in [1, 2] {
            admission.arrive(1, &bound, Capacity::None, deadline);
        }
        let first = admission.release(1).unwrap();
        admission.arrive(1, &bound, Capacity::None, 3);
        assert_eq!(admission.hold_again(1, &bound, Some(first), 1), first);
        assert_eq!(bound.taken(), 3, "it was accepted before, so the bound does not turn it away");
        assert_eq!(admission.release(1), Some(first));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(u32, Capacity, u64),
        Release(u32),
        Cancel(prop::sample::Index),
        Expire(u64),
        Return(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let capacity = prop_oneof![Just(Capacity::None), Just(Capacity::Open)];
        prop_oneof![
            (0u32..3, capacity, 0u64..100).prop_map(|(f, c, d)| Step::Arrive(f, c, d)),
            (0u32..3).prop_map(Step::Release),
            any::<prop::sample::Index>().prop_map(Step::Cancel),
            (0u64..100).prop_map(Step::Expire),
            any::<prop::sample::Index>().prop_map(Step::Return),
        ]
    }

    proptest! {
        /// Against a plain list: same answers, first in first out, and after every step the places
        /// taken are exactly the requests held.
        #[test]
        fn agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..80)) {
            let mut admission = machine(6);
            let all = Arc::clone(&admission.all);
            let bounds: Vec<_> = (0..3).map(|_| Arc::new(Bound::new(3))).collect();
            let mut list: Vec<(u32, Ticket, u64)> = Vec::new();
            let mut out: Vec<(u32, Ticket, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Arrive(f, capacity, deadline) => {
                        let mine = list.iter().filter(|held| held.0 == f).count();
                        let arrival = admission.arrive(f, &bounds[f as usize], capacity, deadline);
                        match arrival {
                            Arrival::Forward => {
                                prop_assert!(capacity == Capacity::Open && mine == 0);
                            }
                            Arrival::Hold(ticket) => {
                                prop_assert!(list.iter().all(|held| held.1 < ticket));
                                list.push((f, ticket, deadline));
                            }
                            Arrival::Shed(Full::Function) => prop_assert!(mine >= 3),
                            Arrival::Shed(Full::All) => prop_assert!(list.len() >= 6),
                        }
                    }
                    Step::Release(f) => {
                        let first = list.iter().position(|held| held.0 == f);
                        let first = first.map(|i| list.remove(i));
                        prop_assert_eq!(admission.release(f), first.map(|held| held.1));
                        out.extend(first);
                    }
                    Step::Cancel(which) if !list.is_empty() => {
                        let held = list.remove(which.index(list.len()));
                        prop_assert!(admission.cancel(held.0, held.1));
                        prop_assert!(!admission.cancel(held.0, held.1));
                    }
                    Step::Expire(now) => {
                        let due = list.iter().map(|h| (h.2, h.1)).min().filter(|due| due.0 <= now);
                        let expired = admission.expire(now);
                        prop_assert_eq!(expired.map(|e| e.1), due.map(|d| d.1));
                        list.retain(|held| Some(held.1) != due.map(|d| d.1));
                    }
                    Step::Return(which) if !out.is_empty() => {
                        let held = out.remove(which.index(out.len()));
                        let bound = &bounds[held.0 as usize];
                        admission.hold_again(held.0, bound, Some(held.1), held.2);
                        list.push(held);
                        list.sort_by_key(|held| held.1);
                    }
                    Step::Cancel(_) | Step::Return(_) => {}
                }
                prop_assert_eq!(all.taken() as usize, list.len());
                prop_assert_eq!(admission.held_in_all(), list.len());
                for (f, bound) in (0u32..).zip(&bounds) {
                    let mine = list.iter().filter(|held| held.0 == f).count();
                    prop_assert_eq!((bound.taken() as usize, admission.held(f)), (mine, mine));
                }
            }
        }
    }
}
