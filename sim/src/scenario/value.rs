//! Durations, rates and distributions: how they are written, and what they mean in integers.

use std::fmt;
use std::str::FromStr;

use dormouse_policy::settings::duration_ns;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::document::{Node, Section};
use crate::draw::Distribution;

/// Longest time of anything, in nanoseconds: a year. What is longer was mistyped.
const TIME_NS_MAX: u64 = 366 * 24 * 3_600_000_000_000;

/// Nano-requests in a request.
const NANO: u64 = 1_000_000_000;

/// Most requests per second of one load: a thousand times what one function was ever seen to get.
const RATE_MAX: u64 = 10_000_000;

/// Digits after the point of a rate.
const FRACTION_DIGITS_MAX: usize = 9;

/// A time span, in nanoseconds; written as `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A second.
    pub const SECOND: Self = Self(1_000_000_000);
    /// None.
    pub const ZERO: Self = Self(0);
}

impl From<std::time::Duration> for Time {
    /// To the nanosecond; of more than 292 years, those: far beyond what any time may be.
    fn from(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX).unsigned_abs())
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ns = duration_ns(text).ok_or_else(|| {
            let most = Self(TIME_NS_MAX);
            format!(
                "must be a duration such as 1m30s, at most {most}; units are h, m, s, ms, us and ns"
            )
        })?;
        match u64::try_from(ns) {
            Ok(ns) if ns <= TIME_NS_MAX => Ok(Self(ns)),
            Ok(_) => Err(format!("must be at most {}", Self(TIME_NS_MAX))),
            Err(_) => Err("must not be negative".to_owned()),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, ns) in [("h", 3_600_000_000_000), ("m", 60_000_000_000)] {
            if rest >= ns {
                write!(f, "{}{unit}", rest / ns)?;
                rest %= ns;
            }
        }
        if rest == 0 {
            return Ok(());
        }
        // The rest in the largest unit that it reaches, exactly.
        let units = [("s", NANO, 9), ("ms", 1_000_000, 6), ("us", 1_000, 3), ("ns", 1, 0)];
        let (unit, ns, digits) =
            units.into_iter().find(|(_, ns, _)| rest >= *ns).unwrap_or(units[3]);
        write!(f, "{}", rest / ns)?;
        if !rest.is_multiple_of(ns) {
            let fraction = format!("{:0digits$}", rest % ns);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str(unit)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How often something happens, in nano-times per second; written as `120/s`, `30/m`, `0.5/h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

impl Rate {
    /// So many times per second, to the nearest billionth; 0 of what is below 0 or no number.
    #[must_use]
    pub fn from_per_second(times: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, which is said"
        )]
        let nano = libm::round(times * 1e9) as u64;
        Self(nano)
    }

    /// The rate per second as the float nearest to it.
    #[must_use]
    pub fn per_second(self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "nearest is meant")]
        let nano = self.0 as f64;
        nano / 1e9
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // With the limit: what is far beyond it is no number of this grammar.
        const RULE: &str = "must be a rate such as 120/s, 30/m or 0.5/h, at most 10000000/s";
        let (number, unit) = text.split_once('/').ok_or(RULE)?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(RULE.to_owned()),
        };
        let number = number.trim();
        if number.starts_with('-') {
            return Err("must not be negative".to_owned());
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !is_number(whole)
            || !is_number(fraction)
            || fraction.len() > FRACTION_DIGITS_MAX
        {
            return Err(RULE.to_owned());
        }
        let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| RULE)?;
        let times = whole.parse::<u64>().ok().filter(|times| times / seconds <= RATE_MAX);
        let times = times.ok_or_else(|| format!("must be at most {RATE_MAX}/s"))?;
        let nano = u128::from(times) * u128::from(NANO) + u128::from(fraction);
        let rate = u64::try_from(nano / u128::from(seconds)).map_err(|_| RULE)?;
        if rate > RATE_MAX * NANO {
            return Err(format!("must be at most {RATE_MAX}/s"));
        }
        if rate == 0 && nano > 0 {
            return Err("is too low: at least one in 30 years".to_owned());
        }
        Ok(Self(rate))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / NANO)?;
        if !self.0.is_multiple_of(NANO) {
            let fraction = format!("{:09}", self.0 % NANO);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("/s")
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From one rate to another; written as `20..120/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: Rate,
    /// The second.
    pub to: Rate,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "must be two rates such as 20..120/s".to_owned();
        let (from, to) = text.split_once("..").ok_or_else(rule)?;
        let (_, unit) = to.split_once('/').ok_or_else(rule)?;
        Ok(Self { from: format!("{from}/{unit}").parse()?, to: to.parse()? })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let from = self.from.to_string();
        serializer.collect_str(&format_args!("{}..{}", from.trim_end_matches("/s"), self.to))
    }
}

/// How long something takes. All times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// Always the same.
    Constant(Time),
    /// Exponential, by its mean.
    Exponential(Time),
    /// Log-normal, by the median and the 99th percentile, which is not less.
    LogNormal(Time, Time),
    /// One of two; the number is the share of the second.
    Bimodal(Time, Time, f64),
}

impl Spread {
    /// What is drawn from.
    #[must_use]
    pub fn distribution(self) -> Distribution {
        match self {
            Self::Constant(time) => Distribution::Constant(time.0),
            Self::Exponential(mean) => Distribution::Exponential { mean_ns: mean.0 },
            Self::LogNormal(p50, p99) => Distribution::log_normal(p50.0, p99.0),
            Self::Bimodal(low, high, high_share) => {
                Distribution::Bimodal { low_ns: low.0, high_ns: high.0, high_share }
            }
        }
    }

    /// The same with every time at so many percent of itself, rounded down.
    #[must_use]
    pub fn at_percent(self, percent: u32) -> Self {
        let scaled = |time: Time| {
            let ns = u128::from(time.0) * u128::from(percent) / 100;
            Time(u64::try_from(ns).unwrap_or(u64::MAX))
        };
        match self {
            Self::Constant(time) => Self::Constant(scaled(time)),
            Self::Exponential(mean) => Self::Exponential(scaled(mean)),
            Self::LogNormal(p50, p99) => Self::LogNormal(scaled(p50), scaled(p99)),
            Self::Bimodal(low, high, share) => Self::Bimodal(scaled(low), scaled(high), share),
        }
    }

    /// Reads `"40ms"`, `{ exponential = "40ms" }`, `{ lognormal = ["40ms", "900ms"] }` or
    /// `{ bimodal = ["10ms", "1s", 0.05] }`.
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        if node.is_text() {
            return node.read(str::parse).map(Self::Constant);
        }
        let section = node.section()?;
        let spread = Self::section(&section);
        section.finish();
        spread
    }

    fn section(section: &Section<'_>) -> Option<Self> {
        let kinds = ["constant", "exponential", "lognormal", "bimodal"];
        let node = only(section, &kinds)?;
        let time = |node: &Node<'_>| node.read(str::parse::<Time>);
        let [constant, exponential, lognormal, _] = kinds.map(|kind| section.has(kind));
        if constant {
            return time(&node).map(Self::Constant);
        }
        if exponential {
            return time(&node).map(Self::Exponential);
        }
        let elements = node.elements();
        match elements.as_slice() {
            [p50, p99] if lognormal => {
                let (p50, p99) = (time(p50)?, time(p99)?);
                if p50 == Time::ZERO || p99 < p50 {
                    node.fault("must be a median above 0s and a 99th percentile not below it");
                    return None;
                }
                Some(Self::LogNormal(p50, p99))
            }
            [one, other, share] if !lognormal => {
                Some(Self::Bimodal(time(one)?, time(other)?, share.number(0.0..=1.0)?))
            }
            _ if lognormal => {
                node.fault("must be [median, 99th percentile]");
                None
            }
            _ => {
                node.fault("must be [time, other time, share of the other]");
                None
            }
        }
    }
}

/// The one of `kinds` that is there.
pub(super) fn only<'d>(section: &Section<'d>, kinds: &[&'static str]) -> Option<Node<'d>> {
    let there: Vec<_> = kinds.iter().filter_map(|kind| section.get(kind)).collect();
    if let [node] = there.as_slice() {
        return Some(node.clone());
    }
    section.fault(format_args!("must have exactly one of {}", kinds.join(", ")));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        const RULE: &str = "must be a duration such as 1m30s, at most 8784h; units are h, m, s, \
                            ms, us and ns";
        for (text, want) in [
            ("0s", Ok("0s")),
            ("90s", Ok("1m30s")),
            ("1.5s", Ok("1.5s")),
            ("36h", Ok("36h")),
            ("1234567ns", Ok("1.234567ms")),
            ("1h0.5s", Ok("1h500ms")),
            ("-1s", Err("must not be negative")),
            ("10000h", Err("must be at most 8784h")),
            ("1d", Err(RULE)),
            ("9999999h", Err(RULE)),
        ] {
            let got = text.parse::<Time>().map(|time| time.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn rates() {
        const RULE: &str = "must be a rate such as 120/s, 30/m or 0.5/h, at most 10000000/s";
        for (text, want) in [
            ("120/s", Ok("120/s")),
            ("30/m", Ok("0.5/s")),
            ("0.25/s", Ok("0.25/s")),
            ("36/h", Ok("0.01/s")),
            ("0/s", Ok("0/s")),
            ("10000000/s", Ok("10000000/s")),
            ("10000000.1/s", Err("must be at most 10000000/s")),
            ("99999999999999999999/s", Err("must be at most 10000000/s")),
            ("0.000000001/h", Err("is too low: at least one in 30 years")),
            ("-5/s", Err("must not be negative")),
            ("NaN/s", Err(RULE)),
            ("1e30/s", Err(RULE)),
            ("/s", Err(RULE)),
            ("5", Err(RULE)),
            ("5/d", Err(RULE)),
            ("5/s/s", Err(RULE)),
        ] {
            let got = text.parse::<Rate>().map(|rate| rate.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        }
    }
}
