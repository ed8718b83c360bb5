//! What an event does: facts, frames, outcomes and time in, actions out. Synchronous, without I/O
//! and without a clock; `now_us` is microseconds since the process began and never goes back.

mod account;
mod claims;
mod deciding;
mod failing;
mod function;
mod history;
mod leading;
mod load;
mod notes;
mod order;
mod others;
mod recording;
mod reports;
mod tally;
mod ways;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use dormouse_link::Connection;
use dormouse_link::autoscaler_side::{AutoscalerSide, Ending, Fault, Output};
use dormouse_link::frame::{Down, Listen, Listening, Up};
use dormouse_policy::function::{Function, FunctionName};
use dormouse_policy::readings::{Departure, Reporters};
use dormouse_policy::record::{Line, Taken};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::cluster::{Activators, Fact, Leading, Note, Pods, Scale, ScaleError};
use crate::server::{Leadership, Victims};
use crate::status::{Explanation, Statuses};
use claims::Claims;
use function::{FunctionState, Seen, listen_at};
use history::History;
use others::Unnamed;
pub(crate) use recording::Record;
use recording::Recording;
pub(crate) use tally::Tally;
use ways::Ways;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The world changed.
    Fact(Fact),
    /// A frame arrived; the first of a connection opens it.
    Frame(Connection, Up),
    /// A connection ended.
    Disconnected(Connection),
    /// An attempt at an order ended.
    Scaled { function: FunctionName, order: u64, result: Result<(), ScaleError> },
    /// The time of [`Core::due_us`] has come.
    Due,
    /// Somebody asks what was done.
    Count(oneshot::Sender<Tally>),
    /// An activator of which nothing was heard for long is gone with all that it had in flight.
    ActivatorGone(String),
    /// Somebody asks how all functions are.
    List(oneshot::Sender<Statuses>),
    /// Somebody asks about a function.
    Explain(FunctionName, oneshot::Sender<Option<Explanation>>),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send a frame.
    Send(Connection, Down),
    /// Send what is queued, then close.
    Close(Connection, Fault),
    /// Place an order and tell its outcome by [`Event::Scaled`].
    Scale { order: u64, scale: Scale },
    /// Lead traffic through these activators.
    LeadThrough(Arc<Activators>),
    /// Find out when this activator is gone, and tell by [`Event::ActivatorGone`].
    LookFor { activator: String },
    /// Say something of a function, or no longer.
    Note(Note),
    /// Write a line of the record.
    Record(Line),
}

/// What the core has to be told of its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Where endpoints have listeners of their own; none = nowhere.
    pub(crate) endpoint_listen: Option<IpAddr>,
    /// Whether there is nobody else to lead; else the facts say who does.
    pub(crate) leadership: Leadership,
    /// Whether we choose which pods of a Deployment go.
    pub(crate) victims: Victims,
    /// Unix time at `now_us` = 0, in microseconds.
    pub(crate) wall_us: u64,
    /// Drawn at start: processes that failed together do not try again together.
    pub(crate) seed: u64,
    /// Whether decisions are written down.
    pub(crate) record: Record,
}

/// All that the autoscaler knows.
pub(crate) struct Core {
    surroundings: Surroundings,
    link: AutoscalerSide,
    reporters: Reporters,
    /// By reporter: up to when its last report was, on its own clock, and whom it named.
    reported: BTreeMap<String, (u64, BTreeSet<FunctionName>)>,
    functions: BTreeMap<FunctionName, Box<FunctionState>>,
    claims: Claims,
    /// Listeners by endpoint.
    listening: BTreeMap<Arc<str>, Listening>,
    history: History,
    ways: Ways,
    /// None unless decisions are written down.
    recording: Option<Recording>,
    timers: BTreeSet<(u64, FunctionName)>,
    orders: u64,
    actions: Vec<Action>,
    /// Whether statuses may have changed since they were told.
    is_news: bool,
    leading: Leading,
    tally: Tally,
    /// Nothing is scaled down before, in microseconds.
    lowering_from_us: u64,
}

impl Core {
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        let mut link = AutoscalerSide::new();
        let leading = match surroundings.leadership {
            // Of two processes one after the other the later one has the higher term.
            Leadership::Alone => Leading::Yes { term: surroundings.wall_us / 1_000_000 },
            Leadership::Elected => Leading::No,
        };
        if let Leading::Yes { term } = leading {
            link.lead(term);
        }
        Self {
            link,
            leading,
            tally: Tally::default(),
            lowering_from_us: 0,
            recording: Recording::new(surroundings.record, surroundings.wall_us),
            surroundings,
            reporters: Reporters::new(),
            reported: BTreeMap::new(),
            functions: BTreeMap::new(),
            claims: Claims::default(),
            listening: BTreeMap::new(),
            history: History::new(),
            ways: Ways::default(),
            timers: BTreeSet::new(),
            orders: 0,
            actions: Vec::new(),
            is_news: false,
        }
    }

    /// Takes in an event and returns what is to be done, in order.
    pub(crate) fn apply(&mut self, event: Event, now_us: u64) -> Vec<Action> {
        match event {
            Event::Fact(fact) => self.take_fact(fact, now_us),
            Event::Frame(connection, frame) => self.link.hear(connection, frame, now_us),
            Event::Disconnected(connection) => self.link.disconnected(connection, now_us),
            Event::Scaled { function, order, result } => {
                self.scaled(&function, order, result, now_us)
            }
            Event::Due => self.pass_time(now_us),
            Event::ActivatorGone(name) => {
                // One that is back is not gone.
                if !self.link.waits_for(&name) {
                    warn!(reporter = name, "activator gone with what it had in flight");
                    self.forget_reporter(name, Departure::Found, now_us);
                }
            }
            Event::Explain(function, answer) => {
                // One who no longer waits for the answer does not miss it.
                answer.send(self.explain(&function, now_us)).ok();
            }
            Event::List(answer) => {
                // Likewise.
                answer.send(self.statuses(now_us)).ok();
            }
            Event::Count(answer) => {
                // Likewise.
                answer.send(self.tally()).ok();
            }
        }
        self.follow_link(now_us);
        self.show_ways();
        self.follow_link(now_us);
        let lines = self.recording.iter_mut().flat_map(Recording::drain);
        self.actions.extend(lines.map(Action::Record));
        std::mem::take(&mut self.actions)
    }

    /// Lines of the record were lost: each function's next decision begins it anew.
    pub(crate) fn record_lost(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.lines_lost();
        }
    }

    /// What the record still lacks at the end.
    pub(crate) fn end_record(&mut self) -> Vec<Line> {
        self.recording.iter_mut().flat_map(Recording::end).collect()
    }

    /// When [`Event::Due`] has to be applied next, in microseconds.
    pub(crate) fn due_us(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(due_us, _)| *due_us);
        timer.into_iter().chain(self.link.due_us()).min()
    }

    fn take_fact(&mut self, fact: Fact, now_us: u64) {
        match fact {
            Fact::Function(function) => self.describe(function, now_us),
            Fact::Gone(name) => {
                let Some(gone) = self.functions.remove(&name) else {
                    return;
                };
                info!(function = %name, "function gone");
                self.is_news = true;
                if let Some(timer_us) = gone.timer_us {
                    self.timers.remove(&(timer_us, name.clone()));
                }
                self.history.forget(&name);
                self.link.remove(&name);
                for other in self.claims.remove(&gone.description) {
                    self.judge_claims(&other, now_us);
                }
            }
            Fact::Pods(name, pods) => self.see(&name, pods, now_us),
            Fact::Named { number, addresses } => self.ways.named(number, addresses),
            // The loop lets activators in from now on.
            Fact::Complete => {}
            Fact::Leading(leading) => self.heed_lead(leading, now_us),
        }
    }

    fn describe(&mut self, function: Arc<Function>, now_us: u64) {
        let name = function.name.clone();
        let mut concerned = BTreeSet::new();
        match self.functions.get_mut(&name) {
            Some(known) => {
                concerned.extend(self.claims.remove(&known.description));
                known.description = function;
                let settings = &known.description.settings.scaling;
                if let Some(scaling) = &mut known.scaling {
                    scaling.scaler.configure(Arc::clone(settings));
                    if let Some(recording) = &mut self.recording {
                        let reporters = &self.reporters;
                        recording.snapshot(&name, Taken::Settings, reporters, scaling, now_us);
                    }
                }
                if known.is_paused() {
                    self.withdraw(&name);
                }
                self.teach(&name, now_us);
                self.heed_settings(&name, now_us);
            }
            None => {
                info!(function = %name, kind = %function.kind, "function appeared");
                let new = Box::new(FunctionState::new(function));
                self.functions.insert(name.clone(), new);
            }
        }
        if let Some(known) = self.functions.get(&name) {
            concerned.extend(self.claims.add(&known.description));
        }
        self.judge_claims(&name, now_us);
        for other in concerned {
            self.judge_claims(&other, now_us);
        }
    }

    /// Sets a function aside whose claims an older one has, or takes it up again.
    fn judge_claims(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let conflict = self.claims.conflict(&state.description);
        let aside =
            conflict.map(|(claim, holder)| format!("{claim} belongs to {holder}, which is older"));
        if aside != state.set_aside {
            if let Some(reason) = &aside {
                warn!(function = %name, reason, "function set aside");
                if let Some(last) = state.scaling.take().and_then(|scaling| scaling.last) {
                    self.history.push(name, last);
                }
                self.link.remove(name);
            }
            state.set_aside = aside;
        }
        self.is_news = true;
        self.say(name, now_us);
        self.put_entry(name, now_us);
        self.begin(name, now_us);
    }

    fn see(&mut self, name: &FunctionName, pods: Pods, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        if let Some(scaling) = &mut state.scaling
            && (scaling.placed).is_some_and(|placed| placed.replicas == pods.replicas)
        {
            scaling.placed = None;
        }
        self.is_news = true;
        let window_us = u64::from(state.description.settings.scaling.stable_window_s) * 1_000_000;
        let unnamed = match self.leading {
            // The one before has ordered nothing for so long.
            Leading::Yes { .. } if now_us >= self.lowering_from_us => Unnamed::OursIfOrdered,
            _ => Unnamed::Ours,
        };
        state.others.see(pods.replicas, pods.set_by.as_deref(), unnamed, window_us, now_us);
        let before = state.see(pods, now_us);
        self.redeployed(name, before.as_ref(), now_us);
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        state.learn_start_up(now_us);
        state.forget_stopped(before.as_ref(), now_us);
        self.say(name, now_us);
        self.put_entry(name, now_us);
        self.begin(name, now_us);
        self.set_timer(name, now_us);
    }

    /// Pods of another template are to be given the time that new ones get.
    fn redeployed(&mut self, name: &FunctionName, before: Option<&Seen>, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let (ready, pods) = (state.ready(), state.seen.as_ref().map(|seen| &seen.pods));
        let (Some(before), Some(pods)) = (before, pods) else {
            return;
        };
        let (old, new) = (&before.pods.revision, &pods.revision);
        if old == new || old.is_empty() || new.is_empty() {
            return;
        }
        let replicas = pods.replicas;
        if let Some(scaling) = &mut state.scaling {
            scaling.scaler.redeploy(ready, replicas, now_us);
            if let Some(recording) = &mut self.recording {
                let taken = Taken::Redeploy { ready, replicas };
                recording.snapshot(name, taken, &self.reporters, scaling, now_us);
            }
        }
    }

    fn put_entry(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get(name) else {
            return;
        };
        if state.set_aside.is_some() {
            return;
        }
        let function = &state.description;
        let listen = |index: usize| {
            if let Some(port) = function.endpoints[index].own_port {
                let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
                return Some(Listen { address, else_free: false });
            }
            let has_port = self.claims.has_port(function, index);
            let port = has_port.then(|| function.endpoints[index].service_port);
            (self.surroundings.endpoint_listen).map(|ip| listen_at(ip, port))
        };
        self.link.put(state.entry(listen, now_us));
    }

    /// Carries out what the link's state machine asks for, which may make it ask for more.
    fn follow_link(&mut self, now_us: u64) {
        loop {
            let outputs = self.link.drain();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.follow(output, now_us);
            }
        }
    }

    fn follow(&mut self, output: Output, now_us: u64) {
        match output {
            Output::Send(connection, frame) => {
                self.actions.push(Action::Send(connection, frame));
            }
            Output::Close(connection, fault) => {
                self.actions.push(Action::Close(connection, fault));
            }
            Output::Joined { reporter } => {
                self.ways.is_stale = true;
                info!(reporter, "activator connected");
                self.refresh_failures(now_us);
            }
            Output::Left { reporter } => {
                self.ways.is_stale = true;
                info!(reporter, "activator disconnected");
            }
            Output::Gone { reporter } => {
                info!(reporter, "activator ended");
                self.forget_reporter(reporter, Departure::Said, now_us);
            }
            Output::Lost { reporter } => {
                warn!(
                    reporter,
                    "activator given up for lost; what it had in flight keeps its pods"
                );
                self.look_at_listeners(now_us);
                self.actions.push(Action::LookFor { activator: reporter });
            }
            Output::Report { reporter, boot, at_us, readings, learnt } => {
                self.learn(learnt, now_us);
                self.take_report(reporter, boot, at_us, readings, now_us)
            }
            Output::Woken(function) => self.wake(&function, now_us),
            Output::Pressed(function) => self.press(&function, now_us),
            Output::Listening => {
                self.look_at_listeners(now_us);
                self.ways.is_stale = true;
            }
            Output::Patch { function, epoch } => self.patch(&function, epoch),
            Output::Ended { function, epoch, ending } => {
                self.retirement_ended(&function, epoch, ending, now_us)
            }
        }
    }

    /// What is left of a failure's time is told anew to an activator that connects.
    fn refresh_failures(&mut self, now_us: u64) {
        let failing = self.functions.values().filter(|state| state.failing().is_some());
        let failing: Vec<FunctionName> = failing.map(|state| state.name().clone()).collect();
        for name in failing {
            self.put_entry(&name, now_us);
        }
    }

    fn pass_time(&mut self, now_us: u64) {
        self.link.time_passed(now_us);
        let mut due = BTreeSet::new();
        while let Some((due_us, _)) = self.timers.first()
            && *due_us <= now_us
            && let Some((_, name)) = self.timers.pop_first()
        {
            if let Some(state) = self.functions.get_mut(&name) {
                state.timer_us = None;
            }
            due.insert(name);
        }
        for name in due {
            self.timer_rang(&name, now_us);
        }
    }

    fn retirement_ended(&mut self, name: &FunctionName, epoch: u64, ending: Ending, now_us: u64) {
        debug!(function = %name, epoch, ?ending, "retirement over");
        self.is_news = true;
        if let Some(scaling) = self.scaling_of(name)
            && (scaling.retiring.as_ref()).is_some_and(|retiring| retiring.epoch == epoch)
        {
            scaling.retiring = None;
            self.set_timer(name, now_us);
        }
    }
}
