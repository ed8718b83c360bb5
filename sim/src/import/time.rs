//! Times as sources write them.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// The latest time, in nanoseconds: what a time is added to stays in 64 bits.
const TIME_NS_MAX: u64 = u64::MAX / 4;

impl Unit {
    /// The unit of that name.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Millis),
            "us" => Ok(Self::Micros),
            "ns" => Ok(Self::Nanos),
            _ => Err("must be s, ms, us or ns".to_owned()),
        }
    }

    fn ns(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }
}

/// The offset of a time zone, in seconds: `Z`, `+02:00`.
///
/// # Errors
/// The rule that the text breaks.
pub fn zone_s(text: &str) -> Result<i32, String> {
    let rule = || "must be Z, or an offset such as +02:00".to_owned();
    if text == "Z" {
        return Ok(0);
    }
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(rule()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(rule)?;
    let part = |text: &str, max: i32| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|part| is_two && *part <= max)
    };
    match (part(hours, 23), part(minutes, 59)) {
        (Some(hours), Some(minutes)) => Ok(sign * (hours * 3600 + minutes * 60)),
        _ => Err(rule()),
    }
}

/// A number that is written in decimals, in nanoseconds, rounded down; none if it is negative, no
/// number, or too large.
pub(super) fn decimal_ns(text: &str, unit: Unit) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(part) {
        // As some languages write small numbers: 7.8e-05.
        let number: f64 = text.parse().ok()?;
        let is_written = text.bytes().next()?.is_ascii_digit() && text.contains(['e', 'E']);
        let ns = number * unit.ns() as f64;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in its range by the check before"
        )]
        let whole = ns as u64;
        return (is_written && (0.0..TIME_NS_MAX as f64).contains(&ns)).then_some(whole);
    }
    let mut ns = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit.ns());
    let mut digit_ns = unit.ns();
    for digit in part.bytes() {
        digit_ns /= 10;
        ns += u128::from(digit - b'0') * u128::from(digit_ns);
    }
    u64::try_from(ns).ok().filter(|ns| *ns <= TIME_NS_MAX)
}

/// A date and time of RFC 3339, in nanoseconds since 1970; without an offset in that zone.
pub(super) fn date_ns(text: &str, zone_s: Option<i32>) -> Result<u64, &'static str> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let civil = text.parse::<DateTime>();
            let civil = civil.map_err(|_| "must be a time such as 2026-03-03T08:00:00Z")?;
            let zone_s = zone_s.ok_or("states no offset from UTC; --zone states it")?;
            let offset = Offset::from_seconds(zone_s).map_err(|_| "has no such time zone")?;
            TimeZone::fixed(offset).to_timestamp(civil).map_err(|_| "is no such time")?
        }
    };
    since_1970(time).ok_or("must be from 1970 on")
}

/// A time as access logs have it, `03/Mar/2026:08:00:00 +0000`, in nanoseconds since 1970.
pub(super) fn log_ns(text: &str) -> Option<u64> {
    since_1970(Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()?)
}

fn since_1970(time: Timestamp) -> Option<u64> {
    let since: SignedDuration = time.as_duration();
    u64::try_from(since.as_nanos()).ok().filter(|ns| *ns <= TIME_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_to_the_nanosecond() {
        for (text, unit, ns) in [
            ("0", Unit::Seconds, Some(0)),
            ("1772524800.123456789", Unit::Seconds, Some(1_772_524_800_123_456_789)),
            ("0.07949090003967285", Unit::Seconds, Some(79_490_900)),
            ("1.5", Unit::Millis, Some(1_500_000)),
            ("7.8e-05", Unit::Seconds, Some(78_000)),
            ("7", Unit::Nanos, Some(7)),
            ("-1", Unit::Seconds, None),
            ("-1e3", Unit::Seconds, None),
            ("NaN", Unit::Seconds, None),
            ("inf", Unit::Seconds, None),
            ("1e999", Unit::Seconds, None),
            ("99999999999999999999", Unit::Seconds, None),
            (".5", Unit::Seconds, None),
            ("", Unit::Seconds, None),
        ] {
            assert_eq!(decimal_ns(text, unit), ns, "{text}");
        }
    }

    #[test]
    fn dates_are_of_their_zone() {
        let morning = 1_772_524_800_000_000_000;
        assert_eq!(date_ns("2026-03-03T08:00:00Z", None), Ok(morning));
        assert_eq!(date_ns("2026-03-03T10:30:00.5+02:30", None), Ok(morning + 500_000_000));
        assert_eq!(date_ns("2026-03-03 09:00:00", Some(3600)), Ok(morning));
        assert!(date_ns("2026-03-03T08:00:00", None).unwrap_err().contains("--zone"));
        assert!(date_ns("1969-12-31T23:59:59Z", None).unwrap_err().contains("1970"));
        assert!(date_ns("yesterday", Some(0)).unwrap_err().contains("such as"));
        assert_eq!(log_ns("03/Mar/2026:10:00:00 +0200"), Some(morning));
        assert_eq!(log_ns("03/Mar/2026:10:00:00"), None);
        assert_eq!(zone_s("-09:30"), Ok(-34_200));
        for text in ["", "02:00", "+2:00", "+24:00", "+02:60", "+0200", "UTC"] {
            assert!(zone_s(text).is_err(), "{text}");
        }
    }
}
