//! The counters of one function, as readers hold them.

use std::sync::Arc;

use crate::counts::{Counts, Load, Reading, load, merge};
use crate::histogram::Distribution;
use crate::slab::{FlowWords, Slab};
use crate::slots::{Slot, Slots};
use crate::times::{Timed, Times};

/// The counters of one function over all workers. Cheap to clone; a clone outlives the function,
/// but then it reads nothing.
#[derive(Clone, Debug)]
pub struct Counters {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Slot,
}

/// What the registry, its writers and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) slots: Slots,
    /// One per worker.
    pub(crate) slabs: Box<[Arc<Slab>]>,
    pub(crate) times: Times,
}

impl Counters {
    /// All workers' counts summed at `now_us`; none, which is unknown and not zero, if a worker
    /// could not be read or the function is gone.
    #[must_use]
    pub fn read(&self, now_us: u64) -> Option<Reading> {
        self.sum().map(|counts| counts.at(now_us))
    }

    /// The load alone, which is a tenth of the work.
    #[must_use]
    pub fn load(&self, now_us: u64) -> Option<Load> {
        let mut sum = FlowWords::default();
        for slab in &self.shared.slabs {
            merge(&mut sum, &slab.flow(self.slot.index).read()?);
        }
        self.shared.slots.is_current(self.slot).then(|| load(&sum, now_us))
    }

    /// How long things took, summed over all workers; none if nothing did of late, or a worker
    /// could not be read.
    #[must_use]
    pub fn times(&self, timed: Timed) -> Option<Distribution> {
        self.shared.times.read(self.slot, self.shared.slabs.len(), timed)
    }

    fn sum(&self) -> Option<Counts> {
        let counts = self.shared.sum(self.slot.index)?;
        // After: whatever of another function was read above is seen as such here.
        self.shared.slots.is_current(self.slot).then_some(counts)
    }
}

impl Shared {
    /// The counts of a slot summed over all workers, or none if one was in the way.
    pub(crate) fn sum(&self, index: usize) -> Option<Counts> {
        let mut sum = Counts::default();
        for slab in &self.slabs {
            sum.merge(&slab.read(index)?);
        }
        Some(sum)
    }
}
