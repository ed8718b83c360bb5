//! Student's t: the mean of a few differences, and how far off it may be.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::{CONFIDENCE, Interval, mean};

/// Halvings of the angle: beyond these a double has no closer neighbour.
const HALVINGS: u32 = 64;

/// The interval of the mean of paired differences,
///
/// > d̄ ± t(n − 1) · s ÷ √n, s² = Σ (d − d̄)² ÷ (n − 1)
///
/// with t the [`quantile`] (Student: "The probable error of a mean", 1908). Of 1, 2, 3, 4, 5 it is
/// 3 ± 2.776 · 1.581 ÷ 2.236 = 1.037 to 4.963. None of fewer than two differences, and none if one
/// of them is infinite: such have no mean.
#[must_use]
pub fn paired_t(differences: &[f64]) -> Option<Interval> {
    let degrees = u32::try_from(differences.len()).ok()?.checked_sub(1).filter(|it| *it > 0)?;
    let mean = mean(differences).filter(|mean| mean.is_finite())?;
    let squares: f64 = differences.iter().map(|it| (it - mean) * (it - mean)).sum();
    let error = libm::sqrt(squares / f64::from(degrees) / differences.len() as f64);
    let reach = quantile(degrees, CONFIDENCE) * error;
    Some(Interval { low: mean - reach, high: mean + reach })
}

/// The t that |T| exceeds in 1 − `share` of cases, of so many degrees of freedom, at least one;
/// 2.262 for 9 and 0.95.
#[must_use]
pub fn quantile(degrees: u32, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        match within(degrees, middle) < share {
            true => low = middle,
            false => high = middle,
        }
    }
    libm::sqrt(f64::from(degrees)) * libm::tan(low)
}

/// P(|T| ≤ √ν · tan θ) of ν degrees of freedom, by its finite sums (Abramowitz and Stegun:
/// "Handbook of Mathematical Functions", 26.7.3 and 26.7.4):
///
/// > ν even: sin θ · (1 + ½ cos² θ + (1·3 ÷ 2·4) cos⁴ θ + … to cos^(ν−2) θ)
/// >
/// > ν odd: (2 ÷ π) · (θ + sin θ · (cos θ + ⅔ cos³ θ + (2·4 ÷ 3·5) cos⁵ θ + … to cos^(ν−2) θ))
fn within(degrees: u32, theta: f64) -> f64 {
    let (sine, cosine) = libm::sincos(theta);
    let is_odd = degrees % 2 == 1;
    let (mut term, mut place) = if is_odd { (cosine, 2.0) } else { (1.0, 1.0) };
    let mut sum = 0.0;
    for _ in 0..degrees / 2 {
        sum += term;
        term *= place / (place + 1.0) * cosine * cosine;
        place += 2.0;
    }
    if is_odd { FRAC_2_PI * (theta + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Two-sided, as printed in every table of Student's t.
        for (degrees, share, want) in [
            (1, 0.95, 12.7062),
            (2, 0.95, 4.302_65),
            (3, 0.95, 3.182_45),
            (9, 0.95, 2.262_16),
            (10, 0.95, 2.228_14),
            (29, 0.95, 2.045_23),
            (30, 0.99, 2.750_00),
            (9, 0.90, 1.833_11),
            (120, 0.95, 1.979_93),
            // The normal distribution's, which it comes to.
            (999_999, 0.95, 1.959_97),
        ] {
            let found = quantile(degrees, share);
            assert!((found - want).abs() < 5e-5 * want, "{degrees}, {share}: {found}");
        }
    }

    #[test]
    fn an_interval_around_the_mean() {
        let interval = paired_t(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((interval.low - 1.036_757).abs() < 1e-5, "{interval:?}");
        assert!((interval.high - 4.963_243).abs() < 1e-5, "{interval:?}");
        assert!(interval.is_clear_of_zero());
    }

    #[test]
    fn differences_that_are_all_one_leave_no_doubt_and_single_ones_all() {
        assert_eq!(paired_t(&[0.0; 10]), Some(Interval { low: 0.0, high: 0.0 }));
        assert_eq!(paired_t(&[7.0, 7.0]), Some(Interval { low: 7.0, high: 7.0 }));
        for none in [&[][..], &[3.0], &[1.0, f64::INFINITY], &[f64::NEG_INFINITY, f64::INFINITY]] {
            assert_eq!(paired_t(none), None);
        }
    }

    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_truth() {
        let stream = crate::draw::Stream::new(1, "coverage", 0);
        let even = |index| stream.unit(index) - 0.5;
        let held = (0..4_000u64).filter(|round| {
            let drawn: Vec<_> = (0..10).map(|at| even(round * 10 + at)).collect();
            !paired_t(&drawn).unwrap().is_clear_of_zero()
        });
        // Within four standard errors of 95 %.
        assert!(held.count().abs_diff(3_800) < 56);
    }
}
