//! The activator's side of the link: what it was told (the table, open retirements) and what it
//! has to say (wakes, where it listens, readings), as a state machine without sockets.
//!
//! It outlives connections. While there is none it keeps the last table, and lets retirements run
//! out; on the next one it says everything that is level-triggered anew.

mod pressure;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dormouse_policy::function::FunctionName;

use crate::frame::{Down, Entry, Learnt, Listening, Reading, Retiring, Standing, Up, VERSION};

pub use pressure::PRESSURE_US_MIN;
use pressure::Pressures;

/// Who this activator is, as it says in Hello.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Proof that it belongs here.
    pub token: String,
    /// Its name.
    pub reporter: String,
    /// Drawn at process start.
    pub boot: u64,
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this frame on the connection.
    Send(Up),
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
    /// The peer refused this activator: close, and try again later.
    Close(String),
}

/// A retirement this activator was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// Its epoch.
    pub epoch: u64,
    /// The pods it is about.
    pub pods: Retiring,
    /// When it runs out unless renewed, in microseconds.
    until_us: u64,
    /// Nothing is in flight on its pods.
    emptied: bool,
    /// A recall was sent on this connection.
    recalled: bool,
}

/// The activator's side of the link.
#[derive(Debug)]
pub struct ActivatorSide {
    identity: Identity,
    connected: bool,
    table: BTreeMap<FunctionName, Entry>,
    retirements: BTreeMap<FunctionName, Retirement>,
    /// Functions with held requests and no usable pod.
    wakes: BTreeSet<FunctionName>,
    /// The set was not empty when last sent, so its end has to be sent too.
    wakes_told: bool,
    listening: Vec<Listening>,
    /// Where Services can lead to.
    reached_at: Vec<IpAddr>,
    standing: Standing,
    pressures: Pressures,
    /// What each function's last report on this connection said, so that quiet ones are left out.
    reported: BTreeMap<FunctionName, Reading>,
    /// Functions of which more was learnt than this connection was told.
    learnt: BTreeSet<FunctionName>,
}

impl ActivatorSide {
    /// A side without a connection, a table or anything to say; of an activator that Services can
    /// lead to at those addresses.
    #[must_use]
    pub fn new(identity: Identity, reached_at: Vec<IpAddr>) -> Self {
        Self {
            identity,
            connected: false,
            table: BTreeMap::new(),
            retirements: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wakes_told: false,
            listening: Vec::new(),
            reached_at,
            standing: Standing::Stays,
            pressures: Pressures::default(),
            reported: BTreeMap::new(),
            learnt: BTreeSet::new(),
        }
    }

    /// The table as last told.
    #[must_use]
    pub fn table(&self) -> &BTreeMap<FunctionName, Entry> {
        &self.table
    }

    /// The open retirement of `function`, if any.
    #[must_use]
    pub fn retirement(&self, function: &FunctionName) -> Option<&Retirement> {
        self.retirements.get(function)
    }

    /// A connection stands: say who we are and everything that is level-triggered.
    #[must_use]
    pub fn connect(&mut self) -> Vec<Action> {
        self.connected = true;
        self.reported.clear();
        self.pressures.start_over();
        let learnt = self.table.iter().filter(|(_, entry)| !entry.start_ups.is_empty());
        self.learnt = learnt.map(|(name, _)| name.clone()).collect();
        for retirement in self.retirements.values_mut() {
            retirement.recalled = false;
        }
        let mut actions = vec![Action::Send(Up::Hello {
            version: VERSION,
            token: self.identity.token.clone(),
            reporter: self.identity.reporter.clone(),
            boot: self.identity.boot,
        })];
        if !self.listening.is_empty() {
            actions.push(Action::Send(self.announcement()));
        }
        self.wakes_told = false;
        actions.extend(self.whole_wakes());
        actions
    }

    /// The connection ended. The table stays; retirements run out by themselves.
    pub fn disconnect(&mut self) {
        self.connected = false;
    }

    /// A frame arrived.
    #[must_use]
    pub fn receive(&mut self, frame: Down, now_us: u64) -> Vec<Action> {
        match frame {
            Down::Welcome { .. } => Vec::new(),
            Down::Refused { reason } => vec![Action::Close(reason)],
            Down::Table { whole, functions, removed } => self.take_table(whole, functions, removed),
            Down::Prepare { function, epoch, pods, hold_ms } => self.prepare(
                function,
                epoch,
                pods,
                now_us.saturating_add(hold_ms.saturating_mul(1_000)),
            ),
            Down::Commit { function, epoch } => self.end(function, epoch, Action::Retired),
            Down::Abort { function, epoch } => self.end(function, epoch, Action::Resume),
            Down::Unnamed => vec![Action::Unnamed],
        }
    }

    /// Nothing is in flight on the retiring pods of `function` and nothing will be sent to them.
    #[must_use]
    pub fn emptied(&mut self, function: &FunctionName) -> Vec<Action> {
        let Some(retirement) = self.retirements.get_mut(function) else {
            return Vec::new();
        };
        retirement.emptied = true;
        let epoch = retirement.epoch;
        self.send(Up::Prepared { function: function.clone(), epoch })
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
        let mut actions = Vec::new();
        let one = vec![function.clone()];
        match wanted {
            Wanted::Yes => {
                if let Some(retirement) = self.retirements.get_mut(function)
                    && self.connected
                    && !retirement.recalled
                {
                    retirement.recalled = true;
                    let recall = Up::Recall { function: function.clone(), epoch: retirement.epoch };
                    actions.push(Action::Send(recall));
                }
                self.wakes_told |= self.connected;
                actions.extend(self.send(Up::WakesChanged { added: one, removed: Vec::new() }));
            }
            Wanted::No => {
                actions.extend(self.send(Up::WakesChanged { added: Vec::new(), removed: one }));
            }
        }
        actions
    }

    /// Where the endpoints listen changed; `listeners` is all of it.
    #[must_use]
    pub fn listening(&mut self, listeners: Vec<Listening>) -> Vec<Action> {
        if self.listening == listeners {
            return Vec::new();
        }
        self.listening = listeners;
        self.send(self.announcement())
    }

    /// The activator is about to go: from now on Services are to lead elsewhere.
    #[must_use]
    pub fn leave(&mut self) -> Vec<Action> {
        self.standing = Standing::Leaves;
        if self.is_named() { self.send(self.announcement()) } else { Vec::new() }
    }

    /// Whether Services may lead here, so that [`Action::Unnamed`] is worth waiting for.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let mut listening = self.listening.iter();
        !self.reached_at.is_empty() && listening.any(|listening| listening.address.is_some())
    }

    /// Once a second: report the readings that say something new, say the wake set again while it
    /// is not empty, and let retirements run out that nobody renewed.
    #[must_use]
    pub fn tick(&mut self, now_us: u64, readings: Vec<Reading>) -> Vec<Action> {
        let mut actions = self.expire(now_us);
        if self.connected {
            let readings: Vec<Reading> = readings
                .into_iter()
                .filter(|it| self.is_news(&it.function, it.started, it.in_flight))
                .collect();
            for reading in &readings {
                self.reported.insert(reading.function.clone(), reading.clone());
            }
            let learnt = self.take_learnt();
            actions.push(Action::Send(Up::Report { at_us: now_us, readings, learnt }));
            actions.extend(self.whole_wakes());
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
        if self.connected { self.pressures.crossed(now_us, open) } else { Vec::new() }
    }

    /// Says that these functions crossed their thresholds.
    #[must_use]
    pub fn press(&self, functions: Vec<FunctionName>) -> Vec<Action> {
        self.send(Up::Pressure { functions })
    }

    /// Whether the next report has to name a function that has begun so many requests and has so
    /// many in flight.
    #[must_use]
    pub fn is_news(&self, function: &FunctionName, started: u64, in_flight: u64) -> bool {
        match self.reported.get(function) {
            None => started > 0,
            Some(last) => last.in_flight > 0 || in_flight > 0 || last.started != started,
        }
    }

    fn take_learnt(&mut self) -> Vec<Learnt> {
        let names = std::mem::take(&mut self.learnt);
        let learnt = names.into_iter().filter_map(|function| {
            let start_ups = self.table.get(&function)?.start_ups.clone();
            Some(Learnt { function, start_ups })
        });
        learnt.collect()
    }

    fn whole_wakes(&mut self) -> Vec<Action> {
        if self.wakes.is_empty() && !self.wakes_told {
            return Vec::new();
        }
        self.wakes_told = !self.wakes.is_empty();
        self.send(Up::Wakes { functions: self.wakes.iter().cloned().collect() })
    }

    fn take_table(
        &mut self,
        whole: bool,
        functions: Vec<Entry>,
        removed: Vec<FunctionName>,
    ) -> Vec<Action> {
        let mut gone: BTreeSet<FunctionName> = removed.into_iter().collect();
        if whole {
            gone.extend(self.table.keys().cloned());
        }
        let mut actions = Vec::new();
        for mut entry in functions {
            let name = entry.function.clone();
            gone.remove(&name);
            let known = self.table.get(&name);
            if let Some(known) = known {
                entry.start_ups.merge(&known.start_ups);
            }
            if known != Some(&entry) {
                let is_known = known.is_some_and(|known| known.start_ups == entry.start_ups);
                if !is_known && !entry.start_ups.is_empty() {
                    self.learnt.insert(name.clone());
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
                self.reported.remove(&name);
                self.learnt.remove(&name);
                actions.push(Action::Remove(name));
            }
        }
        actions
    }

    fn prepare(
        &mut self,
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
                let emptied = open.emptied;
                // Said again on every renewal: the first time may have been lost with its link.
                return if emptied {
                    self.send(Up::Prepared { function, epoch })
                } else {
                    Vec::new()
                };
            }
        }
        let recalled = self.wakes.contains(&function);
        let retirement = Retirement { epoch, pods, until_us, emptied: false, recalled };
        let superseded = self.retirements.insert(function.clone(), retirement);
        let mut actions = Vec::new();
        if superseded.is_some() {
            actions.push(Action::Doubt(function.clone()));
        }
        actions.push(Action::Retire(function.clone()));
        if recalled {
            actions.extend(self.send(Up::Recall { function, epoch }));
        }
        actions
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

    fn announcement(&self) -> Up {
        Up::Listening {
            listeners: self.listening.clone(),
            reached_at: self.reached_at.clone(),
            standing: self.standing,
        }
    }

    fn send(&self, frame: Up) -> Vec<Action> {
        if self.connected { vec![Action::Send(frame)] } else { Vec::new() }
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
