//! The figures that people are shown: a row each, by policy and seed.

use crate::judge::Outcome;
use crate::metric::{Metric, Unit};

/// Figures that are 0 under every policy are left out, but for these.
const ALWAYS: [&str; 5] = ["arrived", "answered", "waited", "cold_starts", "pod_seconds"];

/// One metric under every policy.
pub(super) struct Figures {
    pub(super) metric: Metric,
    /// By policy, then by seed; empty if one of the seeds has no data.
    pub(super) by_policy: Vec<Vec<f64>>,
}

/// Those of a function's key, or of all functions together.
pub(super) fn of(outcome: &Outcome<'_>, key: Option<&str>) -> Vec<Figures> {
    let plan = outcome.plan;
    let cut = plan.scored();
    let price = plan.scenario.score.price.as_ref();
    let score = |policy, seed| outcome.score(outcome.card(policy, seed), key, cut);
    let scores: Vec<Vec<_>> = (0..plan.scenario.policies.len())
        .map(|policy| (0..plan.seeds.len()).map(|seed| score(policy, seed)).collect())
        .collect();
    let figures = Metric::shown().into_iter().map(|metric| {
        let by_policy = scores.iter().map(|seeds| {
            let figures: Option<Vec<_>> =
                seeds.iter().map(|score| metric.of(score, price)).collect();
            figures.unwrap_or_default()
        });
        Figures { metric, by_policy: by_policy.collect() }
    });
    figures.filter(Figures::is_shown).collect()
}

impl Figures {
    fn is_shown(&self) -> bool {
        self.by_policy.iter().flatten().any(|figure| *figure > 0.0)
            || ALWAYS.contains(&self.metric.to_string().as_str())
    }

    /// By policy, as people read it: the mean of the seeds, and the range where it is one.
    pub(super) fn cells(&self) -> Vec<String> {
        let unit = self.metric.unit();
        self.by_policy.iter().map(|figures| cell(unit, figures)).collect()
    }

    /// The mean of a policy's seeds; none without data.
    pub(super) fn mean(&self, policy: usize) -> Option<f64> {
        let figures = &self.by_policy[policy];
        (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
    }
}

fn range(figures: &[f64]) -> Option<(f64, f64)> {
    figures.iter().fold(None, |range: Option<(f64, f64)>, figure| {
        let (low, high) = range.unwrap_or((*figure, *figure));
        Some((low.min(*figure), high.max(*figure)))
    })
}

fn cell(unit: Unit, figures: &[f64]) -> String {
    let Some((low, high)) = range(figures) else {
        return "-".to_owned();
    };
    let mean = figures.iter().sum::<f64>() / figures.len() as f64;
    match unit.show(low) == unit.show(high) {
        true => unit.show(mean),
        false => format!("{} ({} to {})", unit.show(mean), unit.show(low), unit.show(high)),
    }
}
