//! The table as all activators should have it, and what of it they have not been told.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_policy::function::FunctionName;

use crate::frame::Entry;

/// The entries, and which of them changed since the last [`Table::changes`].
#[derive(Debug, Default)]
pub(super) struct Table {
    /// `queue_depth` is the whole depth here; shares are made when an entry is sent.
    /// Boxed, because a tree's nodes are half empty.
    entries: BTreeMap<FunctionName, Box<Entry>>,
    changed: BTreeSet<FunctionName>,
    removed: BTreeSet<FunctionName>,
}

impl Table {
    pub(super) fn contains(&self, function: &FunctionName) -> bool {
        self.entries.contains_key(function)
    }

    pub(super) fn put(&mut self, entry: Entry) {
        if self.entries.get(&entry.function).is_none_or(|known| **known != entry) {
            self.removed.remove(&entry.function);
            self.changed.insert(entry.function.clone());
            self.entries.insert(entry.function.clone(), Box::new(entry));
        }
    }

    pub(super) fn remove(&mut self, function: &FunctionName) {
        if self.entries.remove(function).is_some() {
            self.changed.remove(function);
            self.removed.insert(function.clone());
        }
    }

    /// Marks every entry as changed.
    pub(super) fn touch(&mut self) {
        self.changed.extend(self.entries.keys().cloned());
    }

    /// Every entry, with the share of each of so many activators.
    pub(super) fn whole(&self, activators: usize) -> Vec<Entry> {
        let entries = self.entries.values();
        entries.map(|entry| share(entry, activators)).collect()
    }

    /// Entries changed and functions removed since the last call; none if there are neither.
    pub(super) fn changes(&mut self, activators: usize) -> Option<(Vec<Entry>, Vec<FunctionName>)> {
        if self.changed.is_empty() && self.removed.is_empty() {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        let removed = std::mem::take(&mut self.removed);
        let entries = changed.iter().filter_map(|name| self.entries.get(name));
        Some((
            entries.map(|entry| share(entry, activators)).collect(),
            removed.into_iter().collect(),
        ))
    }
}

/// Rounded up, so that the shares of many activators still hold the whole depth. Of the pressure,
/// too: where all have their share, the whole is exceeded when each is.
fn share(entry: &Entry, activators: usize) -> Entry {
    let activators = u32::try_from(activators.max(1)).unwrap_or(u32::MAX);
    Entry {
        queue_depth: entry.queue_depth.div_ceil(activators).max(1),
        pressure: entry.pressure.map(|pressure| pressure.div_ceil(u64::from(activators))),
        ..entry.clone()
    }
}
