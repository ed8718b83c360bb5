//! Policies beside each other in the same world: by how much each figure differs from that of the
//! first policy, how sure that is, and what it comes to.
//!
//! Every draw is keyed, so that two policies see the same requests, served in the same times by
//! pods that start in the same times; what differs is theirs. With invented loads the question is
//! what other draws would have shown: the differences are paired by seed. With a trace it is what
//! other functions would have shown: they are drawn again. Seeds say little there, for the counts
//! are always those recorded.

mod alike;
mod resampled;

use std::fmt;

use crate::judge::Outcome;
use crate::metric::{Better, Metric};
use crate::plan::{Plan, SeedRange};
use crate::scenario::Traffic;
use crate::statistics::{Interval, Pair, RESAMPLES, UNITS_MIN, mean, paired_t};

pub use alike::difference;
use resampled::Resampled;

/// Fewest seeds that invented loads are compared by: of fewer, t is so wide that next to nothing
/// is ever decided.
pub const SEEDS_MIN: u64 = 10;

/// Within which share of the baseline's a figure is the same, unless it is said otherwise.
pub const MARGIN: f64 = 0.02;

/// The start-up times, in percent of the scenario's, at which every verdict is looked at again:
/// they are what is least known of a function, and what the way to zero depends on most.
pub const START_UPS: [u32; 2] = [50, 200];

/// One of the policies that are compared.
#[derive(Clone)]
pub struct Contestant<'a> {
    /// What it is called: no two alike.
    pub name: String,
    /// What came of it.
    pub outcome: &'a Outcome<'a>,
    /// Its place in the scenario of that.
    pub policy: usize,
}

/// Policies beside the first of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The policy that the others are compared with.
    pub baseline: String,
    /// What the intervals are made of.
    pub basis: Basis,
    /// Within which share of the baseline's a figure is the same.
    pub margin: f64,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Each other policy by each figure, policy by policy; without figures that have no data.
    pub rows: Vec<Row>,
}

/// What the intervals are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Differences by seed, so many.
    Seeds(usize),
    /// So many functions of a trace, drawn again.
    Functions(usize),
    /// So few functions of a trace that there is no interval.
    TooFewFunctions(usize),
}

/// One figure of one policy beside the baseline's.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The policy.
    pub policy: String,
    /// The figure.
    pub metric: Metric,
    /// The baseline's: the mean of the seeds, in the unit of the metric.
    pub was: f64,
    /// The policy's.
    pub is: f64,
    /// The interval of `is − was`; none if there are too few functions, or a figure is infinite.
    pub interval: Option<Interval>,
    /// Both figures, seed by seed.
    pub seeds: Vec<Pair>,
    /// What it comes to.
    pub verdict: Verdict,
    /// What it came to with all start-ups at so many percent of their time.
    pub with_start_up: Vec<(u32, Option<Verdict>)>,
}

/// What a difference comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is on the better side, beyond the margin.
    Better,
    /// The whole interval is on the worse side, beyond the margin.
    Worse,
    /// The whole interval is inside the margin.
    Same,
    /// None of these.
    Undecided,
}

impl Basis {
    /// That of a plan: its functions if any of them is from a trace, else its seeds.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut traffic = plan.scenario.functions.iter().map(|function| &function.traffic);
        match (
            traffic.any(|it| matches!(it, Traffic::Trace(_) | Traffic::Arrivals(_))),
            plan.functions.len(),
        ) {
            (false, _) => Self::Seeds(plan.seeds.len()),
            (true, count @ 0..UNITS_MIN) => Self::TooFewFunctions(count),
            (true, count) => Self::Functions(count),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seeds(count) => write!(f, "paired t over {count} seeds"),
            Self::Functions(count) => {
                write!(f, "bootstrap over {count} functions, {RESAMPLES} resamples")
            }
            Self::TooFewFunctions(count) => {
                write!(f, "none, for {count} functions of a trace are fewer than {UNITS_MIN}")
            }
        }
    }
}

impl Verdict {
    /// What the interval of a difference from `was` comes to.
    #[must_use]
    pub fn of(interval: Interval, was: f64, margin: f64, better: Better) -> Self {
        let reach = was * margin;
        match better {
            _ if interval.low >= -reach && interval.high <= reach => Self::Same,
            Better::Less if interval.low > reach => Self::Worse,
            Better::Less if interval.high < -reach => Self::Better,
            Better::More if interval.low > reach => Self::Better,
            Better::More if interval.high < -reach => Self::Worse,
            _ => Self::Undecided,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Undecided => "undecided",
        })
    }
}

impl Row {
    /// `is − was`; infinite, or none at all, where figures are.
    #[must_use]
    pub fn difference(&self) -> Option<f64> {
        mean(&self.seeds.iter().map(difference_of).collect::<Vec<_>>()).filter(|it| !it.is_nan())
    }

    /// A difference as a share of the baseline's figure, where that is one.
    #[must_use]
    pub fn share(&self, difference: f64) -> Option<f64> {
        (self.was > 0.0 && self.was.is_finite()).then(|| difference / self.was)
    }
}

impl Comparison {
    /// Compares the first of the contestants with each of the others.
    #[must_use]
    pub fn new(contestants: &[Contestant<'_>], metrics: &[Metric], margin: f64) -> Self {
        let Some((baseline, others)) = contestants.split_first() else {
            return Self {
                baseline: String::new(),
                basis: Basis::Seeds(0),
                margin,
                seeds: Vec::new(),
                rows: Vec::new(),
            };
        };
        let plan = baseline.outcome.plan;
        let basis = Basis::of(plan);
        let resampled = |it: &Contestant<'_>| match basis {
            Basis::Functions(_) => Resampled::of(it, metrics),
            _ => Resampled::default(),
        };
        let first = resampled(baseline);
        let mut rows = Vec::new();
        for other in others {
            let second = resampled(other);
            for (place, &metric) in metrics.iter().enumerate() {
                let seeds = (0..plan.seeds.len()).map(|seed| {
                    Some(Pair {
                        baseline: baseline.figure(seed, metric)?,
                        other: other.figure(seed, metric)?,
                    })
                });
                let Some(seeds) = seeds.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty())
                else {
                    continue;
                };
                let resampled = || resampled::interval(&first, &second, place, &seeds);
                let interval = interval(basis, &seeds, resampled);
                rows.push(Row::new(&other.name, metric, seeds, interval, margin));
            }
        }
        Self { baseline: baseline.name.clone(), basis, margin, seeds: plan.seeds.clone(), rows }
    }

    /// Notes beside each verdict what it would be with start-ups at so many percent of their time,
    /// by a comparison of the same policies that was made so.
    pub fn note_start_up(&mut self, percent: u32, scaled: &Self) {
        for row in &mut self.rows {
            let is_it = |it: &&Row| it.policy == row.policy && it.metric == row.metric;
            let verdict = scaled.rows.iter().find(is_it).map(|it| it.verdict);
            row.with_start_up.push((percent, verdict));
        }
    }

    /// The policies that are compared with the baseline, in order.
    #[must_use]
    pub fn others(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.rows.iter().map(|row| row.policy.as_str()).collect();
        names.dedup();
        names
    }

    /// Whether some figure of some policy is worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Worse)
    }
}

impl Row {
    fn new(
        policy: &str,
        metric: Metric,
        seeds: Vec<Pair>,
        interval: Option<Interval>,
        margin: f64,
    ) -> Self {
        let mean_of = |of: fn(&Pair) -> f64| seeds.iter().map(of).sum::<f64>() / seeds.len() as f64;
        let (was, is) = (mean_of(|pair| pair.baseline), mean_of(|pair| pair.other));
        let better = metric.better();
        let verdict = match interval {
            Some(interval) => Verdict::of(interval, was, margin, better),
            // What is infinite has no interval; where it is on every seed there is no doubt.
            None => {
                let all =
                    |sign: f64| seeds.iter().all(|pair| difference_of(pair) * sign > f64::MAX);
                let [more, less] = [1.0, -1.0].map(all);
                match better {
                    Better::Less if more => Verdict::Worse,
                    Better::Less if less => Verdict::Better,
                    _ => Verdict::Undecided,
                }
            }
        };
        let policy = policy.to_owned();
        Self { policy, metric, was, is, interval, seeds, verdict, with_start_up: Vec::new() }
    }
}

impl Contestant<'_> {
    /// A figure of one seed, of all functions together.
    fn figure(&self, seed: usize, metric: Metric) -> Option<f64> {
        let Outcome { plan, .. } = self.outcome;
        let card = self.outcome.card(self.policy, seed);
        let score = self.outcome.score(card, None, plan.scored());
        metric.of(&score, plan.scenario.score.price.as_ref())
    }
}

/// Gives a plan of invented loads at least [`SEEDS_MIN`] seeds: those that were `asked` for must be
/// as many, the scenario's own are added to.
///
/// # Errors
/// The rule that `asked` breaks.
pub fn take_seeds(plan: &mut Plan, asked: Option<SeedRange>) -> Result<(), String> {
    match (Basis::of(plan), asked) {
        (Basis::Seeds(count), _) if count as u64 >= SEEDS_MIN => Ok(()),
        (Basis::Seeds(_), Some(seeds)) => {
            Err(format!("--seed {seeds}: invented loads are compared by {SEEDS_MIN} seeds or more"))
        }
        (Basis::Seeds(_), None) => {
            plan.seeds = (1..=SEEDS_MIN).collect();
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Every policy of every outcome, in order: by its own name, or with its file's before it where
/// another one has that too. `files` are the names of the outcomes' files.
#[must_use]
pub fn contestants<'a>(outcomes: &'a [Outcome<'a>], files: &[String]) -> Vec<Contestant<'a>> {
    let policies = |outcome: &'a Outcome<'a>| outcome.plan.scenario.policies.iter();
    let mut all = Vec::new();
    for (outcome, file) in outcomes.iter().zip(files) {
        for (policy, own) in policies(outcome).enumerate() {
            let same = outcomes.iter().flat_map(policies).filter(|it| it.name == own.name);
            let name = match same.count() {
                1 => own.name.clone(),
                _ => format!("{file}:{}", own.name),
            };
            all.push(Contestant { name, outcome, policy });
        }
    }
    all
}

/// By how much a pair differs; not at all if both are infinite.
#[allow(clippy::float_cmp, reason = "what is counted alike is alike, the infinite too")]
fn difference_of(pair: &Pair) -> f64 {
    if pair.other == pair.baseline { 0.0 } else { pair.other - pair.baseline }
}

fn interval(
    basis: Basis,
    seeds: &[Pair],
    resampled: impl FnOnce() -> Option<Interval>,
) -> Option<Interval> {
    let differences: Vec<_> = seeds.iter().map(difference_of).collect();
    if differences.iter().all(|it| it.abs() <= 0.0) {
        return Some(Interval { low: 0.0, high: 0.0 });
    }
    match basis {
        Basis::Seeds(_) => paired_t(&differences),
        Basis::Functions(_) => resampled(),
        Basis::TooFewFunctions(_) => None,
    }
}

#[cfg(test)]
mod tests;
