//! One autoscaler as an activator knows it, for as long as they are connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_policy::function::FunctionName;

use crate::frame::{Entry, Reading, Up};

/// What all functions are, by name. Entries that several autoscalers tell alike are kept once.
pub type Table = BTreeMap<FunctionName, Arc<Entry>>;

/// What one connection said and was told.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The version it speaks; none until it answered.
    pub(super) version: Option<u32>,
    /// The term it leads in; none if it does not.
    pub(super) term: Option<u64>,
    /// None until it is told whole.
    pub(super) table: Option<Table>,
    /// What each function's last report said, so that quiet ones are left out.
    reported: BTreeMap<FunctionName, Reading>,
    /// Functions of which more was learnt than was told here.
    pub(super) learnt: BTreeSet<FunctionName>,
    /// The set of wakes was not empty when last sent, so its end has to be sent too.
    pub(super) wakes_told: bool,
}

impl Session {
    /// A connection to one who may not know what was learnt of these functions.
    pub(super) fn new(learnt: BTreeSet<FunctionName>) -> Self {
        Self { learnt, ..Self::default() }
    }

    /// The readings that say something new here; from now on they are known here.
    pub(super) fn news(&mut self, readings: &[Reading]) -> Vec<Reading> {
        let is_news = |it: &&Reading| self.is_news(&it.function, it.started, it.in_flight);
        let news: Vec<Reading> = readings.iter().filter(is_news).cloned().collect();
        let known = news.iter().map(|reading| (reading.function.clone(), reading.clone()));
        self.reported.extend(known);
        news
    }

    /// All wakes, if there are any or their end has to be told.
    pub(super) fn whole_wakes(&mut self, wakes: &BTreeSet<FunctionName>) -> Option<Up> {
        let before = std::mem::replace(&mut self.wakes_told, !wakes.is_empty());
        (before || self.wakes_told)
            .then(|| Up::Wakes { functions: wakes.iter().cloned().collect() })
    }

    /// A function that is gone begins anew, should it return.
    pub(super) fn forget(&mut self, function: &FunctionName) {
        self.reported.remove(function);
        self.learnt.remove(function);
    }

    /// Whether a function that has begun so many requests and has so many in flight has to be named
    /// here.
    pub(super) fn is_news(&self, function: &FunctionName, started: u64, in_flight: u64) -> bool {
        match self.reported.get(function) {
            None => started > 0,
            Some(last) => last.in_flight > 0 || in_flight > 0 || last.started != started,
        }
    }
}
