//! How sure a figure is: intervals that hold the truth in 95 of 100 cases.
//!
//! Of invented loads the seeds are what could have come out otherwise: [`paired_t`] takes the
//! differences of two policies, seed by seed. Of a trace the functions are: [`bootstrap()`] draws
//! them again ([`Resamples`]). Both are paired, so that what is hard for both policies is not taken
//! for a difference between them.

mod student;
mod bootstrap;

pub use bootstrap::{
    Pair, RESAMPLES, Resamples, UNITS_MIN, bootstrap, percentile_interval, ratio_of_sums,
};
pub use student::{paired_t, quantile};

/// The share of cases in which an interval holds the truth.
pub const CONFIDENCE: f64 = 0.95;

/// From one value to another, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether no value of it is 0.
    #[must_use]
    pub fn is_clear_of_zero(self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// Each end times a number, in order.
    #[must_use]
    pub fn times(self, by: f64) -> Self {
        let (low, high) = (self.low * by, self.high * by);
        if by < 0.0 { Self { low: high, high: low } } else { Self { low, high } }
    }
}

/// The mean; none of no values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
