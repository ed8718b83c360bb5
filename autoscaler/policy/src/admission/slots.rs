//! A pod's slots: how many requests it may be given at once under a concurrency limit.

use std::sync::atomic::{AtomicU32, Ordering};

/// The slots taken at one pod by all workers of this process.
///
/// With [`super::Bound::taken`] this is what two threads need not to miss each other without a
/// lock: one gives its slot back, then looks whether anybody is held; the other is held, then looks
/// for a slot. All four steps are sequentially consistent, so at least one sees the other's.
#[derive(Debug, Default)]
pub struct Slots {
    /// Written and read by every worker, and read by the control thread before a retirement.
    taken: AtomicU32,
}

impl Slots {
    /// Takes a slot if fewer than `limit` are taken.
    #[must_use = "a slot taken must be given back"]
    pub fn try_take(&self, limit: u32) -> bool {
        let free = |taken: u32| (taken < limit).then_some(taken + 1);
        self.taken.try_update(Ordering::SeqCst, Ordering::SeqCst, free).is_ok()
    }

    /// Gives a slot back.
    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "a slot given back was taken before");
    }

    /// Slots taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::SeqCst)
    }
}
