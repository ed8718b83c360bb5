//! How long things took: log-linear buckets, four per doubling.
//!
//! A duration over 2^k and up to 2^(k+1) microseconds falls into one of 4 buckets of equal width,
//! so a bucket is at most a quarter as wide as its lower bound, and its middle is within 1/8 of
//! everything in it. Worked: 10 000 µs lies in 2^13…2^14 = 8 192…16 384, whose quarters are 2 048
//! wide; it falls into 8 192…10 240, middle 9 216, 7.8 % off. Durations up to 1 ms share one
//! bucket, as do those over 71 minutes, so a histogram has a fixed size: under 1 KiB.

use crate::counts::merge;
use crate::seqlock::Words;

/// Buckets per doubling, as a power of two.
const SPLIT_BITS: u32 = 2;

/// Durations up to 2^10 µs = 1.024 ms are one bucket: nothing is decided or charted below it.
const LEAST_BITS: u32 = 10;

/// Durations over 2^32 µs = 71.6 min are one bucket: the longest time-out is an hour.
const MOST_BITS: u32 = 32;

/// How many buckets: the doublings' quarters, the one below and the one above.
pub const BUCKETS: usize = 2 + (((MOST_BITS - LEAST_BITS) as usize) << SPLIT_BITS);

/// The position of the sum of all durations: beside the buckets of the shortest, the most frequent.
const SUM: usize = 0;

/// The position of the first bucket.
const FIRST: usize = 1;

/// The bucket of a duration.
#[inline]
fn bucket(us: u64) -> usize {
    // A bucket includes its upper bound and not its lower, as they are published.
    let us = us.saturating_sub(1);
    if us < 1 << LEAST_BITS {
        return 0;
    }
    if us >= 1 << MOST_BITS {
        return BUCKETS - 1;
    }
    let doubling = us.ilog2();
    // Of the bits below the leading one, the first two say which quarter.
    let quarter = ((us >> (doubling - SPLIT_BITS)) & ((1 << SPLIT_BITS) - 1)) as usize;
    1 + (((doubling - LEAST_BITS) as usize) << SPLIT_BITS) + quarter
}

/// What every duration in a bucket exceeds, in microseconds; but 0 lies in the first.
fn lower_us(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => 0,
        Some(place) => {
            let quarters = (1 << SPLIT_BITS) + (place as u64 & ((1 << SPLIT_BITS) - 1));
            (quarters << (place >> SPLIT_BITS)) << (LEAST_BITS - SPLIT_BITS)
        }
    }
}

/// How long things took on one worker. Written and read within the sequence of the function's cell.
#[derive(Debug, Default)]
pub(crate) struct Histogram(Words<{ FIRST + BUCKETS }>);

impl Histogram {
    /// One more. For the owning worker alone.
    #[inline]
    pub(crate) fn record(&self, us: u64) {
        self.0.add(SUM, us);
        self.0.add(FIRST + bucket(us), 1);
    }

    /// What it holds.
    pub(crate) fn copy(&self) -> Distribution {
        Distribution(self.0.copy())
    }
}

/// How long things took: a copy, of one worker or summed over several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution([u64; FIRST + BUCKETS]);

impl Default for Distribution {
    fn default() -> Self {
        Self([0; FIRST + BUCKETS])
    }
}

impl Distribution {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        merge(&mut self.0, &other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }

    fn buckets(&self) -> &[u64] {
        &self.0[FIRST..]
    }

    /// How long all took together, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.0[SUM]
    }

    /// How many took at most each power of two of microseconds in `bits`, which ascends: exact,
    /// because buckets end at each from 2^10 to 2^32.
    pub(crate) fn at_most(&self, bits: impl Iterator<Item = u32>) -> impl Iterator<Item = u64> {
        let (mut counted, mut sum) = (0, 0);
        bits.map(move |bits| {
            let end = bucket((1 << bits) + 1);
            sum += self.buckets()[counted..end].iter().sum::<u64>();
            counted = end;
            sum
        })
    }

    /// The duration that a share of all did not exceed, in microseconds: the middle of the bucket
    /// it lies in, within 1/8 for durations over 1.024 ms and up to 71 minutes; none if there are
    /// none.
    ///
    /// `permille` is the share in thousandths, 0 to 1000.
    #[must_use]
    pub fn quantile_us(&self, permille: u16) -> Option<u64> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(permille.min(1_000))).div_ceil(1_000).max(1);
        let mut below = 0;
        let found = self.buckets().iter().position(|inside| {
            below += u128::from(*inside);
            below >= rank
        })?;
        let lower = lower_us(found);
        // The last one has no end; what is known is that it took at least so long.
        let upper = if found + 1 < BUCKETS { lower_us(found + 1) } else { lower };
        Some(lower.midpoint(upper))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_one_another_without_gap() {
        for at in 1..BUCKETS {
            let lower = lower_us(at);
            assert_eq!(bucket(lower + 1), at, "over {lower}");
            assert_eq!(bucket(lower), at - 1, "up to {lower}");
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
        assert!(size_of::<Histogram>() <= 1_024);
    }

    #[test]
    fn the_worked_example() {
        let histogram = Histogram::default();
        histogram.record(10_000);
        let distribution = histogram.copy();
        assert_eq!(distribution.quantile_us(500), Some(9_216));
        assert_eq!((distribution.count(), distribution.sum_us()), (1, 10_000));
        assert_eq!(Distribution::default().quantile_us(500), None);
    }

    proptest! {
        /// Against the sorted list: every quantile beyond the first bucket within 1/8, every power
        /// of two exact, and a merge the same as one histogram of all.
        #[test]
        fn equals_the_sorted_list(
            mut times_us in prop::collection::vec(
                prop_oneof![0u64..1_100, 1_024u64..5_000, 1_024u64..4_000_000_000], 1..200,
            ),
            split in any::<prop::sample::Index>(),
            permille in 0u16..=1_000,
        ) {
            let parts = [Histogram::default(), Histogram::default()];
            let split = split.index(times_us.len());
            for (at, us) in times_us.iter().enumerate() {
                parts[usize::from(at < split)].record(*us);
            }
            let mut all = parts[0].copy();
            all.merge(&parts[1].copy());
            times_us.sort_unstable();
            prop_assert_eq!(all.count(), times_us.len() as u64);
            prop_assert_eq!(all.sum_us(), times_us.iter().sum::<u64>());
            let rank = (times_us.len() * usize::from(permille)).div_ceil(1_000).max(1);
            let exact = times_us[rank - 1];
            let found = all.quantile_us(permille).unwrap();
            let near = match exact > 1 << LEAST_BITS {
                true => found.abs_diff(exact) * 8 <= exact,
                false => found == 1 << (LEAST_BITS - 1),
            };
            prop_assert!(near, "{found} for {exact}");
            let bits = [10, 11, 14, 20, 26, 32];
            let at_most: Vec<u64> = all.at_most(bits.into_iter()).collect();
            let want = bits.map(|bits| {
                times_us.iter().filter(|us| **us <= 1 << bits).count() as u64
            });
            prop_assert_eq!(at_most, want);
        }
    }
}
