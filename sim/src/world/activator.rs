//! One activator: its counters, its queue and its view of the pods, with the live crates' own
//! counting, admission and link.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use dormouse_link::Connection;
use dormouse_link::activator_side::{ActivatorSide, Identity};
use dormouse_link::frame::Learnt;
use dormouse_metrics::counters::Counters;
use dormouse_metrics::counts::Refusal;
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::{self, Held, Writer};
use dormouse_policy::admission::{Admission, Amount, Bound, CommonBound, Slots, Ticket};
use dormouse_policy::readings;

use super::RunError;
use super::queue::Id;
use super::setup::Setup;

/// Held requests of one activator over all functions: its flags' defaults.
const HELD_MAX: Amount = Amount { requests: 10_000, bytes: 64 << 20 };

/// As many as all functions may hold together before one that holds much is turned away for the
/// others' sake, each with a head of usual size: an eighth of the bound is theirs.
pub(super) const HELD_FREE: u64 = HELD_MAX.requests - HELD_MAX.requests.div_ceil(8);

/// What a held request keeps in memory, in bytes: a head of usual size.
pub(super) const HEAD_BYTES: u64 = 1_024;

/// The world's time, in microseconds, as the counters read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock<'a>(pub(super) &'a Cell<u64>);

impl writer::Clock for Clock<'_> {
    #[inline]
    fn now_us(&self) -> u64 {
        self.0.get()
    }
}

/// An activator. One that is away is here with what it begins anew with.
pub(super) struct Activator<'a> {
    /// Which life of it this is.
    pub(super) boot: u32,
    pub(super) presence: Presence,
    pub(super) name: String,
    pub(super) writer: Writer,
    pub(super) counters: Vec<Counters>,
    pub(super) admission: Admission<u32>,
    /// Held requests by ticket, and the count of each as held.
    pub(super) waiting: HashMap<Ticket, (Id, Held<Clock<'a>>)>,
    /// By function.
    pub(super) views: Vec<View>,
    pub(super) side: ActivatorSide,
    /// None while it has no leader.
    pub(super) connection: Option<Connection>,
    /// Functions that the next report names.
    pub(super) active: Vec<u32>,
    /// Functions of which the reports after the last one only say that their requests go on.
    pub(super) steady: Vec<u32>,
    /// What was learnt of functions and is in the next report.
    pub(super) unsaid: Vec<Learnt>,
    /// When the next look at deadlines is due, in nanoseconds.
    pub(super) expiry_ns: u64,
}

/// Whether an activator is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Away,
}

/// What an activator knows of a function.
pub(super) struct View {
    /// The most requests that it sends a pod at once; 0 = no limit.
    pub(super) limit: u32,
    pub(super) bound: Arc<Bound>,
    /// Its pods, oldest first.
    pub(super) pods: Vec<Known>,
    /// Of these, those that take requests.
    pub(super) usable: u32,
    /// Whether it was said that the function needs waking.
    pub(super) wanted: bool,
    /// Whether the next report names it.
    pub(super) active: bool,
    /// Requests begun, and those in flight, by the last report that named it.
    pub(super) said: (u64, u64),
    /// Whether a retirement waits for open requests.
    pub(super) emptying: bool,
    /// Σ end − Σ begin of the requests that ended here, in microseconds: what the counters must
    /// come to.
    pub(super) listed_us: u64,
}

/// A pod as an activator knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) pod: Id,
    pub(super) serial: u64,
    /// Whether a try of it succeeded, or its manager called it ready.
    pub(super) tried: bool,
    /// Whether a try of it is under way.
    pub(super) trying: bool,
    pub(super) retiring: bool,
    pub(super) slots: Slots,
    /// Requests sent to it from here that are not answered.
    pub(super) requests: u32,
}

/// What a request goes on with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grant {
    /// Some pod takes requests.
    Any,
    /// A slot at the pod of this place.
    Slot(usize),
}

impl Known {
    pub(super) fn new(pod: Id, serial: u64) -> Self {
        let (tried, trying, retiring) = (false, false, false);
        Self { pod, serial, tried, trying, retiring, slots: Slots::default(), requests: 0 }
    }

    pub(super) fn takes_requests(&self) -> bool {
        self.tried && !self.retiring
    }
}

impl View {
    fn new(queue_depth: u32, limit: u32) -> Self {
        Self {
            limit,
            bound: Arc::new(Bound::new(held_max(queue_depth))),
            pods: Vec::new(),
            usable: 0,
            wanted: false,
            active: false,
            said: (0, 0),
            emptying: false,
            listed_us: 0,
        }
    }

    /// What a request can go on with: as the live activator, a slot at the pod with the fewest
    /// taken under a limit, else any pod.
    #[inline]
    pub(super) fn grant(&self) -> Option<Grant> {
        if self.usable == 0 {
            return None;
        }
        if self.limit == 0 {
            return Some(Grant::Any);
        }
        let usable = self.pods.iter().enumerate().filter(|(_, known)| known.takes_requests());
        let (at, known) = usable.min_by_key(|(_, known)| known.slots.taken())?;
        known.slots.try_take(self.limit).then_some(Grant::Slot(at))
    }

    /// The first pod at or after `start`, going round, that takes requests and is not `except`.
    fn usable_from(&self, start: usize, except: Option<usize>) -> Option<usize> {
        let is_usable = |at: usize| Some(at) != except && self.pods[at].takes_requests();
        if is_usable(start) {
            // Nearly always.
            return Some(start);
        }
        (start + 1..self.pods.len()).chain(0..start).find(|&at| is_usable(at))
    }

    /// Two choices, as the live activator: of the pod found from `first` on and another one, found
    /// from `further` beyond the next, the one with fewer requests from here.
    pub(super) fn choose(&self, first: usize, further: usize) -> Option<usize> {
        let first = self.usable_from(first, None)?;
        let start = (first + 1 + further) % self.pods.len();
        let second = self.usable_from(start, Some(first)).unwrap_or(first);
        Some(match self.pods[second].requests < self.pods[first].requests {
            true => second,
            false => first,
        })
    }

    /// The place of a pod that is probably at `hint`.
    #[inline]
    pub(super) fn place(&self, pod: Id, hint: usize) -> Option<usize> {
        match self.pods.get(hint) {
            Some(known) if known.pod == pod => Some(hint),
            _ => self.pods.iter().position(|known| known.pod == pod),
        }
    }

    /// Counts anew which pods take requests.
    pub(super) fn recount(&mut self) {
        let usable = self.pods.iter().filter(|known| known.takes_requests()).count();
        self.usable = u32::try_from(usable).unwrap_or(u32::MAX);
    }
}

/// The most a function may hold: its queue depth, and half of the bytes for all, as in the live
/// activator.
pub(super) fn held_max(queue_depth: u32) -> Amount {
    Amount { requests: queue_depth.into(), bytes: HELD_MAX.bytes / 2 }
}

impl Activator<'_> {
    /// The activator of that number in its life `boot`; its counters begin at zero.
    pub(super) fn new(setup: &Setup, number: u16, boot: u32) -> Result<Self, RunError> {
        let count = setup.functions.len();
        let registry = Registry::bounded(1, count);
        let register = |function: &super::Function| registry.register(function.name.as_str());
        let counters: Result<Vec<_>, _> = setup.functions.iter().map(register).collect();
        let counters = counters.map_err(|_| RunError::Functions)?;
        let common = Arc::new(CommonBound::new(HELD_MAX));
        common.set_functions(count as u64);
        let views = setup.functions.iter().map(|function| {
            let admission = &function.settings.admission;
            // Until the table says the same.
            let share = admission.queue_depth.div_ceil(setup.world.activators.get()).max(1);
            View::new(share, admission.container_concurrency)
        });
        let name = format!("activator-{number}");
        let identity = Identity { reporter: name.clone(), boot: boot.into() };
        Ok(Self {
            boot,
            presence: Presence::There,
            name,
            writer: registry.writer(0).ok_or(RunError::Functions)?,
            counters,
            admission: Admission::new(common),
            waiting: HashMap::new(),
            views: views.collect(),
            side: ActivatorSide::new(identity, Vec::new()),
            connection: None,
            active: Vec::new(),
            steady: Vec::new(),
            unsaid: Vec::new(),
            expiry_ns: u64::MAX,
        })
    }

    /// The next report names the function.
    #[inline]
    pub(super) fn note(&mut self, function: usize) {
        let view = &mut self.views[function];
        if !view.active {
            view.active = true;
            self.steady.retain(|steady| *steady != function as u32);
            self.active.push(function as u32);
        }
    }

    /// Whether its next report says more than that time passed.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.active.is_empty() || !self.unsaid.is_empty() || self.side.has_news()
    }

    /// Requests of a function held here.
    #[inline]
    pub(super) fn held(&self, function: usize) -> usize {
        self.admission.held(function as u32)
    }
}

/// What a report at that time says of a function; none if a worker is in the way.
#[inline]
pub(super) fn reading(counters: &Counters, at_us: u64) -> Option<readings::Counters> {
    let reading = counters.read(at_us)?;
    Some(readings::Counters {
        area_us: reading.area_us,
        started: reading.started,
        in_flight: reading.in_flight,
        held: reading.held,
        refused: reading.refused[Refusal::QueueFull as usize],
    })
}
