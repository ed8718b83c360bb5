//! When a run begins, on the calendar.

use std::fmt;

use serde::{Serialize, Serializer};
use toml::value::{Date, Datetime, Offset, Time};

use super::document::Node;

const DAY_S: i64 = 86_400;

/// A second of the calendar (UTC); written as `2026-03-03T08:00:00Z`. It matters to loads that
/// follow the day, and to rules that count from full seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Seconds since 1970 began.
    pub unix_s: u64,
}

impl Start {
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        let start = of(&node.date_time()?);
        if start.is_none() {
            node.fault("must be a date from 1970 on, a time in whole seconds and its offset, or Z");
        }
        start
    }
}

fn of(written: &Datetime) -> Option<Start> {
    let Datetime { date: Some(date), time: Some(time), offset: Some(offset) } = written else {
        return None;
    };
    if time.nanosecond.unwrap_or(0) > 0 {
        return None;
    }
    let offset_s = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(*minutes) * 60,
    };
    let second = i64::from(time.second.unwrap_or(0));
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second;
    let unix_s = days(date) * DAY_S + of_day - offset_s;
    u64::try_from(unix_s).ok().map(|unix_s| Start { unix_s })
}

/// Minutes since 1970 of a full minute, in local time; none if it is not one.
pub(crate) fn minute_of(written: &Datetime) -> Option<i64> {
    let Datetime { date: Some(date), time: Some(time), offset: None } = written else {
        return None;
    };
    let is_full = time.second.unwrap_or(0) == 0 && time.nanosecond.unwrap_or(0) == 0;
    let minute = days(date) * 1440 + i64::from(time.hour) * 60 + i64::from(time.minute);
    is_full.then_some(minute)
}

/// Days since 1970-01-01. A year is taken to begin in March, so that a leap day is its last.
fn days(date: &Date) -> i64 {
    let (year, month) = (i64::from(date.year), i64::from(date.month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Days from the first of March to the first of the month: 31 and 30 by turns, anew in August
    // and January.
    let before = (153 * month + 2) / 5;
    year * 365 + leap_days + before + i64::from(date.day) - 1 - 719_468
}

fn date(mut days: i64) -> Date {
    let mut year: u16 = 1970;
    loop {
        let first = Date { year: year + 1, month: 1, day: 1 };
        let length = self::days(&first) - self::days(&Date { year, month: 1, day: 1 });
        if days < length || year == 9998 {
            break;
        }
        days -= length;
        year += 1;
    }
    let first = self::days(&Date { year, month: 1, day: 1 });
    let month = (1..=12)
        .rev()
        .find(|month| self::days(&Date { year, month: *month, day: 1 }) <= first + days);
    let month = month.unwrap_or(1);
    let day = first + days - self::days(&Date { year, month, day: 1 }) + 1;
    Date { year, month, day: u8::try_from(day).unwrap_or(1) }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix_s = self.unix_s.cast_signed();
        let part = |seconds: i64| u8::try_from(seconds).unwrap_or(0);
        let of_day = unix_s.rem_euclid(DAY_S);
        let time = Time {
            hour: part(of_day / 3600),
            minute: part(of_day / 60 % 60),
            second: Some(part(of_day % 60)),
            nanosecond: None,
        };
        let date = date(unix_s.div_euclid(DAY_S));
        let written = Datetime { date: Some(date), time: Some(time), offset: Some(Offset::Z) };
        write!(f, "{written}")
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_days_there_and_back() {
        for (text, unix_s) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1999-12-31T23:59:59Z", 946_684_799),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2026-03-03T08:00:00Z", 1_772_524_800),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let start = of(&text.parse().unwrap()).unwrap();
            assert_eq!((start.unix_s, start.to_string().as_str()), (unix_s, text));
        }
        let shifted = "2026-03-03T10:30:00+02:30".parse().unwrap();
        assert_eq!(of(&shifted).unwrap().unix_s, 1_772_524_800);
    }

    #[test]
    fn what_is_no_point_in_time() {
        for text in ["2026-03-03", "08:00:00", "2026-03-03T08:00:00", "1969-12-31T23:59:59Z"] {
            assert_eq!(of(&text.parse().unwrap()), None, "{text}");
        }
    }
}
