//! One function's readings, spread over seconds.

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::reporters::{LastWord, Reporters, Span};

const SECOND_US: u64 = 1_000_000;

/// Unsettled seconds kept: a reporter may be silent for a minute before its seconds are given up,
/// and another minute is room for a caller that settles late.
const UNSETTLED_S_MAX: u64 = 120;

/// A worker may stamp a request that begins or ends while the cells are read up to this much after
/// the reading's own time.
const STAMP_US_MAX: u64 = 1_000_000;

/// The counters of one function in one reporter, at the time of its report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The area under the concurrency curve since boot, in request-microseconds, wrapping.
    pub area_us: u64,
    /// Requests begun since boot, wrapping.
    pub started: u64,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
    /// Of these, the held ones.
    pub held: u64,
    /// Requests refused for want of room since boot, wrapping; they count as begun, too.
    pub refused: u64,
}

/// What one second of a function was, over all reporters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Mean of the requests in flight.
    pub concurrency: f64,
    /// Requests begun.
    pub rps: f64,
}

/// What is known of a function's load beyond the settled seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// The first second that is not settled.
    pub settled_s: u64,
    /// That second and those after it, as far as they had load: each at most what it will be.
    pub incomplete: Vec<Sample>,
    /// Requests in flight by the last reports, held ones included.
    pub in_flight: u64,
    /// Of these, those of reporters that are lost.
    pub lost_in_flight: u64,
    /// Of all in flight, the held ones.
    pub held: u64,
    /// Requests refused for want of room, in the spans of the last reports.
    pub refused: u64,
    /// Requests begun per second in these spans, each reckoned as a second at least: a moment is
    /// too short to tell a rate.
    pub arriving_rps: f64,
}

/// The readings of one function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// The last reading of each reporter.
    last: Vec<Reading>,
    /// The first second that is still to be settled; what came before is handed out or unknown.
    next_s: u64,
    /// The second of `growth`'s front.
    first_s: u64,
    growth: VecDeque<Growth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    reporter: u64,
    end_us: u64,
    counters: Counters,
    arrivals: Arrivals,
}

/// What came in the span of one report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Arrivals {
    refused: u64,
    rps: f64,
}

/// What one second has grown by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Growth {
    area_us: u64,
    started: u64,
}

impl Meter {
    /// The meter of a function that appears at `now_us`: its first second is the next whole one.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self {
            last: Vec::new(),
            next_s: now_us / SECOND_US + 1,
            first_s: 0,
            growth: VecDeque::new(),
        }
    }

    /// The field that no run leads to, in a meter that was read from somewhere.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let seconds = self.growth.len() as u64;
        (seconds > 2 * UNSETTLED_S_MAX).then_some("meter.growth")
    }

    /// Takes the reading of a report that named this function, and returns the mean concurrency of
    /// its span; none if what was before it is not known.
    pub fn read(&mut self, span: Span, counters: Counters) -> Option<f64> {
        let before = self.replace(span, counters);
        let start_us = span.start_us?;
        let area_us = counters.area_us.wrapping_sub(before.area_us).cast_signed();
        let started = counters.started.wrapping_sub(before.started);
        // Who was in flight in the span was so at its start or began in it. Counters that grew by
        // more did not begin where `before` says.
        let requests = before.in_flight.saturating_add(started);
        let longest_us = (span.end_us - start_us).saturating_add(STAMP_US_MAX);
        let backwards = started.cast_signed() < 0;
        if backwards || area_us.unsigned_abs() > requests.saturating_mul(longest_us) {
            self.next_s = self.next_s.max(span.end_us.div_ceil(SECOND_US));
            return None;
        }
        if let Some(reading) = self.last.iter_mut().find(|it| it.reporter == span.reporter) {
            let seconds = (span.end_us - start_us).max(SECOND_US) as f64 / SECOND_US as f64;
            let refused = counters.refused.wrapping_sub(before.refused).min(started);
            reading.arrivals = Arrivals { refused, rps: started as f64 / seconds };
        }
        let growth = Growth { area_us: area_us.max(0).cast_unsigned(), started };
        self.spread(growth, start_us, span.end_us);
        Some(growth.area_us as f64 / (span.end_us - start_us) as f64)
    }

    /// Hands each newly settled and known second of the last `window_s` to `record`, once and in
    /// order, with those after it that were the same, and tells what is known beyond them.
    pub(crate) fn settle(
        &mut self,
        reporters: &Reporters,
        window_s: u32,
        mut record: impl FnMut(Range<u64>, Sample),
    ) -> Load {
        let settled_s = reporters.settled_s();
        if self.next_s > settled_s.saturating_add(UNSETTLED_S_MAX) {
            // The caller's clock went back: what is here lies in a future that will be another.
            self.growth.clear();
            self.next_s = settled_s;
        }
        let from_s = self.next_s.max(settled_s.saturating_sub(u64::from(window_s)));
        let grown = self.first_s..self.first_s + self.growth.len() as u64;
        for known in reporters.known(from_s..settled_s) {
            let mut next_s = known.start;
            while next_s < known.end {
                let second = next_s;
                // Outside of what has grown nothing happened.
                next_s = match grown.contains(&second) {
                    true => second + 1,
                    false if second < grown.start => grown.start.min(known.end),
                    false => known.end,
                };
                record(second..next_s, self.growth_in(second).sample());
            }
        }
        self.next_s = self.next_s.max(settled_s);
        while self.first_s < self.next_s && self.growth.pop_front().is_some() {
            self.first_s += 1;
        }
        self.last.retain(|reading| reporters.last_word(reading.reporter).is_some());
        let mut load =
            Load { settled_s, incomplete: self.incomplete(settled_s), ..Load::default() };
        for reading in &self.last {
            // Not named in the reporter's last report: no load.
            let word = reporters.last_word(reading.reporter);
            let word = word.filter(|word| word.covered_us == reading.end_us);
            if let Some(LastWord { is_lost, .. }) = word {
                let in_flight = reading.counters.in_flight;
                load.in_flight = load.in_flight.saturating_add(in_flight);
                if is_lost {
                    load.lost_in_flight = load.lost_in_flight.saturating_add(in_flight);
                }
                load.held = load.held.saturating_add(reading.counters.held);
                load.refused = load.refused.saturating_add(reading.arrivals.refused);
                load.arriving_rps += reading.arrivals.rps;
            }
        }
        load
    }

    fn incomplete(&self, settled_s: u64) -> Vec<Sample> {
        let end_s = match self.growth.len() as u64 {
            0 => settled_s,
            length => self.first_s + length,
        };
        (settled_s..end_s).map(|second| self.growth_in(second).sample()).collect()
    }

    fn growth_in(&self, second: u64) -> Growth {
        second
            .checked_sub(self.first_s)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.growth.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Puts the reading in its reporter's place and returns the counters it had before; those of a
    /// reporter that never named this function are zero.
    fn replace(&mut self, span: Span, counters: Counters) -> Counters {
        let arrivals = Arrivals::default();
        let reading = Reading { reporter: span.reporter, end_us: span.end_us, counters, arrivals };
        let known = self.last.iter_mut().find(|reading| reading.reporter == span.reporter);
        match known {
            Some(before) => std::mem::replace(before, reading).counters,
            None => {
                self.last.push(reading);
                Counters::default()
            }
        }
    }

    /// Gives each second its share of `growth` by overlap; shares add up to the whole.
    fn spread(&mut self, growth: Growth, start_us: u64, end_us: u64) {
        let mut given = Growth::default();
        for second in start_us / SECOND_US..end_us.div_ceil(SECOND_US) {
            let to_us = end_us.min((second + 1) * SECOND_US);
            let up_to = |whole: u64| share(whole, to_us - start_us, end_us - start_us);
            let (area_us, started) = (up_to(growth.area_us), up_to(growth.started));
            if second >= self.next_s
                && let Some(bucket) = self.bucket(second)
            {
                bucket.area_us = bucket.area_us.saturating_add(area_us - given.area_us);
                bucket.started = bucket.started.saturating_add(started - given.started);
            }
            given = Growth { area_us, started };
        }
    }

    fn bucket(&mut self, second: u64) -> Option<&mut Growth> {
        if !self.growth.is_empty() && second >= self.first_s + UNSETTLED_S_MAX {
            self.growth.clear();
            self.next_s = second;
        }
        if self.growth.is_empty() {
            self.first_s = second;
        }
        while second < self.first_s {
            self.growth.push_front(Growth::default());
            self.first_s -= 1;
        }
        let at = usize::try_from(second - self.first_s).ok()?;
        if at >= self.growth.len() {
            self.growth.resize(at + 1, Growth::default());
        }
        self.growth.get_mut(at)
    }
}

impl Growth {
    fn sample(self) -> Sample {
        Sample { concurrency: self.area_us as f64 / SECOND_US as f64, rps: self.started as f64 }
    }
}

/// `whole` × `part` ÷ `of`, rounded down; `part` ≤ `of`, `of` > 0.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    match whole.checked_mul(part) {
        Some(product) => product / of.max(1),
        None => {
            let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
            u64::try_from(share).unwrap_or(whole)
        }
    }
}
