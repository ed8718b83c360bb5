//! Which functions have more open requests than the autoscaler wants to hear of at the next tick.

use std::collections::BTreeMap;

use dormouse_policy::function::FunctionName;

use crate::frame::Entry;

/// Least time between two words on one function, in microseconds: pods take longer to start, and
/// ten early decisions a second are enough to follow any burst.
pub const PRESSURE_US_MIN: u64 = 100_000;

/// The functions with a threshold, and what was said of them on this connection.
#[derive(Debug, Default)]
pub(super) struct Pressures {
    watched: BTreeMap<FunctionName, Watched>,
}

#[derive(Debug)]
struct Watched {
    threshold: u64,
    said: Option<Said>,
}

/// The last word on a function.
#[derive(Debug)]
struct Said {
    at_us: u64,
    /// The threshold that was exceeded; none once it was not any more.
    above: Option<u64>,
}

impl Pressures {
    /// Takes up what an entry says of its function.
    pub(super) fn follow(&mut self, entry: &Entry) {
        match (entry.pressure, self.watched.get_mut(&entry.function)) {
            (None, _) => self.forget(&entry.function),
            (Some(threshold), Some(watched)) => watched.threshold = threshold,
            (Some(threshold), None) => {
                self.watched.insert(entry.function.clone(), Watched { threshold, said: None });
            }
        }
    }

    pub(super) fn forget(&mut self, function: &FunctionName) {
        self.watched.remove(function);
    }

    /// A new connection: nothing was said on it.
    pub(super) fn start_over(&mut self) {
        self.watched.values_mut().for_each(|watched| watched.said = None);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &FunctionName> {
        self.watched.keys()
    }

    /// The functions to speak of now: each once when it exceeds its threshold, and again only when
    /// it exceeds a higher one or fell below in between.
    pub(super) fn crossed(
        &mut self,
        now_us: u64,
        open: &[(FunctionName, u64)],
    ) -> Vec<FunctionName> {
        let mut crossed = Vec::new();
        for (function, open) in open {
            let Some(Watched { threshold, said }) = self.watched.get_mut(function) else {
                continue;
            };
            if *open <= *threshold {
                if let Some(said) = said {
                    said.above = None;
                }
                continue;
            }
            let is_due = said.as_ref().is_none_or(|said| {
                said.above.is_none_or(|above| above < *threshold)
                    && now_us >= said.at_us.saturating_add(PRESSURE_US_MIN)
            });
            if is_due {
                *said = Some(Said { at_us: now_us, above: Some(*threshold) });
                crossed.push(function.clone());
            }
        }
        crossed
    }
}
