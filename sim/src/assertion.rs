//! What must hold, in one line:
//!
//! > `[mean] [policy] [function] metric[.stat] op value [unit] [of policy] [per hour] [after T]`
//!
//! It holds if it holds for the worst seed, or for the mean of all with `mean`. A percentile beside
//! a fixed bound is decided by counting the requests over that bound, not from buckets.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::metric::{Metric, Span, Stat, Unit};
use crate::scenario::{Function, Policy, Time};
use crate::world::Score;

/// Longest assertion, in bytes: some ten times the longest that makes sense.
const BYTES_MAX: usize = 1_000;

const NS_PER_HOUR: f64 = 3.6e12;

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    /// As it was written, single-spaced.
    pub text: String,
    /// Over what of the seeds.
    pub basis: Basis,
    /// Of which policy; none = of each.
    pub policy: Option<String>,
    /// Of which function's key; none = of all together.
    pub function: Option<String>,
    /// Which figure.
    pub metric: Metric,
    /// How it must compare.
    pub relation: Relation,
    /// With what: in the unit of the metric, or as a share of another policy's figure.
    pub value: f64,
    /// The policy whose figure `value` is a share of.
    pub of: Option<String>,
    /// Whether the figure is taken for each hour.
    pub per: Per,
    /// From when on it is scored, where not from the end of the warm-up.
    pub after: Option<Time>,
}

/// Which of the seeds counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The worst.
    WorstSeed,
    /// The mean of all.
    Mean,
}

/// What a figure is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The whole time that is scored.
    Run,
    /// Each hour of it.
    Hour,
}

/// How two figures compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `==`
    Is,
    /// `!=`
    IsNot,
}

/// Longer spellings first.
const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Is),
    ("!=", Relation::IsNot),
    ("<", Relation::Below),
    (">", Relation::Above),
];

/// What assertions may name.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The policies.
    pub policies: &'a [Policy],
    /// The functions.
    pub functions: &'a [Function],
    /// When the run ends.
    pub end: Time,
}

impl Names<'_> {
    fn is_policy(&self, word: &str) -> bool {
        self.policies.iter().any(|policy| policy.name == word)
    }

    fn is_function(&self, word: &str) -> bool {
        self.functions.iter().any(|function| function.name == word)
    }
}

impl Assertion {
    /// Reads an assertion.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("is longer than {BYTES_MAX} bytes"));
        }
        let (at, (sign, relation)) = text
            .char_indices()
            .find_map(|(at, _)| {
                let relation = RELATIONS.into_iter().find(|(sign, _)| text[at..].starts_with(sign));
                Some((at, relation?))
            })
            .ok_or("has none of <=, <, >=, >, == and !=")?;
        let mut left: Vec<_> = text[..at].split_whitespace().collect();
        let right: Vec<_> = text[at + sign.len()..].split_whitespace().collect();
        let metric = Metric::parse(left.pop().ok_or("names no metric")?)?;
        let mut assertion = Self {
            text: [&left[..], &[&metric.to_string(), sign], &right[..]].concat().join(" "),
            basis: Basis::WorstSeed,
            policy: None,
            function: None,
            metric,
            relation,
            value: 0.0,
            of: None,
            per: Per::Run,
            after: None,
        };
        for word in left {
            assertion.subject(word, names)?;
        }
        assertion.bound(&right, names)?;
        Ok(assertion)
    }

    fn subject(&mut self, word: &str, names: &Names<'_>) -> Result<(), String> {
        match word {
            "mean" if self.basis == Basis::WorstSeed => self.basis = Basis::Mean,
            _ if names.is_policy(word) && self.policy.is_none() => {
                self.policy = Some(word.to_owned());
            }
            _ if names.is_function(word) && self.function.is_none() => {
                self.function = Some(word.to_owned());
            }
            _ => return Err(format!("there is no policy and no function {word:?}")),
        }
        Ok(())
    }

    fn bound(&mut self, words: &[&str], names: &Names<'_>) -> Result<(), String> {
        let (value, mut rest) = words.split_first().ok_or("has no value")?;
        let is_clause = |word: &str| matches!(word, "of" | "per" | "after");
        let unit = match rest.split_first() {
            Some((unit, others)) if !is_clause(unit) => {
                rest = others;
                *unit
            }
            _ => "",
        };
        loop {
            match rest {
                [] => break,
                ["of", policy, others @ ..] if self.of.is_none() => {
                    if !names.is_policy(policy) {
                        return Err(format!("there is no policy {policy:?}"));
                    }
                    self.of = Some((*policy).to_owned());
                    rest = others;
                }
                ["per", "hour", others @ ..] if self.per == Per::Run => {
                    self.per = Per::Hour;
                    rest = others;
                }
                ["after", after, others @ ..] if self.after.is_none() => {
                    let after =
                        after.parse::<Time>().map_err(|rule| format!("{after:?}: {rule}"))?;
                    if after >= names.end {
                        return Err(format!(
                            "after must be before the end of the run, {}",
                            names.end
                        ));
                    }
                    self.after = Some(after);
                    rest = others;
                }
                [word, ..] => {
                    return Err(format!(
                        "{word:?} is not understood; after the value come \
                         [unit] [of policy] [per hour] [after T]"
                    ));
                }
            }
        }
        if self.per == Per::Hour && !self.metric.adds_up() {
            return Err(format!("{} is not counted per hour", self.metric));
        }
        let unit_of = if self.of.is_some() { None } else { Some(self.metric.unit()) };
        self.value = read_value(value, unit, unit_of)?;
        Ok(())
    }

    /// The bounds, in nanoseconds, by which a percentile of that span is decided.
    #[must_use]
    pub fn bounds_ns(&self, span: Span) -> Option<[u64; 2]> {
        let Metric::Times(own, Stat::Percentile(_)) = self.metric else {
            return None;
        };
        let is_counted = own == span && self.of.is_none() && self.basis == Basis::WorstSeed;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a duration that was read as whole nanoseconds of less than 2⁵³"
        )]
        let ns = self.value as u64;
        is_counted.then(|| [ns.saturating_sub(1), ns])
    }

    /// The figure of a score that covers that much time; none if there is no data.
    #[must_use]
    pub fn figure(&self, score: &Score, judged: &Judged<'_>) -> Option<f64> {
        let figure = self.metric.of(score, judged.price)?;
        Some(match self.per {
            Per::Run => figure,
            Per::Hour => figure / (judged.time_ns as f64 / NS_PER_HOUR),
        })
    }

    /// Whether a figure of a score is in order, beside a bound.
    #[must_use]
    pub fn holds(&self, figure: f64, bound: f64, score: &Score, judged: &Judged<'_>) -> bool {
        if let Metric::Times(span, Stat::Percentile(ppm)) = self.metric
            && let Some([below, at]) = self.bounds_ns(span)
            && let Some(times) = span.times(score)
        {
            let bounds_ns = match span {
                Span::Wait => judged.wait_bounds_ns,
                Span::Latency => judged.latency_bounds_ns,
            };
            let within = |bound_ns: u64| {
                let place = bounds_ns.iter().position(|own| *own == bound_ns)?;
                times.is_within(ppm, place)
            };
            if let (Some(is_below), Some(is_at_most)) = (within(below), within(at)) {
                // Nothing is below 0.
                return self.relation.holds_by(is_below && below < at, is_at_most);
            }
        }
        self.relation.holds(figure, bound)
    }
}

/// What a score was made with, as far as figures depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What things cost.
    pub price: Option<&'a crate::scenario::Price>,
    /// How much time it covers, in nanoseconds.
    pub time_ns: u64,
    /// The bounds that waits were counted over.
    pub wait_bounds_ns: &'a [u64],
    /// The same for latencies.
    pub latency_bounds_ns: &'a [u64],
}

impl Relation {
    /// Whether two figures compare so.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "what is asserted to be equal is counted")]
    pub fn holds(self, figure: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => figure <= bound,
            Self::Below => figure < bound,
            Self::AtLeast => figure >= bound,
            Self::Above => figure > bound,
            Self::Is => figure == bound,
            Self::IsNot => figure != bound,
        }
    }

    fn holds_by(self, is_below: bool, is_at_most: bool) -> bool {
        match self {
            Self::AtMost => is_at_most,
            Self::Below => is_below,
            Self::AtLeast => !is_below,
            Self::Above => !is_at_most,
            Self::Is => is_at_most && !is_below,
            Self::IsNot => is_below || !is_at_most,
        }
    }

    /// How far a figure is on the wrong side of a bound; less is better.
    #[must_use]
    pub fn excess(self, figure: f64, bound: f64) -> f64 {
        match self {
            Self::AtMost | Self::Below => figure - bound,
            Self::AtLeast | Self::Above => bound - figure,
            Self::Is => (figure - bound).abs(),
            Self::IsNot => -(figure - bound).abs(),
        }
    }
}

/// A value in the unit of a metric; of none, a share.
fn read_value(value: &str, unit: &str, of: Option<Unit>) -> Result<f64, String> {
    let number = |text: &str| {
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| number.is_finite() && *number >= 0.0)
            .ok_or_else(|| format!("{text:?}: must be a number, not below 0"))
    };
    let percent = |text: &str| number(text).map(|percent| percent / 100.0);
    match (of, unit) {
        (Some(Unit::Ns), _) => {
            let text = format!("{value}{unit}");
            let time = text.parse::<Time>().map_err(|rule| format!("{text:?}: {rule}"))?;
            Ok(time.0 as f64)
        }
        (None | Some(Unit::Share), "%") => percent(value),
        (None | Some(Unit::Share), "") if value.ends_with('%') => {
            percent(value.trim_end_matches('%'))
        }
        (Some(Unit::PodSeconds), "pod-s") | (Some(Unit::Money), _) | (_, "") => number(value),
        _ => Err(format!("{unit:?} is not a unit of it")),
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Assertion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
