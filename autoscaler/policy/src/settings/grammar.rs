//! What the text of a setting may be, and what it then means.

use std::fmt;

use super::{duration, hosts};

/// What the value of a key may be. Ranges include their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grammar {
    /// `true` or `false`.
    Switch,
    /// A decimal integer.
    Integer(u32, u32),
    /// A finite decimal number; an exponent is allowed.
    Number(f64, f64),
    /// A finite decimal number above this one.
    Above(f64),
    /// −1, or a finite decimal number of at least 0.
    Spare,
    /// A share of a whole: above 1 and up to 100 in percent, above 0 and up to 1 as a fraction.
    Share,
    /// A duration in Go's grammar, in nanoseconds: from, to, and what it must be a multiple of.
    Duration(i64, i64, i64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text that is not empty.
    Text,
    /// DNS names, separated by commas.
    Hosts,
}

/// What a text of a [`Grammar`] means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `true` or `false`.
    Switch(bool),
    /// An integer.
    Integer(u32),
    /// A number; a share as a fraction.
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    /// The word.
    Word(&'static str),
    /// The text as written.
    Text(String),
    /// The names, lower case, each once.
    Hosts(Vec<String>),
}

/// One nanosecond: of a duration that may be any.
pub(super) const NS: i64 = 1;
pub(super) const MS: i64 = 1_000_000;
pub(super) const S: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3600 * S;

/// The longest duration that Go's grammar can mean: no bound of ours.
pub(super) const ENDLESS: i64 = i64::MAX;

impl Grammar {
    /// What `text` means.
    ///
    /// # Errors
    /// The rule that it breaks, as a sentence that begins with "must be".
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let value = match *self {
            Self::Switch => match text {
                "true" => Some(Value::Switch(true)),
                "false" => Some(Value::Switch(false)),
                _ => None,
            },
            Self::Integer(from, to) => text
                .parse()
                .ok()
                .and_then(|number: i64| u32::try_from(number).ok())
                .filter(|number| (from..=to).contains(number))
                .map(Value::Integer),
            Self::Number(from, to) => number(text, |number| (from..=to).contains(&number)),
            Self::Above(bound) => number(text, |number| number > bound),
            Self::Spare => number(text, |number| number >= 0.0 || number.total_cmp(&-1.0).is_eq()),
            Self::Share => match number(text, |number| number > 0.0 && number <= 100.0) {
                Some(Value::Number(percent)) if percent > 1.0 => {
                    Some(Value::Number(percent / 100.0))
                }
                fraction => fraction,
            },
            Self::Duration(from, to, unit) => duration::parse_ns(text)
                .filter(|ns| (from..=to).contains(ns) && ns % unit == 0)
                .map(Value::Duration),
            Self::Word(words) => {
                words.iter().find(|word| **word == text).map(|word| Value::Word(word))
            }
            Self::Text => (!text.trim().is_empty()).then(|| Value::Text(text.to_owned())),
            Self::Hosts => return hosts::parse(text).map(Value::Hosts),
        };
        value.ok_or_else(|| format!("must be {self}"))
    }
}

/// A finite number that is in order. NaN would pass every comparison that asks for a fault.
fn number(text: &str, is_in_order: impl Fn(f64) -> bool) -> Option<Value> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && is_in_order(number)).then_some(Value::Number(number))
}

impl fmt::Display for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Switch => f.write_str("true or false"),
            Self::Integer(from, to) => write!(f, "a whole number from {from} to {to}"),
            Self::Number(from, f64::MAX) => write!(f, "a number of at least {from}"),
            Self::Number(from, to) => write!(f, "a number from {from} to {to}"),
            Self::Above(bound) => write!(f, "a number above {bound}"),
            Self::Spare => f.write_str("-1 or a number of at least 0"),
            Self::Share => f.write_str("a percentage above 1 and up to 100, or a fraction up to 1"),
            Self::Duration(from, to, unit) => {
                f.write_str("a duration such as 1m30s, ")?;
                match (from, to) {
                    (NS, ENDLESS) => f.write_str("above 0s")?,
                    (from, ENDLESS) => write!(f, "of at least {}s", from / S)?,
                    (from, to) => write!(f, "from {}s to {}s", from / S, to / S)?,
                }
                f.write_str(match unit {
                    S => ", in whole seconds",
                    MS => ", in whole milliseconds",
                    _ => "",
                })
            }
            Self::Word([only]) => f.write_str(only),
            Self::Word(words) => {
                let shown = |word: &&'static str| if word.is_empty() { "\"\"" } else { *word };
                let words: Vec<&str> = words.iter().map(shown).collect();
                write!(f, "one of {}", words.join(", "))
            }
            Self::Text => f.write_str("a text that is not empty"),
            Self::Hosts => f.write_str("DNS names separated by commas"),
        }
    }
}
