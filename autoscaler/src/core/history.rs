//! The decisions of every function before its last one, for `explain`. The last stays with the
//! function: most sleep, were decided on once, and take up nothing here.

use std::collections::{BTreeMap, VecDeque};
use std::mem::size_of;
use std::sync::Arc;

use dormouse_policy::decision::{Decision, Reason};
use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Scaling;

/// Decisions kept per function: with its last, two minutes of one every two seconds.
const PER_FUNCTION_MAX: usize = 63;

/// Memory for the decisions of all functions, in bytes: some ten thousand decisions, the whole
/// history of the 150 functions that were last awake.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that a function takes up besides its decisions: its place in both maps, whose nodes are at
/// least half full. Its name is shared with the core.
const FUNCTION_BYTES: usize = 2 * size_of::<(FunctionName, Kept)>() + 2 * STALE_BYTES;

const STALE_BYTES: usize = size_of::<(u64, FunctionName)>();

/// Decisions by function. Beyond the bound in all, functions that were not decided on for longest
/// give theirs up first, oldest first: the longest asleep, for one that is awake is decided on
/// every two seconds.
#[derive(Debug)]
pub(super) struct History {
    bytes_max: usize,
    bytes: usize,
    next: u64,
    functions: BTreeMap<FunctionName, Kept>,
    /// Functions by the number of their last decision.
    stale: BTreeMap<u64, FunctionName>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    decisions: VecDeque<Arc<Decision>>,
}

impl History {
    pub(super) fn new() -> Self {
        Self::with_bound(BYTES_MAX)
    }

    fn with_bound(bytes_max: usize) -> Self {
        let (functions, stale) = (BTreeMap::new(), BTreeMap::new());
        Self { bytes_max, bytes: 0, next: 0, functions, stale }
    }

    /// Adds what was the function's last decision.
    pub(super) fn push(&mut self, function: &FunctionName, decision: Arc<Decision>) {
        let number = self.next;
        self.next += 1;
        let kept = self.functions.entry(function.clone()).or_default();
        match kept.decisions.is_empty() {
            true => self.bytes += FUNCTION_BYTES,
            false => {
                self.stale.remove(&kept.last);
            }
        }
        kept.last = number;
        self.stale.insert(number, function.clone());
        self.bytes += bytes(&decision);
        kept.decisions.push_back(decision);
        if kept.decisions.len() > PER_FUNCTION_MAX
            && let Some(oldest) = kept.decisions.pop_front()
        {
            self.bytes -= bytes(&oldest);
        }
        while self.bytes > self.bytes_max {
            let Some((_, stalest)) = self.stale.first_key_value() else {
                return;
            };
            self.drop_oldest(&stalest.clone());
        }
    }

    /// The decisions of a function, oldest first.
    pub(super) fn of(
        &self,
        function: &FunctionName,
    ) -> impl DoubleEndedIterator<Item = &Arc<Decision>> {
        self.functions.get(function).into_iter().flat_map(|kept| &kept.decisions)
    }

    pub(super) fn forget(&mut self, function: &FunctionName) {
        while self.functions.contains_key(function) {
            self.drop_oldest(function);
        }
    }

    fn drop_oldest(&mut self, function: &FunctionName) {
        let Some(kept) = self.functions.get_mut(function) else {
            return;
        };
        let oldest = kept.decisions.pop_front();
        self.bytes -= oldest.as_deref().map_or(0, bytes);
        if kept.decisions.is_empty() {
            self.bytes -= FUNCTION_BYTES;
            self.stale.remove(&kept.last);
            self.functions.remove(function);
        }
    }
}

/// Bytes that keeping a decision takes: itself behind an `Arc` with its two counts, its reasons,
/// its place in a queue that may be half empty, and the settings it holds on to, which decisions
/// share until they change.
fn bytes(decision: &Decision) -> usize {
    let counts = 2 * size_of::<usize>();
    let reasons = decision.reasons.capacity() * size_of::<Reason>();
    let place = 2 * size_of::<Arc<Decision>>();
    size_of::<Decision>() + counts + reasons + place + size_of::<Scaling>() + counts
}

#[cfg(test)]
mod tests {
    use dormouse_policy::decision::{Missing, Observation, Scaler, Why};
    use dormouse_policy::readings::Load;
    use dormouse_policy::settings::{Annotations, ClusterDefaults, parse};

    use super::*;

    fn name(name: &str) -> FunctionName {
        FunctionName::new("default", name)
    }

    fn decision(now_us: u64) -> Arc<Decision> {
        let none = Annotations::new();
        let settings = parse(&none, &none, &ClusterDefaults::default()).unwrap().settings;
        let mut scaler = Scaler::new(settings.scaling, Missing::Unknown, 0, 0, 0);
        let load = Load::default();
        Arc::new(scaler.decide(&Observation::new(now_us, Why::Wake, 0, 0, load)))
    }

    fn times(history: &History, function: &str) -> Vec<u64> {
        history.of(&name(function)).map(|decision| decision.inputs.now_us).collect()
    }

    /// The bytes as they are, counted anew.
    fn counted(history: &History) -> usize {
        let of =
            |kept: &Kept| FUNCTION_BYTES + kept.decisions.iter().map(|it| bytes(it)).sum::<usize>();
        assert_eq!(history.stale.len(), history.functions.len());
        history.functions.values().map(of).sum()
    }

    #[test]
    fn the_last_63_of_a_function_are_kept() {
        let mut history = History::new();
        for now_us in 0..100 {
            history.push(&name("busy"), decision(now_us));
        }
        assert_eq!(times(&history, "busy"), (37..100).collect::<Vec<_>>());
        assert_eq!(history.bytes, counted(&history));
    }

    #[test]
    fn eight_mebibytes_are_enough_for_any_number_of_functions() {
        let mut history = History::new();
        let one = decision(0);
        for number in 0..40_000 {
            history.push(&name(&(number % 20_000).to_string()), Arc::clone(&one));
            assert!(history.bytes <= BYTES_MAX);
        }
        assert_eq!(history.bytes, counted(&history));
        assert!(BYTES_MAX - history.bytes < FUNCTION_BYTES + bytes(&one), "and they are used");
        assert!(history.functions.len() > 5_000, "{}", history.functions.len());
    }

    #[test]
    fn whoever_is_asleep_for_longest_is_dropped_first_and_its_oldest_decision_before_the_rest() {
        let one = decision(0);
        let room = 3 * FUNCTION_BYTES + 9 * bytes(&one);
        let mut history = History::with_bound(room);
        for (function, times) in [("first", 0..3), ("second", 3..6), ("awake", 6..9)] {
            for now_us in times {
                history.push(&name(function), decision(now_us));
            }
        }
        assert_eq!(history.bytes, room);
        // "first" was asleep, is up for a moment, and sleeps less long than "second" now.
        history.push(&name("first"), decision(9));
        assert_eq!(times(&history, "second"), [4, 5]);
        history.push(&name("awake"), decision(10));
        history.push(&name("awake"), decision(11));
        assert_eq!(times(&history, "second"), [0; 0]);
        assert_eq!(times(&history, "first"), [0, 1, 2, 9]);
        assert_eq!(times(&history, "awake"), [6, 7, 8, 10, 11]);
        history.push(&name("awake"), decision(12));
        assert_eq!(times(&history, "first"), [1, 2, 9]);
        history.forget(&name("first"));
        assert_eq!(history.bytes, counted(&history));
        assert_eq!((times(&history, "first").len(), times(&history, "awake").len()), (0, 6));
    }
}
