//! What figures would be of other functions like those of a trace.

use super::Contestant;
use crate::metric::Metric;
use crate::statistics::{Interval, Pair, Resamples, percentile_interval};
use crate::world::Score;

/// Figures of one policy: of all its functions, and of each resample of them.
#[derive(Default)]
pub(super) struct Resampled {
    whole: Vec<f64>,
    /// By resample, then by metric.
    drawn: Vec<Vec<f64>>,
}

impl Resampled {
    /// Those of a contestant: what its functions scored under all seeds is put together, function
    /// by function, before they are drawn.
    pub(super) fn of(contestant: &Contestant<'_>, metrics: &[Metric]) -> Self {
        let outcome = contestant.outcome;
        let plan = outcome.plan;
        let price = plan.scenario.score.price.as_ref();
        let figures = |score: &Score| {
            let figure = |metric: &Metric| metric.of(score, price).unwrap_or(0.0);
            metrics.iter().map(figure).collect::<Vec<_>>()
        };
        let functions: Vec<Score> = (0..plan.functions.len())
            .map(|function| {
                let cards = (0..plan.seeds.len()).map(|seed| outcome.card(contestant.policy, seed));
                merged(cards.map(|card| card.functions[function].from(plan.scored())))
            })
            .collect();
        let drawn = Resamples::new(functions.len()).into_iter().flatten();
        let drawn = drawn.map(|counts| {
            let each = functions.iter().zip(counts);
            let each = each.flat_map(|(score, count)| (0..count).map(move |_| score));
            figures(&merged(each))
        });
        Self { whole: figures(&merged(&functions)), drawn: drawn.collect() }
    }
}

fn merged<S: std::borrow::Borrow<Score>>(scores: impl IntoIterator<Item = S>) -> Score {
    let mut scores = scores.into_iter();
    let mut sum = scores.next().map(|score| score.borrow().clone()).unwrap_or_default();
    scores.for_each(|score| sum.merge(score.borrow()));
    sum
}

/// The interval of the difference of two policies in the metric of that place, whose means over the
/// seeds are those of `seeds`. None if one of these is infinite.
///
/// What is drawn is the ratio, other ÷ baseline − 1, times the baseline's figure: it varies far
/// less than the difference, in which the functions' sizes are. Where the baseline has nothing to
/// divide by, it is the other's share of its whole, times its figure.
pub(super) fn interval(
    first: &Resampled,
    second: &Resampled,
    place: usize,
    seeds: &[Pair],
) -> Option<Interval> {
    let mean_of = |of: fn(&Pair) -> f64| seeds.iter().map(of).sum::<f64>() / seeds.len() as f64;
    let (was, is) = (mean_of(|pair| pair.baseline), mean_of(|pair| pair.other));
    if !was.is_finite() || !is.is_finite() {
        return None;
    }
    let by = if was > 0.0 { was } else { is };
    let changes = first.drawn.iter().zip(&second.drawn).map(|(baseline, other)| {
        let is_drawn = other[place];
        match was > 0.0 {
            true => ratio(is_drawn, baseline[place]) - 1.0,
            false => ratio(is_drawn, second.whole[place]),
        }
    });
    percentile_interval(changes.collect()).map(|interval| interval.times(by))
}

/// One number by another; of two that are equal 1, though both be 0 or infinite.
#[allow(clippy::float_cmp, reason = "what is counted alike is alike, the infinite too")]
fn ratio(number: f64, by: f64) -> f64 {
    if number == by { 1.0 } else { number / by }
}
