//! The last decisions of every function, for `explain`.

use std::collections::{BTreeMap, VecDeque};

use dormouse_policy::function::FunctionName;

/// Decisions kept per function: two minutes of one every two seconds.
const PER_FUNCTION_MAX: usize = 64;

/// Decisions kept in all: 8 MiB at about 1 KiB each.
const DECISIONS_MAX: usize = 8 * 1024;

/// Decisions by function; beyond the bounds the oldest go first. `D` is what is kept of a decision.
#[derive(Debug)]
pub(super) struct History<D> {
    next: u64,
    functions: BTreeMap<FunctionName, VecDeque<(u64, D)>>,
    /// Who has the decision of that number: the order in which they go.
    order: BTreeMap<u64, FunctionName>,
}

impl<D> History<D> {
    pub(super) fn new() -> Self {
        Self { next: 0, functions: BTreeMap::new(), order: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, function: &FunctionName, decision: D) {
        let kept = self.functions.entry(function.clone()).or_default();
        kept.push_back((self.next, decision));
        if kept.len() > PER_FUNCTION_MAX
            && let Some((number, _)) = kept.pop_front()
        {
            self.order.remove(&number);
        }
        self.order.insert(self.next, function.clone());
        self.next += 1;
        if self.order.len() > DECISIONS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
            && let Some(kept) = self.functions.get_mut(&oldest)
        {
            kept.pop_front();
        }
    }

    /// The decisions of a function, oldest first.
    pub(super) fn of(&self, function: &FunctionName) -> impl DoubleEndedIterator<Item = &D> {
        let kept = self.functions.get(function);
        kept.into_iter().flatten().map(|(_, decision)| decision)
    }

    pub(super) fn forget(&mut self, function: &FunctionName) {
        for (number, _) in self.functions.remove(function).into_iter().flatten() {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_a_crowd_is_bounded() {
        let mut history = History::new();
        let name = FunctionName::new("default", "busy");
        for decision in 0..100 {
            history.push(&name, decision);
        }
        assert_eq!(history.of(&name).count(), PER_FUNCTION_MAX);
        assert_eq!(history.of(&name).next_back(), Some(&99));

        for number in 0..DECISIONS_MAX {
            history.push(&FunctionName::new("default", &number.to_string()), 0);
        }
        assert_eq!(history.of(&name).count(), 0);
        assert_eq!(history.order.len(), DECISIONS_MAX);
        history.forget(&FunctionName::new("default", "7"));
        assert_eq!(history.order.len(), DECISIONS_MAX - 1);
    }
}
