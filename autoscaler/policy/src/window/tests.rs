use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::*;

fn linear(stable_s: u32, panic_s: u32, missing: Missing) -> Windows {
    Windows::new(stable_s, panic_s, Aggregation::Linear, missing)
}

fn filled(missing: Missing, samples: &[(u64, f64)]) -> Windows {
    let mut windows = linear(60, 6, missing);
    for &(second, value) in samples {
        windows.record(second, value);
    }
    windows
}

fn stable(windows: &Windows, end_s: u64) -> (f64, u32) {
    let average = windows.stable(end_s, Tail::EMPTY);
    (average.value, average.known_s)
}

fn panic(windows: &Windows, end_s: u64) -> (f64, u32) {
    let average = windows.panic(end_s, Tail::EMPTY);
    (average.value, average.known_s)
}

fn check(have: (f64, u32), value: f64, known_s: u32) {
    assert!((have.0 - value).abs() < 1e-9 && have.1 == known_s, "{have:?}");
}

#[test]
fn a_gap_inside_counts_as_zero_and_silence_after_does_not() {
    let windows = filled(Missing::Zero, &[(10, 10.0), (13, 10.0)]);
    check(stable(&windows, 13), 5.0, 4);
    check(stable(&windows, 16), 5.0, 4);
}

#[test]
fn a_gap_counts_for_nothing_where_missing_is_unknown() {
    let windows = filled(Missing::Unknown, &[(10, 10.0), (13, 10.0)]);
    check(stable(&windows, 13), 10.0, 2);
    check(stable(&windows, 69), 10.0, 2);
    check(stable(&windows, 70), 10.0, 1);
    check(stable(&windows, 73), 0.0, 0);
}

#[test]
fn every_third_second_missing_thins_a_load_of_nine() {
    let samples: Vec<_> =
        (0..59).filter(|second| second % 3 != 2).map(|second| (second, 9.0)).collect();
    check(stable(&filled(Missing::Zero, &samples), 58), 6.101_695, 59);
    check(stable(&filled(Missing::Unknown, &samples), 58), 9.0, 40);
}

#[test]
fn a_load_that_ends_leaves_a_cliff_or_a_ramp() {
    let steady: Vec<_> = (0..60).map(|second| (second, 100.0)).collect();
    // One zero report, then nothing.
    let mut cliff = filled(Missing::Zero, &steady);
    cliff.record(60, 0.0);
    for (after_s, value) in [(1, 98.305_085), (30, 96.666_667), (50, 90.0), (57, 66.666_667)] {
        let (have, _) = stable(&cliff, 60 + after_s);
        assert!((have - value).abs() < 1e-6, "{have} after {after_s} s");
    }
    check(stable(&cliff, 60 + 58), 50.0, 2);
    check(stable(&cliff, 60 + 59), 0.0, 1);
    // A zero each second.
    let mut ramp = filled(Missing::Zero, &steady);
    for (after_s, value) in [(10, 81.666_667), (30, 48.333_333), (50, 15.0), (59, 0.0)] {
        for second in 60..=60 + after_s {
            ramp.record(second, 0.0);
        }
        check(stable(&ramp, 60 + after_s), value, 60);
        ramp = filled(Missing::Zero, &steady);
    }
}

#[test]
fn the_panic_window_starts_over_while_the_stable_one_goes_on() {
    let windows = filled(Missing::Zero, &[(0, 12.0), (6, 12.0)]);
    check(panic(&windows, 6), 12.0, 1);
    check(stable(&windows, 6), 3.428_571, 7);
}

#[test]
fn a_whole_window_without_a_value_starts_over() {
    let windows = filled(Missing::Zero, &[(0, 12.0), (60, 6.0)]);
    check(stable(&windows, 60), 6.0, 1);
    assert!(!windows.is_empty(120) && windows.is_empty(121));
    check(stable(&windows, 120), 0.0, 0);
}

#[test]
fn values_of_one_second_add_up_late_ones_too() {
    let windows = filled(Missing::Zero, &[(5, 1.0), (9, 1.0), (5, 2.0), (3, 3.0)]);
    check(stable(&windows, 9), 1.0, 7);
    let mut windows = filled(Missing::Zero, &[(100, 1.0)]);
    windows.record(40, 7.0);
    check(stable(&windows, 100), 1.0, 1);
    windows.record(41, 7.0);
    check(stable(&windows, 100), 0.133_333, 60);
}

#[test]
fn exponential_weights() {
    for (length_s, want) in
        [(6, 0.784_557), (10, 0.601_893), (20, 0.369_043), (30, 0.264_358), (42, 0.2), (3600, 0.2)]
    {
        let have = View::new(length_s).smoothing;
        assert!((have - want).abs() < 1e-6, "{length_s} s: {have}");
    }
    let mut windows = Windows::new(60, 6, Aggregation::WeightedExponential, Missing::Zero);
    for (second, want) in [2.0, 3.6, 4.88, 5.904, 6.7232].into_iter().enumerate() {
        windows.record(second as u64, 10.0);
        let (have, _) = stable(&windows, second as u64);
        assert!((have - want).abs() < 1e-9, "second {second}: {have}");
    }
    // Two seconds of silence: twice (1 − a).
    let (have, _) = stable(&windows, 6);
    assert!((have - 6.7232 * 0.64).abs() < 1e-9, "{have}");
}

#[test]
fn unsettled_seconds_take_part_where_they_are_asked_for() {
    let windows = filled(Missing::Unknown, &[(0, 1.0), (1, 1.0)]);
    let tail = Tail { first_s: 2, values: &[10.0, 4.0] };
    let average = windows.stable(3, tail);
    check((average.value, average.known_s), 4.0, 4);
}

/// What a window of a ring is, written down without a ring: every value ever added, and where the
/// present series began.
struct Plain {
    ring_s: u64,
    length_s: u64,
    values: Vec<(u64, f64)>,
    first_s: u64,
    last_s: Option<u64>,
}

impl Plain {
    fn new(ring_s: u32, length_s: u32) -> Self {
        let (ring_s, length_s) = (ring_s.into(), length_s.into());
        Self { ring_s, length_s, values: Vec::new(), first_s: 0, last_s: None }
    }

    fn record(&mut self, second: u64, value: f64) {
        match self.last_s {
            Some(last) if second + self.ring_s <= last => return,
            Some(last) if second + self.length_s <= last => {}
            Some(last) if second <= last => self.first_s = self.first_s.min(second),
            Some(last) if second - last < self.length_s => self.last_s = Some(second),
            _ => (self.first_s, self.last_s) = (second, Some(second)),
        }
        self.values.push((second, value));
    }

    fn sum(&self, seconds: RangeInclusive<u64>) -> f64 {
        let values = self.values.iter().filter(|(second, _)| seconds.contains(second));
        values.map(|(_, value)| value).sum()
    }

    /// The average, and over how many seconds.
    fn mean(&self, missing: Missing, end_s: u64) -> (f64, u32) {
        let Some(last_s) = self.last_s else {
            return (0.0, 0);
        };
        let end_s = if missing == Missing::Zero { end_s.max(last_s) } else { end_s };
        let in_ring_s = (last_s + 1).saturating_sub(self.ring_s);
        let from_s = (end_s + 1).saturating_sub(self.length_s).max(self.first_s).max(in_ring_s);
        let seconds = from_s..=end_s.min(last_s);
        let known_s = match missing {
            Missing::Zero => seconds.clone().count(),
            Missing::Unknown => {
                let known = self.values.iter().map(|(second, _)| *second);
                known.filter(|it| seconds.contains(it)).collect::<BTreeSet<_>>().len()
            }
        };
        let known_s = u32::try_from(known_s).unwrap();
        (self.sum(seconds) / f64::from(known_s.max(1)), known_s)
    }
}

proptest! {
    #[test]
    fn agrees_with_a_plain_list(
        stable_s in 6_u32..40,
        panic_share in 1_u32..100,
        missing in prop_oneof![Just(Missing::Zero), Just(Missing::Unknown)],
        steps in proptest::collection::vec((-8_i64..30, 0_u32..100), 1..80),
    ) {
        let panic_s = (stable_s * panic_share / 100).max(1);
        let mut windows = linear(stable_s, panic_s, missing);
        let mut plain = [stable_s, panic_s].map(|length_s| Plain::new(stable_s, length_s));
        let mut now_s = 100_u64;
        for (step, value) in steps {
            let second = now_s.saturating_add_signed(step);
            now_s = now_s.max(second);
            windows.record(second, f64::from(value));
            plain.iter_mut().for_each(|plain| plain.record(second, f64::from(value)));
            // Seconds settle late: a window may end well before the newest value.
            for end_s in [now_s - 20, now_s - 3, now_s - 1, now_s, now_s + 3, now_s + 50] {
                let have = [stable(&windows, end_s), panic(&windows, end_s)];
                for ((value, known_s), plain) in have.into_iter().zip(&plain) {
                    let (want, want_s) = plain.mean(missing, end_s);
                    prop_assert!((value - want).abs() < 1e-6, "{value} for {want} at {end_s}");
                    prop_assert_eq!(known_s, want_s);
                }
            }
        }
    }
}

proptest! {
    /// Seconds recorded together leave the windows as each of them alone does.
    #[test]
    fn a_run_of_seconds_is_as_each_of_them(
        stable_s in 1u32..70,
        panic_s in 1u32..70,
        zero in any::<bool>(),
        runs in prop::collection::vec(
            (0u64..200, 0u64..80, prop_oneof![Just(0.0), 0.1..9.0, Just(f64::NAN)]), 1..8,
        ),
    ) {
        let missing = if zero { Missing::Zero } else { Missing::Unknown };
        let mut together = linear(stable_s, panic_s, missing);
        let mut one_by_one = together.clone();
        for (first, count, value) in runs {
            together.record_all(first..first + count, value);
            (first..first + count).for_each(|second| one_by_one.record(second, value));
            prop_assert_eq!(&together, &one_by_one);
        }
    }
}
