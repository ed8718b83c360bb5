//! Random schedules over several machines that share their bounds, against a model that keeps a
//! plain list: same answers, and after every event the laws that must hold.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{bound, common};
use crate::admission::{Admission, Arrival, Bound, CommonBound, Scope, Slots, Ticket};

/// Two workers' machines, then the one that all workers share for limited functions.
const MACHINES: usize = 3;
const SHARED: usize = 2;

/// Functions 0 and 1 have no concurrency limit, 2 and 3 do.
const FUNCTIONS: usize = 4;
const PODS: usize = 2;
const LIMIT: u32 = 2;

const REQUESTS_MAX: u64 = 6;
const BYTES_MAX: u64 = 60;
const REQUESTS_IN_ALL_MAX: u64 = 16;
const BYTES_IN_ALL_MAX: u64 = 160;

#[derive(Clone, Debug)]
enum Step {
    Arrive {
        worker: usize,
        function: usize,
        bytes: u64,
        deadline_us: u64,
    },
    /// A pod of the function begins or ceases to take requests.
    Pod {
        function: usize,
        pod: usize,
        takes: bool,
    },
    /// A forwarded request ends.
    End(Index),
    /// A forwarded request turns out not to have been delivered.
    Return(Index),
    Cancel(Index),
    Expire {
        machine: usize,
        now_us: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let function = 0..FUNCTIONS;
    prop_oneof![
        8 => (0..SHARED, function.clone(), 0..20u64, 0..100u64).prop_map(
            |(worker, function, bytes, deadline_us)| {
                Step::Arrive { worker, function, bytes, deadline_us }
            }
        ),
        2 => (function, 0..PODS, any::<bool>())
            .prop_map(|(function, pod, takes)| Step::Pod { function, pod, takes }),
        3 => any::<Index>().prop_map(Step::End),
        1 => any::<Index>().prop_map(Step::Return),
        2 => any::<Index>().prop_map(Step::Cancel),
        1 => (0..MACHINES, 0..100u64)
            .prop_map(|(machine, now_us)| Step::Expire { machine, now_us }),
    ]
}

/// What the model knows of a request that has not ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Request {
    machine: usize,
    function: usize,
    /// None until it was first held.
    ticket: Option<Ticket>,
    bytes: u64,
    deadline_us: u64,
    came: Came,
}

/// How a held request came to be held.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    /// Within the bounds.
    Anew,
    /// Whatever the bounds.
    Back,
}

#[derive(Default)]
struct Counts {
    arrived: usize,
    ended: usize,
    shed: usize,
    expired: usize,
    cancelled: usize,
}

struct World {
    machines: Vec<Admission<usize>>,
    common: Arc<CommonBound>,
    bounds: Vec<Arc<Bound>>,
    slots: [[Slots; PODS]; FUNCTIONS],
    takes: [[bool; PODS]; FUNCTIONS],
    held: Vec<Request>,
    /// And the pod of each.
    forwarded: Vec<(Request, usize)>,
    counts: Counts,
}

fn is_limited(function: usize) -> bool {
    function >= 2
}

/// A pod that the request may be sent to: any that takes requests; under a limit, its slot.
fn grant(takes: &[bool; PODS], slots: &[Slots; PODS], function: usize) -> Option<usize> {
    (0..PODS).find(|&pod| takes[pod] && (!is_limited(function) || slots[pod].try_take(LIMIT)))
}

impl World {
    fn new() -> Self {
        let functions = u64::try_from(FUNCTIONS).unwrap();
        let common = common(REQUESTS_IN_ALL_MAX, BYTES_IN_ALL_MAX, functions);
        Self {
            machines: (0..MACHINES).map(|_| Admission::new(Arc::clone(&common))).collect(),
            common,
            bounds: (0..FUNCTIONS).map(|_| bound(REQUESTS_MAX, BYTES_MAX)).collect(),
            slots: Default::default(),
            takes: [[false; PODS]; FUNCTIONS],
            held: Vec::new(),
            forwarded: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Arrive { worker, function, bytes, deadline_us } => {
                let machine = if is_limited(function) { SHARED } else { worker };
                let came = Came::Anew;
                self.arrive(Request { machine, function, ticket: None, bytes, deadline_us, came });
            }
            Step::Pod { function, pod, takes } => {
                self.takes[function][pod] = takes;
                self.release(function);
            }
            Step::End(which) if !self.forwarded.is_empty() => {
                let (request, pod) = self.forwarded.remove(which.index(self.forwarded.len()));
                self.counts.ended += 1;
                if is_limited(request.function) {
                    self.slots[request.function][pod].give_back();
                    self.release(request.function);
                }
            }
            Step::Return(which) if !self.forwarded.is_empty() => {
                let (mut request, pod) = self.forwarded.remove(which.index(self.forwarded.len()));
                // As the activator does it: the pod is in doubt from now on.
                self.takes[request.function][pod] = false;
                let Request { machine, function, ticket, bytes, deadline_us, .. } = request;
                let bound = &self.bounds[function];
                let again =
                    self.machines[machine].hold_again(function, bound, ticket, deadline_us, bytes);
                assert!(ticket.is_none_or(|old| old == again));
                (request.ticket, request.came) = (Some(again), Came::Back);
                self.held.push(request);
                if is_limited(function) {
                    self.slots[function][pod].give_back();
                }
                self.release(function);
            }
            Step::Cancel(which) if !self.held.is_empty() => {
                let Request { machine, function, ticket, .. } =
                    self.held.remove(which.index(self.held.len()));
                let ticket = ticket.unwrap();
                assert!(self.machines[machine].cancel(function, ticket));
                assert!(!self.machines[machine].cancel(function, ticket), "only once");
                self.counts.cancelled += 1;
            }
            Step::Expire { machine, now_us } => self.expire(machine, now_us),
            Step::End(_) | Step::Return(_) | Step::Cancel(_) => {}
        }
    }

    fn arrive(&mut self, mut request: Request) {
        let Request { machine, function, bytes, deadline_us, .. } = request;
        self.counts.arrived += 1;
        let (takes, slots) = (&self.takes[function], &self.slots[function]);
        let before_it = self.held_in(machine, function).count();
        let bound = &self.bounds[function];
        let grant = || grant(takes, slots, function);
        let arrival = self.machines[machine].arrive(function, bound, deadline_us, || bytes, grant);
        match arrival {
            Arrival::Forward(pod) => {
                assert_eq!(before_it, 0, "nobody passes those who came before");
                self.forwarded.push((request, pod));
            }
            Arrival::Hold(ticket) => {
                let mut others = self.held_in(machine, function);
                assert!(others.all(|other| other.ticket < Some(ticket)), "tickets rise");
                drop(others);
                request.ticket = Some(ticket);
                self.held.push(request);
            }
            Arrival::Shed(full) => {
                let own = self.of(function);
                match full.scope {
                    Scope::Function => assert!(
                        own.0 + 1 > REQUESTS_MAX || own.1 + bytes > BYTES_MAX,
                        "shed below its own bound"
                    ),
                    Scope::All => {
                        let share = self.common.share();
                        let is_within = own.0 < share.requests && own.1 + bytes <= share.bytes;
                        let is_overdrawn = self.held.iter().any(|held| held.came == Came::Back);
                        assert!(!is_within || is_overdrawn, "shed within its share");
                    }
                }
                self.counts.shed += 1;
            }
        }
    }

    fn expire(&mut self, machine: usize, now_us: u64) {
        loop {
            let mine = self.held.iter().filter(|held| held.machine == machine);
            let due = mine.map(|held| (held.deadline_us, held.ticket)).min();
            let due = due.filter(|due| due.0 <= now_us).and_then(|due| due.1);
            let expired = self.machines[machine].expire(now_us).map(|(_, ticket)| ticket);
            assert_eq!(expired, due, "earliest first, none too early");
            let Some(ticket) = expired else {
                return;
            };
            self.held.retain(|held| (held.machine, held.ticket) != (machine, Some(ticket)));
            self.counts.expired += 1;
        }
    }

    /// Offers grants until nobody waits or there is none.
    fn release(&mut self, function: usize) {
        for machine in 0..MACHINES {
            let (takes, slots) = (&self.takes[function], &self.slots[function]);
            while let Some((ticket, pod)) =
                self.machines[machine].release(function, || grant(takes, slots, function))
            {
                let mine = |held: &Request| held.machine == machine && held.function == function;
                let oldest = self.held.iter().filter(|held| mine(held)).map(|held| held.ticket);
                assert_eq!(oldest.min(), Some(Some(ticket)), "first in, first out");
                let at = self.held.iter().position(|it| mine(it) && it.ticket == Some(ticket));
                self.forwarded.push((self.held.remove(at.unwrap()), pod));
            }
        }
    }

    fn held_in(&self, machine: usize, function: usize) -> impl Iterator<Item = &Request> {
        self.held.iter().filter(move |it| it.machine == machine && it.function == function)
    }

    /// What the model holds of a function: requests and bytes.
    fn of(&self, function: usize) -> (u64, u64) {
        let mine = self.held.iter().filter(|held| held.function == function);
        mine.fold((0, 0), |(requests, bytes), held| (requests + 1, bytes + held.bytes))
    }

    fn check(&self) {
        let Counts { arrived, ended, shed, expired, cancelled } = self.counts;
        let open = self.forwarded.len() + self.held.len();
        assert_eq!(arrived, open + ended + shed + expired + cancelled, "conservation");
        let held: usize = self.machines.iter().map(Admission::held_in_all).sum();
        assert_eq!(held, self.held.len());
        let mut sum = (0, 0);
        for function in 0..FUNCTIONS {
            let own = self.of(function);
            sum = (sum.0 + own.0, sum.1 + own.1);
            let taken = self.bounds[function].taken();
            assert_eq!((taken.requests, taken.bytes), own, "places taken are requests held");
            for pod in 0..PODS {
                let at = |it: &&(Request, usize)| it.0.function == function && it.1 == pod;
                let in_flight = self.forwarded.iter().filter(at).count();
                if is_limited(function) {
                    let slots = self.slots[function][pod].taken();
                    assert_eq!(usize::try_from(slots).unwrap(), in_flight);
                    assert!(slots <= LIMIT, "never above the limit");
                }
                let is_free = !is_limited(function) || in_flight < LIMIT.try_into().unwrap();
                if self.takes[function][pod] && is_free {
                    assert_eq!(own.0, 0, "nobody waits while a pod could take the request");
                }
            }
        }
        let taken = self.common.taken();
        assert_eq!((taken.requests, taken.bytes), sum);
        for (machine, admission) in self.machines.iter().enumerate() {
            let mine = self.held.iter().filter(|held| held.machine == machine);
            let next_us = mine.map(|held| held.deadline_us).min();
            assert_eq!(admission.next_deadline_us(), next_us);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_schedule_keeps_the_laws(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.apply(step);
            world.check();
        }
    }
}
