//! How long a function whose replicas end by themselves waits before the next start.

use std::time::Duration;

use tokio::time::Instant;

/// Kubernetes' CrashLoopBackOff: the second restart waits this long, each further one twice as long
/// as the one before.
const DELAY_MIN: Duration = Duration::from_secs(10);

/// And none longer than this.
const DELAY_MAX: Duration = Duration::from_secs(300);

/// After this long without another end, counting begins anew.
const RESET_AFTER: Duration = Duration::from_secs(600);

/// The back-off of one function. It knows nothing of replicas wanted: a function that goes to zero
/// and is woken waits out what is left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BackOff {
    round: u32,
    until: Option<Instant>,
}

impl BackOff {
    /// Grows with each counted end; a replica remembers the round it was started in.
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// Notes that a replica started in `round` ended unasked. Of replicas started in one round only
    /// the first counts: five that fall over the same fault are one failure, not five.
    pub(super) fn note_end(&mut self, round: u32, now: Instant) {
        if self.until.is_some_and(|until| now >= until + RESET_AFTER) {
            self.round = 0;
        } else if round < self.round {
            return;
        }
        self.round += 1;
        self.until = Some(now + delay(self.round));
    }

    /// When the next start is due, if that is still to come.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| until > now)
    }
}

/// The first restart is at once.
fn delay(round: u32) -> Duration {
    match round.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => (DELAY_MIN * 2_u32.saturating_pow(doublings.min(16))).min(DELAY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_those_of_kubernetes() {
        let seconds: Vec<_> = (1..=9).map(|round| delay(round).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
    }

    #[test]
    fn replicas_of_one_round_count_once() {
        let now = Instant::now();
        let mut back_off = BackOff::default();
        for _ in 0..5 {
            back_off.note_end(0, now);
        }
        assert_eq!(back_off.round(), 1);
        assert_eq!(back_off.waits_until(now), None);
        back_off.note_end(1, now);
        assert_eq!(back_off.waits_until(now), Some(now + DELAY_MIN));
    }

    #[test]
    fn ten_quiet_minutes_after_the_wait_begin_the_count_anew() {
        let now = Instant::now();
        let mut back_off = BackOff::default();
        back_off.note_end(0, now);
        back_off.note_end(1, now);
        let almost = now + DELAY_MIN + RESET_AFTER - Duration::from_secs(1);
        let mut kept = back_off;
        kept.note_end(2, almost);
        assert_eq!(kept.round(), 3);
        back_off.note_end(2, almost + Duration::from_secs(1));
        assert_eq!(back_off.round(), 1);
    }
}
