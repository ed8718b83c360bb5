//! Where histograms live: made on first use, given up when idle.
//!
//! Few functions are busy at once, and a histogram is twenty times a cell. So a worker makes one
//! when a function first needs it there, and gives it up once that function was idle for
//! [`IDLE_US`]. Readers find them in a map that recording never touches again.

use std::cell::RefCell;
use std::sync::Arc;

use dashmap::DashMap;

use crate::histogram::{Distribution, Histogram};
use crate::slab::Slab;
use crate::slots::Slot;

/// How long a histogram is kept without use: longer than anyone waits between two scrapes, so that
/// each has seen the last of it before it goes.
pub const IDLE_US: u64 = 300_000_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timed {
    /// How long requests were held.
    Held,
    /// From the arrival of a request to the end of its function's answer.
    Response,
}

/// Every histogram there is, by the use of a slot, the worker, and what is timed. Touched when one
/// is made or given up, and by readers.
#[derive(Debug, Default)]
pub(crate) struct Times(DashMap<(u64, usize, Timed), Arc<Histogram>>);

impl Times {
    /// A function's times summed over all workers; none if there are none, or a writer was in the
    /// way.
    pub(crate) fn read(
        &self,
        slabs: &[Arc<Slab>],
        slot: Slot,
        timed: Timed,
    ) -> Option<Distribution> {
        let mut sum: Option<Distribution> = None;
        for (worker, slab) in slabs.iter().enumerate() {
            if let Some(histogram) = self.0.get(&(slot.id, worker, timed)) {
                let times = slab.read_with(slot.index, || histogram.copy())?;
                sum.get_or_insert_default().merge(&times);
            }
        }
        sum
    }
}

/// One worker's histograms, by slot.
#[derive(Debug, Default)]
pub(crate) struct Own(RefCell<Vec<[Option<Timer>; 2]>>);

#[derive(Debug)]
struct Timer {
    /// The use of the slot that it belongs to.
    id: u64,
    used_us: u64,
    histogram: Arc<Histogram>,
}

impl Own {
    /// Has `record` write a slot's histogram, which is made first if there is none.
    #[inline]
    pub(crate) fn with(
        &self,
        (times, worker): (&Times, usize),
        (slot, timed): (Slot, Timed),
        now_us: u64,
        record: impl FnOnce(&Histogram),
    ) {
        let mut slots = self.0.borrow_mut();
        let timer = slots.get_mut(slot.index).and_then(|timers| timers[timed as usize].as_mut());
        let timer = match timer {
            Some(timer) if timer.id == slot.id => timer,
            _ => fresh(&mut slots, slot, timed, times, worker),
        };
        timer.used_us = now_us;
        record(&timer.histogram);
    }

    /// Gives up what was not used for [`IDLE_US`].
    pub(crate) fn give_up_idle(&self, times: &Times, worker: usize, now_us: u64) {
        for timers in self.0.borrow_mut().iter_mut() {
            for (timer, timed) in timers.iter_mut().zip([Timed::Held, Timed::Response]) {
                // A clock that jumps back makes the difference huge: a histogram less, no harm.
                if let Some(idle) =
                    timer.take_if(|timer| now_us.wrapping_sub(timer.used_us) >= IDLE_US)
                {
                    times.0.remove(&(idle.id, worker, timed));
                }
            }
        }
    }
}

/// Kept out of the hot path: it allocates and locks. Its arguments fit into registers, so that the
/// hot path does not put them on the stack in vain.
#[cold]
#[inline(never)]
fn fresh<'a>(
    slots: &'a mut Vec<[Option<Timer>; 2]>,
    slot: Slot,
    timed: Timed,
    times: &Times,
    worker: usize,
) -> &'a mut Timer {
    if slots.len() <= slot.index {
        slots.resize_with(slot.index + 1, Default::default);
    }
    let place = &mut slots[slot.index][timed as usize];
    if let Some(old) = place {
        // Its function is gone, and nobody reads it any more.
        times.0.remove(&(old.id, worker, timed));
    }
    let histogram = Arc::new(Histogram::default());
    times.0.insert((slot.id, worker, timed), Arc::clone(&histogram));
    place.insert(Timer { id: slot.id, used_us: 0, histogram })
}
