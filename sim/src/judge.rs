//! What holds of what was asserted.

use std::num::NonZeroUsize;

use crate::assertion::{Assertion, Basis};
use crate::plan::Plan;
use crate::run::{Broken, Job};
use crate::scenario::Time;
use crate::world::{Log, Score, Scorecard};

/// Parts of the scored time that are looked at for the moment of a failure.
const PARTS: u64 = 60;

/// Failures whose moment is looked for: each takes another run.
const MOMENTS_MAX: usize = 16;

/// Scorecards of a plan, in the order of its jobs.
pub struct Outcome<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The scorecards.
    pub cards: Vec<Scorecard>,
}

/// What became of one assertion under one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The assertion.
    pub assertion: Assertion,
    /// The policy's place in the scenario.
    pub policy: usize,
    /// Whether it holds.
    pub ruling: Ruling,
    /// The figure, of the worst seed or the mean, in the unit of its metric.
    pub figure: Option<f64>,
    /// What it was compared with.
    pub bound: Option<f64>,
    /// The worst seed.
    pub seed: Option<u64>,
    /// When it was worst, for one that fails.
    pub moment: Option<(Time, Time)>,
}

/// Whether an assertion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// There is nothing that it could be judged by, so that it fails.
    NoData,
}

/// One seed's figure.
struct Seen {
    seed: u64,
    figure: f64,
    bound: f64,
    holds: bool,
}

impl Outcome<'_> {
    /// The scorecard of a policy and of the seed of that place.
    #[must_use]
    pub fn card(&self, policy: usize, seed: usize) -> &Scorecard {
        &self.cards[policy * self.plan.seeds.len() + seed]
    }

    /// A scorecard's score from a cut on: of a function's key, or of all together.
    #[must_use]
    pub fn score(&self, card: &Scorecard, key: Option<&str>, cut: usize) -> Score {
        self.sum(card, key, |row| row.from(cut))
    }

    fn sum(
        &self,
        card: &Scorecard,
        key: Option<&str>,
        of: impl Fn(&crate::world::Row) -> Score,
    ) -> Score {
        let rows = self.plan.functions.iter().zip(&card.functions);
        let rows = rows.filter(|(function, _)| key.is_none_or(|key| function.key == key));
        let mut scores = rows.map(|(_, row)| of(row));
        let mut sum = scores.next().unwrap_or_default();
        scores.for_each(|score| sum.merge(&score));
        sum
    }

    /// What became of every assertion, under every policy that it is about.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let policies = &self.plan.scenario.policies;
        let mut verdicts = Vec::new();
        for assertion in &self.plan.scenario.score.assertions {
            for (policy, own) in policies.iter().enumerate() {
                let is_of_it = assertion.policy.as_ref().is_none_or(|name| *name == own.name);
                // No policy is compared with itself unless that was asked for.
                let is_itself =
                    assertion.policy.is_none() && assertion.of.as_ref() == Some(&own.name);
                if is_of_it && !is_itself {
                    verdicts.push(self.verdict(assertion, policy));
                }
            }
        }
        verdicts
    }

    fn verdict(&self, assertion: &Assertion, policy: usize) -> Verdict {
        let verdict = |ruling| Verdict {
            assertion: assertion.clone(),
            policy,
            ruling,
            figure: None,
            bound: None,
            seed: None,
            moment: None,
        };
        let ruling = |holds| if holds { Ruling::Holds } else { Ruling::Fails };
        let seeds = 0..self.plan.seeds.len();
        let seen: Option<Vec<_>> = seeds.map(|seed| self.seen(assertion, policy, seed)).collect();
        let Some(seen) = seen.filter(|seen| !seen.is_empty()) else {
            return verdict(Ruling::NoData);
        };
        if assertion.basis == Basis::Mean {
            let mean = |of: fn(&Seen) -> f64| seen.iter().map(of).sum::<f64>() / seen.len() as f64;
            let (figure, bound) = (mean(|seen| seen.figure), mean(|seen| seen.bound));
            let holds = assertion.relation.holds(figure, bound);
            return Verdict { figure: Some(figure), bound: Some(bound), ..verdict(ruling(holds)) };
        }
        let excess = |seen: &Seen| assertion.relation.excess(seen.figure, seen.bound);
        let worst = seen.iter().max_by(|a, b| {
            // One that fails is worse than any that holds; of equals the first seed.
            (b.holds.cmp(&a.holds)).then(excess(a).total_cmp(&excess(b))).then(b.seed.cmp(&a.seed))
        });
        match worst {
            Some(worst) => Verdict {
                figure: Some(worst.figure),
                bound: Some(worst.bound),
                seed: Some(worst.seed),
                ..verdict(ruling(worst.holds))
            },
            None => verdict(Ruling::NoData),
        }
    }

    fn seen(&self, assertion: &Assertion, policy: usize, seed: usize) -> Option<Seen> {
        let from = assertion.after.unwrap_or(self.plan.scenario.warmup);
        let cut = self.plan.cuts_ns.iter().position(|cut_ns| *cut_ns == from.0)?;
        let judged = self.plan.judged(from.0);
        let key = assertion.function.as_deref();
        let score = self.score(self.card(policy, seed), key, cut);
        let figure = assertion.figure(&score, &judged)?;
        let bound = match &assertion.of {
            None => assertion.value,
            Some(name) => {
                let policies = &self.plan.scenario.policies;
                let other = policies.iter().position(|policy| policy.name == *name)?;
                let score = self.score(self.card(other, seed), key, cut);
                assertion.value * assertion.figure(&score, &judged)?
            }
        };
        let holds = assertion.holds(figure, bound, &score, &judged);
        Some(Seen { seed: self.plan.seeds[seed], figure, bound, holds })
    }

    /// Looks for when the assertions that fail were worst, by running their worst seed again with
    /// its score cut into parts.
    ///
    /// # Errors
    /// Such a run is broken.
    pub fn find_moments(
        &self,
        verdicts: &mut [Verdict],
        threads: NonZeroUsize,
    ) -> Result<(), Broken> {
        let failed = verdicts.iter_mut().filter(|verdict| verdict.ruling == Ruling::Fails);
        let failed = failed.filter_map(|verdict| verdict.seed.map(|seed| (seed, verdict)));
        let mut failed: Vec<_> = failed.take(MOMENTS_MAX).collect();
        let jobs: Vec<_> = failed
            .iter()
            .map(|(seed, verdict)| Job {
                policy: verdict.policy,
                seed: *seed,
                cuts_ns: self.parts(&verdict.assertion),
                log: Log::None,
            })
            .collect();
        let cards = self.plan.run(&jobs, threads, |_| {})?;
        for (((_, verdict), job), card) in failed.iter_mut().zip(&jobs).zip(&cards) {
            verdict.moment = self.worst_part(&verdict.assertion, &job.cuts_ns, card);
        }
        Ok(())
    }

    fn parts(&self, assertion: &Assertion) -> Vec<u64> {
        let from_ns = assertion.after.unwrap_or(self.plan.scenario.warmup).0;
        let length_ns = self.plan.scenario.end().0 - from_ns;
        let cut_ns = |part: u64| {
            let cut_ns = u128::from(length_ns) * u128::from(part) / u128::from(PARTS);
            from_ns + u64::try_from(cut_ns).unwrap_or(length_ns)
        };
        let mut cuts_ns: Vec<_> = (0..PARTS).map(cut_ns).collect();
        cuts_ns.dedup();
        cuts_ns
    }

    fn worst_part(
        &self,
        assertion: &Assertion,
        cuts_ns: &[u64],
        card: &Scorecard,
    ) -> Option<(Time, Time)> {
        let end_ns = self.plan.scenario.end().0;
        let key = assertion.function.as_deref();
        let parts = cuts_ns.iter().enumerate().filter_map(|(part, &from_ns)| {
            let until_ns = cuts_ns.get(part + 1).copied().unwrap_or(end_ns);
            let score = self.sum(card, key, |row| row.parts.get(part).cloned().unwrap_or_default());
            let judged = crate::assertion::Judged {
                time_ns: until_ns - from_ns,
                ..self.plan.judged(from_ns)
            };
            let figure = assertion.figure(&score, &judged)?;
            Some((assertion.relation.excess(figure, assertion.value), from_ns, until_ns))
        });
        // Of equals the first.
        let worst = parts.reduce(|worst, part| if part.0 > worst.0 { part } else { worst });
        worst.map(|(_, from_ns, until_ns)| (Time(from_ns), Time(until_ns)))
    }
}

#[cfg(test)]
mod tests;
