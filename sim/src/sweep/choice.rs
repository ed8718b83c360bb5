//! Which candidate is suggested, if any.

use serde::{Deserialize, Serialize};

use super::{Candidate, Figures, Goal, Lower, Sweep};
use crate::scenario::{Function, Scenario, Traffic};
use crate::statistics::{Interval, bootstrap, mean, paired_t};

/// What could have come out otherwise, which intervals are made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The draws: of invented loads.
    Seeds,
    /// The functions of a trace.
    Functions,
}

/// How a figure changes from the baseline to a candidate, on the half that is judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The baseline's.
    pub was: f64,
    /// The candidate's.
    pub is: f64,
    /// Where the difference lies in 95 of 100 cases; none where there is too little to tell.
    pub interval: Option<Interval>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Take the candidate.
    Suggested,
    /// None was better already where it was chosen.
    NoneBetter,
    /// It was better, and lowers nothing on the other half, or may do so by chance.
    Chance,
    /// It raises, on the other half, what was not to be raised.
    Raises,
    /// There are too few seeds or functions to tell.
    TooFew,
}

/// The best candidate and what is to be done with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<'a> {
    /// It; none where the baseline is best.
    pub best: Option<&'a Candidate>,
    /// What is to be done.
    pub finding: Finding,
    /// How the cost changes by it.
    pub cost: Change,
    /// How the waiting changes by it.
    pub waiting: Change,
}

impl Basis {
    /// That of a scenario: its functions if anything of it was recorded, for then the seeds say
    /// little.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let is_trace = |function: &Function| matches!(function.traffic, Traffic::Trace(_));
        match scenario.functions.iter().any(is_trace) {
            true => Self::Functions,
            false => Self::Seeds,
        }
    }
}

impl Change {
    /// The difference, as a share of what was; none of 0.
    #[must_use]
    pub fn share(self, difference: f64) -> Option<f64> {
        (self.was > 0.0 && self.was.is_finite()).then(|| difference / self.was)
    }
}

impl Sweep {
    /// Of the candidates that do not raise one figure by more than the margin, the one that lowers
    /// the other the most, and whether it does so again on the other half.
    #[must_use]
    pub fn choice(&self) -> Choice<'_> {
        let Goal { lower, margin, .. } = self.of.goal;
        let order = |figures: Figures| match lower {
            Lower::Cost => (figures.cost, figures.waiting),
            Lower::Waiting => (figures.waiting, figures.cost),
        };
        let (was, kept) = order(self.baseline.mean());
        let raises = |kept: f64, now: f64| now > kept * (1.0 + margin);
        let best = self.frontier().into_iter().filter(|candidate| {
            let (is, other) = order(candidate.mean());
            candidate.number > 0 && is < was && !raises(kept, other)
        });
        let best = best.min_by(|one, other| {
            let (one, other) = (order(one.mean()), order(other.mean()));
            one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
        });
        let beside = best.unwrap_or(&self.baseline);
        let cost = self.change(beside, |figures| figures.cost);
        let waiting = self.change(beside, |figures| figures.waiting);
        let (lowered, kept) = match lower {
            Lower::Cost => (cost, waiting),
            Lower::Waiting => (waiting, cost),
        };
        let finding = match (best, lowered.interval) {
            (None, _) => Finding::NoneBetter,
            (Some(_), None) => Finding::TooFew,
            (Some(_), Some(interval)) if interval.high >= 0.0 => Finding::Chance,
            _ if raises(kept.was, kept.is) => Finding::Raises,
            _ => Finding::Suggested,
        };
        Choice { best, finding, cost, waiting }
    }

    fn change(&self, candidate: &Candidate, of: fn(&Figures) -> f64) -> Change {
        let [Some(was), Some(is)] = [&self.baseline.judged, &candidate.judged] else {
            return Change { was: 0.0, is: 0.0, interval: None };
        };
        let differences = |was: &[Figures], is: &[Figures]| {
            let pairs = was.iter().zip(is);
            pairs.map(|(was, is)| of(is) - of(was)).collect::<Vec<_>>()
        };
        let interval = match self.of.basis {
            Basis::Seeds => paired_t(&differences(&was.seeds, &is.seeds)),
            Basis::Functions => {
                let each = differences(&was.functions, &is.functions);
                let sum = |counts: &[u32]| {
                    each.iter().zip(counts).map(|(it, count)| it * f64::from(*count)).sum()
                };
                bootstrap(each.len(), sum)
            }
        };
        let mean =
            |seeds: &[Figures]| mean(&seeds.iter().map(of).collect::<Vec<_>>()).unwrap_or_default();
        Change { was: mean(&was.seeds), is: mean(&is.seeds), interval }
    }
}
