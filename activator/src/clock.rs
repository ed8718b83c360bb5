//! The process' monotonic clock, in microseconds since the activator's start.

use dormouse_metrics::writer;
use tokio::time::{Duration, Instant};

/// Microseconds since the activator's start, the same on every thread. Read through tokio, so that
/// tests can pause it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The instant `us` microseconds after the start, for timers.
    pub(crate) fn instant(self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// Microseconds since the start.
    pub(crate) fn now_us(self) -> u64 {
        // 2^64 µs are half a million years.
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl writer::Clock for Clock {
    fn now_us(&self) -> u64 {
        Clock::now_us(*self)
    }
}
