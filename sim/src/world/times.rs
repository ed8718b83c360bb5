//! Durations counted: sums, extremes and chosen bounds exactly, the rest in buckets.
//!
//! Buckets are log-linear, 512 per doubling: one is at most 1/512 as wide as its lower end, so its
//! middle is within 1/1024 < 0.1 % of everything in it; below 1 024 ns they are exact.

/// Buckets per doubling, as a power of two.
const SPLIT_BITS: u32 = 9;

const SPLIT: u64 = 1 << SPLIT_BITS;

/// Durations of requests. Those that never ended count in the percentiles as longer than any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many ended.
    pub count: u64,
    /// How many never did: they rank as infinite.
    pub infinite: u64,
    /// The sum of those that ended, in nanoseconds.
    pub sum_ns: u128,
    /// The longest that ended, in nanoseconds; 0 if none did.
    pub most_ns: u64,
    /// How many, infinite ones included, exceeded each of the bounds asked for, in their order.
    pub over: Vec<u64>,
    /// By doubling; those between are made as they are needed.
    octaves: Vec<Option<Box<[u64]>>>,
}

/// What a share of all durations did not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// That many nanoseconds, within 0.1 %.
    Ns(u64),
    /// It is among those that never ended.
    Infinite,
}

impl Times {
    /// Nothing counted, with so many bounds.
    #[must_use]
    pub fn new(bounds: usize) -> Self {
        Self { over: vec![0; bounds], ..Self::default() }
    }

    /// Counts a duration; `bounds_ns` are as many as at the beginning.
    #[inline]
    pub fn record(&mut self, ns: u64, bounds_ns: &[u64]) {
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.most_ns = self.most_ns.max(ns);
        for (over, bound_ns) in self.over.iter_mut().zip(bounds_ns) {
            *over += u64::from(ns > *bound_ns);
        }
        let (octave, place) = bucket(ns);
        match self.octaves.get_mut(octave) {
            Some(Some(counts)) => counts[place] += 1,
            _ => self.first(octave, place),
        }
    }

    #[cold]
    fn first(&mut self, octave: usize, place: usize) {
        if self.octaves.len() <= octave {
            self.octaves.resize(octave + 1, None);
        }
        let counts =
            self.octaves[octave].get_or_insert_with(|| vec![0; SPLIT as usize].into_boxed_slice());
        counts[place] += 1;
    }

    /// Counts one that never ends.
    pub fn record_infinite(&mut self) {
        self.infinite += 1;
        self.over.iter_mut().for_each(|over| *over += 1);
    }

    /// Adds another's counts, with bounds of its own where they are as many.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.infinite += other.infinite;
        self.sum_ns += other.sum_ns;
        self.most_ns = self.most_ns.max(other.most_ns);
        for (over, others) in self.over.iter_mut().zip(&other.over) {
            *over += others;
        }
        if self.octaves.len() < other.octaves.len() {
            self.octaves.resize(other.octaves.len(), None);
        }
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
                }
                (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
    }

    /// How many were counted, those that never ended included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.count + self.infinite
    }

    /// The mean of those that ended, in nanoseconds; none if none did.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }

    /// The least duration that at least ⌈share · total⌉ of all do not exceed; `share_ppm` is in
    /// millionths. None if nothing was counted.
    #[must_use]
    pub fn quantile(&self, share_ppm: u32) -> Option<Quantile> {
        let rank = rank(self.total(), share_ppm)?;
        let mut below = 0;
        for (octave, counts) in self.octaves.iter().enumerate() {
            for (place, count) in counts.iter().flatten().enumerate() {
                below += count;
                if below >= rank {
                    return Some(Quantile::Ns(middle_ns(octave, place).min(self.most_ns)));
                }
            }
        }
        Some(Quantile::Infinite)
    }

    /// Whether that quantile is at most the bound of that place among those asked for: decided by
    /// counting. None if nothing was counted or there is no such bound.
    #[must_use]
    pub fn is_within(&self, share_ppm: u32, bound: usize) -> Option<bool> {
        let within = self.total() - self.over.get(bound)?;
        Some(within >= rank(self.total(), share_ppm)?)
    }
}

/// The rank of a quantile, from 1.
fn rank(total: u64, share_ppm: u32) -> Option<u64> {
    let rank = (u128::from(total) * u128::from(share_ppm.min(1_000_000))).div_ceil(1_000_000);
    (total > 0).then(|| u64::try_from(rank).unwrap_or(total).max(1))
}

/// The doubling of a duration and its place there.
#[inline]
fn bucket(ns: u64) -> (usize, usize) {
    if ns < SPLIT {
        return (0, ns as usize);
    }
    let shift = ns.ilog2() - SPLIT_BITS;
    (shift as usize + 1, ((ns >> shift) - SPLIT) as usize)
}

fn middle_ns(octave: usize, place: usize) -> u64 {
    match octave.checked_sub(1) {
        None => place as u64,
        Some(shift) => ((SPLIT + place as u64) << shift) + ((1 << shift) >> 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the sorted list: quantiles within 0.1 %, bounds to the unit, merges as one.
        #[test]
        fn equals_the_sorted_list(
            mut all in prop::collection::vec(
                prop_oneof![0u64..3_000, 0u64..4_000_000_000_000, Just(u64::MAX)], 1..200,
            ),
            split in any::<prop::sample::Index>(),
            share_ppm in 0u32..=1_000_000,
            bound_ns in 0u64..4_000_000_000,
        ) {
            let mut parts = [Times::new(1), Times::new(1)];
            let split = split.index(all.len());
            for (at, &ns) in all.iter().enumerate() {
                let part = &mut parts[usize::from(at < split)];
                match ns {
                    u64::MAX => part.record_infinite(),
                    ns => part.record(ns, &[bound_ns]),
                }
            }
            let [mut times, other] = parts;
            times.merge(&other);
            all.sort_unstable();
            let rank = (all.len() * share_ppm as usize).div_ceil(1_000_000).max(1);
            let exact = all[rank - 1];
            match times.quantile(share_ppm).unwrap() {
                Quantile::Infinite => prop_assert_eq!(exact, u64::MAX),
                Quantile::Ns(ns) => prop_assert!(ns.abs_diff(exact) * 1_000 <= exact, "{ns}"),
            }
            prop_assert_eq!(times.is_within(share_ppm, 0), Some(exact <= bound_ns));
            let finite = all.iter().filter(|ns| **ns != u64::MAX);
            prop_assert_eq!(times.sum_ns, finite.clone().map(|ns| u128::from(*ns)).sum::<u128>());
            prop_assert_eq!(times.most_ns, finite.max().copied().unwrap_or(0));
            prop_assert_eq!(times.total(), all.len() as u64);
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        let nothing = Times::new(1);
        assert_eq!((nothing.quantile(500_000), nothing.is_within(0, 0)), (None, None));
        assert_eq!(nothing.mean_ns(), None);
    }
}
