//! How long a refused client should wait before it tries again.

/// Over how long a release rate is averaged, in microseconds: long enough for functions that answer
/// once a second, short enough to follow a scale-up.
const AVERAGED_US: f64 = 5_000_000.0;

/// What a held request waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prospect {
    /// Nothing is known.
    Unknown,
    /// A pod that is starting.
    Cold {
        /// How long it has been starting, in microseconds.
        elapsed_us: u64,
        /// How long that usually takes, in microseconds.
        usual_us: u64,
    },
    /// Those held before it.
    Warm {
        /// How many they are.
        held: u64,
        /// How many are released per second.
        released_per_s: f64,
    },
}

impl Prospect {
    /// The wait expected, in microseconds: cold, what is left of the usual time; warm, queue ÷
    /// release rate. 0 if nothing is known. Worked: 30 held at 4 per second wait 7.5 s.
    #[must_use]
    pub fn wait_us(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Cold { elapsed_us, usual_us } => usual_us.saturating_sub(elapsed_us),
            Self::Warm { held, released_per_s } => divide(held, released_per_s),
        }
    }
}

/// `held ÷ per_s` in microseconds; 0 while the rate is not known.
fn divide(held: u64, per_s: f64) -> u64 {
    if per_s.is_nan() || per_s <= 0.0 {
        return 0;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "`as` saturates, and a wait needs no more than 53 bits of precision"
    )]
    let us = (held as f64 / per_s * 1e6) as u64;
    us
}

/// Longest wait a client is told, in seconds: a rate near zero promises years, and a queue that is
/// full now may be empty in an hour.
const RETRY_AFTER_S_MAX: u64 = 3_600;

/// Retry-After for something expected in `wait_us` microseconds: whole seconds, at least 1, and up
/// to half as much again by `chance` (any number, drawn evenly), so that the clients told so do not
/// all come back at once.
#[must_use]
pub fn retry_after_s(wait_us: u64, chance: u64) -> u64 {
    let seconds = wait_us.div_ceil(1_000_000).clamp(1, RETRY_AFTER_S_MAX);
    seconds + chance % (seconds.div_ceil(2) + 1)
}

/// Releases per second of one function while requests of it were held, averaged over some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReleaseRate {
    per_s: f64,
}

impl ReleaseRate {
    /// `released` requests were released in `interval_us`, throughout which some were held: without
    /// any the figure would tell of the load, not of what can be served.
    ///
    /// The first interval counts whole, each further one by its length: interval ÷ (interval +
    /// 5 s).
    pub fn observe(&mut self, released: u64, interval_us: u64) {
        if interval_us == 0 {
            return;
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "counts and lengths of a second's interval are far below 2^53"
        )]
        let (released, interval_us) = (released as f64, interval_us as f64);
        let now_per_s = released / interval_us * 1e6;
        if self.per_s > 0.0 {
            let weight = interval_us / (interval_us + AVERAGED_US);
            self.per_s += (now_per_s - self.per_s) * weight;
        } else {
            self.per_s = now_per_s;
        }
    }

    /// Releases per second; 0 while not known.
    #[must_use]
    pub fn per_s(self) -> f64 {
        self.per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_by_what_is_waited_for() {
        for (prospect, wait_us) in [
            (Prospect::Unknown, 0),
            (Prospect::Cold { elapsed_us: 1_000, usual_us: 5_000 }, 4_000),
            (Prospect::Cold { elapsed_us: 9_000, usual_us: 5_000 }, 0),
            (Prospect::Warm { held: 30, released_per_s: 4.0 }, 7_500_000),
            (Prospect::Warm { held: 30, released_per_s: 0.0 }, 0),
            (Prospect::Warm { held: 30, released_per_s: f64::NAN }, 0),
            (Prospect::Warm { held: u64::MAX, released_per_s: f64::MIN_POSITIVE }, u64::MAX),
        ] {
            assert_eq!(prospect.wait_us(), wait_us, "{prospect:?}");
        }
    }

    #[test]
    fn retry_after_is_at_least_a_second_bounded_and_jittered_by_half() {
        for (wait_us, least, most) in
            [(0, 1, 2), (1_000_001, 2, 3), (10_000_000, 10, 15), (u64::MAX, 3_600, 5_400)]
        {
            let told: Vec<_> = (0..4_000).map(|chance| retry_after_s(wait_us, chance)).collect();
            assert_eq!(told.iter().min(), Some(&least));
            assert_eq!(told.iter().max(), Some(&most));
        }
    }

    #[test]
    fn the_rate_follows_what_is_released_within_some_seconds() {
        let mut rate = ReleaseRate::default();
        rate.observe(8, 0);
        assert!(rate.per_s() <= 0.0, "no time, no rate");
        rate.observe(8, 2_000_000);
        assert!((rate.per_s() - 4.0).abs() < 1e-9);
        for _ in 0..30 {
            rate.observe(40, 1_000_000);
        }
        assert!((rate.per_s() - 40.0).abs() < 1.0, "{rate:?}");
        for _ in 0..5 {
            rate.observe(0, 1_000_000);
        }
        assert!((10.0..30.0).contains(&rate.per_s()), "a pause does not forget it: {rate:?}");
    }
}
