//! How often the cluster's API was called, and what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Calls by verb and status. Clones count together. Verbs are a handful and a status is a number of
/// three digits, so that there is a bound on what is kept.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Counts>>);

type Counts = BTreeMap<(&'static str, Option<u16>), u64>;

/// A call under way, counted at its end.
#[derive(Debug)]
pub struct Call {
    calls: Calls,
    verb: &'static str,
    /// None until it is answered: one that is given up counts, too.
    status: Option<u16>,
}

impl Calls {
    /// A call of that verb begins.
    #[must_use]
    pub fn begin(&self, verb: &'static str) -> Call {
        Call { calls: self.clone(), verb, status: None }
    }

    /// Verb, status and number of all that ended; no status = no answer.
    #[must_use]
    pub fn each(&self) -> Vec<(&'static str, Option<u16>, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((verb, status), count)| (*verb, *status, *count)).collect()
    }
}

impl Call {
    /// It was answered with that status.
    pub fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut counts = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((self.verb, self.status)).or_default() += 1;
    }
}
