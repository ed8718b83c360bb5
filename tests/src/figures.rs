//! What benches say of many samples.

/// The middle one; not a number if there is none.
#[must_use]
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    quantile(figures, 0.5)
}

/// The one that this share of all is not above; not a number if there is none.
#[must_use]
pub fn quantile(figures: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a few thousand"
    )]
    let at = (figures.len() as f64 * share) as usize;
    figures.get(at.min(figures.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let figures = || (1..=100).rev().map(f64::from);
        for (share, figure) in [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)] {
            assert!((quantile(figures(), share) - figure).abs() < 1e-9, "{share}");
        }
        assert!(median([].into_iter()).is_nan());
    }
}
