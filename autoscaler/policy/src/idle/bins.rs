//! The bins that idle times are sorted into.

/// How many bins of finite time there are: ten of two seconds, then each an eighth longer, up to
/// two hours. Idle times beyond are as good as for ever: no pod is worth keeping for so long.
pub const BINS: usize = 62;

/// Bins of equal length, which is the pause between two decisions: a finer plan could not be kept.
const EVEN: usize = 10;
const EVEN_US: u64 = 2_000_000;

/// How much longer each further bin ends: a tenth would be finer than what gaps are smeared over.
const GROWTH_PERCENT: u64 = 112;

/// The bounds of the bins, in microseconds: bin i is from the i-th up to the next.
pub(super) const BOUNDS_US: [u64; BINS + 1] = {
    let mut bounds_us = [0; BINS + 1];
    let mut at = 1;
    while at <= BINS {
        let before_us: u64 = bounds_us[at - 1];
        bounds_us[at] = match at <= EVEN {
            true => before_us + EVEN_US,
            false => before_us * GROWTH_PERCENT / 100,
        };
        at += 1;
    }
    bounds_us
};

/// The bin of a time; [`BINS`] if it is beyond all.
pub(super) fn bin(us: u64) -> usize {
    BOUNDS_US[1..].partition_point(|bound_us| *bound_us <= us)
}

/// Microseconds as seconds.
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
