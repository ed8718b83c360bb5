//! When functions are decided on if nothing else makes a decision due.

use crate::fingerprint::fnv1a;
use crate::function::FunctionName;

/// Pause between two ticks of a function, in microseconds: Knative's.
pub const TICK_US: u64 = 2_000_000;

/// Where in the pause a function's ticks are, in microseconds: functions are spread over it by a
/// stable hash of their names, so that ten thousand are not decided on in one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u64);

impl Phase {
    /// The phase of a function.
    #[must_use]
    pub fn of(function: &FunctionName) -> Self {
        Self(fnv1a(function.as_str()) % TICK_US)
    }

    /// Its next tick after `now_us`, in microseconds.
    #[must_use]
    pub fn next_us(self, now_us: u64) -> u64 {
        let into_us = (now_us % TICK_US + TICK_US - self.0) % TICK_US;
        now_us + (TICK_US - into_us)
    }
}

/// The next tick of `function` after `now_us`, in microseconds.
#[must_use]
pub fn next_tick_us(function: &FunctionName, now_us: u64) -> u64 {
    Phase::of(function).next_us(now_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_two_seconds_apart_and_functions_have_phases_of_their_own() {
        let [a, b] = ["a", "b"].map(|name| FunctionName::new("default", name));
        let first_us = next_tick_us(&a, 0);
        assert!((1..=TICK_US).contains(&first_us));
        assert_eq!(next_tick_us(&a, first_us - 1), first_us);
        assert_eq!(next_tick_us(&a, first_us), first_us + TICK_US);
        assert_ne!(next_tick_us(&b, 0), first_us);
    }
}
