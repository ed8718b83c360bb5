//! The hybrid histogram policy: how long to stay after a request, and when to come back, by how
//! long the function was idle before (Shahrad and others: "Serverless in the Wild", USENIX ATC
//! 2020, 4.2).
//!
//! Idle times are counted in bins of a minute up to four hours. The head, the 5th percentile
//! rounded down to a bin, less a tenth, is when pods come back; the tail, the 99th rounded up, and
//! a tenth more, is when they go for good. A head of zero: they do not go in between. What the
//! histogram cannot tell of, because its counts are too even or its idle times too long, is left
//! to the live policy (the paper has a forecast of the times, and else keeps pods for four hours).

const MINUTE_NS: u64 = 60_000_000_000;

/// Bins, of a minute each: four hours.
const BINS: usize = 240;

/// The percentiles of head and tail.
const HEAD_PERCENT: u64 = 5;
const TAIL_PERCENT: u64 = 99;

/// By how much head and tail are moved apart, in percent of themselves.
const MARGIN_PERCENT: u64 = 10;

/// The least coefficient of variation of the bins' counts; below it they are too even.
const VARIATION_MIN: u64 = 2;

/// The most idle times beyond the last bin, in percent of all: the paper has no figure, and beyond
/// a half it is the rule that nothing is known.
const BEYOND_PERCENT_MAX: u64 = 50;

/// How long a function was idle, each time.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bins: Box<[u32; BINS]>,
    beyond: u64,
    plan: Option<Plan>,
}

/// When a function that is idle has pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// From so many nanoseconds of idleness on.
    pub(super) from_ns: u64,
    /// Until so many.
    pub(super) until_ns: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: Box::new([0; BINS]), beyond: 0, plan: None }
    }

    /// It was idle for so long.
    pub(super) fn record(&mut self, idle_ns: u64) {
        let bin = usize::try_from(idle_ns / MINUTE_NS).unwrap_or(BINS);
        match self.bins.get_mut(bin) {
            Some(count) => *count = count.saturating_add(1),
            None => self.beyond += 1,
        }
        self.plan = self.tells().then(|| self.make_plan());
    }

    /// What follows; none if the histogram cannot tell.
    pub(super) fn plan(&self) -> Option<Plan> {
        self.plan
    }

    fn within(&self) -> u64 {
        self.bins.iter().map(|count| u64::from(*count)).sum()
    }

    fn tells(&self) -> bool {
        let within = self.within();
        if within == 0 || self.beyond * 100 > (within + self.beyond) * BEYOND_PERCENT_MAX {
            return false;
        }
        // (σ ÷ μ)² = bins · Σ count² ÷ (Σ count)² − 1.
        let squares: u128 = self.bins.iter().map(|count| u128::from(*count).pow(2)).sum();
        let whole = u128::from(within).pow(2);
        BINS as u128 * squares >= whole * u128::from(VARIATION_MIN * VARIATION_MIN + 1)
    }

    fn make_plan(&self) -> Plan {
        let head_ns = self.bin_of(HEAD_PERCENT) * MINUTE_NS;
        let tail_ns = (self.bin_of(TAIL_PERCENT) + 1) * MINUTE_NS;
        Plan {
            from_ns: head_ns / 100 * (100 - MARGIN_PERCENT),
            until_ns: tail_ns / 100 * (100 + MARGIN_PERCENT),
        }
    }

    /// The first bin with that share of all in it and in those before.
    fn bin_of(&self, percent: u64) -> u64 {
        let (whole, mut sum) = (self.within(), 0);
        let bins = self.bins.iter().zip(0..);
        let mut reached = bins.filter_map(|(count, bin)| {
            sum += u64::from(*count);
            (sum * 100 >= whole * percent).then_some(bin)
        });
        reached.next().unwrap_or(BINS as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(idle_s: impl IntoIterator<Item = u64>) -> Option<Plan> {
        let mut histogram = Histogram::new();
        idle_s.into_iter().for_each(|idle_s| histogram.record(idle_s * 1_000_000_000));
        histogram.plan()
    }

    fn plan(from_s: u64, until_s: u64) -> Option<Plan> {
        Some(Plan { from_ns: from_s * 1_000_000_000, until_ns: until_s * 1_000_000_000 })
    }

    #[test]
    fn it_comes_back_before_the_head_and_goes_after_the_tail() {
        assert_eq!(after([]), None);
        // Bin 10: 600 s less a tenth, 660 s and a tenth.
        assert_eq!(after([630]), plan(540, 726));
        // Of a hundred, five are a head and ninety-nine a tail.
        let many = |early: usize, late: usize| {
            let middle = std::iter::repeat_n(1_200, 100 - early - late);
            std::iter::repeat_n(300, early).chain(middle).chain(std::iter::repeat_n(6_000, late))
        };
        assert_eq!(after(many(4, 1)), plan(1_080, 1_386));
        assert_eq!(after(many(5, 1)), plan(270, 1_386));
        assert_eq!(after(many(5, 2)), plan(270, 6_666));
    }

    #[test]
    fn with_a_head_of_zero_it_stays() {
        assert_eq!(after([59, 59, 59]), plan(0, 66));
        assert_eq!(after([60, 60, 60]), plan(54, 132));
    }

    #[test]
    fn counts_that_are_too_even_tell_nothing() {
        // k of 240 bins filled alike: (σ ÷ μ)² = 240 ÷ k − 1, which is 4 at 48.
        let even = |bins: u64| (0..bins).map(|bin| bin * 60);
        assert!(after(even(48)).is_some());
        assert_eq!(after(even(49)), None);
    }

    #[test]
    fn idle_times_that_are_mostly_too_long_tell_nothing() {
        const BEYOND: u64 = 4 * 3_600;
        assert_eq!(after([BEYOND]), None);
        assert_eq!(after([600, BEYOND]), plan(540, 726));
        assert_eq!(after([600, BEYOND, BEYOND]), None);
        assert_eq!(after([BEYOND - 1]), plan(14_340 - 1_434, 15_840));
    }
}
