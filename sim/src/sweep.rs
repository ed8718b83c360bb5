//! Many settings beside the ones there are: which of them cost less, or let less wait.
//!
//! A [`Search`] says which annotations are varied. Each candidate is simulated on the first half of
//! the scored time; those that no other one beats in both cost and waiting are the **frontier**
//! (Pareto's). They are simulated again with fresh seeds and judged by the second half, which had
//! no part in the choice, so that luck that was chosen is not reported as gain ([`run`]). What
//! comes of it is one [`Sweep`], or one of each [`Slice`]: [`merge()`] makes the whole of them, to
//! the byte.

mod axis;
mod search;
mod slice;
mod running;
mod merge;
mod choice;
mod figure;

use dormouse_policy::settings::Annotations;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::input::Hashed;
use crate::metric::Metric;
use crate::scenario::Time;

pub use axis::{Axis, Range, Values};
pub use choice::{Basis, Change, Choice, Finding};
pub use merge::{MergeError, merge, read};
pub use running::{Error, Order, Progress, run};
pub use search::{CANDIDATES_MAX, Search};
pub use slice::Slice;

/// The version of the shape that sweeps are written in.
pub const SCHEMA: u32 = 1;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is paid.
    pub cost: Metric,
    /// What is suffered.
    pub waiting: Metric,
    /// Which of them is to be lowered.
    pub lower: Lower,
    /// By how much the other may be above the baseline's and still count as not raised, as a share
    /// of it.
    pub margin: f64,
}

/// Which figure is to be lowered, without the other being raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lower {
    /// What is paid.
    Cost,
    /// What is suffered.
    Waiting,
}

/// What was tried, and what came of it: the whole, or a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The version of its shape.
    pub schema: u32,
    /// The version of the program that made it.
    pub version: String,
    /// Which part of the candidates it has.
    pub partition: Slice,
    /// Of what it is; the same in all its slices.
    pub of: Subject,
    /// What there is without any of them. Its number is 0.
    pub baseline: Candidate,
    /// The candidates, by number.
    pub candidates: Vec<Candidate>,
}

/// What a sweep is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The scenario, with every default filled in and the baseline alone as policy.
    pub scenario: Value,
    /// The policy that is the baseline.
    pub baseline: String,
    /// The files that took part.
    pub inputs: Vec<Hashed>,
    /// The flags that stand in place of annotations.
    pub set: Vec<(String, String)>,
    /// What is varied.
    pub search: Search,
    /// How many candidates there are.
    pub candidates: usize,
    /// What is wanted.
    pub goal: Goal,
    /// On what it is chosen.
    pub chosen_on: Half,
    /// By what it is judged.
    pub judged_on: Half,
    /// What intervals are made over.
    pub basis: Basis,
}

/// One half of the scored time, with seeds of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    /// From when on it counts.
    pub from: Time,
    /// Until when.
    pub until: Time,
    /// The first of its seeds.
    pub first_seed: u64,
    /// The last.
    pub last_seed: u64,
}

/// Settings that are tried, and their figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which one it is.
    pub number: usize,
    /// Its annotations in place of the baseline's.
    pub set: Annotations,
    /// Its figures on the half that is chosen on, of each seed.
    pub chosen: Vec<Figures>,
    /// The same on the half that is judged by; none where another one beats it.
    pub judged: Option<Judged>,
}

/// Figures on the half that is judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Of each seed.
    pub seeds: Vec<Figures>,
    /// Of each function, the mean of the seeds; none where intervals are made over seeds.
    pub functions: Vec<Figures>,
}

/// What was paid and what was suffered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// In the unit of [`Goal::cost`].
    #[serde(with = "figure")]
    pub cost: f64,
    /// In the unit of [`Goal::waiting`].
    #[serde(with = "figure")]
    pub waiting: f64,
}

impl Figures {
    /// The mean of several; of none, zeros.
    #[must_use]
    pub fn mean(several: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| {
            several.iter().map(of).sum::<f64>() / several.len().max(1) as f64
        };
        Self { cost: mean(|it| it.cost), waiting: mean(|it| it.waiting) }
    }
}

impl Candidate {
    /// The mean of its figures on the half that is chosen on.
    #[must_use]
    pub fn mean(&self) -> Figures {
        Figures::mean(&self.chosen)
    }

    /// Its annotations, short; the baseline's name for the baseline.
    #[must_use]
    pub fn name<'a>(&'a self, baseline: &'a str) -> String {
        match self.set.is_empty() {
            true => baseline.to_owned(),
            false => words(&self.set),
        }
    }
}

/// Annotations without their prefixes, in one line.
#[must_use]
pub fn words(set: &Annotations) -> String {
    let words = set.iter().map(|(key, value)| format!("{}={value}", crate::scenario::short(key)));
    words.collect::<Vec<_>>().join(" ")
}

impl Sweep {
    /// The baseline and the candidates, by number.
    pub fn all(&self) -> impl Iterator<Item = &Candidate> + Clone {
        [&self.baseline].into_iter().chain(&self.candidates)
    }

    /// Those that no other one beats, from the least cost to the least waiting. Of several with the
    /// same figures the first counts, so that what changes nothing is not on it.
    #[must_use]
    pub fn frontier(&self) -> Vec<&Candidate> {
        let means = self.all().map(|candidate| (candidate, candidate.mean()));
        let mut sorted: Vec<_> = means.collect();
        sorted.sort_by(|(one, mean), (other, others)| {
            let by_cost = mean.cost.total_cmp(&others.cost);
            by_cost
                .then(mean.waiting.total_cmp(&others.waiting))
                .then(one.number.cmp(&other.number))
        });
        let mut least = None;
        sorted.retain(|(_, mean)| {
            let is_left = least.is_none_or(|least| mean.waiting < least);
            if is_left {
                least = Some(mean.waiting);
            }
            is_left
        });
        sorted.into_iter().map(|(candidate, _)| candidate).collect()
    }

    /// Leaves what another one beats without figures on the half that is judged by: in a slice it
    /// may not have been beaten.
    fn prune(&mut self) {
        let frontier: Vec<_> = self.frontier().iter().map(|it| it.number).collect();
        for candidate in &mut self.candidates {
            if !frontier.contains(&candidate.number) {
                candidate.judged = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
