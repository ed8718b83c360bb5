//! What the core did since it began, for who asks.

use std::collections::BTreeMap;

use dormouse_policy::decision::Why;

use super::Core;
use crate::cluster::ScaleError;

/// Counts since the process began, and how things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Decisions, by what made them due.
    pub(crate) decisions: BTreeMap<&'static str, u64>,
    /// Attempts at orders that ended, by how.
    pub(crate) orders: BTreeMap<&'static str, u64>,
    /// Whether this autoscaler is the one whose decisions are carried out.
    pub(crate) leads: bool,
}

impl Tally {
    pub(crate) fn decided(&mut self, why: Why) {
        let why = match why {
            Why::Start => "start",
            Why::Tick => "tick",
            Why::Wake => "wake",
            Why::Pressure => "pressure",
        };
        *self.decisions.entry(why).or_default() += 1;
    }

    pub(crate) fn ordered(&mut self, result: &Result<(), ScaleError>) {
        let outcome = match result {
            Ok(()) => "placed",
            Err(ScaleError::Gone(_)) => "gone",
            Err(ScaleError::Changed(_)) => "changed",
            Err(ScaleError::NotLeading) => "not-leading",
            Err(ScaleError::Busy(_)) => "busy",
            Err(ScaleError::Unknown(_)) => "unknown",
        };
        *self.orders.entry(outcome).or_default() += 1;
    }
}

impl Core {
    /// All of it.
    pub(super) fn tally(&self) -> Tally {
        Tally { leads: self.leads(), ..self.tally.clone() }
    }
}
