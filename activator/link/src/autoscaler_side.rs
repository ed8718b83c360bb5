//! The autoscaler's side of the link: who is connected, what they were told, what they wait for.
//!
//! One [`AutoscalerSide`] serves every activator. It is told what happened and answers with
//! [`Output`]s, in the order in which they must be carried out; the caller owns sockets and clock.
//! Time is `now_us`, microseconds on the caller's monotonic clock.
//!
//! What must stay true: every PREPARE ends in exactly one COMMIT or ABORT; pods are stopped on the
//! way to zero only when every activator has acknowledged; an activator that may exist but is not
//! connected keeps functions from going to zero, because what it has in flight is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dormouse_policy::function::FunctionName;

use crate::Connection;
use crate::frame::{Down, Entry, Listening, Retiring, Standing, Up, VERSION};

mod output;
mod retirement;
mod table;
#[cfg(test)]
mod tests;

use output::REPORTER_BYTES_MAX;
pub use output::{Fault, Output, Patched, RetireError};
pub use retirement::{Abort, Ending, HOLD_MS};
use retirement::{Phase, RENEW_US, Retirement, Turn};
use table::Table;

/// An activator not connected for this long does not exist any more, in microseconds. Until then it
/// is waited for: it may be serving by its last table.
pub const LOST_AFTER_US: u64 = 60_000_000;

/// The first version that knows of leaders.
const LEADS_VERSION: u32 = 2;

/// Where the term stands in an epoch; below it is the retirement's number.
const TERM_SHIFT: u32 = 32;

/// The state of the link towards all activators.
#[derive(Debug, Default)]
pub struct AutoscalerSide {
    /// The term led in; none if another one leads.
    term: Option<u64>,
    epoch_next: u64,
    table: Table,
    /// Every activator that exists, connected or away for less than [`LOST_AFTER_US`].
    reporters: BTreeMap<String, Reporter>,
    /// Of these, the connected ones.
    connected: BTreeMap<Connection, String>,
    retirements: BTreeMap<FunctionName, Retirement>,
    outputs: Vec<Output>,
}

/// One activator.
#[derive(Debug, Default)]
struct Reporter {
    boot: u64,
    /// The version it speaks.
    version: u32,
    /// When it left; none while connected.
    left_us: Option<u64>,
    wakes: BTreeSet<FunctionName>,
    announced: Announced,
    /// It said so on this connection.
    is_announced: bool,
    /// It was told on this connection that no Service leads to it.
    is_unnamed: bool,
}

/// What an activator says of the ways to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Where endpoints listen there.
    pub listeners: Vec<Listening>,
    /// The addresses at which it is reached; none = no Service is to lead there.
    pub reached_at: Vec<IpAddr>,
    /// Whether Services may go on leading there.
    pub standing: Standing,
}

impl AutoscalerSide {
    /// A link without activators, of an autoscaler that does not lead.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this autoscaler leads, in a term (at most 2³¹) that no other leads in: its
    /// retirements' epochs exceed those of all terms before, up to 2³² of them.
    pub fn lead(&mut self, term: u64) {
        self.epoch_next = self.epoch_next.max(term << TERM_SHIFT);
        self.tell_term(Some(term));
    }

    /// From now on another one leads, or none.
    pub fn follow(&mut self) {
        self.tell_term(None);
    }

    fn tell_term(&mut self, term: Option<u64>) {
        self.term = term;
        let knows = |name: &String| {
            self.reporters.get(name).is_some_and(|reporter| reporter.version >= LEADS_VERSION)
        };
        let all = self.connected.iter().filter(|(_, name)| knows(name));
        let outputs = all.map(|(to, _)| Output::Send(*to, Down::Leads { term }));
        self.outputs.extend(outputs);
    }

    /// What is to be done since the last call, in order; table changes are sent by then.
    pub fn drain(&mut self) -> Vec<Output> {
        self.send_changes();
        std::mem::take(&mut self.outputs)
    }

    /// A frame arrived; the first of a connection must be Hello, from a peer that was found to be
    /// who it says it is.
    pub fn hear(&mut self, connection: Connection, frame: Up, now_us: u64) {
        let Some(reporter) = self.connected.get(&connection).cloned() else {
            return self.greet(connection, frame, now_us);
        };
        match frame {
            Up::Hello { .. } => {
                self.outputs.push(Output::Close(connection, Fault::SecondHello));
                self.disconnected(connection, now_us);
            }
            Up::Report { at_us, readings, learnt } => {
                let boot = self.reporters.get(&reporter).map_or(0, |known| known.boot);
                self.outputs.push(Output::Report { reporter, boot, at_us, readings, learnt });
            }
            Up::Pressure { functions } => {
                let known = functions.into_iter().filter(|it| self.table.contains(it));
                self.outputs.extend(known.map(Output::Pressed));
            }
            Up::Wakes { functions } => {
                let whole: BTreeSet<FunctionName> = functions.into_iter().collect();
                if let Some(known) = self.reporters.get_mut(&reporter) {
                    known.wakes.retain(|function| whole.contains(function));
                }
                self.wake(&reporter, whole);
            }
            Up::WakesChanged { added, removed } => {
                self.wake(&reporter, added);
                if let Some(known) = self.reporters.get_mut(&reporter) {
                    for function in &removed {
                        known.wakes.remove(function);
                    }
                }
            }
            Up::Prepared { function, epoch } => {
                if let Some(open) = self.retirements.get_mut(&function)
                    && open.epoch == epoch
                {
                    let turn = open.acknowledged(&reporter);
                    self.turn(&function, turn);
                }
            }
            Up::Recall { function, epoch } => {
                let open = self.retirements.get(&function);
                if open.is_some_and(|open| open.epoch == epoch) {
                    self.recall(&function);
                }
            }
            Up::Goodbye => self.gone(connection, reporter),
            Up::Unknown => {
                let version = self.reporters.get(&reporter).map_or(0, |known| known.version);
                if version <= VERSION {
                    self.outputs.push(Output::Close(connection, Fault::Unknown));
                    self.disconnected(connection, now_us);
                }
            }
            Up::Listening { listeners, reached_at, standing } => {
                if let Some(known) = self.reporters.get_mut(&reporter) {
                    known.announced = Announced { listeners, reached_at, standing };
                    known.is_announced = true;
                    self.outputs.push(Output::Listening);
                }
            }
        }
    }

    /// The connection ended. What its activator wanted awake is forgotten, what it acknowledged no
    /// longer counts, and it is waited for.
    pub fn disconnected(&mut self, connection: Connection, now_us: u64) {
        let Some(name) = self.connected.remove(&connection) else {
            return;
        };
        if let Some(reporter) = self.reporters.get_mut(&name) {
            reporter.left_us = Some(now_us);
            reporter.wakes.clear();
        }
        for open in self.retirements.values_mut() {
            open.wait_for(&name);
        }
        self.outputs.push(Output::Left { reporter: name });
    }

    /// The activator ends, and has nothing in flight: nobody waits for it.
    fn gone(&mut self, connection: Connection, name: String) {
        let before = self.reporters.len();
        self.connected.remove(&connection);
        self.reporters.remove(&name);
        let open = self.retirements.iter_mut();
        let turns = open.map(|(function, open)| (function.clone(), open.acknowledged(&name)));
        for (function, turn) in turns.collect::<Vec<_>>() {
            self.turn(&function, turn);
        }
        self.share_again(before);
        self.outputs.push(Output::Gone { reporter: name });
    }

    /// Sets the entry of a function; what equals the last is not sent again. `queue_depth` is the
    /// depth over all activators.
    pub fn put(&mut self, entry: Entry) {
        self.table.put(entry);
    }

    /// Takes a function out of the table; its open retirement is aborted.
    pub fn remove(&mut self, function: &FunctionName) {
        self.end(function, Ending::Aborted(Abort::FunctionGone));
        self.table.remove(function);
        for reporter in self.reporters.values_mut() {
            reporter.wakes.remove(function);
        }
    }

    /// Whether some activator holds requests for the function and has no pod for them.
    #[must_use]
    pub fn wants_waking(&self, function: &FunctionName) -> bool {
        self.reporters.values().any(|reporter| reporter.wakes.contains(function))
    }

    /// Whether this activator exists as far as is known here: it is connected, or away for less
    /// than [`LOST_AFTER_US`].
    #[must_use]
    pub fn waits_for(&self, reporter: &str) -> bool {
        self.reporters.contains_key(reporter)
    }

    /// What the activators said of their listeners, reporter by reporter.
    pub fn listening(&self) -> impl Iterator<Item = &Listening> {
        self.reporters.values().flat_map(|reporter| &reporter.announced.listeners)
    }

    /// The connected activators that said on their connection how they are reached, with that.
    pub fn announced(&self) -> impl Iterator<Item = (&str, &Announced)> {
        let connected = self.reporters.iter().filter(|(_, it)| it.left_us.is_none());
        let announced = connected.filter(|(_, it)| it.is_announced);
        announced.map(|(name, reporter)| (name.as_str(), &reporter.announced))
    }

    /// No Service leads to this activator: if it leaves, it is told so once.
    pub fn unnamed(&mut self, name: &str) {
        let connection = self.connected.iter().find(|(_, reporter)| *reporter == name);
        if let Some((connection, _)) = connection
            && let Some(reporter) = self.reporters.get_mut(name)
            && reporter.announced.standing == Standing::Leaves
            && !std::mem::replace(&mut reporter.is_unnamed, true)
        {
            self.outputs.push(Output::Send(*connection, Down::Unnamed));
        }
    }

    /// Starts to retire pods of a function and returns the retirement's epoch.
    ///
    /// # Errors
    /// [`RetireError`]: nothing was sent; a later decision may try again.
    pub fn retire(
        &mut self,
        function: &FunctionName,
        pods: Retiring,
        now_us: u64,
    ) -> Result<u64, RetireError> {
        if self.retirements.contains_key(function) {
            return Err(RetireError::Open);
        }
        if self.connected.is_empty() {
            return Err(RetireError::NoActivator);
        }
        let mut away = self.reporters.iter().filter(|(_, it)| it.left_us.is_some());
        if pods == Retiring::All
            && let Some((name, _)) = away.next()
        {
            return Err(RetireError::Away(name.clone()));
        }
        let epoch = self.epoch_next;
        self.epoch_next += 1;
        let waiting = self.connected.values().cloned().collect();
        let open = Retirement::start(epoch, pods, waiting, now_us);
        let prepare = prepare(function, &open);
        self.retirements.insert(function.clone(), open);
        self.broadcast(&prepare);
        Ok(epoch)
    }

    /// Takes an open retirement back if its pods are not being stopped yet.
    pub fn recall(&mut self, function: &FunctionName) {
        let open = self.retirements.get(function);
        if open.is_some_and(|open| matches!(open.phase, Phase::Preparing { .. })) {
            self.end(function, Ending::Aborted(Abort::Recalled));
        }
    }

    /// The outcome of the order that [`Output::Patch`] asked for. Unknown is not an outcome: until
    /// there is one, the hold is renewed.
    pub fn patched(&mut self, function: &FunctionName, epoch: u64, outcome: Patched) {
        let open = self.retirements.get(function);
        if open.is_some_and(|open| open.epoch == epoch && matches!(open.phase, Phase::Patching)) {
            let ending = match outcome {
                Patched::Placed => Ending::Committed,
                Patched::Failed => Ending::Aborted(Abort::OrderFailed),
            };
            self.end(function, ending);
        }
    }

    /// Does what time alone demands: deadlines, renewals, reporters lost.
    pub fn time_passed(&mut self, now_us: u64) {
        let connected = self.connected.len();
        let mut turns = Vec::new();
        let mut renewals = Vec::new();
        for (function, open) in &mut self.retirements {
            let turn = open.time_passed(connected, now_us);
            if open.renew_at_us <= now_us {
                open.renew_at_us = now_us.saturating_add(RENEW_US);
                renewals.push(prepare(function, open));
            }
            turns.push((function.clone(), turn));
        }
        for renewal in renewals {
            self.broadcast(&renewal);
        }
        for (function, turn) in turns {
            self.turn(&function, turn);
        }
        let before = self.reporters.len();
        let outputs = &mut self.outputs;
        self.reporters.retain(|name, reporter| {
            let lost = (reporter.left_us).is_some_and(|left| now_us >= left + LOST_AFTER_US);
            if lost {
                outputs.push(Output::Lost { reporter: name.clone() });
            }
            !lost
        });
        self.share_again(before);
    }

    /// The next moment at which [`Self::time_passed`] has something to do.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let lost = self.reporters.values().filter_map(|it| it.left_us);
        let lost = lost.map(|left| left + LOST_AFTER_US);
        let open = self.retirements.values().map(Retirement::due_us);
        lost.chain(open).min()
    }

    /// First frame of a connection: admits the peer or refuses it.
    fn greet(&mut self, connection: Connection, frame: Up, now_us: u64) {
        let Up::Hello { version, reporter, boot, .. } = frame else {
            return self.outputs.push(Output::Close(connection, Fault::NoHello));
        };
        if let Err(fault) = check(version, &reporter) {
            let reason = fault.to_string();
            self.outputs.push(Output::Send(connection, Down::Refused { reason }));
            return self.outputs.push(Output::Close(connection, fault));
        }
        let older = self.connected.iter().find(|(_, name)| **name == reporter);
        if let Some(older) = older.map(|(older, _)| *older) {
            self.outputs.push(Output::Close(older, Fault::Replaced));
            self.disconnected(older, now_us);
        }
        let before = self.reporters.len();
        let known = self.reporters.entry(reporter.clone()).or_default();
        known.boot = boot;
        known.version = version;
        known.left_us = None;
        (known.is_announced, known.is_unnamed) = (false, false);
        self.share_again(before);
        self.send_changes();
        self.connected.insert(connection, reporter.clone());
        self.welcome(connection, &reporter);
        self.outputs.push(Output::Joined { reporter });
    }

    /// Open retirements before the table: a new activator must not use, not even for an instant,
    /// pods about to be stopped.
    fn welcome(&mut self, connection: Connection, reporter: &str) {
        let welcome = Down::Welcome { version: VERSION, leads: self.term };
        self.outputs.push(Output::Send(connection, welcome));
        for (function, open) in &mut self.retirements {
            open.wait_for(reporter);
            let prepare = prepare(function, open);
            self.outputs.push(Output::Send(connection, prepare));
        }
        let table = Down::Table {
            whole: true,
            functions: self.table.whole(self.activators()),
            removed: Vec::new(),
        };
        self.outputs.push(Output::Send(connection, table));
    }

    /// Activators that share a queue's depth: all that exist, connected or not, for depth is a hard
    /// bound.
    fn activators(&self) -> usize {
        self.reporters.len().max(1)
    }

    /// Everyone's share of every queue changed if the number of activators did.
    fn share_again(&mut self, reporters_before: usize) {
        if reporters_before.max(1) != self.activators() {
            self.table.touch();
        }
    }

    fn send_changes(&mut self) {
        if let Some((functions, removed)) = self.table.changes(self.activators()) {
            self.send_all(&Down::Table { whole: false, functions, removed });
        }
    }

    /// Sends to all, after the table changes made so far: an activator that hears COMMIT has
    /// already been told that the pods are gone.
    fn broadcast(&mut self, frame: &Down) {
        self.send_changes();
        self.send_all(frame);
    }

    fn send_all(&mut self, frame: &Down) {
        let all = self.connected.keys();
        self.outputs.extend(all.map(|connection| Output::Send(*connection, frame.clone())));
    }

    /// One reporter wants these awake. Functions not in the table are left out: they could not be
    /// woken, and the set stays bounded by the table.
    fn wake(&mut self, name: &str, functions: impl IntoIterator<Item = FunctionName>) {
        for function in functions {
            if !self.table.contains(&function) {
                continue;
            }
            if !self.wants_waking(&function) {
                self.outputs.push(Output::Woken(function.clone()));
            }
            if let Some(reporter) = self.reporters.get_mut(name) {
                reporter.wakes.insert(function);
            }
        }
    }

    fn turn(&mut self, function: &FunctionName, turn: Turn) {
        match turn {
            Turn::Stay => {}
            Turn::Patch => {
                if let Some(open) = self.retirements.get(function) {
                    self.outputs
                        .push(Output::Patch { function: function.clone(), epoch: open.epoch });
                }
            }
            Turn::Abort(abort) => self.end(function, Ending::Aborted(abort)),
        }
    }

    fn end(&mut self, function: &FunctionName, ending: Ending) {
        let Some(Retirement { epoch, .. }) = self.retirements.remove(function) else {
            return;
        };
        let function = function.clone();
        self.broadcast(&match ending {
            Ending::Committed => Down::Commit { function: function.clone(), epoch },
            Ending::Aborted(_) => Down::Abort { function: function.clone(), epoch },
        });
        self.outputs.push(Output::Ended { function, epoch, ending });
    }
}

fn prepare(function: &FunctionName, open: &Retirement) -> Down {
    Down::Prepare {
        function: function.clone(),
        epoch: open.epoch,
        pods: open.pods.clone(),
        hold_ms: HOLD_MS,
    }
}

fn check(version: u32, reporter: &str) -> Result<(), Fault> {
    if version.abs_diff(VERSION) > 1 {
        return Err(Fault::Version(version));
    }
    if reporter.is_empty() || reporter.len() > REPORTER_BYTES_MAX {
        return Err(Fault::Reporter);
    }
    Ok(())
}
