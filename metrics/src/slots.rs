//! Which function has which slot of every slab, and when a slot that was given back may be used for
//! another function.
//!
//! A slot given back may still be written by a worker that looked its function up before. It is
//! free again only when
//!
//! 1. every worker has passed a *quiescent point* since, a moment at which it holds no function
//!    that it looked up before (a parked worker holds none, and counts as having passed), so that
//!    nothing can begin there any more; and
//! 2. everything that began there has ended, on every shard.
//!
//! A reader that still holds the old function learns from the slot's number that it is gone.
//!
//! The orderings are checked by `tests/loom.rs`.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, AtomicUsize, Ordering, fence};

/// Seen by a parked worker: later than every epoch.
const PARKED: u64 = u64::MAX;

/// A slot and the number of its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its position in every slab.
    pub(crate) index: usize,
    /// The number of this use of it; never given to another use of any slot.
    pub(crate) id: u64,
}

/// The slots of all slabs.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Counts uses and ends of uses. Added to by whoever takes or gives back a slot, read by
    /// workers at their quiescent points.
    epoch: AtomicU64,
    /// Per worker, the epoch at its last quiescent point. Written by the worker, read by whoever
    /// takes a slot. Padded: workers write these often.
    seen: Box<[CachePadded<AtomicU64>]>,
    /// Per slot: 0 before its first use; odd in use, the number of the use; even once given back,
    /// twice the epoch of that. Written by whoever takes it or gives it back, read by readers.
    states: Box<[AtomicU64]>,
    /// Slots used at least once are those below. Relaxed: a count.
    used: AtomicUsize,
    /// Slots given back and not used again. Relaxed: a hint that there is something to look for.
    given_back: AtomicUsize,
}

impl Slots {
    /// That many slots, none in use, for that many workers, all parked.
    pub(crate) fn new(slots: usize, workers: usize) -> Self {
        Self {
            epoch: AtomicU64::new(1),
            seen: (0..workers).map(|_| CachePadded::new(AtomicU64::new(PARKED))).collect(),
            states: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            used: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
        }
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// How many were used so far: those below that index.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A slot for a new use, if there is one: one given back where `at_rest` says that everything
    /// has ended, else one never used. `at_rest` sees all that any worker wrote before its last
    /// quiescent point. The slot's cells are the caller's alone until it passes the slot on.
    pub(crate) fn take(&self, at_rest: impl Fn(usize) -> bool) -> Option<Slot> {
        // Odd, and unique because every take and give-back adds 1.
        let id = 2 * self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        self.take_again(id, at_rest).or_else(|| self.take_fresh(id))
    }

    fn take_again(&self, id: u64, at_rest: impl Fn(usize) -> bool) -> Option<Slot> {
        if self.given_back.load(Ordering::Relaxed) == 0 {
            return None;
        }
        (0..self.used()).find_map(|index| {
            // Relaxed: the fence in `all_passed`, which comes next, makes it pair with `give_back`.
            let state = self.states[index].load(Ordering::Relaxed);
            let given_back = state != 0 && state.is_multiple_of(2);
            let free = given_back && self.all_passed(state / 2) && at_rest(index);
            // Relaxed: a reader of the old use that sees the cells change is told by the fences of
            // the cells' own writes, which come after this.
            let taken = free
                && self.states[index]
                    .compare_exchange(state, id, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if taken {
                self.given_back.fetch_sub(1, Ordering::Relaxed);
            }
            taken.then_some(Slot { index, id })
        })
    }

    fn take_fresh(&self, id: u64) -> Option<Slot> {
        let more = |used| (used < self.states.len()).then_some(used + 1);
        let index = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.states[index].store(id, Ordering::Relaxed);
        Some(Slot { index, id })
    }

    /// Gives a slot back, once, after nobody can look its function up any more.
    pub(crate) fn give_back(&self, slot: Slot) {
        // Release: a worker whose quiescent point sees this epoch also sees that the function
        // cannot be looked up any more.
        let epoch = self.epoch.fetch_add(1, Ordering::Release) + 1;
        // Release: a worker that wakes up after it was found parked by whoever takes the slot sees
        // that the function cannot be looked up, though this thread saw to that.
        self.states[slot.index].store(2 * epoch, Ordering::Release);
        self.given_back.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the slot is still in this use. To be asked after its cells were copied.
    #[inline]
    pub(crate) fn is_current(&self, slot: Slot) -> bool {
        // Relaxed: the copy of the cells ended with an acquire fence. If it saw the cleaning for
        // another use, this sees the state that was stored before.
        self.states[slot.index].load(Ordering::Relaxed) == slot.id
    }

    /// The worker holds no function that it looked up before.
    #[inline]
    pub(crate) fn pass(&self, worker: usize) {
        // Acquire: pairs with `give_back`, so that what the worker looks up after this is not what
        // was given back by then.
        let epoch = self.epoch.load(Ordering::Acquire);
        // Release: whoever reads this sees all that the worker began before.
        self.seen[worker].store(epoch, Ordering::Release);
    }

    /// The worker holds no function, and will look none up before [`Slots::unpark`].
    #[inline]
    pub(crate) fn park(&self, worker: usize) {
        // Release: as in `pass`.
        self.seen[worker].store(PARKED, Ordering::Release);
    }

    /// The worker may look functions up again.
    #[inline]
    pub(crate) fn unpark(&self, worker: usize) {
        self.pass(worker);
        // Sequentially consistent, paired with the fence in `all_passed`: either that one's owner
        // sees the worker awake, or the worker sees that the function cannot be looked up.
        fence(Ordering::SeqCst);
    }

    /// Whether the worker is parked, as the worker itself sees it.
    #[inline]
    pub(crate) fn is_parked(&self, worker: usize) -> bool {
        self.seen[worker].load(Ordering::Relaxed) == PARKED
    }

    fn all_passed(&self, epoch: u64) -> bool {
        // See `unpark`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with `pass` and `park`; all that began before is seen.
        self.seen.iter().all(|seen| seen.load(Ordering::Acquire) >= epoch)
    }
}
