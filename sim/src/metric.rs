//! The figures that are asserted, compared and shown, by the names that people write.

mod better;
mod unit;

use std::fmt;

use dormouse_policy::settings::nearest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::scenario::Price;
use crate::world::{Quantile, Score, Times};

pub use better::Better;
pub use unit::Unit;

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// Digits after the point of a percentile: `p99.99`.
const PERCENTILE_DIGITS_MAX: usize = 4;

/// A figure of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Of the times of requests.
    Times(Span, Stat),
    /// How many requests met this fate.
    Requests(Fate),
    /// The same, as a share of those that arrived.
    Share(Fate),
    /// How often something was done.
    Count(Deed),
    /// How far the worst scale-up overshot, as a share of the need.
    Overshoot,
    /// An integral over time, in pod-seconds.
    Seconds(Integral),
    /// The most there was at once.
    Most(Peak),
    /// What it cost.
    Cost,
}

/// A time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// From arrival to dispatch.
    Wait,
    /// From arrival to the end of the answer.
    Latency,
}

/// One figure of many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// What this share of them, in millionths, does not exceed.
    Percentile(u32),
    /// The mean of those that ended.
    Mean,
    /// The longest.
    Max,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$own:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$own])* $variant,)*
        }

        impl $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)*];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// What becomes of requests.
    Fate {
        /// They came.
        Arrived = "arrived",
        /// A pod answered.
        Answered = "answered",
        /// There was no room.
        Refused = "refused",
        /// Their time ran out.
        TimedOut = "timed_out",
        /// They went with what broke.
        Lost = "lost",
        /// The end came first.
        Open = "open",
        /// They waited for longer than is no wait.
        Waited = "waited",
        /// Of these, with no pod there or on its way.
        AtZero = "waited.at_zero",
        /// Of these, with pods on their way.
        Scaling = "waited.scaling",
        /// Of these, with all pods ready.
        Saturated = "waited.saturated",
    }
}

words! {
    /// What is done.
    Deed {
        /// From zero because of a held request.
        ColdStarts = "cold_starts",
        /// From zero for any other reason.
        PreWarms = "pre_warms",
        /// Of these, without a request that used them.
        PreWarmsWasted = "pre_warms.wasted",
        /// More replicas ordered.
        ScaleUps = "scale_ups",
        /// Fewer.
        ScaleDowns = "scale_downs",
        /// A decrease soon undone, and more.
        Flaps = "flaps",
    }
}

words! {
    /// What adds up over time.
    Integral {
        /// Pods, from a place on a node until gone.
        Pods = "pod_seconds",
        /// Ready pods.
        Ready = "ready_seconds",
        /// Pods needed.
        Need = "need_seconds",
        /// Needed and not ready.
        Under = "under",
        /// Ready and not needed.
        Over = "over",
    }
}

words! {
    /// What is most at once.
    Peak {
        /// Pods of a function.
        Pods = "pods.max",
        /// Held requests of a function.
        Held = "held.max",
    }
}

impl Metric {
    /// The metric of that name.
    ///
    /// # Errors
    /// There is none; the nearest is named.
    pub fn parse(name: &str) -> Result<Self, String> {
        if let Some(metric) = Self::fixed().find(|metric| metric.to_string() == name) {
            return Ok(metric);
        }
        if let Some((span, stat)) = name.split_once('.')
            && let Some(span) = Span::of(span)
        {
            return Ok(Self::Times(span, Stat::parse(stat)?));
        }
        if Span::of(name).is_some() {
            return Err(format!("{name} wants a figure: {name}.p99, {name}.mean or {name}.max"));
        }
        let names: Vec<_> = Self::fixed().map(|metric| metric.to_string()).collect();
        let names = names.iter().map(String::as_str).chain(["wait", "latency"]);
        let near = nearest(name, names.clone()).map(str::to_owned);
        match nearest_time(name).or(near) {
            Some(near) => Err(format!("there is no metric {name:?}; did you mean {near}?")),
            None => {
                let names: Vec<_> = names.filter(|name| !name.contains('.')).collect();
                Err(format!("there is no metric {name:?}; there are {}", names.join(", ")))
            }
        }
    }

    /// All whose names are fixed.
    fn fixed() -> impl Iterator<Item = Self> {
        let fates = Fate::ALL.iter().map(|(_, fate)| *fate);
        let shares = fates.clone().filter(|fate| *fate != Fate::Arrived).map(Self::Share);
        let deeds = Deed::ALL.iter().map(|(_, deed)| Self::Count(*deed));
        let integrals = Integral::ALL.iter().map(|(_, integral)| Self::Seconds(*integral));
        let peaks = Peak::ALL.iter().map(|(_, peak)| Self::Most(*peak));
        fates
            .map(Self::Requests)
            .chain(shares)
            .chain(deeds)
            .chain(integrals)
            .chain(peaks)
            .chain([Self::Overshoot, Self::Cost])
    }

    /// The ones that every report shows.
    #[must_use]
    pub fn shown() -> Vec<Self> {
        let stats = [500_000, 900_000, 990_000, 999_000].map(Stat::Percentile);
        let stats = [Stat::Mean].into_iter().chain(stats).chain([Stat::Max]);
        let times = |span| stats.clone().map(move |stat| Self::Times(span, stat));
        let no_times = Self::fixed().filter(|metric| !matches!(metric, Self::Share(_)));
        no_times.chain(times(Span::Wait)).chain(times(Span::Latency)).collect()
    }

    /// What it is counted in.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::Times(..) => Unit::Ns,
            Self::Requests(_) | Self::Count(_) | Self::Most(_) => Unit::Count,
            Self::Share(_) | Self::Overshoot => Unit::Share,
            Self::Seconds(_) => Unit::PodSeconds,
            Self::Cost => Unit::Money,
        }
    }

    /// Whether its value for several functions, or times, is the sum of their values.
    #[must_use]
    pub fn adds_up(self) -> bool {
        matches!(self.unit(), Unit::Count | Unit::PodSeconds | Unit::Money)
            && !matches!(self, Self::Most(_))
    }

    /// Its value; infinite where requests that never ended rank; none if there is nothing to make
    /// it of. Counts are exact up to 2⁵³, percentiles within 0.1 %.
    #[must_use]
    pub fn of(self, score: &Score, price: Option<&Price>) -> Option<f64> {
        match self {
            Self::Times(span, stat) => span.times(score).and_then(|times| stat.of(times)),
            Self::Requests(fate) => match (fate, score.arrived) {
                (Fate::Arrived, _) | (_, 1..) => Some(float(fate.of(score).into())),
                (_, 0) => None,
            },
            Self::Share(fate) => {
                (score.arrived > 0).then(|| fate.of(score) as f64 / score.arrived as f64)
            }
            Self::Count(deed) => Some(float(deed.of(score).into())),
            Self::Overshoot => (score.overshoot.count > 0).then(|| score.overshoot.share()),
            Self::Seconds(integral) => {
                (score.time_ns > 0).then(|| float(integral.of(score)) / SECOND_NS)
            }
            Self::Most(Peak::Pods) => (score.time_ns > 0).then(|| f64::from(score.pods_most)),
            Self::Most(Peak::Held) => (score.time_ns > 0).then(|| f64::from(score.held_most)),
            Self::Cost => price.map(|price| cost(score, price)),
        }
    }
}

/// pod-hour price × pod-hours + price per cold start + price per request that got no answer.
fn cost(score: &Score, price: &Price) -> f64 {
    let pod_hours = float(score.pod_ns) / SECOND_NS / 3600.0;
    let unanswered = score.refused + score.timed_out + score.lost;
    price.pod_hour * pod_hours
        + price.cold_start * score.cold_starts as f64
        + price.refused * unanswered as f64
}

/// The figure of a wait or a latency that is most like `name`, if it is like one.
fn nearest_time(name: &str) -> Option<String> {
    let (span, stat) = name.split_once('.').filter(|(_, stat)| Stat::parse(stat).is_ok())?;
    nearest(span, ["wait", "latency"]).map(|span| format!("{span}.{stat}"))
}

fn float(number: u128) -> f64 {
    number as f64
}

impl Span {
    fn of(word: &str) -> Option<Self> {
        match word {
            "wait" => Some(Self::Wait),
            "latency" => Some(Self::Latency),
            _ => None,
        }
    }

    /// The times of a score; none if nothing was counted.
    #[must_use]
    pub fn times(self, score: &Score) -> Option<&Times> {
        let times = match self {
            Self::Wait => &score.wait,
            Self::Latency => &score.latency,
        };
        (times.total() > 0).then_some(times)
    }
}

impl Stat {
    fn parse(word: &str) -> Result<Self, String> {
        match word {
            "mean" => return Ok(Self::Mean),
            "max" => return Ok(Self::Max),
            _ => {}
        }
        let rule = || format!("{word:?}: must be mean, max or a percentile such as p99 or p99.9");
        let percent = word.strip_prefix('p').ok_or_else(rule)?;
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
            return Err(rule());
        }
        if fraction.len() > PERCENTILE_DIGITS_MAX {
            return Err(format!("{word:?}: has more than {PERCENTILE_DIGITS_MAX} decimals"));
        }
        let ppm = format!("{whole}{fraction:0<4}").parse().map_err(|_| rule())?;
        match ppm {
            1..=1_000_000 => Ok(Self::Percentile(ppm)),
            _ => Err(format!("{word:?}: must be above p0 and up to p100")),
        }
    }

    fn of(self, times: &Times) -> Option<f64> {
        match self {
            Self::Mean => times.mean_ns(),
            Self::Max => match times.infinite {
                0 => Some(times.most_ns as f64),
                _ => Some(f64::INFINITY),
            },
            Self::Percentile(ppm) => times.quantile(ppm).map(|quantile| match quantile {
                Quantile::Ns(ns) => ns as f64,
                Quantile::Infinite => f64::INFINITY,
            }),
        }
    }
}

impl Fate {
    fn of(self, score: &Score) -> u64 {
        match self {
            Self::Arrived => score.arrived,
            Self::Answered => score.answered,
            Self::Refused => score.refused,
            Self::TimedOut => score.timed_out,
            Self::Lost => score.lost,
            Self::Open => score.open,
            Self::Waited => score.waited.total(),
            Self::AtZero => score.waited.at_zero,
            Self::Scaling => score.waited.scaling,
            Self::Saturated => score.waited.saturated,
        }
    }
}

impl Deed {
    fn of(self, score: &Score) -> u64 {
        match self {
            Self::ColdStarts => score.cold_starts,
            Self::PreWarms => score.pre_warms,
            Self::PreWarmsWasted => score.pre_warms_wasted,
            Self::ScaleUps => score.scale_ups,
            Self::ScaleDowns => score.scale_downs,
            Self::Flaps => score.flaps,
        }
    }
}

impl Integral {
    fn of(self, score: &Score) -> u128 {
        match self {
            Self::Pods => score.pod_ns,
            Self::Ready => score.ready_ns,
            Self::Need => score.need_ns,
            Self::Under => score.under_ns,
            Self::Over => score.over_ns,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(span, stat) => {
                f.write_str(match span {
                    Span::Wait => "wait",
                    Span::Latency => "latency",
                })?;
                match stat {
                    Stat::Mean => f.write_str(".mean"),
                    Stat::Max => f.write_str(".max"),
                    Stat::Percentile(ppm) => {
                        let fraction = format!("{:04}", ppm % 10_000);
                        write!(f, ".p{}", ppm / 10_000)?;
                        match fraction.trim_end_matches('0') {
                            "" => Ok(()),
                            fraction => write!(f, ".{fraction}"),
                        }
                    }
                }
            }
            Self::Requests(fate) => f.write_str(fate.word()),
            Self::Share(fate) => write!(f, "{}.share", fate.word()),
            Self::Count(deed) => f.write_str(deed.word()),
            Self::Overshoot => f.write_str("overshoot"),
            Self::Seconds(integral) => f.write_str(integral.word()),
            Self::Most(peak) => f.write_str(peak.word()),
            Self::Cost => f.write_str("cost"),
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for metric in Metric::shown() {
            assert_eq!(Metric::parse(&metric.to_string()), Ok(metric));
        }
        let rare = Metric::Times(Span::Wait, Stat::Percentile(999_950));
        assert_eq!(rare.to_string(), "wait.p99.995");
        assert_eq!(Metric::parse("wait.p99.995"), Ok(rare));
        assert_eq!(Metric::parse("lost.share"), Ok(Metric::Share(Fate::Lost)));
    }

    #[test]
    fn cost_is_of_pods_cold_starts_and_requests_without_an_answer() {
        let pod_ns = 90 * 60 * 1_000_000_000;
        let gone = Score { refused: 2, timed_out: 3, lost: 5, ..Score::default() };
        let score = Score { pod_ns, cold_starts: 7, answered: 100, ..gone };
        let currency = String::from("EUR");
        let price = Price { pod_hour: 2.0, cold_start: 100.0, refused: 1_000.0, currency };
        assert_eq!(Metric::Cost.of(&score, Some(&price)), Some(3.0 + 700.0 + 10_000.0));
        assert_eq!(Metric::Cost.of(&score, None), None);
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_the_nearest() {
        for (name, want) in [
            ("cold_start", "there is no metric \"cold_start\"; did you mean cold_starts?"),
            ("wait", "wait wants a figure: wait.p99, wait.mean or wait.max"),
            ("wait.p0", "\"p0\": must be above p0 and up to p100"),
            ("wait.p101", "\"p101\": must be above p0 and up to p100"),
            ("wait.p99.99999", "\"p99.99999\": has more than 4 decimals"),
            ("wait.pNaN", "\"pNaN\": must be mean, max or a percentile such as p99 or p99.9"),
        ] {
            assert_eq!(Metric::parse(name), Err(want.to_owned()));
        }
    }
}
