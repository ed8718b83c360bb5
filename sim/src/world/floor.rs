//! The floor: the least pod-seconds of any schedule in which no request waits.
//!
//! With the need n(t) = ⌈requests ÷ what a pod serves at once⌉, one pod is needed whenever n ≥ 1,
//! a second whenever n ≥ 2 and so on: layers. Each layer costs the time it is needed, its start-up
//! once, and for each gap in its need the shorter of the gap (the pod stays) and the start-up (it
//! goes and comes again). The start-up is the shortest that the function's distributions give, so
//! that no schedule can be cheaper.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::engine::State;
use super::ledger::{Cause, Fate, Visit};
use super::score::Score;
use super::setup::Setup;

/// The share of start-ups that is passed over in search of the shortest.
const SHORTEST: f64 = 1e-15;

/// The score of a function under [`super::Policy::Floor`], part by part.
pub(super) fn floor(setup: &Setup, function: State<'_>, end_ns: u64) -> Vec<Score> {
    let start_up = &function.spec.start_up;
    let start_ns = start_up.image.at(SHORTEST) + start_up.boot.at(SHORTEST);
    let mut floor = Floor { function, start_ns, idle_since: Vec::new(), open: BinaryHeap::new() };
    let mut cuts = setup.cuts_ns.iter().copied().peekable();
    let mut next_arrival = floor.function.arrivals.next();
    loop {
        let arrival_ns = next_arrival.unwrap_or(u64::MAX);
        let done_ns = floor.open.peek().map_or(u64::MAX, |Reverse((at_ns, ..))| *at_ns);
        let next_ns = arrival_ns.min(done_ns);
        while let Some(cut_ns) = cuts.next_if(|cut_ns| *cut_ns <= next_ns.min(end_ns)) {
            floor.function.ledger.cut(cut_ns);
        }
        if next_ns >= end_ns {
            break;
        }
        if done_ns <= arrival_ns {
            floor.end();
        } else {
            floor.begin(arrival_ns);
            next_arrival = floor.function.arrivals.next().map(|at_ns| at_ns.max(arrival_ns));
        }
    }
    for Reverse((_, part, _)) in floor.open {
        floor.function.ledger.stay(part);
    }
    floor.function.ledger.close(end_ns).split_off(1)
}

struct Floor<'a> {
    function: State<'a>,
    start_ns: u64,
    /// By layer, since when it is not needed.
    idle_since: Vec<Option<u64>>,
    /// Requests being served: when they are done, the part they arrived in, and when.
    open: BinaryHeap<Reverse<(u64, u16, u64)>>,
}

impl Floor<'_> {
    fn begin(&mut self, now_ns: u64) {
        let function = &mut self.function;
        let service_ns = function.service_ns(function.drawn);
        function.drawn += 1;
        function.ledger.enter(now_ns);
        let part = function.ledger.part;
        self.open.push(Reverse((now_ns.saturating_add(service_ns), part, now_ns)));
        self.follow(now_ns);
    }

    fn end(&mut self) {
        if let Some(Reverse((now_ns, part, arrived_ns))) = self.open.pop() {
            let visit = Visit { part, arrived_ns, sent_ns: arrived_ns, cause: Cause::Saturated };
            self.function.ledger.leave(visit, Fate::Answered, now_ns);
            self.follow(now_ns);
        }
    }

    /// As many pods as are needed.
    fn follow(&mut self, now_ns: u64) {
        let ledger = &mut self.function.ledger;
        let (before, need) = (ledger.pods(), ledger.need());
        if before == need {
            return;
        }
        for layer in before as usize..need as usize {
            let gap_ns = match self.idle_since.get_mut(layer) {
                None => {
                    self.idle_since.push(None);
                    self.start_ns
                }
                Some(since_ns) => {
                    let gap_ns = since_ns.take().map_or(0, |since_ns| now_ns - since_ns);
                    gap_ns.min(self.start_ns)
                }
            };
            ledger.add_pod_ns(gap_ns);
        }
        for layer in need as usize..before as usize {
            self.idle_since[layer] = Some(now_ns);
        }
        ledger.set_ready(need, now_ns);
        ledger.set_pods(need, now_ns);
    }
}
