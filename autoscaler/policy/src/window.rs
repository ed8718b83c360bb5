//! The stable and the panic window of one function: seconds in, averages out.
//!
//! Semantics are those of Knative's pod autoscaler: buckets of one second, values of one second add
//! up, a late value still finds its bucket, a whole window without a value starts over. One ring of
//! seconds, as long as the stable window, serves both windows.

mod ring;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::settings::Aggregation;

use ring::Ring;

/// Smallest smoothing coefficient of the exponential average: below it, the newest second of a long
/// window would count for less than a fifth.
const SMOOTHING_MIN: f64 = 0.2;

/// What the exponential weights of one whole window add up to, before [`SMOOTHING_MIN`].
const WEIGHT_IN_WINDOW: f64 = 0.9999;

/// Linear averages are rounded to this fraction, so that a sum of tiny rounding errors is zero.
const PER_UNIT: f64 = 1e6;

/// What a second without a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// No load, as Knative has it: between two values it counts as zero.
    Zero,
    /// Nothing is known of it: it takes no part in an average.
    Unknown,
}

/// The average of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Mean of the metric over the known seconds, ≥ 0; 0 when none is known.
    pub value: f64,
    /// Seconds of the window that took part.
    pub known_s: u32,
}

/// Values of the seconds that are not settled yet: each at most what that second will have been.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail<'a> {
    /// The first of these seconds.
    pub(crate) first_s: u64,
    /// Their values, one a second.
    pub(crate) values: &'a [f64],
}

impl Tail<'_> {
    pub(crate) const EMPTY: Tail<'static> = Tail { first_s: u64::MAX, values: &[] };

    fn value(&self, second: u64) -> f64 {
        usize::try_from(second - self.first_s)
            .ok()
            .and_then(|at| self.values.get(at))
            .copied()
            .unwrap_or(0.0)
    }
}

/// The ring of seconds and the two windows that look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Windows {
    aggregation: Aggregation,
    missing: Missing,
    /// As long as the stable window.
    buckets: Ring,
    last_s: Option<u64>,
    stable: View,
    panic: View,
}

impl Windows {
    /// Empty windows of that many seconds; 0 counts as 1, and `panic_s` is at most `stable_s`.
    pub(crate) fn new(
        stable_s: u32,
        panic_s: u32,
        aggregation: Aggregation,
        missing: Missing,
    ) -> Self {
        let stable = View::new(stable_s.max(1));
        Self {
            aggregation,
            missing,
            buckets: Ring::new(stable.length_s),
            last_s: None,
            panic: View::new(panic_s.clamp(1, stable.length_s)),
            stable,
        }
    }

    /// Whether [`Windows::new`] of these makes windows of this shape.
    pub(crate) fn fits(&self, stable_s: u32, panic_s: u32, aggregation: Aggregation) -> bool {
        let stable_s = stable_s.max(1);
        let lengths = (self.stable.length_s, self.panic.length_s);
        self.aggregation == aggregation
            && self.buckets.length_s() == stable_s as usize
            && lengths == (stable_s, panic_s.clamp(1, stable_s))
    }

    /// The stable window's length in seconds.
    pub(crate) fn stable_s(&self) -> u32 {
        self.stable.length_s
    }

    /// Adds `value` to `second`. One that has left the stable window is dropped, and so is one that
    /// is negative or no finite number: it would be all there is to see for a whole window.
    pub(crate) fn record(&mut self, second: u64, value: f64) {
        if !is_valid(value) {
            return;
        }
        let length = u64::from(self.stable.length_s);
        match self.last_s {
            Some(last) if second <= last => {
                if last - second >= length {
                    return;
                }
                self.stable.reach_back(second, last);
                self.panic.reach_back(second, last);
            }
            last => {
                self.stable.reach_forward(second, last);
                self.panic.reach_forward(second, last);
                let gap_s = last.map_or(length, |last| second - last).min(length);
                for between in 1..gap_s {
                    self.buckets.forget(second - between.min(second));
                }
                self.last_s = Some(second);
                return self.buckets.set(second, value);
            }
        }
        self.buckets.add(second, value);
    }

    /// The same for each of those seconds.
    pub(crate) fn record_all(&mut self, mut seconds: Range<u64>, value: f64) {
        let is_new = self.last_s.is_none_or(|last| last < seconds.start);
        let fits = seconds.end.saturating_sub(seconds.start) <= self.stable.length_s.into();
        if is_new
            && fits
            && is_valid(value)
            && let Some(first) = seconds.next()
        {
            self.record(first, value);
            if let Some(last) = seconds.end.checked_sub(1).filter(|last| *last > first) {
                self.stable.reach_forward(last, Some(last - 1));
                self.panic.reach_forward(last, Some(last - 1));
                self.buckets.fill(seconds, value);
                self.last_s = Some(last);
            }
        } else {
            seconds.for_each(|second| self.record(second, value));
        }
    }

    /// Whether the stable window, ending with the second `end_s`, holds no value at all.
    pub(crate) fn is_empty(&self, end_s: u64) -> bool {
        self.last_s.is_none_or(|last| end_s.saturating_sub(last) > u64::from(self.stable.length_s))
    }

    /// The newest second that has a value.
    pub(crate) fn last_s(&self) -> Option<u64> {
        self.last_s
    }

    /// The newest second that has load, and its value.
    pub(crate) fn newest_load(&self) -> Option<(u64, f64)> {
        self.buckets.newest_load(self.seconds()?)
    }

    /// The highest value of a second.
    pub(crate) fn peak(&self) -> f64 {
        let mut peak = 0.0_f64;
        if let Some(seconds) = self.seconds() {
            self.buckets.scan(seconds, |value| peak = peak.max(value));
        }
        peak
    }

    /// The seconds that have a place.
    fn seconds(&self) -> Option<Range<u64>> {
        let end_s = self.last_s? + 1;
        Some(end_s.saturating_sub(self.buckets.length_s() as u64)..end_s)
    }

    /// Forgets every second.
    pub(crate) fn clear(&mut self) {
        self.last_s = None;
        self.buckets.clear();
    }

    /// The stable window's average, the window ending with the second `end_s`.
    pub(crate) fn stable(&self, end_s: u64, tail: Tail<'_>) -> Average {
        self.average(self.stable, end_s, tail)
    }

    /// The panic window's average, the window ending with the second `end_s`.
    pub(crate) fn panic(&self, end_s: u64, tail: Tail<'_>) -> Average {
        self.average(self.panic, end_s, tail)
    }

    fn average(&self, view: View, end_s: u64, tail: Tail<'_>) -> Average {
        let end_s = match (self.missing, self.last_s) {
            (Missing::Zero, Some(last)) => end_s.max(last),
            _ => end_s,
        };
        let from_s = (end_s + 1).saturating_sub(u64::from(view.length_s));
        let mut mean = Mean::new(self.aggregation, view.smoothing);
        let tail_s = tail.first_s.clamp(from_s, end_s + 1);
        for second in (tail_s..=end_s).rev() {
            mean.add(tail.value(second));
        }
        if let Some(last_s) = self.last_s {
            let held_s = (last_s + 1).saturating_sub(self.buckets.length_s() as u64);
            let to_s = tail_s.min(last_s + 1);
            mean.skip(tail_s - to_s);
            let from_s = from_s.max(view.first_s).max(held_s);
            mean.add_ring(&self.buckets, from_s.min(to_s)..to_s, self.missing);
        }
        mean.average()
    }
}

fn is_valid(value: f64) -> bool {
    (0.0..=f64::MAX).contains(&value)
}

/// One window's view of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct View {
    length_s: u32,
    /// The first second since this window last started over.
    first_s: u64,
    smoothing: f64,
}

impl View {
    fn new(length_s: u32) -> Self {
        let left = libm::pow(1.0 - WEIGHT_IN_WINDOW, 1.0 / f64::from(length_s));
        Self { length_s, first_s: 0, smoothing: (1.0 - left).max(SMOOTHING_MIN) }
    }

    /// A value newer than all before: after a whole window without one, the window starts over.
    fn reach_forward(&mut self, second: u64, last_s: Option<u64>) {
        if last_s.is_none_or(|last| second - last >= u64::from(self.length_s)) {
            self.first_s = second;
        }
    }

    /// A late value: the window may have begun with it.
    fn reach_back(&mut self, second: u64, last_s: u64) {
        if last_s - second < u64::from(self.length_s) {
            self.first_s = self.first_s.min(second);
        }
    }
}

/// An average under way, from the newest second backwards.
struct Mean {
    aggregation: Aggregation,
    /// What the next second's value is multiplied by, and by what that falls from second to second:
    /// a·(1 − a)^age. It is multiplied up as Knative does it, so that both come to the same digit.
    weight: f64,
    decay: f64,
    sum: f64,
    known_s: u32,
}

impl Mean {
    fn new(aggregation: Aggregation, smoothing: f64) -> Self {
        let (weight, decay) = match aggregation {
            Aggregation::Linear => (1.0, 1.0),
            Aggregation::WeightedExponential => (smoothing, 1.0 - smoothing),
        };
        Self { aggregation, weight, decay, sum: 0.0, known_s: 0 }
    }

    fn add(&mut self, value: f64) {
        self.sum += value * self.weight;
        self.weight *= self.decay;
        self.known_s += 1;
    }

    /// Adds seconds that the ring holds, the last first. Where all have one weight, those without
    /// load leave the sum as it is.
    fn add_ring(&mut self, ring: &Ring, seconds: Range<u64>, missing: Missing) {
        if self.aggregation == Aggregation::WeightedExponential {
            return self.add_by_age(ring, seconds, missing);
        }
        let known_s = ring.scan(seconds.clone(), |load| self.sum += load);
        self.known_s += match missing {
            // At most as many as the ring has.
            Missing::Zero => u32::try_from(seconds.end - seconds.start).unwrap_or(u32::MAX),
            Missing::Unknown => known_s,
        };
    }

    fn add_by_age(&mut self, ring: &Ring, seconds: Range<u64>, missing: Missing) {
        for second in seconds.rev() {
            match (ring.get(second), missing) {
                (Some(value), _) => self.add(value),
                (None, Missing::Zero) => self.add(0.0),
                (None, Missing::Unknown) => self.skip(1),
            }
        }
    }

    /// Seconds that take no part.
    fn skip(&mut self, seconds: u64) {
        if seconds > 0 && self.aggregation == Aggregation::WeightedExponential {
            // Ages are below a window's length, which an f64 holds exactly.
            let seconds = u32::try_from(seconds).map_or(f64::MAX, f64::from);
            self.weight *= libm::pow(self.decay, seconds);
        }
    }

    fn average(self) -> Average {
        let value = match self.aggregation {
            // Most windows are without load, and a division costs more than the way here.
            Aggregation::Linear if self.sum <= 0.0 => 0.0,
            Aggregation::Linear => {
                let mean = self.sum / f64::from(self.known_s.max(1));
                libm::round(mean * PER_UNIT) / PER_UNIT
            }
            Aggregation::WeightedExponential => self.sum,
        };
        Average { value, known_s: self.known_s }
    }
}

#[cfg(test)]
mod tests;
