//! What is to happen, in order: by time, class, function and, where all of these are equal, by what
//! was put first.

mod heap;

use std::collections::BinaryHeap;

use heap::Heap;

/// Functions have 20 bits of an event's place.
pub const FUNCTIONS_MAX: usize = 1 << 20;

/// What an event is of; at one time the lower goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Fault,
    Completion,
    Pod,
    Arrival,
    Report,
    Tick,
    Timer,
}

/// Something in a slab that may be used again: its place, and which use is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) at: u32,
    pub(super) life: u32,
}

/// What happens, apart from arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The fault of that number begins.
    Breaks(u32),
    /// It is over.
    Mends(u32),
    /// A request has been served.
    Served(Id),
    /// The next request of a pod that shares its speed may have been served; of that reckoning.
    Shared { pod: u32, reckoning: u32 },
    /// A pod that there was room for has its place.
    Placed(Id),
    /// It accepts connections.
    Listens(Id),
    /// An activator's try of it succeeds.
    Tried { pod: Id, activator: u16 },
    /// The kubelet calls it ready.
    Ready(Id),
    /// The autoscaler sees that.
    SeenReady(Id),
    /// The activators are told.
    ToldReady(Id),
    /// Its containers have stopped, but for requests that are open there.
    Stopped(Id),
    /// Its grace period is over.
    Killed(Id),
    /// An activator reports.
    Report { activator: u16, boot: u32 },
    /// A report arrives; its place among those under way.
    Heard(u32),
    /// An activator looks at functions with a pressure threshold.
    Look { activator: u16, boot: u32 },
    /// A function's tick.
    Tick { function: u32, leader: u32 },
    /// The time has come at which a pod of a function that sleeps was to be ordered ahead.
    PreWarm { function: u32, leader: u32 },
    /// A call to scale was made; its place among those under way.
    Scaled(u32),
    /// A frame arrives; its place among those under way.
    Frame(u32),
    /// The link has something to do by time alone.
    LinkDue { leader: u32 },
    /// Held requests of an activator may have waited too long.
    Expire { activator: u16, boot: u32 },
    /// Requests of a function may have taken too long.
    Deadline(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    event: Event,
}

/// The place of an event in the order of all.
#[inline]
pub(super) fn key(at_ns: u64, class: Class, function: u32, number: u64) -> u128 {
    const FUNCTION_SHIFT: u32 = 40;
    const CLASS_SHIFT: u32 = 60;
    let low = ((class as u64) << CLASS_SHIFT) | (u64::from(function) << FUNCTION_SHIFT) | number;
    (u128::from(at_ns) << 64) | u128::from(low)
}

/// The time of a place in the order.
#[inline]
pub(super) fn at_ns(key: u128) -> u64 {
    (key >> 64) as u64
}

/// One of the heaps of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Completions,
    Others,
}

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Completions have a heap of their own: they are most of the events, and the others, seconds
    /// away, would only make it deeper.
    completions: Heap,
    others: Heap,
    number: u64,
}

impl Queue {
    #[inline]
    pub(super) fn push(&mut self, at_ns: u64, class: Class, function: u32, event: Event) {
        // 2⁴⁰ events are more than anybody waits for.
        self.number += 1;
        let entry = Entry { key: key(at_ns, class, function, self.number), event };
        match class {
            Class::Completion => self.completions.push(entry),
            _ => self.others.push(entry),
        }
    }

    /// The place of the next event, beyond all if there is none, and the heap that it is in.
    #[inline]
    pub(super) fn next(&self) -> (u128, Which) {
        let (completion, other) = (self.completions.next_key(), self.others.next_key());
        match completion < other {
            true => (completion, Which::Completions),
            false => (other, Which::Others),
        }
    }

    /// The next event of that heap.
    #[inline]
    pub(super) fn pop(&mut self, which: Which) -> Option<Event> {
        let heap = match which {
            Which::Completions => &mut self.completions,
            Which::Others => &mut self.others,
        };
        heap.pop().map(|entry| entry.event)
    }
}

/// When each function's next request arrives.
#[derive(Debug)]
pub(super) struct Calendar {
    heap: BinaryHeap<std::cmp::Reverse<(u64, u32)>>,
}

impl Calendar {
    pub(super) fn new(first: impl Iterator<Item = (u64, u32)>) -> Self {
        Self { heap: first.map(std::cmp::Reverse).collect() }
    }

    /// The place of the next arrival in the order of all; beyond all if there is none.
    #[inline]
    pub(super) fn next_key(&self) -> u128 {
        let next = self.heap.peek();
        next.map_or(u128::MAX, |next| key(next.0.0, Class::Arrival, next.0.1, 0))
    }

    /// The function whose arrival that is, whose following one is `following`.
    #[inline]
    pub(super) fn take(&mut self, following: impl FnOnce(u32) -> Option<u64>) -> Option<u32> {
        let mut next = self.heap.peek_mut()?;
        let (now_ns, function) = next.0;
        match following(function) {
            // A load that went back in time would stop the world.
            Some(at_ns) => next.0.0 = at_ns.max(now_ns),
            None => {
                std::collections::binary_heap::PeekMut::pop(next);
            }
        }
        Some(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_time_class_function_and_number() {
        let mut queue = Queue::default();
        let pushed = [
            (2, Class::Fault, 0),
            (1, Class::Timer, 0),
            (1, Class::Tick, 3),
            (1, Class::Tick, 2),
            (1, Class::Completion, 9),
            (1, Class::Pod, 0),
            (1, Class::Fault, 7),
            (1, Class::Completion, 9),
        ];
        for (number, (at_ns, class, function)) in pushed.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            queue.push(at_ns, class, function, Event::Deadline(number));
        }
        assert_eq!(at_ns(queue.next().0), 1);
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop(queue.next().1)).collect();
        let order = [6, 4, 7, 5, 3, 2, 1, 0].map(Event::Deadline);
        assert_eq!(popped, order);
        assert_eq!(queue.next().0, u128::MAX);
    }

    #[test]
    fn arrivals_come_by_time_and_function_and_do_not_go_back() {
        let mut calendar = Calendar::new([(5, 1), (5, 0), (3, 2)].into_iter());
        let mut later = [Some(4), Some(2), None, None, None].into_iter();
        let mut taken = Vec::new();
        while let Some(function) = calendar.take(|_| later.next().unwrap()) {
            taken.push(function);
        }
        assert_eq!(taken, [2, 2, 2, 0, 1]);
        assert_eq!(calendar.next_key(), u128::MAX);
    }
}
