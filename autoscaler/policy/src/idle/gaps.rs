//! How long a function was idle before its requests, of late.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::bins::{BINS, BOUNDS_US, bin};
use super::forecast::{self, Loss, Shares, VIEWS};

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

/// How finely gaps are told apart by the gap before: after a short one of the function, after a
/// middling one, after a long one.
const KINDS: usize = 3;

/// A mass for each bin and for what is beyond all.
const MASSES: usize = BINS + 1;

/// Requests counted after one gap, at most: enough to outweigh any pod.
const REQUESTS_MAX: u32 = 1_000;

/// A function's idle times.
///
/// It is known in several places, which outlive each other; [`Gaps::merge`] brings them together.
/// Within one process they share it until one of them learns more; of most functions there is
/// nothing to know, and that takes a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "Told")]
pub struct Gaps(Option<Arc<Known>>);

/// What is known of idle times; never [`NOTHING`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Known {
    /// Gaps ever recorded.
    seen: u64,
    /// Gaps after which requests were counted, decaying.
    openings: u32,
    /// The requests counted, decaying.
    requests: u64,
    /// By the kind of the gap before, by bin; empty before the first gap.
    masses: Vec<u32>,
    /// The kind of the last gap.
    last: Kind,
    /// What each view of the gaps paid of late.
    losses: [Loss; VIEWS],
}

/// What is known before the first gap.
static NOTHING: Known = Known {
    seen: 0,
    openings: 0,
    requests: 0,
    masses: Vec::new(),
    last: Kind::Middling,
    losses: [Loss::NONE; VIEWS],
};

/// What a gap was among those of its function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Of the shortest third.
    Short,
    /// Of neither.
    #[default]
    Middling,
    /// Of the longest third.
    Long,
}

/// The same as somebody else has it, who need not keep to our bounds.
#[derive(Deserialize)]
struct Told {
    seen: u64,
    openings: u32,
    requests: u64,
    masses: Vec<u32>,
    #[serde(default)]
    last: Kind,
    #[serde(default)]
    losses: [Loss; VIEWS],
}

impl From<Told> for Gaps {
    fn from(told: Told) -> Self {
        let Told { seen, openings, requests, mut masses, last, losses } = told;
        if !masses.is_empty() {
            masses.resize(KINDS * MASSES, 0);
        }
        for mass in &mut masses {
            *mass = (*mass).min(MASS_MAX);
        }
        let openings = openings.min(MASS_MAX);
        let requests = requests.min(u64::from(MASS_MAX) * u64::from(REQUESTS_MAX));
        let known = Known { seen, openings, requests, masses, last, losses };
        Self((known != NOTHING).then(|| Arc::new(known)))
    }
}

impl Serialize for Gaps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.known().serialize(serializer)
    }
}

impl Gaps {
    /// Adds that the function was idle for `gap_us` before a request.
    pub fn record(&mut self, gap_us: u64) {
        self.known_mut().record(gap_us);
    }

    /// Adds that `requests` came within one start-up time of a gap's end.
    pub(super) fn record_opening(&mut self, requests: u32) {
        self.known_mut().record_opening(requests);
    }

    /// Becomes `other` if that has seen more. Of two that saw as many it is a matter of order which
    /// is kept; so all who hear of both keep the same.
    pub fn merge(&mut self, other: &Self) {
        if other > self {
            self.clone_from(other);
        }
    }

    /// Whether no gap was seen yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen() == 0
    }

    /// Gaps ever recorded.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.known().seen
    }

    /// What it takes in memory beside itself.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        let known = self.0.as_ref();
        known.map_or(0, |it| counts + size_of::<Known>() + it.masses.capacity() * size_of::<u32>())
    }

    /// The share of gaps that is expected to end in each bin, and beyond all.
    pub(super) fn expected(&self) -> Shares {
        let known = self.known();
        forecast::together(&known.views(), &known.losses)
    }

    /// Requests that come within one start-up time of a gap's end, on average; at least 1. A gap
    /// that nobody saw counts as one with one request.
    pub(super) fn requests(&self) -> f64 {
        let (known, gap) = (self.known(), f64::from(GAP));
        (known.requests as f64 + gap) / (f64::from(known.openings) + gap)
    }

    fn known(&self) -> &Known {
        self.0.as_deref().unwrap_or(&NOTHING)
    }

    fn known_mut(&mut self) -> &mut Known {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl Known {
    fn record(&mut self, gap_us: u64) {
        let (smeared, views) = (smeared(gap_us), self.views());
        for (loss, view) in self.losses.iter_mut().zip(views) {
            let shares = smeared.iter().zip(view).map(|(mass, share)| in_gaps(*mass) * share);
            loss.pay(shares.sum());
        }
        self.seen = self.seen.saturating_add(1);
        self.masses.resize(KINDS * MASSES, 0);
        for mass in &mut self.masses {
            *mass = decayed(*mass);
        }
        let after = self.last as usize * MASSES;
        for (mass, more) in self.masses[after..].iter_mut().zip(smeared) {
            *mass += more;
        }
        self.last = self.kind(bin(gap_us));
    }

    /// What a gap that ends in that bin is among all.
    fn kind(&self, at: usize) -> Kind {
        let all = self.masses.iter().zip((0..MASSES).cycle());
        let (mut below, mut total) = (0, 0);
        for (mass, bin) in all {
            let mass = u64::from(*mass);
            total += 2 * mass;
            below += match bin.cmp(&at) {
                Ordering::Less => 2 * mass,
                // In the middle of those that are alike.
                Ordering::Equal => mass,
                Ordering::Greater => 0,
            };
        }
        match below * KINDS as u64 {
            place if place < total => Kind::Short,
            place if place < 2 * total => Kind::Middling,
            _ => Kind::Long,
        }
    }

    fn record_opening(&mut self, requests: u32) {
        let requests = requests.clamp(1, REQUESTS_MAX);
        self.openings = decayed(self.openings) + GAP;
        self.requests =
            self.requests * u64::from(KEPT_PERMILLE) / 1000 + u64::from(GAP) * u64::from(requests);
    }

    fn views(&self) -> [Shares; VIEWS] {
        let (mut own, mut like) = ([0.0; MASSES], [0.0; MASSES]);
        for (kind, masses) in self.masses.chunks(MASSES).enumerate() {
            for (at, mass) in masses.iter().enumerate() {
                own[at] += in_gaps(*mass);
                if kind == self.last as usize {
                    like[at] = in_gaps(*mass);
                }
            }
        }
        forecast::views(&own, &like)
    }
}

fn decayed(mass: u32) -> u32 {
    // Below 2³² by far: the product of two bounds.
    let kept = u64::from(mass) * u64::from(KEPT_PERMILLE) / 1000;
    u32::try_from(kept).unwrap_or(u32::MAX)
}

fn in_gaps(mass: u32) -> f64 {
    f64::from(mass) / f64::from(GAP)
}

/// One gap as masses.
fn smeared(gap_us: u64) -> [u32; MASSES] {
    let reach_us = gap_us / 100 * SMEAR_PERCENT;
    let (from_us, to_us) = (gap_us - reach_us, gap_us.saturating_add(reach_us).max(1));
    let length_us = (to_us - from_us).max(1);
    let (mut masses, mut left) = ([0; MASSES], GAP);
    for at in bin(from_us)..bin(to_us) {
        let overlap_us = BOUNDS_US[at + 1] - from_us.max(BOUNDS_US[at]);
        masses[at] = share(overlap_us, length_us).min(left);
        left -= masses[at];
    }
    masses[bin(to_us)] = left;
    masses
}

fn share(part_us: u64, of_us: u64) -> u32 {
    let share = u128::from(part_us) * u128::from(GAP) / u128::from(of_us);
    u32::try_from(share).unwrap_or(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masses of all kinds together.
    fn own(gaps: &Gaps) -> Vec<u32> {
        let of = |at: usize| gaps.known().masses.iter().skip(at).step_by(MASSES).sum();
        (0..MASSES).map(of).collect()
    }

    fn total(gaps: &Gaps) -> u32 {
        gaps.known().masses.iter().sum()
    }

    /// What it has learnt of gaps of so many seconds, one after the other.
    fn learnt(gaps_s: impl IntoIterator<Item = u64>) -> Gaps {
        let mut gaps = Gaps::default();
        gaps_s.into_iter().for_each(|gap_s| gaps.record(gap_s * 1_000_000));
        gaps
    }

    #[test]
    fn a_gap_is_smeared_and_weighs_one() {
        let gaps = learnt([100]);
        assert_eq!(total(&gaps), GAP);
        let touched: Vec<usize> = (0..MASSES).filter(|&at| own(&gaps)[at] > 0).collect();
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
        assert_eq!(own(&gaps)[BINS], total(&gaps));
        gaps.record(0);
        assert_eq!(own(&gaps)[0], GAP, "and none at all is in the first");
    }

    #[test]
    fn older_gaps_weigh_less_and_all_of_them_stay_bounded() {
        let mut gaps = learnt([10, 1_000]);
        let old: u32 = own(&gaps)[..20].iter().sum();
        assert_eq!(old, GAP / 1000 * KEPT_PERMILLE + GAP % 1000 * KEPT_PERMILLE / 1000);
        for _ in 0..10_000 {
            gaps.record(10_000_000);
            gaps.record_opening(u32::MAX);
        }
        assert!(total(&gaps) <= MASS_MAX && gaps.known().openings <= MASS_MAX);
        assert!((gaps.requests() - f64::from(REQUESTS_MAX)).abs() < 10.0);
    }

    #[test]
    fn a_gap_is_short_or_long_beside_the_others_of_its_function() {
        let gaps = learnt([10, 100, 1_000]);
        let kinds = [5, 10, 100, 1_000, 5_000].map(|s| gaps.known().kind(bin(s * 1_000_000)));
        assert_eq!(kinds, [Kind::Short, Kind::Short, Kind::Middling, Kind::Long, Kind::Long]);
        assert_eq!(learnt([300; 9]).known().last, learnt([300; 10]).known().last, "all alike");
    }

    #[test]
    fn what_follows_a_short_gap_and_what_follows_a_long_one_is_told_apart() {
        // A request, another one two minutes later, and eighteen minutes of nothing.
        let mut gaps = learnt([120, 1_080].into_iter().cycle().take(40));
        let share = |gaps: &Gaps, s: u64| {
            let around = bin(s * 930_000)..=bin(s * 1_070_000);
            gaps.expected()[around].iter().sum::<f64>()
        };
        assert!(share(&gaps, 120) > 0.75, "{}", share(&gaps, 120));
        gaps.record(120_000_000);
        assert!(share(&gaps, 1_080) > 0.75, "{}", share(&gaps, 1_080));
        // Where it is chance what follows, little is made of what went before.
        let mut state = 1_u64;
        let chance = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 63 == 0 { 120 } else { 1_080 }
        });
        let gaps = learnt(chance.take(200));
        assert!((0.4..0.6).contains(&share(&gaps, 120)), "{}", share(&gaps, 120));
    }

    #[test]
    fn who_behaves_otherwise_from_now_on_is_followed() {
        let mut gaps = learnt([30; 400]);
        let late = |gaps: &Gaps| gaps.expected()[bin(100_000_000)..].iter().sum::<f64>();
        assert!(late(&gaps) < 0.02, "{}", late(&gaps));
        (0..10).for_each(|_| gaps.record(1_000_000_000));
        assert!(late(&gaps) > 0.6, "{}", late(&gaps));
    }

    #[test]
    fn those_who_hear_the_same_in_any_order_keep_the_same() {
        let (mut short, long) = (learnt([5]), learnt([500]));
        let (mut one, mut other) = (short.clone(), long.clone());
        one.merge(&long);
        other.merge(&short);
        assert_eq!(one, other);
        short.record(5_000_000);
        one.merge(&short);
        assert_eq!((one.seen(), &one), (2, &short));
    }

    #[test]
    fn nothing_known_takes_a_pointer_and_is_written_out_whole() {
        assert_eq!((size_of::<Gaps>(), Gaps::default().bytes()), (size_of::<usize>(), 0));
        let line = r#"{"seen":0,"openings":0,"requests":0,"masses":[],"last":"middling","#;
        let line = format!(r#"{line}"losses":[0,0,0]}}"#);
        assert_eq!(serde_json::to_string(&Gaps::default()).unwrap(), line);
        assert_eq!(NOTHING, Known::default());
    }

    #[test]
    fn what_one_learns_those_who_shared_with_it_do_not() {
        let before = learnt([5]);
        let mut after = before.clone();
        after.record(5_000_000);
        assert_eq!((before.seen(), after.seen()), (1, 2));
    }

    #[test]
    fn what_others_tell_is_brought_within_bounds() {
        let told = r#"{"seen":3,"openings":4294967295,"requests":9,"masses":[4294967295,1]}"#;
        let mut gaps: Gaps = serde_json::from_str(told).unwrap();
        assert_eq!(gaps.known().masses.len(), KINDS * MASSES);
        assert_eq!((gaps.known().masses[0], gaps.known().openings), (MASS_MAX, MASS_MAX));
        gaps.record(1_000_000);
        for gaps in [gaps, Gaps::default()] {
            let line = serde_json::to_string(&gaps).unwrap();
            assert_eq!(serde_json::from_str::<Gaps>(&line).unwrap(), gaps);
        }
    }
}
