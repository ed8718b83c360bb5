//! The orderings of `seqlock` and `slots`, every interleaving of them: both files compiled against
//! the model checker's atomics.
//!
//! The table from which workers look functions up is not this crate's; here it is one atomic, with
//! the orderings of a snapshot that is swapped.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

mod sync {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

    /// Few: each try multiplies the interleavings.
    pub(crate) const READ_TRIES_MAX: usize = 2;
}
#[path = "../src/seqlock.rs"]
#[allow(dead_code, reason = "what the crate needs beyond the model")]
mod seqlock;
#[path = "../src/slots.rs"]
#[allow(dead_code, reason = "what the crate needs beyond the model")]
mod slots;

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use crate::seqlock::{Sequence, Words};
use crate::slots::{Slot, Slots};
use crate::sync::{AtomicU64, Ordering};

/// Started and ended, as a flow has them.
#[derive(Default)]
struct Cell {
    sequence: Sequence,
    words: Words<2>,
}
const STARTED: usize = 0;
const ENDED: usize = 1;

impl Cell {
    fn add<const N: usize>(&self, amounts: [(usize, u64); N]) {
        self.sequence.write(|| {
            amounts.into_iter().for_each(|(word, amount)| self.words.add(word, amount));
        });
    }

    fn clear(&self) {
        self.sequence.write(|| self.words.clear());
    }

    fn read(&self) -> Option<[u64; 2]> {
        self.sequence.read(|| self.words.copy())
    }
}

/// No function: the table is empty.
const NOBODY: u64 = 0;

/// Every interleaving with up to that many forced switches; known bugs of this kind need two.
///
/// The checker begins with the main thread running ahead, and departs from that only where the
/// other thread's access depends on the *last* access of a word. A writer looks at its words before
/// it writes them, which would hide a reader's look before; so writers run on the main thread.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Words in two places, as a flow and its tally are.
#[test]
fn a_reader_sees_whole_writes_or_nothing() {
    check(3, || {
        let cell = Arc::new((Sequence::default(), Words::<1>::default(), Words::<1>::default()));
        let read = |(sequence, here, there): &(Sequence, Words<1>, Words<1>)| {
            sequence.read(|| [here.copy(), there.copy()].concat())
        };
        let shared = Arc::clone(&cell);
        let reader = thread::spawn(move || {
            let mut last = 0;
            for _ in 0..2 {
                if let Some(words) = read(&shared) {
                    assert_eq!(words[1], 10 * words[0], "half a write");
                    assert!(words[0] >= last, "counts never fall");
                    last = words[0];
                }
            }
        });
        let (sequence, here, there) = &*cell;
        for _ in 0..2 {
            sequence.write(|| {
                here.add(0, 1);
                there.add(0, 10);
            });
        }
        reader.join().unwrap();
        assert_eq!(read(&cell), Some(vec![2, 20]));
    });
}

/// One slot, one worker, and the table that says who has the slot: the number of its use.
struct World {
    slots: Slots,
    cell: Cell,
    table: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::new(1, 1),
            cell: Cell::default(),
            table: AtomicU64::new(NOBODY),
        })
    }

    fn take(&self) -> Option<Slot> {
        let at_rest = |_| self.cell.read().is_some_and(|[started, ended]| started == ended);
        let slot = self.slots.take(at_rest)?;
        self.cell.clear();
        Some(slot)
    }

    /// The same for a slot that was given back, with what was counted there for its last function.
    fn take_again(&self) -> Option<[u64; 2]> {
        let counts = std::cell::Cell::new(None);
        let at_rest = |_| {
            counts.set(self.cell.read());
            counts.get().is_some_and(|[started, ended]| started == ended)
        };
        self.slots.take(at_rest)?;
        self.cell.clear();
        counts.get()
    }

    /// What a registry does for a new function.
    fn publish(&self, slot: Slot) {
        self.table.store(slot.id, Ordering::Release);
    }

    /// And for one that goes.
    fn remove(&self, slot: Slot) {
        self.table.store(NOBODY, Ordering::Release);
        self.slots.give_back(slot);
    }

    /// A request as a worker counts it: it looks its function up, and begins. For which function,
    /// if there was one.
    fn begin(&self) -> Option<u64> {
        let id = self.table.load(Ordering::Acquire);
        if id == NOBODY {
            return None;
        }
        self.cell.add([(STARTED, 1)]);
        Some(id)
    }

    /// And ends.
    fn end(&self, function: Option<u64>) -> Option<u64> {
        if function.is_some() {
            self.cell.add([(ENDED, 1)]);
        }
        function
    }

    fn request(&self) -> Option<u64> {
        self.end(self.begin())
    }

    /// A reader that holds a function's counters.
    fn read(&self, slot: Slot) -> Option<[u64; 2]> {
        let counts = self.cell.read()?;
        self.slots.is_current(slot).then_some(counts)
    }
}

/// What the old function began, which `worker` tells, must not be counted for the new one: whoever
/// gets the slot while the worker is at it has seen all of it, finds the slot clean, and it stays
/// so.
fn reuse(worker: impl Fn(&World) -> u64 + Sync + Send + Copy + 'static) {
    check(3, move || {
        let world = World::new();
        let old = world.take().unwrap();
        world.publish(old);
        // It is awake from its beginning on, as a writer is.
        world.slots.unpark(0);
        let shared = Arc::clone(&world);
        let remover = thread::spawn(move || {
            shared.remove(old);
            // Twice, so that the worker can pass between. A yield would end stale reads.
            shared.take_again().or_else(|| shared.take_again())
        });
        let begun = worker(&world);
        if let Some(counts) = remover.join().unwrap() {
            assert_eq!(counts, [begun, begun], "taken before the old one's counts were seen");
            assert_eq!(world.cell.read(), Some([0, 0]), "the old one's requests are in it");
        }
    });
}

#[test]
fn a_slot_is_taken_again_only_after_a_quiescent_point() {
    reuse(|world| {
        let first = world.request();
        world.slots.pass(0);
        let second = world.request();
        u64::from(first.is_some()) + u64::from(second.is_some())
    });
}

#[test]
fn a_slot_is_taken_again_only_after_what_began_there_ended() {
    for point in [Slots::pass, Slots::park] {
        reuse(move |world| {
            let known = world.begin();
            point(&world.slots, 0);
            u64::from(world.end(known).is_some())
        });
    }
}

#[test]
fn a_worker_that_wakes_up_is_seen_or_sees() {
    reuse(|world| {
        world.slots.park(0);
        world.slots.unpark(0);
        u64::from(world.request().is_some())
    });
}

#[test]
fn the_next_function_finds_the_counts_of_its_own_requests_alone() {
    check(2, || {
        let world = World::new();
        let old = world.take().unwrap();
        world.publish(old);
        world.slots.unpark(0);
        let shared = Arc::clone(&world);
        let registrar = thread::spawn(move || {
            shared.remove(old);
            let new = shared.take();
            if let Some(new) = new {
                shared.publish(new);
            }
            new
        });
        let mut served = Vec::new();
        for _ in 0..2 {
            served.extend(world.request());
            world.slots.pass(0);
        }
        if let Some(new) = registrar.join().unwrap() {
            let own = served.iter().filter(|id| **id == new.id).count() as u64;
            assert_eq!(world.read(new), Some([own, own]));
        }
    });
}

#[test]
fn a_reader_of_the_old_function_never_reads_the_new_one() {
    check(2, || {
        let world = World::new();
        let old = world.take().unwrap();
        world.publish(old);
        assert!(world.request().is_some());
        let shared = Arc::clone(&world);
        let reader = thread::spawn(move || {
            if let Some(counts) = shared.read(old) {
                assert_eq!(counts, [1, 1], "another function's counts");
            }
        });
        world.remove(old);
        let new = world.take().expect("the worker is parked");
        world.publish(new);
        reader.join().unwrap();
    });
}

#[test]
fn a_slot_given_back_on_one_thread_is_whole_on_another() {
    check(3, || {
        let world = World::new();
        let old = world.take().unwrap();
        world.publish(old);
        let shared = Arc::clone(&world);
        let registrar = thread::spawn(move || shared.take_again());
        assert!(world.request().is_some());
        world.remove(old);
        if let Some(counts) = registrar.join().unwrap() {
            assert_eq!(counts, [1, 1], "taken before all was seen that was counted");
        }
    });
}

/// A quiescent point orders by itself whatever a worker wrote before, not by the fences of cells.
#[test]
fn who_takes_a_slot_sees_all_that_workers_wrote_before_their_quiescent_points() {
    let wake_up = |slots: &Slots, worker: usize| {
        slots.park(worker);
        slots.unpark(worker);
    };
    for point in [Slots::pass, Slots::park, wake_up] {
        check(3, move || {
            let world = Arc::new((Slots::new(1, 1), AtomicU64::new(0)));
            let old = world.0.take(|_| true).unwrap();
            world.0.unpark(0);
            let shared = Arc::clone(&world);
            let registrar = thread::spawn(move || {
                let (slots, written) = &*shared;
                slots.give_back(old);
                let seen = std::cell::Cell::new(0);
                let look = |_| {
                    seen.set(written.load(Ordering::Relaxed));
                    true
                };
                slots.take(look).or_else(|| slots.take(look)).map(|_| seen.get())
            });
            let (slots, written) = &*world;
            written.store(1, Ordering::Relaxed);
            point(slots, 0);
            if let Some(seen) = registrar.join().unwrap() {
                assert_eq!(seen, 1, "taken before all was seen that was written");
            }
        });
    }
}

/// One thread gives back, another takes, and a worker wakes up: the first of them is seen by the
/// last if the second did not see it awake.
#[test]
fn a_worker_that_wakes_up_sees_who_gave_back_through_who_takes() {
    check(3, || {
        let world = World::new();
        let old = world.take().unwrap();
        world.publish(old);
        let (removing, taking) = (Arc::clone(&world), Arc::clone(&world));
        let remover = thread::spawn(move || removing.remove(old));
        let registrar = thread::spawn(move || taking.take_again());
        world.slots.unpark(0);
        let begun = u64::from(world.request().is_some());
        remover.join().unwrap();
        if let Some(counts) = registrar.join().unwrap() {
            assert_eq!(counts, [begun, begun], "taken before the old one's counts were seen");
            assert_eq!(world.cell.read(), Some([0, 0]), "the old one's requests are in it");
        }
    });
}
