//! One worker's side: the guards that count.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::counters::{Counters, Shared};
use crate::counts::{
    ABANDONED, CodeClass, HELD_BEGUN, HELD_ENDED, REFUSED, Refusal, STREAMS_BEGUN, STREAMS_ENDED,
    UPSTREAM_ERRORS, UpstreamError, WAKES, WakePhase, answered,
};
use crate::histogram::Histogram;
use crate::slab::Slab;
use crate::slots::Slot;
use crate::times::{self, Timed};

/// Tells a guard the time when it gives its count back.
pub trait Clock {
    /// Microseconds on the process' monotonic clock.
    fn now_us(&self) -> u64;
}

/// One worker's right to write its cells. It stays on its thread: that is what makes a cell
/// single-writer.
///
/// Between two looks at which functions there are, a worker passes a quiescent point
/// ([`Writer::quiescent`]), or is parked ([`Parking`]); only so can a function's slot be used
/// again.
#[derive(Debug)]
pub struct Writer {
    worker: Rc<Worker>,
}

/// What a writer and its guards share, on their one thread.
#[derive(Debug)]
struct Worker {
    number: usize,
    shared: Arc<Shared>,
    slab: Arc<Slab>,
    times: times::Own,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Writer {
    pub(crate) fn new(number: usize, shared: &Arc<Shared>) -> Self {
        shared.slots.unpark(number);
        let worker = Worker {
            number,
            shared: Arc::clone(shared),
            slab: Arc::clone(&shared.slabs[number]),
            times: times::Own::default(),
            stays_on_its_thread: PhantomData,
        };
        Self { worker: Rc::new(worker) }
    }

    /// The worker's number, from 0.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker.number
    }

    /// Counts a request as in flight until the guard is dropped. `counters` must have been looked
    /// up since the last quiescent point.
    #[inline]
    pub fn begin<C: Clock>(&self, counters: &Counters, clock: C) -> InFlight<C> {
        debug_assert!(
            !self.worker.shared.slots.is_parked(self.worker.number),
            "a parked worker begins nothing"
        );
        let begun_us = clock.now_us();
        self.worker.slab.flow(counters.slot.index).begin(begun_us);
        InFlight {
            worker: Rc::clone(&self.worker),
            slot: counters.slot,
            begun_us,
            clock,
            end: End::Abandoned,
        }
    }

    /// Counts that a wake of the function came to `phase`. As for `counters`, see
    /// [`Writer::begin`].
    pub fn wake(&self, counters: &Counters, phase: WakePhase) {
        self.worker.slab.count(counters.slot.index, WAKES + phase as usize);
    }

    /// A quiescent point: this worker holds no counters that it looked up before and will still
    /// begin something with.
    pub fn quiescent(&self) {
        self.worker.shared.slots.pass(self.worker.number);
    }

    /// Gives up this worker's histograms of functions idle for [`times::IDLE_US`]. To be called now
    /// and then.
    pub fn give_up_idle(&self, now_us: u64) {
        self.worker.times.give_up_idle(&self.worker.shared.times, self.worker.number, now_us);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Guards that are left only end things.
        self.worker.shared.slots.park(self.worker.number);
    }
}

/// Says when a worker's thread sleeps; for the hooks of its runtime.
#[derive(Clone, Debug)]
pub struct Parking {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
}

impl Parking {
    /// The worker holds no counters, and will begin nothing before [`Parking::unpark`]. From the
    /// worker's own thread.
    pub fn park(&self) {
        self.shared.slots.park(self.worker);
    }

    /// The worker goes on. From its own thread, before it looks anything up.
    pub fn unpark(&self) {
        self.shared.slots.unpark(self.worker);
    }
}

/// A request in flight. Dropping it ends the request; if nobody said how it was answered, its
/// client left before.
#[derive(Debug)]
#[must_use = "dropping it ends the request"]
pub struct InFlight<C: Clock> {
    worker: Rc<Worker>,
    slot: Slot,
    begun_us: u64,
    clock: C,
    end: End,
}

/// How a request ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Abandoned,
    Answered(CodeClass),
    /// Answered with a connection that lived on: how long is not a response time.
    Tunnelled,
    Refused(Refusal, CodeClass),
}

impl<C: Clock> InFlight<C> {
    /// Its function answers with that status code.
    pub fn answered(&mut self, code: u16) {
        self.end = End::Answered(CodeClass::of(code));
    }

    /// It is refused with that status code.
    pub fn refused(&mut self, refusal: Refusal, code: u16) {
        self.end = End::Refused(refusal, CodeClass::of(code));
    }

    /// Counts that something went wrong between here and a pod.
    pub fn upstream_error(&self, error: UpstreamError) {
        self.worker.slab.count(self.slot.index, UPSTREAM_ERRORS + error as usize);
    }

    /// Counts that this was the first request that its function's wake got answered.
    pub fn wake_delivered(&self) {
        self.worker.slab.count(self.slot.index, WAKES + WakePhase::Delivered as usize);
    }

    /// Its connection became a tunnel, which is counted as open until the guard is dropped.
    pub fn open_stream(&mut self) -> OpenStream {
        self.end = End::Tunnelled;
        self.worker.slab.count(self.slot.index, STREAMS_BEGUN);
        OpenStream { worker: Rc::clone(&self.worker), slot: self.slot }
    }
}

impl<C: Clock + Clone> InFlight<C> {
    /// Counts the request as held until the guard is dropped.
    pub fn hold(&self) -> Held<C> {
        self.worker.slab.count(self.slot.index, HELD_BEGUN);
        let clock = self.clock.clone();
        let since_us = clock.now_us();
        Held { worker: Rc::clone(&self.worker), slot: self.slot, since_us, clock }
    }
}

impl<C: Clock> Drop for InFlight<C> {
    #[inline]
    fn drop(&mut self) {
        let now_us = self.clock.now_us();
        let flow = self.worker.slab.flow(self.slot.index);
        match self.end {
            End::Answered(CodeClass::Success) => {
                let what = (self.slot, Timed::Response);
                self.worker.took(what, self.begun_us, now_us, |times, us| {
                    flow.end(now_us, || times.record(us));
                });
            }
            otherwise => self.worker.end_otherwise(self.slot, otherwise, self.begun_us, now_us),
        }
    }
}

impl Worker {
    /// Ends a request that is not simply a success. Kept apart from these, which are the most, so
    /// that their code is short.
    #[inline(never)]
    fn end_otherwise(&self, slot: Slot, end: End, begun_us: u64, now_us: u64) {
        let flow = self.slab.flow(slot.index);
        let count = |word| self.slab.tally(slot.index).add(word, 1);
        let count_answer = |class| answered(class).into_iter().for_each(count);
        match end {
            End::Abandoned => flow.end(now_us, || count(ABANDONED)),
            End::Answered(class) => {
                self.took((slot, Timed::Response), begun_us, now_us, |times, us| {
                    flow.end(now_us, || {
                        times.record(us);
                        count_answer(class);
                    });
                });
            }
            End::Tunnelled => flow.end(now_us, || count_answer(CodeClass::Informational)),
            End::Refused(refusal, class) => flow.end(now_us, || {
                count(REFUSED + refusal as usize);
                count_answer(class);
            }),
        }
    }

    /// Has `record` write how long something took.
    #[inline]
    fn took(
        &self,
        (slot, timed): (Slot, Timed),
        since_us: u64,
        now_us: u64,
        record: impl FnOnce(&Histogram, u64),
    ) {
        // On a clock that stepped back it took no time.
        let us = now_us.saturating_sub(since_us);
        let place = (&self.shared.times, self.number);
        self.times.with(place, (slot, timed), now_us, |histogram| record(histogram, us));
    }
}

/// A held request. Dropping it ends the holding, not the request.
#[derive(Debug)]
#[must_use = "dropping it ends the holding"]
pub struct Held<C: Clock> {
    worker: Rc<Worker>,
    slot: Slot,
    since_us: u64,
    clock: C,
}

impl<C: Clock> Drop for Held<C> {
    fn drop(&mut self) {
        let what = (self.slot, Timed::Held);
        self.worker.took(what, self.since_us, self.clock.now_us(), |times, us| {
            let place = (HELD_BEGUN, HELD_ENDED);
            self.worker.slab.count_back(self.slot.index, place, || times.record(us));
        });
    }
}

/// A connection that became a tunnel. Dropping it closes the count, not the request.
#[derive(Debug)]
#[must_use = "dropping it ends the tunnel's count"]
pub struct OpenStream {
    worker: Rc<Worker>,
    slot: Slot,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.worker.slab.count_back(self.slot.index, (STREAMS_BEGUN, STREAMS_ENDED), || ());
    }
}
