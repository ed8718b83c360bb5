//! The numbers of a recording, each with its range.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

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

/// Up to here an `f64` holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number, however it is written: tools that know one kind of number alone write 60.0.
pub(super) fn whole<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i128>,
{
    deserializer.deserialize_any(Whole(PhantomData))
}

/// The same, or nothing.
pub(super) fn whole_if_any<'de, D: Deserializer<'de>, T>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: TryFrom<i128>,
{
    let found = Option::<Written<T>>::deserialize(deserializer)?;
    Ok(found.map(|Written(number)| number))
}

struct Written<T>(T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer).map(Self)
    }
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Whole<T> {
    fn hold<E: Error>(&self, number: i128, as_written: Unexpected<'_>) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(as_written, self))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.hold(number.into(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.hold(number.into(), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        let as_written = Unexpected::Float(number);
        if number.abs() > WHOLE_MAX || number.fract().abs() > 0.0 {
            return Err(E::invalid_value(as_written, &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and held exactly by both")]
        let whole = number as i128;
        self.hold(whole, as_written)
    }
}

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
        let us = (seconds * MICROSECONDS).round();
        // Some 285 years.
        if !(0.0..=WHOLE_MAX).contains(&us) || seconds < 0.0 {
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
