//! A bounded rate: so many at once, then one after another.

use std::time::Duration;

use tokio::time::Instant;

/// Gives out starting times (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    /// When the next one would start if there were no burst.
    next: Instant,
}

impl Pace {
    /// `burst` at once, beyond that one in `interval`.
    pub(super) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, burst, next: now }
    }

    /// When the next one may start, at `now` or later.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        let ahead = self.interval * self.burst.saturating_sub(1);
        let start = now.max(self.next.checked_sub(ahead).unwrap_or(now));
        self.next = self.next.max(now) + self.interval;
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_starts_at_once_and_the_rest_in_turn() {
        let now = Instant::now();
        let interval = Duration::from_millis(20);
        let mut pace = Pace::new(interval, 3, now);
        let starts: Vec<_> = (0..5).map(|_| pace.take(now) - now).collect();
        let zero = Duration::ZERO;
        assert_eq!(starts, [zero, zero, zero, interval, interval * 2]);
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.take(later), later);
    }
}
