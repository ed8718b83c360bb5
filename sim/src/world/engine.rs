//! The world's state and its loop.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

use dormouse_metrics::counts::Refusal;
use dormouse_metrics::writer::InFlight;
use dormouse_policy::admission::Ticket;
use dormouse_policy::fingerprint::fnv1a;
use dormouse_policy::function::FunctionName;
use dormouse_policy::tick;

use super::activator::{Activator, Clock, Presence};
use super::cluster::Cluster;
use super::deciding::{Call, Leader};
use super::histogram::Histogram;
use super::ledger::{Cause, Fate, Ledger, Visit};
use super::parcels::Parcels;
use super::pod::Pod;
use super::queue::{Calendar, Class, Event, FUNCTIONS_MAX, Id, Queue, at_ns};
use super::reporting::{Frame, Message};
use super::series::{Recording, Series};
use super::setup::{Arrivals, Function, Kill, Policy, Services, Setup};
use super::silence::Reports;
use super::{Ended, Log, Logged, RunError, Scorecard, silence};
use crate::draw::Stream;

/// The most activators; a deployment of more would be thousands of cores.
const ACTIVATORS_MAX: u32 = 1_024;

/// A world under way.
pub(super) struct Sim<'a> {
    pub(super) setup: &'a Setup,
    pub(super) seed: u64,
    pub(super) clock: Clock<'a>,
    pub(super) now_ns: u64,
    /// When the parts of the score begin that have not.
    cuts_ns: &'a [u64],
    pub(super) queue: Queue,
    pub(super) calendar: Calendar,
    pub(super) functions: Vec<State<'a>>,
    /// Functions by name.
    pub(super) names: HashMap<FunctionName, usize>,
    pub(super) requests: Vec<Request<'a>>,
    pub(super) free_requests: Vec<u32>,
    pub(super) pods: Vec<Pod>,
    pub(super) free_pods: Vec<u32>,
    pub(super) activators: Vec<Activator<'a>>,
    pub(super) cluster: Cluster,
    /// Who decides; none while nobody does.
    pub(super) leader: Option<Leader>,
    /// How many leaders there were.
    pub(super) leaders: u32,
    pub(super) connections: u64,
    pub(super) messages: Parcels<Message>,
    pub(super) frames: Parcels<Frame>,
    pub(super) calls: Parcels<Call>,
    pub(super) reports: Reports,
    /// When the next report is, while the activator has nothing to say; else never.
    pub(super) silent_until_ns: u64,
    pub(super) lost_reports: Stream,
    pub(super) reports_made: u64,
    pub(super) events: u64,
    pub(super) log: Vec<Logged>,
    /// What went wrong in the middle of something.
    pub(super) fault: Option<String>,
}

/// A function's state.
pub(super) struct State<'a> {
    pub(super) spec: &'a Function,
    pub(super) arrivals: Box<dyn Arrivals + 'a>,
    /// How long requests take, where that was recorded; else it is drawn.
    recorded: Option<Box<dyn Services + 'a>>,
    /// Draws, each indexed by the request but for the last two: by choices made, by pods made.
    services: Stream,
    pub(super) ways: Stream,
    pub(super) choices: Stream,
    pub(super) starts: Stream,
    pub(super) drawn: u64,
    pub(super) chosen: u64,
    pub(super) ledger: Ledger,
    /// Replicas as the API server has them.
    pub(super) replicas: u32,
    /// Its pods that are not terminating, oldest first.
    pub(super) pods: Vec<Id>,
    pub(super) pods_made: u64,
    /// Of its pods, those that the autoscaler sees ready.
    pub(super) seen_ready: u32,
    /// When requests will have taken too long, in order of arrival; those that ended are dropped
    /// when they come to the front.
    pub(super) deadlines: VecDeque<(u64, Id)>,
    pub(super) deadline_armed: bool,
    /// When its ticks are.
    pub(super) ticks: tick::Phase,
    /// Its idle times, where the policy goes by them. No fault takes them: what it comes to is what
    /// is looked at.
    pub(super) histogram: Option<Histogram>,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: its place in the slab is free.
    Free,
    /// Held by its activator.
    Held(Ticket),
    /// In its pod, in line.
    InLine,
    /// In its pod, being served.
    Served,
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) life: u32,
    pub(super) function: u32,
    pub(super) activator: u16,
    pub(super) place: Place,
    pub(super) visit: Visit,
    pub(super) service_ns: u64,
    /// Where it was sent; until it is, this and what follows are of whoever had its place.
    pub(super) pod: Id,
    /// Its pod's place in its activator's view when it was sent.
    pub(super) hint: u32,
    /// Whether it has a slot there.
    pub(super) slot: bool,
    pub(super) count: Option<InFlight<Clock<'a>>>,
}

impl Request<'_> {
    /// A place where none was yet.
    pub(super) fn none() -> Self {
        let nowhere = Id { at: u32::MAX, life: 0 };
        Self {
            life: 0,
            function: 0,
            activator: 0,
            place: Place::Free,
            visit: Visit { part: 0, arrived_ns: 0, sent_ns: 0, cause: Cause::Saturated },
            service_ns: 0,
            pod: nowhere,
            hint: 0,
            slot: false,
            count: None,
        }
    }

    /// When its count began, in microseconds.
    #[inline]
    pub(super) fn begun_us(&self) -> u64 {
        self.visit.arrived_ns / 1_000
    }
}

/// Checks the setup, lives through the world and gives its score, and what was recorded of it.
pub(super) fn run(
    setup: &Setup,
    seed: u64,
    recording: Option<&Recording>,
    check: impl Fn(&Sim<'_>) -> Result<(), String>,
) -> Result<(Scorecard, Vec<Series>), RunError> {
    validate(setup)?;
    let clock = Cell::new(0);
    let mut sim = Sim::new(setup, seed, Clock(&clock))?;
    if let Some(recording) = recording {
        sim.record(recording)?;
    }
    sim.begin();
    let ended = sim.live(check)?;
    let series = recording.map_or_else(Vec::new, |recording| sim.recorded(recording));
    Ok((sim.finish(ended)?, series))
}

/// What came of a function that shares nothing with others.
pub(super) struct Alone {
    pub(super) card: Scorecard,
    /// The most requests that were held at once.
    pub(super) held_most: u32,
}

/// Lives through a world of one function that has all to itself.
pub(super) fn run_alone(setup: &Setup, seed: u64) -> Result<Alone, RunError> {
    let clock = Cell::new(0);
    let mut sim = Sim::new(setup, seed, Clock(&clock))?;
    sim.reports = Reports::WithNews;
    sim.begin();
    let ended = sim.live(|_| Ok(()))?;
    let held_most = sim.functions.iter().map(|function| function.ledger.held_most());
    Ok(Alone { held_most: held_most.sum(), card: sim.finish(ended)? })
}

pub(super) fn validate(setup: &Setup) -> Result<(), RunError> {
    if setup.functions.len() > FUNCTIONS_MAX {
        return Err(RunError::Functions);
    }
    if setup.world.activators.get() > ACTIVATORS_MAX {
        return Err(RunError::Activators);
    }
    let nodes = setup.world.nodes.map_or(0, |nodes| nodes.count.get());
    let is_there = |kill: &Kill| match *kill {
        Kill::Activator(number) => number < setup.world.activators.get(),
        Kill::Leader => true,
        Kill::Pod(function) => function < setup.functions.len(),
        Kill::Node(number) => number < nodes,
    };
    if !setup.world.faults.iter().all(|fault| is_there(&fault.kill)) {
        return Err(RunError::Faults);
    }
    if !setup.cuts_ns.is_sorted() || setup.cuts_ns.len() >= usize::from(u16::MAX) {
        return Err(RunError::Cuts);
    }
    Ok(())
}

impl<'a> Sim<'a> {
    fn new(setup: &'a Setup, seed: u64, clock: Clock<'a>) -> Result<Self, RunError> {
        let functions: Vec<State<'a>> =
            setup.functions.iter().map(|spec| State::new(spec, setup, seed)).collect();
        let activators = 0..setup.world.activators.get();
        let activators = activators.map(|number| Activator::new(setup, number as u16, 0));
        Ok(Self {
            setup,
            seed,
            clock,
            now_ns: 0,
            cuts_ns: &setup.cuts_ns,
            queue: Queue::default(),
            calendar: Calendar::new(std::iter::empty()),
            names: names(setup)?,
            functions,
            requests: Vec::new(),
            free_requests: Vec::new(),
            pods: Vec::new(),
            free_pods: Vec::new(),
            activators: activators.collect::<Result<_, _>>()?,
            cluster: Cluster::new(&setup.world),
            leader: None,
            leaders: 0,
            connections: 0,
            messages: Parcels::default(),
            frames: Parcels::default(),
            calls: Parcels::default(),
            reports: Reports::All,
            silent_until_ns: silence::NEVER,
            lost_reports: Stream::new(seed, "lost reports", 0),
            reports_made: 0,
            events: 0,
            log: Vec::new(),
            fault: None,
        })
    }

    fn begin(&mut self) {
        // Before anything is ordered: what is ordered then is of the part that begins then.
        self.cut_until(0);
        let mut first = Vec::new();
        for (at, function) in self.functions.iter_mut().enumerate() {
            if function.spec.policy != Policy::Floor
                && let Some(arrival_ns) = function.arrivals.next()
            {
                first.push((arrival_ns, at as u32));
            }
        }
        self.calendar = Calendar::new(first.into_iter());
        for at in 0..self.functions.len() {
            if self.functions[at].spec.policy != Policy::Floor {
                self.found_replicas(at);
            }
        }
        for (number, fault) in self.setup.world.faults.iter().enumerate() {
            self.queue.push(fault.at_ns, Class::Fault, 0, Event::Breaks(number as u32));
        }
        self.lead();
        for activator in 0..self.activators.len() {
            self.start_reporting(activator);
        }
    }

    fn live(&mut self, check: impl Fn(&Self) -> Result<(), String>) -> Result<Ended, RunError> {
        loop {
            let arrival = self.calendar.next_key();
            let (other, which) = self.queue.next();
            let next_ns = at_ns(arrival.min(other));
            self.cut_until(next_ns.min(self.setup.end_ns));
            if next_ns >= self.setup.end_ns {
                self.pass_to(self.setup.end_ns);
                self.count_ticks(self.setup.end_ns);
                return Ok(Ended::Time);
            }
            if self.events >= self.setup.events_max {
                return Ok(Ended::Events(self.now_ns));
            }
            self.pass_to(next_ns);
            self.keep_silence(arrival.min(other));
            self.events += 1;
            if arrival < other {
                let functions = &mut self.functions;
                let next = self.calendar.take(|at| functions[at as usize].arrivals.next());
                if let Some(function) = next {
                    self.arrive(function as usize);
                }
            } else if let Some(event) = self.queue.pop(which) {
                self.happen(event);
            }
            self.break_silence();
            if let Some(what) = &self.fault {
                return Err(self.broken(what.clone()));
            }
            check(self).map_err(|what| self.broken(what))?;
        }
    }

    /// Each part of the score begins that does so by then.
    #[inline]
    fn cut_until(&mut self, until_ns: u64) {
        while let [cut_ns, later_ns @ ..] = self.cuts_ns
            && *cut_ns <= until_ns
        {
            self.cuts_ns = later_ns;
            self.cut(*cut_ns);
        }
    }

    #[cold]
    fn cut(&mut self, cut_ns: u64) {
        for function in &mut self.functions {
            if function.spec.policy != Policy::Floor {
                function.ledger.cut(cut_ns);
            }
        }
    }

    pub(super) fn broken(&self, what: String) -> RunError {
        RunError::Broken { seed: self.seed, at_ns: self.now_ns, what }
    }

    fn pass_to(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.clock.0.set(now_ns / 1_000);
    }

    pub(super) fn now_us(&self) -> u64 {
        self.clock.0.get()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Served(request) => self.served(request),
            Event::Shared { pod, reckoning } => self.shared(pod, reckoning),
            Event::Breaks(fault) => self.breaks(fault as usize),
            Event::Mends(fault) => self.mends(fault as usize),
            Event::Placed(pod) => self.placed(pod),
            Event::Listens(pod) => self.listens(pod),
            Event::Tried { pod, activator } => self.tried(pod, activator.into()),
            Event::Ready(pod) => self.ready(pod),
            Event::SeenReady(pod) => self.seen_ready(pod),
            Event::ToldReady(pod) => self.told_ready(pod),
            Event::Stopped(pod) => self.stopped(pod),
            Event::Killed(pod) => self.killed(pod),
            Event::Report { activator, boot } => self.report_due(activator.into(), boot),
            Event::Look { activator, boot } => self.look_due(activator.into(), boot),
            Event::Heard(message) => self.heard(message),
            Event::Frame(frame) => self.frame_arrives(frame),
            Event::Tick { function, leader } => self.tick(function as usize, leader),
            Event::PreWarm { function, leader } => self.pre_warm(function as usize, leader),
            Event::Scaled(call) => self.scaled(call),
            Event::LinkDue { leader } => self.link_due(leader),
            Event::Expire { activator, boot } => self.expire(activator.into(), boot),
            Event::Deadline(function) => self.deadline(function as usize),
        }
    }

    /// Whether that use of a place among the requests goes on.
    #[inline]
    pub(super) fn is_request(&self, id: Id) -> bool {
        self.requests[id.at as usize].life == id.life
    }

    /// Whether that use of a place among the pods goes on.
    #[inline]
    pub(super) fn is_pod(&self, id: Id) -> bool {
        self.pods[id.at as usize].life == id.life
    }

    /// The activators that are there.
    pub(super) fn there(&self) -> impl Iterator<Item = usize> {
        let there = self.activators.iter().enumerate();
        there.filter(|(_, it)| it.presence == Presence::There).map(|(at, _)| at)
    }

    /// A request ends.
    pub(super) fn conclude(&mut self, id: Id, fate: Fate) {
        let now_us = self.now_us();
        let request = &mut self.requests[id.at as usize];
        let function = &mut self.functions[request.function as usize];
        if let Some(mut count) = request.count.take() {
            match fate {
                Fate::Answered => count.answered(200),
                Fate::Refused => count.refused(Refusal::QueueFull, 503),
                Fate::TimedOut if matches!(request.place, Place::Held(_)) => {
                    count.refused(Refusal::QueueTimeout, 504);
                }
                Fate::TimedOut => count.refused(Refusal::RequestTimeout, 504),
                Fate::Lost => count.refused(Refusal::Ambiguous, 502),
            }
        }
        let activator = &mut self.activators[usize::from(request.activator)];
        activator.note(request.function as usize);
        let view = &mut activator.views[request.function as usize];
        view.listed_us = view.listed_us.wrapping_add(now_us - request.begun_us());
        function.ledger.leave(request.visit, fate, self.now_ns);
        request.place = Place::Free;
        request.life = request.life.wrapping_add(1);
        self.free_requests.push(id.at);
    }

    /// Keeps a decision if it is asked for.
    pub(super) fn keep(&mut self, function: usize, decision: dormouse_policy::decision::Decision) {
        if let Some(series) = &mut self.functions[function].ledger.series {
            series.decide(&decision, self.now_ns);
        }
        let keeps = match self.setup.log {
            Log::None => false,
            Log::Changes => decision.desired != decision.inputs.replicas,
            Log::All => true,
        };
        if keeps {
            self.log.push(Logged { function, decision });
        }
    }
}

impl<'a> State<'a> {
    fn new(spec: &'a Function, setup: &Setup, seed: u64) -> Self {
        let entity = fnv1a(spec.name.as_str());
        let stream = |name: &str| Stream::new(seed, name, entity);
        Self {
            spec,
            arrivals: spec.load.arrivals(seed),
            recorded: spec.load.services(),
            services: stream("service"),
            ways: stream("way"),
            choices: stream("choice"),
            starts: stream("start-up"),
            drawn: 0,
            chosen: 0,
            ledger: Ledger::new(spec, setup.cuts_ns.len(), setup.waited_over_ns),
            replicas: 0,
            pods: Vec::new(),
            pods_made: 0,
            seen_ready: 0,
            deadlines: VecDeque::new(),
            deadline_armed: false,
            ticks: tick::Phase::of(&spec.name),
            histogram: (spec.policy == Policy::HybridHistogram).then(Histogram::new),
        }
    }

    /// How long the request of that number takes in a pod that it has to itself: to be asked once
    /// for each, in the order of arrival.
    #[inline]
    pub(super) fn service_ns(&mut self, index: u64) -> u64 {
        match &mut self.recorded {
            Some(recorded) => recorded.next_ns(),
            None => self.spec.service.at(self.services.unit(index)),
        }
    }

    /// What a request has found that arrives now and cannot be sent on.
    pub(super) fn cause(&self) -> Cause {
        let ready = self.ledger.ready();
        match ready {
            0 => Cause::AtZero,
            ready if (ready as usize) < self.pods.len() || ready < self.replicas => Cause::Scaling,
            _ => Cause::Saturated,
        }
    }
}

pub(super) fn names(setup: &Setup) -> Result<HashMap<FunctionName, usize>, RunError> {
    let names = setup.functions.iter().enumerate();
    let names: HashMap<_, _> = names.map(|(at, function)| (function.name.clone(), at)).collect();
    match names.len() == setup.functions.len() {
        true => Ok(names),
        false => Err(RunError::Names),
    }
}

#[cfg(test)]
mod tests;
