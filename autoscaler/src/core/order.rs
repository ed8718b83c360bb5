//! Orders to scale: at most one open per function, repeated with a growing pause while unanswered.

use dormouse_policy::fingerprint::fnv1a;

use crate::cluster::{Scale, ScaleError};

/// Pause before an order is repeated for the first time, in microseconds: longer than an API server
/// that sheds load asks for, short against a cold start.
const PAUSE_US_MIN: u64 = 100_000;

/// The pause doubles up to this, in microseconds. There is no last attempt for an order that is
/// still wanted: held requests depend on it, and one call in five seconds is little.
const PAUSE_US_MAX: u64 = 5_000_000;

/// Attempts at an order that takes pods away and may have been carried out; then it is given up,
/// for requests may be parked meanwhile.
const LOWERING_ATTEMPTS_MAX: u32 = 5;

/// How long the manager's word may be older than an order it has taken, in microseconds: facts on
/// their way when it was placed.
const SETTLES_US: u64 = 1_000_000;

/// An order whose outcome is open.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Which attempt an outcome is of.
    pub(super) id: u64,
    pub(super) scale: Scale,
    /// The retirement it carries out.
    pub(super) epoch: Option<u64>,
    /// Attempts that failed.
    pub(super) failed: u32,
    /// Whether an attempt may have been carried out all the same.
    pub(super) is_unclear: bool,
    /// When it is due again; none while an attempt is under way.
    pub(super) due_us: Option<u64>,
}

/// An order that was placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) replicas: u32,
    /// Until when it outweighs what the manager says.
    pub(super) until_us: u64,
}

impl Placed {
    pub(super) fn new(replicas: u32, now_us: u64) -> Self {
        Self { replicas, until_us: now_us + SETTLES_US }
    }
}

impl Order {
    /// An attempt failed. Returns whether the order is over: what it was decided on may not hold
    /// any more, and the next decision gives another one. `lowers` = it takes pods away. Nobody
    /// waits for that, but requests may be parked for it, and somebody may have raised the figure;
    /// unless it may have been carried out, it is not given blindly again.
    pub(super) fn fail(&mut self, error: &ScaleError, lowers: bool) -> bool {
        self.failed += 1;
        self.is_unclear |= matches!(error, ScaleError::Unknown(_));
        match error {
            ScaleError::Gone(_) | ScaleError::NotLeading => true,
            _ if !lowers => false,
            _ => !self.is_unclear || self.failed >= LOWERING_ATTEMPTS_MAX,
        }
    }

    /// When to try again after the failure of an attempt at `now_us`: the pause, doubled with each
    /// failure, less up to half of it, by a hash that differs from function to function and from
    /// attempt to attempt, so that what failed together is not repeated together. Whoever asked for
    /// a pause is given that, too.
    pub(super) fn again_us(&self, error: &ScaleError, seed: u64, now_us: u64) -> u64 {
        let asked_us = match error {
            ScaleError::Busy(pause) => u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
            _ => 0,
        };
        let doublings = self.failed.saturating_sub(1).min(16);
        let pause_us = (PAUSE_US_MIN << doublings).min(PAUSE_US_MAX);
        let chance = fnv1a(self.scale.function.as_str()) ^ seed.rotate_left(self.failed);
        let chance = chance.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        now_us.saturating_add(asked_us) + pause_us - chance % (pause_us / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_policy::function::FunctionName;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let order = |failed, name| Order {
            id: 1,
            scale: Scale {
                function: FunctionName::new("default", name),
                replicas: 1,
                victims: Vec::new(),
            },
            epoch: None,
            failed,
            is_unclear: false,
            due_us: None,
        };
        let silent = ScaleError::Unknown("nothing".to_owned());
        let again_us = |order: Order, error: &ScaleError| order.again_us(error, 7, 0);
        for (failed, longest_us) in [(1, 100_000), (2, 200_000), (5, 1_600_000), (40, PAUSE_US_MAX)]
        {
            let pause_us = again_us(order(failed, "a"), &silent);
            assert!(pause_us > longest_us / 2 && pause_us <= longest_us, "{pause_us}");
            let busy = ScaleError::Busy(Duration::from_secs(2));
            assert_eq!(again_us(order(failed, "a"), &busy), 2_000_000 + pause_us);
        }
        assert_ne!(again_us(order(3, "a"), &silent), again_us(order(3, "b"), &silent));
    }
}
