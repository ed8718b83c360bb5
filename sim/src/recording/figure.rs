//! The numbers of a recording, each with its range.

use serde::Deserialize;

/// A time, held in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(u64);

/// A finite number of at least 0.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Amount(f64);

/// A finite number above 0.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Positive(f64);

/// −1, or a finite number of at least 0.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Spare(f64);

/// What a number must be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be {0}")]
pub struct Rule(&'static str);

const MICROSECONDS: f64 = 1e6;

impl Seconds {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// Microseconds, rounded to the nearest.
    #[must_use]
    pub fn us(self) -> u64 {
        self.0
    }

    /// The whole second it lies in.
    #[must_use]
    pub fn second(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl TryFrom<f64> for Seconds {
    type Error = Rule;

    fn try_from(seconds: f64) -> Result<Self, Rule> {
        /// Up to here an `f64` counts microseconds without a gap: some 285 years.
        const US_MAX: f64 = 9_007_199_254_740_992.0;
        let us = (seconds * MICROSECONDS).round();
        if !(0.0..=US_MAX).contains(&us) || seconds < 0.0 {
            return Err(Rule("a number of seconds from 0 to 9007199254"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within what both types hold exactly"
        )]
        let us = us as u64;
        Ok(Self(us))
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, us) = (self.second(), self.0 % 1_000_000);
        match us {
            0 => write!(f, "{whole}"),
            _ => f.write_str(format!("{whole}.{us:06}").trim_end_matches('0')),
        }
    }
}

impl Amount {
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Amount {
    type Error = Rule;

    fn try_from(number: f64) -> Result<Self, Rule> {
        match number.is_finite() && number >= 0.0 {
            true => Ok(Self(number)),
            false => Err(Rule("a number of at least 0")),
        }
    }
}

impl Positive {
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Positive {
    type Error = Rule;

    fn try_from(number: f64) -> Result<Self, Rule> {
        match number.is_finite() && number > 0.0 {
            true => Ok(Self(number)),
            false => Err(Rule("a number above 0")),
        }
    }
}

impl Spare {
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Spare {
    type Error = Rule;

    fn try_from(number: f64) -> Result<Self, Rule> {
        match number.is_finite() && (number >= 0.0 || number.to_bits() == (-1.0_f64).to_bits()) {
            true => Ok(Self(number)),
            false => Err(Rule("-1 or a number of at least 0")),
        }
    }
}
