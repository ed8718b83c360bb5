//! The activator's side of the link: what it was told (the table, open retirements) and what it
//! has to say (wakes, where it listens, readings), as a state machine without sockets.
//!
//! It is connected to every autoscaler there is, says everything to each, and goes by the table of
//! the one that leads, else by any. It outlives connections: while there is none it keeps the last
//! table, and lets retirements run out; on the next one it says everything that is level-triggered
//! anew.

mod announcing;
mod pressure;
mod session;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;

use crate::Connection;
use crate::frame::{Down, Entry, Listening, Reading, Retiring, Standing, Up, VERSION};

pub use pressure::PRESSURE_US_MIN;
use pressure::Pressures;
use session::Session;
pub use session::Table;

/// Who this activator is, as it says in Hello.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub reporter: String,
    /// Drawn at process start.
    pub boot: u64,
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this frame on the connection.
    Send(Connection, Up),
    /// The function appeared or its entry changed: take the entry up.
    Update(FunctionName),
    /// The function is gone from the table.
    Remove(FunctionName),
    /// Stop using the retiring pods; say [`ActivatorSide::emptied`] once nothing is in flight
    /// there.
    Retire(FunctionName),
    /// The retirement was taken back: the pods may be used again at once.
    Resume(FunctionName),
    /// The retirement ran out unanswered: a pod may be used again only if the table lists it and
    /// its own probe succeeds.
    Doubt(FunctionName),
    /// The retirement is done: its pods are gone and must not be used again.
    Retired(FunctionName),
    /// No Service leads to this activator any more: it may cease to listen.
    Unnamed,
    /// This peer refused this activator or cannot be understood: close, and try again later.
    Close(Connection, String),
}

/// A retirement this activator was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// Its epoch.
    pub epoch: u64,
    /// The pods it is about.
    pub pods: Retiring,
    /// Who said so last.
    by: Connection,
    /// When it runs out unless renewed, in microseconds.
    until_us: u64,
    /// Nothing is in flight on its pods.
    emptied: bool,
    /// Where a recall was sent.
    recalled: Option<Connection>,
}

/// The activator's side of the link.
#[derive(Debug)]
pub struct ActivatorSide {
    identity: Identity,
    sessions: BTreeMap<Connection, Session>,
    /// Whose table is followed; none while nobody has told one.
    following: Option<Connection>,
    table: Table,
    retirements: BTreeMap<FunctionName, Retirement>,
    /// Functions with held requests and no usable pod.
    wakes: BTreeSet<FunctionName>,
    listening: Vec<Listening>,
    /// Where Services can lead to.
    reached_at: Vec<IpAddr>,
    standing: Standing,
    pressures: Pressures,
}

impl ActivatorSide {
    /// A side without a connection, a table or anything to say; of an activator that Services can
    /// lead to at those addresses.
    #[must_use]
    pub fn new(identity: Identity, reached_at: Vec<IpAddr>) -> Self {
        Self {
            identity,
            sessions: BTreeMap::new(),
            following: None,
            table: Table::new(),
            retirements: BTreeMap::new(),
            wakes: BTreeSet::new(),
            listening: Vec::new(),
            reached_at,
            standing: Standing::Stays,
            pressures: Pressures::default(),
        }
    }

    /// The table as last told by whom we follow.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether an autoscaler tells the table; else it is the last that one has told, and functions
    /// may have come since.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.following.is_some()
    }

    /// The open retirement of `function`, if any.
    #[must_use]
    pub fn retirement(&self, function: &FunctionName) -> Option<&Retirement> {
        self.retirements.get(function)
    }

    /// A connection stands: show `token`, say who we are and everything that is level-triggered.
    #[must_use]
    pub fn connect(&mut self, connection: Connection, token: String) -> Vec<Action> {
        let learnt = self.table.iter().filter(|(_, entry)| entry.has_learnt());
        let learnt = learnt.map(|(name, _)| name.clone()).collect();
        let mut session = Session::new(learnt);
        let wakes = session.whole_wakes(&self.wakes);
        self.sessions.insert(connection, session);
        self.pressures.start_over();
        let mut frames = vec![Up::Hello {
            version: VERSION,
            token,
            reporter: self.identity.reporter.clone(),
            boot: self.identity.boot,
        }];
        if !self.listening.is_empty() {
            frames.push(self.announcement());
        }
        frames.extend(wakes);
        frames.into_iter().map(|frame| Action::Send(connection, frame)).collect()
    }

    /// A connection ended. Another autoscaler's table is followed; without one the last stays.
    /// Retirements run out by themselves.
    #[must_use]
    pub fn disconnect(&mut self, connection: Connection) -> Vec<Action> {
        self.sessions.remove(&connection);
        self.follow()
    }

    /// A frame arrived.
    #[must_use]
    pub fn receive(&mut self, connection: Connection, frame: Down, now_us: u64) -> Vec<Action> {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return Vec::new();
        };
        match frame {
            Down::Welcome { version, leads } => {
                session.version = Some(version);
                session.term = leads;
                self.follow()
            }
            Down::Leads { term } => {
                session.term = term;
                self.follow()
            }
            Down::Refused { reason } => vec![Action::Close(connection, reason)],
            Down::Table { whole, functions, removed } => {
                self.take_table(connection, whole, functions, removed)
            }
            Down::Prepare { function, epoch, pods, hold_ms } => {
                let until_us = now_us.saturating_add(hold_ms.saturating_mul(1_000));
                self.prepare(connection, function, epoch, pods, until_us)
            }
            Down::Commit { function, epoch } => self.end(function, epoch, Action::Retired),
            Down::Abort { function, epoch } => self.end(function, epoch, Action::Resume),
            // Who leads writes what names activators; another one may not have seen it yet.
            Down::Unnamed if self.following == Some(connection) => vec![Action::Unnamed],
            Down::Unnamed => Vec::new(),
            Down::Unknown if session.version.is_some_and(|version| version > VERSION) => Vec::new(),
            Down::Unknown => {
                vec![Action::Close(connection, "a frame of a kind that is none".to_owned())]
            }
        }
    }

    /// Nothing is in flight on the retiring pods of `function` and nothing will be sent to them.
    #[must_use]
    pub fn emptied(&mut self, function: &FunctionName) -> Vec<Action> {
        let Some(retirement) = self.retirements.get_mut(function) else {
            return Vec::new();
        };
        retirement.emptied = true;
        let (by, epoch) = (retirement.by, retirement.epoch);
        self.send(by, Up::Prepared { function: function.clone(), epoch })
    }

    /// `function` now holds requests that no usable pod can take, or no longer does.
    #[must_use]
    pub fn wake(&mut self, function: &FunctionName, wanted: Wanted) -> Vec<Action> {
        let changed = match wanted {
            Wanted::Yes => self.wakes.insert(function.clone()),
            Wanted::No => self.wakes.remove(function),
        };
        if !changed {
            return Vec::new();
        }
        let one = vec![function.clone()];
        match wanted {
            Wanted::Yes => {
                let mut actions = self.recall(function);
                for session in self.sessions.values_mut() {
                    session.wakes_told = true;
                }
                actions.extend(self.send_all(&Up::WakesChanged { added: one, removed: vec![] }));
                actions
            }
            Wanted::No => self.send_all(&Up::WakesChanged { added: vec![], removed: one }),
        }
    }

    /// Where the endpoints listen changed; `listeners` is all of it.
    #[must_use]
    pub fn listening(&mut self, listeners: Vec<Listening>) -> Vec<Action> {
        if self.listening == listeners {
            return Vec::new();
        }
        self.listening = listeners;
        self.send_all(&self.announcement())
    }

    /// Once a second: report the readings that say something new, say the wake set again while it
    /// is not empty, and let retirements run out that nobody renewed.
    #[must_use]
    pub fn tick(&mut self, now_us: u64, readings: &[Reading]) -> Vec<Action> {
        let mut actions = self.expire(now_us);
        for (connection, session) in &mut self.sessions {
            let readings = session.news(readings);
            let learnt = std::mem::take(&mut session.learnt).into_iter();
            let learnt = learnt.filter_map(|function| Some(self.table.get(&function)?.learnt()));
            let report = Up::Report { at_us: now_us, readings, learnt: learnt.collect() };
            let wakes = session.whole_wakes(&self.wakes);
            let frames = std::iter::once(report).chain(wakes);
            actions.extend(frames.map(|frame| Action::Send(*connection, frame)));
        }
        actions
    }

    /// The functions whose open requests are to be looked at every [`PRESSURE_US_MIN`].
    pub fn watched(&self) -> impl Iterator<Item = &FunctionName> {
        self.pressures.names()
    }

    /// Of functions with so many open requests, those that crossed their threshold: report at once,
    /// then say so with [`Self::press`].
    #[must_use]
    pub fn crossed(&mut self, now_us: u64, open: &[(FunctionName, u64)]) -> Vec<FunctionName> {
        match self.sessions.is_empty() {
            true => Vec::new(),
            false => self.pressures.crossed(now_us, open),
        }
    }

    /// Says that these functions crossed their thresholds.
    #[must_use]
    pub fn press(&self, functions: Vec<FunctionName>) -> Vec<Action> {
        self.send_all(&Up::Pressure { functions })
    }

    /// After the last report: this process ends.
    #[must_use]
    pub fn goodbye(&self) -> Vec<Action> {
        self.send_all(&Up::Goodbye)
    }

    /// Whether the next report to some autoscaler has to name a function that has begun so many
    /// requests and has so many in flight.
    #[must_use]
    pub fn is_news(&self, function: &FunctionName, started: u64, in_flight: u64) -> bool {
        self.sessions.values().any(|session| session.is_news(function, started, in_flight))
    }

    fn take_table(
        &mut self,
        connection: Connection,
        whole: bool,
        functions: Vec<Entry>,
        removed: Vec<FunctionName>,
    ) -> Vec<Action> {
        let entries: Vec<Arc<Entry>> = functions
            .into_iter()
            .map(|mut entry| {
                let known = self.table.get(&entry.function);
                if let Some(known) = known {
                    entry.keep_learnt(known);
                }
                known.filter(|known| ***known == entry).cloned().unwrap_or_else(|| Arc::new(entry))
            })
            .collect();
        let Some(session) = self.sessions.get_mut(&connection) else {
            return Vec::new();
        };
        if whole {
            session.table = Some(Table::new());
        }
        // Changes of what was never told say nothing.
        let Some(table) = &mut session.table else {
            return Vec::new();
        };
        for name in &removed {
            table.remove(name);
        }
        table.extend(entries.iter().map(|entry| (entry.function.clone(), Arc::clone(entry))));
        if self.following == Some(connection) {
            self.apply(whole, entries, removed)
        } else {
            self.follow()
        }
    }

    /// Goes by the table of who leads in the highest term, else by the one followed so far, else by
    /// that of the oldest connection; says what that changes.
    fn follow(&mut self) -> Vec<Action> {
        let candidates = self.sessions.iter().filter(|(_, session)| session.table.is_some());
        let best = candidates.max_by_key(|(connection, session)| {
            let is_followed = self.following == Some(**connection);
            (session.term, is_followed, Reverse(**connection))
        });
        let Some((connection, session)) = best else {
            self.following = None;
            return Vec::new();
        };
        if self.following == Some(*connection) {
            return Vec::new();
        }
        self.following = Some(*connection);
        let entries = session.table.iter().flat_map(Table::values).cloned().collect();
        self.apply(true, entries, Vec::new())
    }

    /// Changes the table that is gone by.
    fn apply(
        &mut self,
        whole: bool,
        entries: Vec<Arc<Entry>>,
        removed: Vec<FunctionName>,
    ) -> Vec<Action> {
        let mut gone: BTreeSet<FunctionName> = removed.into_iter().collect();
        if whole {
            gone.extend(self.table.keys().cloned());
        }
        let mut actions = Vec::new();
        for entry in entries {
            let name = entry.function.clone();
            gone.remove(&name);
            let known = self.table.get(&name);
            if known != Some(&entry) {
                let is_known = known.is_some_and(|known| known.learnt() == entry.learnt());
                if !is_known && entry.has_learnt() {
                    for session in self.sessions.values_mut() {
                        session.learnt.insert(name.clone());
                    }
                }
                self.pressures.follow(&entry);
                self.table.insert(name.clone(), entry);
                actions.push(Action::Update(name));
            }
        }
        for name in gone {
            if self.table.remove(&name).is_some() {
                self.retirements.remove(&name);
                self.wakes.remove(&name);
                self.pressures.forget(&name);
                for session in self.sessions.values_mut() {
                    session.forget(&name);
                }
                actions.push(Action::Remove(name));
            }
        }
        actions
    }

    fn prepare(
        &mut self,
        by: Connection,
        function: FunctionName,
        epoch: u64,
        pods: Retiring,
        until_us: u64,
    ) -> Vec<Action> {
        if let Some(open) = self.retirements.get_mut(&function) {
            if epoch < open.epoch {
                return Vec::new();
            }
            if epoch == open.epoch {
                open.until_us = until_us;
                open.by = by;
                let emptied = open.emptied;
                let mut actions = self.recall(&function);
                // Said again on every renewal: the first time may have been lost with its link.
                if emptied {
                    actions.extend(self.send(by, Up::Prepared { function, epoch }));
                }
                return actions;
            }
        }
        let retirement = Retirement { epoch, pods, by, until_us, emptied: false, recalled: None };
        let superseded = self.retirements.insert(function.clone(), retirement);
        let mut actions = Vec::new();
        if superseded.is_some() {
            actions.push(Action::Doubt(function.clone()));
        }
        actions.push(Action::Retire(function.clone()));
        actions.extend(self.recall(&function));
        actions
    }

    /// Asks for a retirement to be taken back, once on each connection that speaks of it, if
    /// somebody waits for its pods.
    fn recall(&mut self, function: &FunctionName) -> Vec<Action> {
        let is_wanted = self.wakes.contains(function);
        let Some(open) = self.retirements.get_mut(function) else {
            return Vec::new();
        };
        let (by, epoch) = (open.by, open.epoch);
        if !is_wanted || open.recalled == Some(by) || !self.sessions.contains_key(&by) {
            return Vec::new();
        }
        open.recalled = Some(by);
        self.send(by, Up::Recall { function: function.clone(), epoch })
    }

    fn end(
        &mut self,
        function: FunctionName,
        epoch: u64,
        outcome: fn(FunctionName) -> Action,
    ) -> Vec<Action> {
        if self.retirements.get(&function).is_none_or(|open| open.epoch != epoch) {
            return Vec::new();
        }
        self.retirements.remove(&function);
        vec![outcome(function)]
    }

    fn expire(&mut self, now_us: u64) -> Vec<Action> {
        self.retirements
            .extract_if(.., |_, retirement| retirement.until_us <= now_us)
            .map(|(function, _)| Action::Doubt(function))
            .collect()
    }

    fn send(&self, to: Connection, frame: Up) -> Vec<Action> {
        match self.sessions.contains_key(&to) {
            true => vec![Action::Send(to, frame)],
            false => Vec::new(),
        }
    }

    fn send_all(&self, frame: &Up) -> Vec<Action> {
        let all = self.sessions.keys();
        all.map(|connection| Action::Send(*connection, frame.clone())).collect()
    }
}

/// Whether a function has held requests that no usable pod can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It has.
    Yes,
    /// It has not.
    No,
}

#[cfg(test)]
mod tests;
