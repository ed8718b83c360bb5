//! The bootstrap: what a figure would be if other functions of the same kind had been recorded.

use super::{CONFIDENCE, Interval};
use crate::draw::Stream;

/// How often the units are drawn again: the ends of an interval of 95 % have 50 beyond each, which
/// is what they are said to need (Efron and Tibshirani: "An Introduction to the Bootstrap", 1993,
/// 19.3).
pub const RESAMPLES: usize = 2_000;

/// Fewest units: of fewer there are too few different draws for an interval to mean anything.
pub const UNITS_MIN: usize = 8;

/// The units drawn again with replacement, as many as there are, [`RESAMPLES`] times: each item
/// says how often each unit was drawn. Draws are keyed, so that every figure of the same units sees
/// the same ones.
#[derive(Clone, Debug)]
pub struct Resamples {
    units: usize,
    next: u64,
}

/// One unit's share in two sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// In the sum that is divided by.
    pub baseline: f64,
    /// In the sum that is divided.
    pub other: f64,
}

impl Resamples {
    /// Of so many units; none of fewer than [`UNITS_MIN`].
    #[must_use]
    pub fn new(units: usize) -> Option<Self> {
        (units >= UNITS_MIN).then_some(Self { units, next: 0 })
    }
}

impl Iterator for Resamples {
    type Item = Vec<u32>;

    fn next(&mut self) -> Option<Vec<u32>> {
        let stream = Stream::new(0, "bootstrap", self.next);
        if self.next >= RESAMPLES as u64 {
            return None;
        }
        self.next += 1;
        let mut drawn = vec![0; self.units];
        for index in 0..self.units as u64 {
            let unit = stream.below(index, self.units as u64);
            if let Some(count) = usize::try_from(unit).ok().and_then(|at| drawn.get_mut(at)) {
                *count += 1;
            }
        }
        Some(drawn)
    }
}

/// The interval of a figure that is made of units, given how often each counts: 1 each for the
/// figure itself, as often as it was drawn for a resample. None of fewer than [`UNITS_MIN`] units.
#[must_use]
pub fn bootstrap(units: usize, figure: impl FnMut(&[u32]) -> f64) -> Option<Interval> {
    let mut figure = figure;
    let figures = Resamples::new(units)?.map(|drawn| figure(&drawn));
    percentile_interval(figures.collect())
}

/// The percentile interval of a figure's resamples: as many lie below it as above. Infinite figures
/// are the ends of the order. None of no figures.
///
/// Of B figures in order, those of the places ⌈B · (1 − confidence) ÷ 2⌉ from either end (Efron and
/// Tibshirani, 13.3); of 2 000 the 50th and the 1 951st.
#[must_use]
pub fn percentile_interval(mut figures: Vec<f64>) -> Option<Interval> {
    figures.sort_unstable_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length, with what a product of doubles is off taken away"
    )]
    let beyond = libm::ceil(figures.len() as f64 * (1.0 - CONFIDENCE) / 2.0 - 1e-9) as usize;
    let low = *figures.get(beyond.saturating_sub(1))?;
    let high = *figures.get(figures.len() - beyond.max(1))?;
    Some(Interval { low, high })
}

/// Σ other ÷ Σ baseline, and its interval over the units: how much of the baseline's waits a policy
/// has, say. Two sums of 0 are as 1. Of (2, 1), (6, 3) it is 4 ÷ 8 = 0.5. There is no interval of
/// fewer than [`UNITS_MIN`] units.
#[must_use]
pub fn ratio_of_sums(units: &[Pair]) -> (f64, Option<Interval>) {
    #[allow(clippy::float_cmp, reason = "equal sums are as 1, two of 0 above all")]
    let ratio = |counts: &[u32]| {
        let counted = || units.iter().zip(counts).map(|(unit, count)| (unit, f64::from(*count)));
        let baseline: f64 = counted().map(|(unit, count)| unit.baseline * count).sum();
        let other: f64 = counted().map(|(unit, count)| unit.other * count).sum();
        if baseline == other { 1.0 } else { other / baseline }
    };
    (ratio(&vec![1; units.len()]), bootstrap(units.len(), ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(count: u32, pair: impl Fn(f64) -> (f64, f64)) -> Vec<Pair> {
        let pair = |at| {
            let (baseline, other) = pair(f64::from(at));
            Pair { baseline, other }
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn every_resample_has_as_many_units_as_there_are() {
        let drawn: Vec<_> = Resamples::new(50).unwrap().collect();
        assert_eq!(drawn.len(), RESAMPLES);
        assert!(drawn.iter().all(|it| it.len() == 50 && it.iter().sum::<u32>() == 50));
        // 1 − (1 − 1/50)⁵⁰ = 63.6 % of the units are in a resample.
        let in_it = drawn.iter().flatten().filter(|count| **count > 0).count();
        assert!(in_it.abs_diff(63_580) < 500, "{in_it}");
        assert!(Resamples::new(50).unwrap().eq(drawn), "the draws are always the same");
    }

    #[test]
    fn an_interval_leaves_fifty_figures_on_either_side() {
        let figures: Vec<_> = (1..=2_000).rev().map(f64::from).collect();
        let interval = percentile_interval(figures).unwrap();
        assert_eq!(interval, Interval { low: 50.0, high: 1_951.0 });
        assert_eq!(percentile_interval(vec![]), None);
        assert_eq!(percentile_interval(vec![4.0]), Some(Interval { low: 4.0, high: 4.0 }));
    }

    #[test]
    fn a_ratio_that_is_the_same_everywhere_has_no_width() {
        let (ratio, interval) = ratio_of_sums(&pairs(20, |at| (4.0 * at, at)));
        assert_eq!((ratio, interval), (0.25, Some(Interval { low: 0.25, high: 0.25 })));
        let (ratio, interval) = ratio_of_sums(&pairs(20, |_| (0.0, 0.0)));
        assert_eq!((ratio, interval), (1.0, Some(Interval { low: 1.0, high: 1.0 })));
    }

    #[test]
    fn under_eight_units_there_is_no_interval() {
        assert_eq!(ratio_of_sums(&pairs(7, |at| (1.0, at))).1, None);
        assert!(ratio_of_sums(&pairs(8, |at| (1.0, at))).1.is_some());
        assert_eq!(bootstrap(0, |_| 1.0), None);
    }

    #[test]
    fn one_unit_that_decides_everything_makes_an_interval_wide() {
        let heavy = |at: f64| if at < 1.0 { (1_000.0, 10.0) } else { (10.0, 20.0) };
        let (ratio, interval) = ratio_of_sums(&pairs(30, heavy));
        let interval = interval.unwrap();
        assert!(ratio < 0.5 && interval.low < 0.3, "{ratio} {interval:?}");
        // It is left out of one resample in e.
        assert!((interval.high - 2.0).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_mean() {
        let stream = Stream::new(3, "coverage", 0);
        let rounds = 200;
        let held = (0..rounds).filter(|round| {
            let drawn: Vec<_> = (0..40).map(|at| stream.unit(round * 40 + at) - 0.5).collect();
            let mean = |counts: &[u32]| {
                drawn.iter().zip(counts).map(|(value, count)| value * f64::from(*count)).sum()
            };
            !bootstrap(drawn.len(), mean).unwrap().is_clear_of_zero()
        });
        let held = held.count();
        assert!((180..=200).contains(&held), "{held}");
    }
}
