//! Bursts: how many requests want a pod at once, how long pods take to come, and when an activator
//! is to say so without waiting to be asked.
//!
//! Off in [`Burst::Kpa`]: averages alone decide then. In the other modes every decision also asks
//! for as many pods as the requests of this moment need:
//!
//! > wanted = ⌈(open + refused + arriving × start-up) ÷ target⌉
//!
//! *open* are the requests in flight, held ones included; *refused* those turned away since the
//! last report for want of room; *arriving* the requests begun per second since then, *start-up*
//! the learnt start-up time in seconds, and their product, the requests that will have come before
//! a pod ordered now is ready, is 0 in [`Burst::Queue`]. *target* is in requests per pod. Worked:
//! 40 open, 5 refused, 30/s arriving, 2.5 s start-up, a target of 7: in `queue` ⌈45 ÷ 7⌉ = 7 pods,
//! in `start-up` ⌈120 ÷ 7⌉ = 18.

use serde::{Deserialize, Serialize};

use crate::settings::{Burst, Scaling};

/// Start-ups remembered: with [`DECAY`], older ones would weigh less than a fifth of the newest.
const START_UPS_MAX: usize = 16;

/// Weight of a start-up against that of the next newer one.
const DECAY: f64 = 0.9;

/// The share of start-ups that are as quick as the learnt time or quicker. A burst sized for the
/// median would come late every other time.
const QUANTILE: f64 = 0.9;

/// How long a function's pods took to become ready, of late.
///
/// It is known in several places, which outlive each other; [`StartUps::merge`] brings them
/// together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct StartUps {
    /// Start-ups ever recorded, those no longer remembered included.
    seen: u64,
    /// In microseconds, the newest first.
    times_us: Vec<u64>,
}

/// The same as somebody else has it, who need not keep to our bound.
#[derive(Deserialize)]
struct Told {
    seen: u64,
    times_us: Vec<u64>,
}

impl From<Told> for StartUps {
    fn from(Told { seen, mut times_us }: Told) -> Self {
        times_us.truncate(START_UPS_MAX);
        Self { seen, times_us }
    }
}

impl StartUps {
    /// Adds that a function was without a ready pod for `time_us` after pods were ordered.
    pub fn record(&mut self, time_us: u64) {
        self.seen = self.seen.saturating_add(1);
        self.times_us.truncate(START_UPS_MAX - 1);
        self.times_us.insert(0, time_us);
    }

    /// Becomes `other` if that has seen more. Of two that saw as many, each in its own place, it is
    /// a matter of order which is kept; so all who hear of both keep the same, whichever comes
    /// first and however often.
    pub fn merge(&mut self, other: &Self) {
        if (other.seen, &other.times_us) > (self.seen, &self.times_us) {
            self.clone_from(other);
        }
    }

    /// Whether no start-up was seen yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times_us.is_empty()
    }

    /// The start-up time to reckon with, in microseconds; none before the first.
    ///
    /// The decaying quantile: the least time t of those seen for which Σ dⁱ over the i with
    /// timeᵢ ≤ t is at least q · Σ dⁱ over all, where i counts from 0 at the newest, d = 0.9 and
    /// q = 0.9. Worked: 4 s, then 1 s, then 1 s weigh 0.81, 0.9 and 1, in all 2.71; 1 s covers
    /// 1.9 ÷ 2.71 = 70 %, so it is 4 s; once seven of 1 s have followed it, it is 1 s.
    #[must_use]
    pub fn quantile_us(&self) -> Option<u64> {
        let mut weight = 1.0;
        let mut weighed: Vec<(u64, f64)> = Vec::with_capacity(self.times_us.len());
        for &time_us in &self.times_us {
            weighed.push((time_us, weight));
            weight *= DECAY;
        }
        weighed.sort_by_key(|(time_us, _)| *time_us);
        let enough = QUANTILE * weighed.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut covered = 0.0;
        let found = weighed.iter().find(|(_, weight)| {
            covered += weight;
            covered >= enough
        });
        // Rounding may leave the sum a hair short at the very end.
        found.or(weighed.last()).map(|(time_us, _)| *time_us)
    }
}

/// What asks for pods at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// Requests in flight, held ones included.
    pub open: u64,
    /// Requests refused for want of room since the last report.
    pub refused: u64,
    /// Requests that will have come when a pod ordered now is ready; 0 where that is not reckoned
    /// with or not known.
    pub to_come: f64,
}

impl Demand {
    /// The demand under a mode: `arriving_rps` requests begin per second, and pods take
    /// `start_up_us` to become ready.
    #[must_use]
    pub fn new(
        burst: Burst,
        open: u64,
        refused: u64,
        arriving_rps: f64,
        start_up_us: Option<u64>,
    ) -> Self {
        let to_come = match (burst, start_up_us) {
            (Burst::StartUp, Some(start_up_us)) => arriving_rps * start_up_us as f64 / 1e6,
            _ => 0.0,
        };
        Self { open, refused, to_come }
    }

    /// Requests in all.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.open as f64 + self.refused as f64 + self.to_come
    }
}

/// Open requests above which all activators together are to report at once; none in
/// [`Burst::Kpa`].
///
/// It is where panic would begin if they stayed: pods × target × panic threshold, rounded down and
/// at least 1, with the pods that were asked for and at least one. Worked: 2 pods, a target of 7
/// and 200 % make 28.
#[must_use]
pub fn pressure_threshold(scaling: &Scaling, replicas: u32) -> Option<u64> {
    if scaling.burst == Burst::Kpa {
        return None;
    }
    let threshold = f64::from(replicas.max(1)) * scaling.target * scaling.panic_threshold;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is meant"
    )]
    let threshold = libm::floor(threshold) as u64;
    Some(threshold.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learnt(times_us: &[u64]) -> Option<u64> {
        let mut start_ups = StartUps::default();
        times_us.iter().for_each(|&time_us| start_ups.record(time_us));
        start_ups.quantile_us()
    }

    #[test]
    fn the_worked_numbers() {
        assert_eq!(learnt(&[]), None);
        assert_eq!(learnt(&[3]), Some(3));
        assert_eq!(learnt(&[4, 1, 1]), Some(4));
        let after = |quick: usize| learnt(&[&[4][..], &vec![1; quick]].concat());
        let forgotten = (1..START_UPS_MAX).find(|&quick| after(quick) == Some(1));
        assert_eq!(forgotten, Some(7));
        assert_eq!(after(START_UPS_MAX), Some(1), "no longer remembered");

        let demand = |burst| Demand::new(burst, 40, 5, 30.0, Some(2_500_000)).requests();
        assert_eq!(demand(Burst::Queue).to_bits(), 45.0_f64.to_bits());
        assert_eq!(demand(Burst::StartUp).to_bits(), 120.0_f64.to_bits());
        let unknown = Demand::new(Burst::StartUp, 40, 5, 30.0, None);
        assert_eq!(unknown.requests().to_bits(), 45.0_f64.to_bits());

        let scaling = |burst| Scaling { target: 7.0, burst, ..Scaling::default() };
        assert_eq!(pressure_threshold(&scaling(Burst::Queue), 2), Some(28));
        assert_eq!(pressure_threshold(&scaling(Burst::StartUp), 0), Some(14));
        assert_eq!(pressure_threshold(&scaling(Burst::Kpa), 2), None);
        let tiny = Scaling { target: 0.01, ..scaling(Burst::Queue) };
        assert_eq!(pressure_threshold(&tiny, 1), Some(1));
    }

    #[test]
    fn what_others_tell_is_not_remembered_beyond_the_bound() {
        let told = format!(r#"{{"seen":9,"times_us":{:?}}}"#, [7; 1_000]);
        let told: StartUps = serde_json::from_str(&told).unwrap();
        assert_eq!((told.times_us.len(), told.quantile_us()), (START_UPS_MAX, Some(7)));
    }

    proptest! {
        #[test]
        fn what_is_learnt_was_seen_and_survives_writing(
            times in proptest::collection::vec(any::<u64>(), 1..40),
        ) {
            let mut start_ups = StartUps::default();
            times.iter().for_each(|&time_us| start_ups.record(time_us));
            let newest = times.iter().rev().take(START_UPS_MAX);
            let learnt = start_ups.quantile_us().unwrap();
            prop_assert!(newest.clone().any(|&time_us| time_us == learnt));
            let quicker = newest.filter(|&&time_us| time_us <= learnt).count();
            prop_assert!(quicker >= 1);
            let written = serde_json::to_string(&start_ups).unwrap();
            prop_assert_eq!(serde_json::from_str::<StartUps>(&written).unwrap(), start_ups);
        }

        #[test]
        fn whoever_saw_most_is_believed_in_whatever_order_they_are_heard(
            times in proptest::collection::vec(proptest::collection::vec(0..3_u64, 0..20), 3),
            order in Just([0, 1, 2, 0, 1]).prop_shuffle(),
        ) {
            let each: Vec<StartUps> = times.iter().map(|times| {
                let mut start_ups = StartUps::default();
                times.iter().for_each(|&time_us| start_ups.record(time_us));
                start_ups
            }).collect();
            let merged = |order: &[usize]| {
                let mut all = StartUps::default();
                order.iter().for_each(|&at| all.merge(&each[at]));
                all
            };
            let all = merged(&[0, 1, 2]);
            prop_assert_eq!(merged(&order), all.clone());
            let most = times.iter().map(Vec::len).max();
            let seen = each.iter().zip(&times).find(|(one, _)| **one == all);
            prop_assert_eq!(seen.map(|(_, times)| times.len()), most);
        }
    }
}
