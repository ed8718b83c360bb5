//! A pod and how it serves: everything at once, in slots, or sharing its speed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::queue::Id;
use super::setup::Capacity;

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No room for it, or its place is being sought.
    Pending,
    /// On a node, not accepting connections.
    Starting,
    /// Accepts connections.
    Listening,
    /// Asked to stop.
    Terminating,
    /// Stopped but for open requests.
    Stopped,
    /// Its place in the slab is free.
    Gone,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    /// Which use of its place in the slab this is.
    pub(super) life: u32,
    pub(super) function: u32,
    /// Its number in its function's life, never used again; its name on the link.
    pub(super) serial: u64,
    pub(super) phase: Phase,
    /// None if there are no nodes, or before it is placed.
    pub(super) node: Option<u32>,
    /// Whether the kubelet calls it ready and the autoscaler has seen it.
    pub(super) seen_ready: bool,
    /// Whether it counts as ready: somebody may send requests to it.
    pub(super) ready: bool,
    /// Whether activators were told that it is ready.
    pub(super) told_ready: bool,
    /// When it is killed, once it is asked to stop.
    pub(super) killed_ns: u64,
    /// Requests sent to it that are not answered, from all activators.
    pub(super) requests: u32,
    pub(super) server: Server,
}

/// How requests are served.
#[derive(Debug)]
pub(super) enum Server {
    /// All at full speed.
    Unlimited,
    /// So many at full speed, the others in line.
    Slots { slots: u32, busy: u32, line: VecDeque<Id> },
    /// All at min(1, k ÷ n) of full speed.
    Share(Share),
}

/// What becomes of a request that comes to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is served from now on, at full speed.
    Now,
    /// It stands in line.
    InLine,
    /// It shares; the pod's next completion is to be reckoned anew.
    Shared,
}

impl Server {
    pub(super) fn new(capacity: Capacity) -> Self {
        match capacity {
            Capacity::Unlimited => Self::Unlimited,
            Capacity::Slots(slots) => {
                Self::Slots { slots: slots.get(), busy: 0, line: VecDeque::new() }
            }
            Capacity::Share(k) => Self::Share(Share::new(k.get())),
        }
    }

    /// A request comes that needs `service_ns` at full speed.
    pub(super) fn begin(&mut self, request: Id, service_ns: u64, now_ns: u64) -> Begun {
        match self {
            Self::Unlimited => Begun::Now,
            Self::Slots { slots, busy, line } => match *busy < *slots {
                true => {
                    *busy += 1;
                    Begun::Now
                }
                false => {
                    line.push_back(request);
                    Begun::InLine
                }
            },
            Self::Share(share) => {
                share.join(request, service_ns, now_ns);
                Begun::Shared
            }
        }
    }

    /// A request ended or was given up that was served, not one in line. The next in line of those
    /// that `is_there` takes its slot.
    pub(super) fn end(&mut self, now_ns: u64, is_there: impl Fn(Id) -> bool) -> Option<Id> {
        match self {
            Self::Unlimited => None,
            Self::Slots { busy, line, .. } => {
                while let Some(next) = line.pop_front() {
                    if is_there(next) {
                        return Some(next);
                    }
                }
                *busy -= 1;
                None
            }
            Self::Share(share) => {
                share.leave(now_ns);
                None
            }
        }
    }
}

/// Fractions of a nanosecond of service, as a power of two. Rounding moves a completion by less
/// than the nanosecond that events are apart anyway.
const FRACTION_BITS: u32 = 8;

/// Processor sharing by virtual time: V grows at the speed that each request gets, and a request
/// that joins at V₀ and needs s is served when V = V₀ + s, whoever comes and goes meanwhile.
#[derive(Debug)]
pub(super) struct Share {
    k: u32,
    /// Requests being served.
    requests: u32,
    /// V, in fractions of a nanosecond, at `at_ns`; 0 whenever nobody is there.
    virtual_time: u64,
    at_ns: u64,
    /// Who is done at which V; those given up are left in until they come up.
    done: BinaryHeap<Reverse<(u64, u64, Id)>>,
    joined: u64,
    /// Which reckoning of the next completion counts.
    pub(super) reckoning: u32,
}

impl Share {
    fn new(k: u32) -> Self {
        Self {
            k,
            requests: 0,
            virtual_time: 0,
            at_ns: 0,
            done: BinaryHeap::new(),
            joined: 0,
            reckoning: 0,
        }
    }

    fn advance(&mut self, now_ns: u64) {
        let passed = u128::from(now_ns - self.at_ns) << FRACTION_BITS;
        let grown = match self.requests <= self.k {
            true => passed,
            false => divide(passed * u128::from(self.k), self.requests),
        };
        self.virtual_time += u64::try_from(grown).unwrap_or(u64::MAX >> 1);
        self.at_ns = now_ns;
    }

    fn join(&mut self, request: Id, service_ns: u64, now_ns: u64) {
        self.advance(now_ns);
        if self.requests == 0 {
            self.virtual_time = 0;
            self.done.clear();
        }
        self.requests += 1;
        self.joined += 1;
        let done = self.virtual_time + (service_ns << FRACTION_BITS);
        self.done.push(Reverse((done, self.joined, request)));
    }

    fn leave(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.requests -= 1;
    }

    /// Takes out a request that has been served by now, of those that `is_there`.
    pub(super) fn served(&mut self, now_ns: u64, is_there: impl Fn(Id) -> bool) -> Option<Id> {
        self.advance(now_ns);
        while let Some(Reverse((done, _, request))) = self.done.peek().copied() {
            let there = is_there(request);
            if there && done > self.virtual_time {
                return None;
            }
            self.done.pop();
            if there {
                return Some(request);
            }
        }
        None
    }

    /// When the next request will have been served if nobody comes or goes, and the number of this
    /// reckoning.
    pub(super) fn reckon(&mut self, is_there: impl Fn(Id) -> bool) -> Option<(u64, u32)> {
        self.reckoning = self.reckoning.wrapping_add(1);
        while let Some(Reverse((_, _, request))) = self.done.peek()
            && !is_there(*request)
        {
            self.done.pop();
        }
        let Reverse((done, ..)) = self.done.peek()?;
        let left = u128::from(done.saturating_sub(self.virtual_time));
        let left = match self.requests <= self.k {
            true => left,
            false => divide(left * u128::from(self.requests) + u128::from(self.k) - 1, self.k),
        };
        let left_ns = left.div_ceil(1 << FRACTION_BITS);
        Some((self.at_ns + u64::try_from(left_ns).unwrap_or(u64::MAX >> 2), self.reckoning))
    }
}

/// Division in one word where one word is enough, as it is but for days of waiting.
fn divide(product: u128, by: u32) -> u128 {
    match u64::try_from(product) {
        Ok(product) => u128::from(product / u64::from(by)),
        Err(_) => product / u128::from(by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(at: u32) -> Id {
        Id { at, life: 0 }
    }

    #[test]
    fn two_that_share_one_speed_take_turns_to_the_nanosecond() {
        let mut share = Share::new(1);
        share.join(id(0), 100, 0);
        assert_eq!(share.reckon(|_| true), Some((100, 1)));
        share.join(id(1), 100, 50);
        // The first has 50 left at half the speed.
        assert_eq!(share.reckon(|_| true), Some((150, 2)));
        assert_eq!(share.served(149, |_| true), None);
        assert_eq!(share.served(150, |_| true), Some(id(0)));
        share.leave(150);
        assert_eq!(share.served(150, |_| true), None);
        assert_eq!(share.reckon(|_| true), Some((200, 3)));
    }

    #[test]
    fn up_to_k_have_the_whole_speed_and_who_left_is_passed_over() {
        let mut share = Share::new(2);
        share.join(id(0), 100, 0);
        share.join(id(1), 60, 0);
        assert_eq!(share.reckon(|_| true), Some((60, 1)));
        share.join(id(2), 30, 30);
        // Three at 2/3: 30 left take 45.
        assert_eq!(share.reckon(|_| true), Some((75, 2)));
        share.leave(45);
        // The one that left had 20 left, as had the one of 30.
        assert_eq!(share.reckon(|other| other != id(1)), Some((65, 3)));
    }

    #[test]
    fn slots_serve_first_in_first_out() {
        let slots = Capacity::Slots(2.try_into().unwrap());
        let mut server = Server::new(slots);
        let begun: Vec<_> = (0..4).map(|at| server.begin(id(at), 10, 0)).collect();
        assert_eq!(begun, [Begun::Now, Begun::Now, Begun::InLine, Begun::InLine]);
        assert_eq!(server.end(1, |other| other != id(2)), Some(id(3)), "2 was given up");
        assert_eq!(server.end(2, |_| true), None);
        assert_eq!(server.begin(id(4), 10, 2), Begun::Now);
    }
}
