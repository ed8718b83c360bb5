//! How long a function was idle before its requests, of late.

use serde::{Deserialize, Serialize};

use super::bins::{BINS, BOUNDS_US, bin};

/// The mass of one gap. Masses are whole numbers so that every machine comes to the same.
const GAP: u32 = 1 << 16;

/// What a gap, and everything before it, is worth after the next one, in thousandths: the last
/// two hundred gaps are three quarters of what counts.
const KEPT_PERMILLE: u32 = 995;

/// The most mass there can be: gaps without end, decaying.
const MASS_MAX: u32 = GAP * 1000 / (1000 - KEPT_PERMILLE);

/// A gap stands for gaps a little shorter and longer: it is spread evenly over this share of it to
/// either side, in percent.
const SMEAR_PERCENT: u64 = 7;

/// How many gaps the prior weighs as much as.
const PRIOR_GAPS: f64 = 3.0;

/// The longest idle time that the prior knows of, in seconds: a day.
const PRIOR_S_MAX: f64 = 86_400.0;

/// Requests counted after one gap, at most: enough to outweigh any pod.
const REQUESTS_MAX: u32 = 1_000;

/// A function's idle times.
///
/// It is known in several places, which outlive each other; [`Gaps::merge`] brings them together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct Gaps {
    /// Gaps ever recorded.
    seen: u64,
    /// By bin, those beyond all at the end; empty before the first gap.
    masses: Vec<u32>,
    /// Gaps after which requests were counted, decaying.
    openings: u32,
    /// The requests counted, decaying.
    requests: u64,
}

/// The same as somebody else has it, who need not keep to our bounds.
#[derive(Deserialize)]
struct Told {
    seen: u64,
    masses: Vec<u32>,
    openings: u32,
    requests: u64,
}

impl From<Told> for Gaps {
    fn from(Told { seen, mut masses, openings, requests }: Told) -> Self {
        if !masses.is_empty() {
            masses.resize(BINS + 1, 0);
        }
        for mass in &mut masses {
            *mass = (*mass).min(MASS_MAX);
        }
        let openings = openings.min(MASS_MAX);
        let requests = requests.min(u64::from(MASS_MAX) * u64::from(REQUESTS_MAX));
        Self { seen, masses, openings, requests }
    }
}

impl Gaps {
    /// Adds that the function was idle for `gap_us` before a request.
    pub fn record(&mut self, gap_us: u64) {
        self.seen = self.seen.saturating_add(1);
        self.masses.resize(BINS + 1, 0);
        for mass in &mut self.masses {
            *mass = decayed(*mass);
        }
        let reach_us = gap_us / 100 * SMEAR_PERCENT;
        let (from_us, to_us) = (gap_us - reach_us, gap_us.saturating_add(reach_us).max(1));
        let length_us = (to_us - from_us).max(1);
        let mut left = GAP;
        for at in bin(from_us)..bin(to_us) {
            let overlap_us = BOUNDS_US[at + 1] - from_us.max(BOUNDS_US[at]);
            let share = share(overlap_us, length_us).min(left);
            self.masses[at] += share;
            left -= share;
        }
        self.masses[bin(to_us)] += left;
    }

    /// Adds that `requests` came within one start-up time of a gap's end.
    pub(super) fn record_opening(&mut self, requests: u32) {
        let requests = requests.clamp(1, REQUESTS_MAX);
        self.openings = decayed(self.openings) + GAP;
        self.requests =
            self.requests * u64::from(KEPT_PERMILLE) / 1000 + u64::from(GAP) * u64::from(requests);
    }

    /// Becomes `other` if that has seen more. Of two that saw as many it is a matter of order which
    /// is kept; so all who hear of both keep the same.
    pub fn merge(&mut self, other: &Self) {
        let key = |gaps: &Self| (gaps.seen, gaps.openings, gaps.requests);
        if (key(other), &other.masses) > (key(self), &self.masses) {
            self.clone_from(other);
        }
    }

    /// Whether no gap was seen yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// Gaps ever recorded.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What it takes in memory beside itself.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.masses.capacity() * size_of::<u32>()
    }

    /// The weight of each bin, and of what is beyond all: the prior's and the function's own, in
    /// gaps.
    pub(super) fn weights(&self) -> [f64; BINS + 1] {
        let mut weights = PRIOR;
        for (weight, mass) in weights.iter_mut().zip(&self.masses) {
            *weight += f64::from(*mass) / f64::from(GAP);
        }
        weights
    }

    /// Requests that come within one start-up time of a gap's end, on average; at least 1. A gap
    /// that nobody saw counts as one with one request.
    pub(super) fn requests(&self) -> f64 {
        let gap = f64::from(GAP);
        (self.requests as f64 + gap) / (f64::from(self.openings) + gap)
    }
}

fn decayed(mass: u32) -> u32 {
    // Below 2³² by far: the product of two bounds.
    let kept = u64::from(mass) * u64::from(KEPT_PERMILLE) / 1000;
    u32::try_from(kept).unwrap_or(u32::MAX)
}

fn share(part_us: u64, of_us: u64) -> u32 {
    let share = u128::from(part_us) * u128::from(GAP) / u128::from(of_us);
    u32::try_from(share).unwrap_or(GAP)
}

/// The weights before the first gap: idle times of every order of magnitude are equally likely,
/// from a second to a day. A bin from a to b has 2 (b − a) ÷ (a + b), which is ln(b ÷ a) as near as
/// matters; what is beyond all bins has the rest.
const PRIOR: [f64; BINS + 1] = {
    let mut weights = [0.0; BINS + 1];
    let mut total = 0.0;
    let mut at = 0;
    while at <= BINS {
        let from_s = match at {
            0 => 1.0,
            at => BOUNDS_US[at] as f64 / 1e6,
        };
        weights[at] = match at < BINS {
            true => {
                let to_s = BOUNDS_US[at + 1] as f64 / 1e6;
                2.0 * (to_s - from_s) / (to_s + from_s)
            }
            // Twelve times as long: ln 12, by steps of the bins' own growth.
            false => {
                let (mut to_s, mut weight) = (from_s, 0.0);
                while to_s < PRIOR_S_MAX {
                    to_s *= 1.12;
                    weight += 2.0 * 0.12 / 2.12;
                }
                weight
            }
        };
        total += weights[at];
        at += 1;
    }
    let mut at = 0;
    while at <= BINS {
        weights[at] *= PRIOR_GAPS / total;
        at += 1;
    }
    weights
};

#[cfg(test)]
mod tests {
    use super::*;

    fn total(gaps: &Gaps) -> u32 {
        gaps.masses.iter().sum()
    }

    #[test]
    fn a_gap_is_smeared_and_weighs_one() {
        let mut gaps = Gaps::default();
        gaps.record(100_000_000);
        assert_eq!(total(&gaps), GAP);
        let touched: Vec<usize> = (0..=BINS).filter(|&at| gaps.masses[at] > 0).collect();
        let bins: Vec<usize> = (bin(93_000_000)..=bin(107_000_000)).collect();
        assert_eq!(touched, bins);
        assert!(bins.len() > 1);
    }

    #[test]
    fn what_is_beyond_all_bins_is_beyond_all() {
        let mut gaps = Gaps::default();
        for gap_us in [u64::MAX, BOUNDS_US[BINS] * 2] {
            gaps.record(gap_us);
        }
        assert_eq!(gaps.masses[BINS], total(&gaps));
        gaps.record(0);
        assert_eq!(gaps.masses[0], GAP, "and none at all is in the first");
    }

    #[test]
    fn older_gaps_weigh_less_and_all_of_them_stay_bounded() {
        let mut gaps = Gaps::default();
        gaps.record(10_000_000);
        gaps.record(1_000_000_000);
        let old: u32 = gaps.masses[..20].iter().sum();
        assert_eq!(old, GAP / 1000 * KEPT_PERMILLE + GAP % 1000 * KEPT_PERMILLE / 1000);
        for _ in 0..10_000 {
            gaps.record(10_000_000);
            gaps.record_opening(u32::MAX);
        }
        assert!(total(&gaps) <= MASS_MAX && gaps.openings <= MASS_MAX);
        assert!((gaps.requests() - f64::from(REQUESTS_MAX)).abs() < 10.0);
    }

    #[test]
    fn the_prior_weighs_three_gaps_and_knows_that_some_never_return() {
        let sum: f64 = PRIOR.iter().sum();
        assert!((sum - PRIOR_GAPS).abs() < 1e-9);
        assert!((0.20..0.24).contains(&(PRIOR[BINS] / sum)), "{}", PRIOR[BINS] / sum);
    }

    #[test]
    fn those_who_hear_the_same_in_any_order_keep_the_same() {
        let (mut short, mut long) = (Gaps::default(), Gaps::default());
        short.record(5_000_000);
        long.record(500_000_000);
        let (mut one, mut other) = (short.clone(), long.clone());
        one.merge(&long);
        other.merge(&short);
        assert_eq!(one, other);
        short.record(5_000_000);
        one.merge(&short);
        assert_eq!((one.seen(), &one), (2, &short));
    }

    #[test]
    fn what_others_tell_is_brought_within_bounds() {
        let told = r#"{"seen":3,"masses":[4294967295,1],"openings":4294967295,"requests":9}"#;
        let gaps: Gaps = serde_json::from_str(told).unwrap();
        assert_eq!(gaps.masses.len(), BINS + 1);
        assert_eq!((gaps.masses[0], gaps.openings), (MASS_MAX, MASS_MAX));
        let mut gaps = gaps;
        gaps.record(1_000_000);
        let empty: Gaps =
            serde_json::from_str(&serde_json::to_string(&Gaps::default()).unwrap()).unwrap();
        assert!(empty.is_empty());
    }
}
