//! What is varied: an annotation and the values that it may take.

use dormouse_policy::settings::keys::{Key, Standing};
use dormouse_policy::settings::{
    self, ANNOTATIONS, Annotations, ClusterDefaults, Grammar, ZeroInitialScale, duration_ns,
};
use serde::{Deserialize, Serialize};

use crate::draw::Stream;
use crate::scenario::Time;

/// Digits of a number that is drawn: more than anybody would write, or could tell apart.
const DIGITS: usize = 3;

/// An annotation that is varied, and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The annotation.
    pub key: String,
    /// Its values.
    pub values: Values,
}

/// The values that an annotation may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// These.
    Listed(Vec<String>),
    /// Drawn from one to another.
    Drawn(Range),
}

/// From where to where values are drawn, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// Whole numbers, each as likely as any other.
    Whole(u32, u32),
    /// Numbers of three digits, log-uniform; from 0, uniform.
    Number(f64, f64),
    /// The same of durations: from, to, and what each is a multiple of, in nanoseconds.
    Duration(u64, u64, u64),
}

impl Axis {
    /// Reads `KEY=V1,V2,…`.
    ///
    /// # Errors
    /// The rule that it breaks, with the key and the value.
    pub fn listed(text: &str) -> Result<Self, String> {
        let (key, values) = split(text, "KEY=V1,V2,…")?;
        let mut listed: Vec<String> = Vec::new();
        for value in values.split(',').map(str::trim) {
            check(key, value)?;
            if listed.iter().any(|other| other == value) {
                return Err(format!("{}: {value:?} is there twice", key.name));
            }
            listed.push(value.to_owned());
        }
        Ok(Self { key: key.name.to_owned(), values: Values::Listed(listed) })
    }

    /// Reads `KEY=LO..HI`.
    ///
    /// # Errors
    /// The rule that it breaks, with the key and the value.
    pub fn drawn(text: &str) -> Result<Self, String> {
        let (key, range) = split(text, "KEY=LO..HI")?;
        let (low, high) = range
            .split_once("..")
            .map(|(low, high)| (low.trim(), high.trim()))
            .ok_or_else(|| format!("{}: {range:?}: must be LO..HI", key.name))?;
        check(key, low)?;
        check(key, high)?;
        let number = |text: &str| text.parse::<f64>().unwrap_or_default();
        let whole = |text: &str| text.parse::<u32>().unwrap_or_default();
        let ns = |text: &str| duration_ns(text).map_or(0, i64::unsigned_abs);
        let range = match key.grammar {
            Grammar::Integer(..) => Range::Whole(whole(low), whole(high)),
            Grammar::Number(..) | Grammar::Above(_) | Grammar::Spare => {
                Range::Number(number(low), number(high))
            }
            Grammar::Duration(_, _, unit) => {
                Range::Duration(ns(low), ns(high), unit.unsigned_abs())
            }
            _ => {
                let rule = format!("{}: has no range; list its values by --grid", key.name);
                return Err(rule);
            }
        };
        match range.ascends() {
            true => Ok(Self { key: key.name.to_owned(), values: Values::Drawn(range) }),
            false => Err(format!("{}: {low}..{high}: must go up", key.name)),
        }
    }
}

impl Values {
    /// The value of a candidate of that number, drawn by `stream`.
    pub(super) fn draw(&self, stream: Stream, candidate: u64) -> String {
        match self {
            Self::Listed(values) => {
                let place = stream.below(candidate, values.len() as u64);
                values[usize::try_from(place).unwrap_or_default()].clone()
            }
            Self::Drawn(range) => range.draw(stream, candidate),
        }
    }
}

impl Range {
    fn ascends(self) -> bool {
        match self {
            Self::Whole(low, high) => low < high,
            Self::Number(low, high) => low < high,
            Self::Duration(low, high, _) => low < high,
        }
    }

    fn draw(self, stream: Stream, candidate: u64) -> String {
        let unit = stream.unit(candidate);
        match self {
            Self::Whole(low, high) => {
                let more = stream.below(candidate, u64::from(high - low) + 1);
                (u64::from(low) + more).to_string()
            }
            Self::Number(low, high) => between(low, high, unit).to_string(),
            Self::Duration(low, high, multiple) => {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between two durations of less than 2⁵³ nanoseconds"
                )]
                let ns = between(low as f64, high as f64, unit) as u64;
                Time((ns / multiple * multiple).clamp(low, high)).to_string()
            }
        }
    }
}

/// The number that a share `unit` of the draws is below, in three digits: low · (high ÷ low)^unit,
/// so that every doubling is as likely as any other; from 0 or below, low + unit · (high − low).
fn between(low: f64, high: f64, unit: f64) -> f64 {
    let drawn = match low > 0.0 {
        true => low * libm::exp(unit * libm::log(high / low)),
        false => low + unit * (high - low),
    };
    let short = format!("{drawn:.*e}", DIGITS - 1).parse().unwrap_or(drawn);
    f64::clamp(short, low, high)
}

/// Key and rest of `text`.
fn split<'a>(text: &'a str, shape: &str) -> Result<(&'static Key, &'a str), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("{text:?}: must be {shape}"))?;
    let key = ANNOTATIONS.known(name).map_err(|rule| format!("{name:?}: {rule}"))?;
    match (key.standing, key.grammar) {
        (Standing::NotYet, _) => Err(format!("{name}: is not yet supported")),
        (_, Grammar::Hosts | Grammar::Text) => Err(format!("{name}: says nothing of scaling")),
        _ => Ok((key, rest)),
    }
}

/// Whether an annotation may have that value, whatever else is said.
fn check(key: &Key, value: &str) -> Result<(), String> {
    let annotations = Annotations::from([(key.name.to_owned(), value.to_owned())]);
    let defaults = ClusterDefaults {
        zero_initial_scale: ZeroInitialScale::Allowed,
        ..ClusterDefaults::default()
    };
    match settings::parse(&annotations, &Annotations::new(), &defaults) {
        Ok(_) => Ok(()),
        Err(faults) => Err(faults.first().map(ToString::to_string).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: &str = "autoscaling.knative.dev/window";
    const TARGET: &str = "autoscaling.knative.dev/target";

    #[test]
    fn what_is_no_axis_is_named_with_its_rule() {
        for (text, rule) in [
            ("window", "\"window\": must be KEY=V1,V2,…"),
            ("window=6s", "did you mean autoscaling.knative.dev/window?"),
            ("autoscaling.knative.dev/window=5s", "/window: \"5s\": must be a duration"),
            ("autoscaling.knative.dev/window=9s,", "/window: \"\": must be a duration"),
            ("autoscaling.knative.dev/window=9s,8s,9s", "\"9s\" is there twice"),
            ("autoscaling.knative.dev/metric=cpu", "\"cpu\": must be "),
            ("dormouse.dev/hosts=a.example", "says nothing of scaling"),
            ("dormouse.dev/mode=full", "is not yet supported"),
        ] {
            let told = Axis::listed(text).unwrap_err();
            assert!(told.contains(rule), "{text}: {told}");
        }
        for (text, rule) in [
            ("autoscaling.knative.dev/window=9s", "must be LO..HI"),
            ("autoscaling.knative.dev/window=9s..8s", "9s..8s: must go up"),
            ("autoscaling.knative.dev/window=9s..9s", "must go up"),
            ("autoscaling.knative.dev/window=9s..2h", "\"2h\": must be a duration"),
            ("autoscaling.knative.dev/target=NaN..2", "\"NaN\": must be a number"),
            ("autoscaling.knative.dev/metric=rps..concurrency", "list its values by --grid"),
        ] {
            let told = Axis::drawn(text).unwrap_err();
            assert!(told.contains(rule), "{text}: {told}");
        }
    }

    #[test]
    fn an_older_spelling_is_the_same_key() {
        let axis = Axis::listed("autoscaling.knative.dev/minScale=0,1").unwrap();
        assert_eq!(axis.key, "autoscaling.knative.dev/min-scale");
    }

    fn drawn(text: &str) -> Vec<String> {
        let axis = Axis::drawn(text).unwrap();
        (0..4_000).map(|number| axis.values.draw(Stream::new(1, "test", 0), number)).collect()
    }

    #[test]
    fn what_is_drawn_may_be_annotated_and_is_as_likely_in_every_doubling() {
        let windows = drawn(&format!("{WINDOW}=8s..128s"));
        let targets = drawn(&format!("{TARGET}=0.5..8"));
        for (key, values) in [(WINDOW, &windows), (TARGET, &targets)] {
            let key = ANNOTATIONS.lookup(key).unwrap();
            values.iter().for_each(|value| check(key, value).unwrap());
        }
        let seconds = windows.iter().map(|text| duration_ns(text).unwrap() / 1_000_000_000);
        let doublings = seconds.map(|it| it.ilog2()).fold([0; 5], |mut counts, it| {
            counts[it as usize - 3] += 1;
            counts
        });
        assert!(doublings[..4].iter().all(|count| (800..1_200).contains(count)), "{doublings:?}");
        let low = targets.iter().filter(|it| it.parse::<f64>().unwrap() < 2.0).count();
        assert!((1_850..2_150).contains(&low), "{low}");
        let digits = |text: &String| text.replace('.', "").trim_start_matches('0').len();
        assert!(targets.iter().all(|text| digits(text) <= DIGITS), "{targets:?}");
    }

    #[test]
    fn both_ends_of_whole_numbers_are_drawn_and_zero_may_begin_a_range() {
        let scales = drawn("autoscaling.knative.dev/min-scale=0..2");
        for scale in ["0", "1", "2"] {
            let count = scales.iter().filter(|it| *it == scale).count();
            assert!((1_200..1_500).contains(&count), "{scale}: {count}");
        }
        let delays = drawn("autoscaling.knative.dev/scale-down-delay=0s..10s");
        assert!(delays.iter().any(|it| it == "0s") && delays.iter().any(|it| it == "9s"));
    }
}
