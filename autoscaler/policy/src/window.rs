//! The stable and the panic window of one function: seconds in, averages out.
//!
//! Semantics are those of Knative's pod autoscaler: buckets of one second, values of one second add
//! up, a late value still finds its bucket, a whole window without a value starts over. One ring of
//! seconds, as long as the stable window, serves both windows.

use serde::{Deserialize, Serialize};

use crate::settings::Aggregation;

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
    pub(crate) const EMPTY: Tail<'static> = Tail {
        first_s: u64::MAX,
        values: &[],
    };

    fn value(&self, second: u64) -> f64 {
        usize::try_from(second - self.first_s)
            .ok()
            .and_then(|at| self.values.get(at))
            .copied()
            .unwrap_or(0.0)
    }
}

/// The ring of seconds and the two windows that look at it.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    aggregation: Aggregation,
    missing: Missing,
    /// As many as the stable window has seconds; second s lives at s modulo that.
    buckets: Vec<Option<f64>>,
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
            buckets: vec![None; stable.length_s as usize],
            last_s: None,
            panic: View::new(panic_s.clamp(1, stable.length_s)),
            stable,
        }
    }

    /// The stable window's length in seconds.
    pub(crate) fn stable_s(&self) -> u32 {
        self.stable.length_s
    }

    /// Adds `value` to `second`. One that has left the stable window is dropped.
    pub(crate) fn record(&mut self, second: u64, value: f64) {
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
                for between in 0..gap_s {
                    let at = self.index(second - between.min(second));
                    self.buckets[at] = None;
                }
                self.last_s = Some(second);
            }
        }
        let at = self.index(second);
        self.buckets[at] = Some(self.buckets[at].unwrap_or(0.0) + value);
    }

    /// Whether the stable window, ending with the second `end_s`, holds no value at all.
    pub(crate) fn is_empty(&self, end_s: u64) -> bool {
        self.last_s
            .is_none_or(|last| end_s.saturating_sub(last) > u64::from(self.stable.length_s))
    }

    /// Forgets every second.
    pub(crate) fn clear(&mut self) {
        self.last_s = None;
        self.buckets.fill(None);
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
        let known = (from_s..=end_s)
            .rev()
            .filter_map(|second| Some((second, self.value(view, second, tail)?)));
        let mut average = Average::default();
        for (second, value) in known {
            average.known_s += 1;
            average.value += match self.aggregation {
                Aggregation::Linear => value,
                Aggregation::WeightedExponential => value * view.weight(end_s - second),
            };
        }
        if self.aggregation == Aggregation::Linear {
            let mean = average.value / f64::from(average.known_s.max(1));
            average.value = libm::round(mean * PER_UNIT) / PER_UNIT;
        }
        average
    }

    /// The value of a second that takes part in the averages of `view`.
    fn value(&self, view: View, second: u64, tail: Tail<'_>) -> Option<f64> {
        if second >= tail.first_s {
            return Some(tail.value(second));
        }
        let last_s = self.last_s?;
        let held =
            view.first_s
                .max((last_s + 1).saturating_sub(self.buckets.len() as u64))..=last_s;
        if !held.contains(&second) {
            return None;
        }
        match (self.buckets[self.index(second)], self.missing) {
            (None, Missing::Zero) => Some(0.0),
            (value, _) => value,
        }
    }

    fn index(&self, second: u64) -> usize {
        // In range on every platform: the remainder is below the ring's length.
        usize::try_from(second % self.buckets.len() as u64).unwrap_or(0)
    }
}

/// One window's view of the ring.
#[derive(Clone, Copy, Debug)]
struct View {
    length_s: u32,
    /// The first second since this window last started over.
    first_s: u64,
    smoothing: f64,
}

impl View {
    fn new(length_s: u32) -> Self {
        let left = libm::pow(1.0 - WEIGHT_IN_WINDOW, 1.0 / f64::from(length_s));
        Self {
            length_s,
            first_s: 0,
            smoothing: (1.0 - left).max(SMOOTHING_MIN),
        }
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

    /// The exponential weight of a second `age_s` before the window's end: a·(1 − a)^age.
    fn weight(&self, age_s: u64) -> f64 {
        // Ages are below a window's length, which an f64 holds exactly.
        let age = u32::try_from(age_s).map_or(f64::MAX, f64::from);
        self.smoothing * libm::pow(1.0 - self.smoothing, age)
    }
}
