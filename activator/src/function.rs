//! A function as the data path sees it: what never changes of it, and a view replaced whole.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dormouse_link::frame::{Failure, Reading};
use dormouse_metrics::counters::Counters;
use dormouse_metrics::counts::{Load, Refusal};
use dormouse_policy::admission::{Bound, Prospect};
use dormouse_policy::function::{FunctionName, Probe};

use crate::pod::Pod;

/// A function's number in this process, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FunctionId(pub(crate) u64);

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its number.
    pub(crate) id: FunctionId,
    /// Its name.
    pub(crate) name: FunctionName,
    /// Its counters.
    pub(crate) counters: Counters,
    /// The bound on its held requests, shared by all workers.
    pub(crate) bound: Arc<Bound>,
    /// What the table says of it now. Replaced by the control thread, read by workers.
    pub(crate) view: ArcSwap<View>,
    /// When the present wake began, in microseconds on the activator's clock; 0 = none. Written by
    /// the control thread, read by workers for Retry-After; relaxed: a stale figure does no harm.
    pub(crate) wake_since_us: AtomicU64,
    /// Whether no held request of the last wake was answered by a pod yet. Set by the control
    /// thread, cleared by the worker that has the first such answer. Relaxed: the flag is all.
    pub(crate) undelivered: AtomicBool,
    /// Held requests released. Written by workers, read by the control thread once a second;
    /// relaxed: the number is all.
    pub(crate) released: AtomicU64,
    /// How many are released per second, the bits of an `f64`; 0 = not known. Written by the
    /// control thread, read by workers for Retry-After; relaxed, likewise.
    pub(crate) released_per_s: AtomicU64,
    /// Set by a worker that told the control thread of held requests, cleared by the control thread
    /// before it reads the counters, so that one signal at most is on its way.
    pub(crate) signalled: AtomicBool,
}

impl Function {
    /// What is reported of it, `load` being of `now_us`; none if a worker could not be read.
    pub(crate) fn reading(&self, load: Load, now_us: u64) -> Option<Reading> {
        let counts = self.counters.read(now_us)?;
        Some(Reading {
            function: self.name.clone(),
            area_us: load.area_us,
            started: load.started,
            in_flight: load.in_flight,
            held: counts.held,
            refused: counts.refused[Refusal::QueueFull as usize],
        })
    }

    /// Requests are held and no pod takes them: a wake begins, unless one is under way already.
    /// True if it does.
    pub(crate) fn wake_begins(&self, now_us: u64) -> bool {
        // The only writer is this thread.
        let begins = self.wake_since_us.load(Ordering::Relaxed) == 0;
        if begins {
            self.wake_since_us.store(now_us.max(1), Ordering::Relaxed);
            self.undelivered.store(true, Ordering::Relaxed);
        }
        begins
    }

    /// A pod is usable or nothing is held any more: the wake that was under way, if one was, ends.
    /// True if it does.
    pub(crate) fn wake_ends(&self) -> bool {
        self.wake_since_us.swap(0, Ordering::Relaxed) > 0
    }

    /// A held request was answered by a pod. True if it is the first of its wake.
    pub(crate) fn wake_delivers(&self) -> bool {
        // Looked at first: a swap would have every held request's worker fight for the line.
        self.undelivered.load(Ordering::Relaxed) && self.undelivered.swap(false, Ordering::Relaxed)
    }

    /// What a held request waits for: the present wake, or else its turn.
    pub(crate) fn prospect(&self, now_us: u64) -> Prospect {
        let since_us = self.wake_since_us.load(Ordering::Relaxed);
        if since_us > 0 {
            let elapsed_us = now_us.saturating_sub(since_us);
            let cold = |usual_us| Prospect::Cold { elapsed_us, usual_us };
            return self.view.load().start_up_us.map_or(Prospect::Unknown, cold);
        }
        let released_per_s = f64::from_bits(self.released_per_s.load(Ordering::Relaxed));
        Prospect::Warm { held: self.bound.taken().requests, released_per_s }
    }
}

/// What the table says of a function at one time.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Its pods.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// How a pod is found ready.
    pub(crate) probe: Probe,
    /// The most requests a pod is sent at once; none = no limit.
    pub(crate) limit: Option<NonZeroU32>,
    /// How long its pods usually take to start, in microseconds, if that is known.
    pub(crate) start_up_us: Option<u64>,
    /// Longest time a request is held, in microseconds.
    pub(crate) queue_timeout_us: u64,
    /// From arrival to the last byte of the answer, in microseconds.
    pub(crate) request_timeout_us: u64,
    /// Set while it cannot start.
    pub(crate) failure: Option<Failing>,
    /// Gone from the table: whoever still waits is told so.
    pub(crate) presence: Presence,
}

impl View {
    /// Whether some pod can take a request.
    pub(crate) fn takes_requests(&self) -> bool {
        self.pods.iter().any(|pod| pod.takes_requests())
    }
}

/// Why a function cannot start.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    /// In Kubernetes' words.
    pub(crate) failure: Failure,
    /// When another try is due, in microseconds on the activator's clock.
    pub(crate) retry_at_us: u64,
}

/// Whether the table lists a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does.
    Listed,
    /// It did.
    Gone,
}
