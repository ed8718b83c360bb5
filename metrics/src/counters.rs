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
    #[inline]
    pub fn read(&self, now_us: u64) -> Option<Reading> {
        self.sum().map(|counts| counts.at(now_us))
    }

    /// How long things took, summed over all workers; none if nothing did of late, or a worker
    /// could not be read.
    #[must_use]
    pub fn times(&self, timed: Timed) -> Option<Distribution> {
        self.shared.times.read(&self.shared.slabs, self.slot, timed)
    }

    #[inline]
    fn sum(&self) -> Option<Counts> {
        let counts = self.shared.sum(self.slot.index)?;
        // After: whatever of another function was read above is seen as such here.
        self.shared.slots.is_current(self.slot).then_some(counts)
    }
}

impl Shared {
    /// The counts of a slot summed over all workers, or none if one was in the way.
    #[inline]
    pub(crate) fn sum(&self, index: usize) -> Option<Counts> {
        let (first, others) = self.slabs.split_first()?;
        let mut sum = first.read(index)?;
        for slab in others {
            sum.merge(&slab.read(index)?);
        }
        Some(sum)
    }
}

/// The load on every function at one time.
#[derive(Debug)]
pub struct Loads {
    at_us: u64,
    /// By slot; none where a worker was in the way.
    flows: Vec<Option<FlowWords>>,
}

impl Loads {
    /// Sums the flows of all workers, one worker after the other: each slab is one run of memory.
    pub(crate) fn read(shared: &Shared, at_us: u64) -> Self {
        let mut flows = vec![Some(FlowWords::default()); shared.slots.used()];
        for slab in &shared.slabs {
            for (sum, flow) in flows.iter_mut().zip(slab.flows()) {
                match (sum.as_mut(), flow.read()) {
                    (Some(sum), Some(words)) => merge(sum, &words),
                    _ => *sum = None,
                }
            }
        }
        Self { at_us, flows }
    }

    /// A function's load; none, which is unknown and not zero, if it could not be read, or was
    /// registered since, or is gone.
    #[must_use]
    pub fn of(&self, counters: &Counters) -> Option<Load> {
        let flow = (*self.flows.get(counters.slot.index)?)?;
        counters.shared.slots.is_current(counters.slot).then(|| load(&flow, self.at_us))
    }
}
