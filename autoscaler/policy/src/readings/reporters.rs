//! Who reports, and up to when.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use serde::{Deserialize, Serialize};

const SECOND_US: u64 = 1_000_000;

/// A reporter silent for this long is lost: long enough to outlast an overloaded machine or a link
/// that is rebuilt, short enough that scale-down does not wait for minutes.
pub const SILENCE_US_MAX: u64 = 60 * SECOND_US;

/// A reporter's clock is anchored anew when it is off by more than this. Averages are made of whole
/// seconds, so a smaller error moves load by one second at most.
const DRIFT_US_MAX: u64 = 1_000_000;

/// Reports in a row that must be late before the clock, not a slow link, is blamed.
const LATE_REPORTS_MAX: u32 = 10;

/// A settled second lies this far ahead of the caller's clock at most: reports may be early by the
/// drift allowed, and the second begun counts.
const AHEAD_S_MAX: u64 = 2;

/// How far back unknown seconds are remembered: the longest stable window, and the longest silence.
const MEMORY_S: u64 = 3600 + 60;

/// The reporters of all functions: every activator that exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reporters {
    reporters: BTreeMap<String, Reporter>,
    joined: u64,
    settled_s: u64,
    /// Seconds of which nothing is known, merged and in order.
    unknown: VecDeque<Range<u64>>,
}

/// What one report covers, for the [`Meter`](super::Meter)s of the functions it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// One number per process life of a reporter.
    pub(crate) reporter: u64,
    /// Where the report before ended, on the caller's clock; none for the first one.
    pub(crate) start_us: Option<u64>,
    /// Up to when it covers, on the caller's clock.
    pub(crate) end_us: u64,
}

/// How it is known that a reporter is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// It said with its last report that nothing would come after.
    Said,
    /// Its pod was found gone.
    Found,
}

/// What is known of a reporter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastWord {
    /// Up to when it reported, on the caller's clock.
    pub(crate) covered_us: u64,
    pub(crate) is_lost: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reporter {
    id: u64,
    boot: u64,
    /// The reporter's time of its last report.
    at_us: u64,
    /// Added, wrapping, to the reporter's time it gives the caller's.
    offset_us: u64,
    /// Up to when it has reported, on the caller's clock.
    covered_us: u64,
    /// When its last report was received.
    heard_us: u64,
    late_reports: u32,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    Present,
    Lost,
}

impl Reporters {
    /// A world without reporters, in which no second is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in that `name`, in its process life `boot`, reports everything up to its own monotonic
    /// time `at_us`; received at `now_us`. The readings of the report go to the functions' meters
    /// with the span returned. None for a report that is not newer than the last: it says nothing.
    pub fn report(&mut self, name: &str, boot: u64, at_us: u64, now_us: u64) -> Option<Span> {
        let known = self
            .reporters
            .get_mut(name)
            .filter(|reporter| reporter.boot == boot && reporter.fate == Fate::Present);
        let Some(reporter) = known else {
            return Some(self.join(name, boot, at_us, now_us));
        };
        if at_us <= reporter.at_us {
            return None;
        }
        if now_us.saturating_sub(reporter.heard_us) >= SILENCE_US_MAX {
            return Some(self.join(name, boot, at_us, now_us));
        }
        let end_us = at_us.wrapping_add(reporter.offset_us);
        let is_late = now_us.saturating_sub(end_us) > DRIFT_US_MAX;
        reporter.late_reports = match is_late {
            true => reporter.late_reports.saturating_add(1),
            false => 0,
        };
        // Beyond the range of the caller's clock, what is later comes out as earlier.
        let is_beyond = end_us < reporter.covered_us;
        let is_ahead = end_us > now_us.saturating_add(DRIFT_US_MAX);
        if is_beyond || is_ahead || reporter.late_reports > LATE_REPORTS_MAX {
            return Some(self.join(name, boot, at_us, now_us));
        }
        let start_us = reporter.covered_us;
        reporter.at_us = at_us;
        reporter.covered_us = end_us;
        reporter.heard_us = now_us;
        Some(Span { reporter: reporter.id, start_us: Some(start_us), end_us })
    }

    /// Forgets `name`: its process is gone at `now_us`, and what it had in flight went with it.
    /// What it did after its last report is not known, unless it said that this was the last.
    pub fn forget(&mut self, name: &str, departure: Departure, now_us: u64) {
        if let Some(gone) = self.reporters.remove(name)
            && departure == Departure::Found
        {
            self.mark_unknown(gone.covered_us..now_us);
        }
    }

    /// Lets time pass: settles the seconds that every reporter has covered, and declares reporters
    /// lost that were silent for [`SILENCE_US_MAX`]. Returns the names of those lost by this call.
    pub fn advance(&mut self, now_us: u64) -> Vec<String> {
        if self.settled_s > now_us / SECOND_US + AHEAD_S_MAX {
            self.begin_anew(now_us);
        }
        let mut lost = Vec::new();
        let mut unknown = Vec::new();
        let mut covered_us: Option<u64> = None;
        for (name, reporter) in &mut self.reporters {
            if reporter.fate == Fate::Lost {
                continue;
            }
            if now_us.saturating_sub(reporter.heard_us) >= SILENCE_US_MAX {
                reporter.fate = Fate::Lost;
                unknown.push(reporter.covered_us..now_us);
                lost.push(name.clone());
                continue;
            }
            covered_us =
                Some(covered_us.map_or(reporter.covered_us, |us| us.min(reporter.covered_us)));
        }
        for range_us in unknown {
            self.mark_unknown(range_us);
        }
        if covered_us.is_none() {
            self.mark_unknown(self.settled_s * SECOND_US..now_us);
        }
        let settled_s = covered_us.unwrap_or(now_us) / SECOND_US;
        self.settled_s = self.settled_s.max(settled_s);
        let memory_from_s = self.settled_s.saturating_sub(MEMORY_S);
        while self.unknown.front().is_some_and(|range| range.end <= memory_from_s) {
            self.unknown.pop_front();
        }
        lost
    }

    /// The caller's clock went back, which a monotonic one does not: nothing is known of the time
    /// that comes a second time, and every reporter's clock is anchored anew by its next report.
    fn begin_anew(&mut self, now_us: u64) {
        self.settled_s = now_us / SECOND_US;
        self.unknown.clear();
        self.mark_unknown(0..now_us);
        for reporter in self.reporters.values_mut() {
            reporter.covered_us = now_us;
            reporter.heard_us = now_us;
        }
    }

    /// The first second that is not settled.
    #[must_use]
    pub fn settled_s(&self) -> u64 {
        self.settled_s
    }

    /// Of those seconds, the settled ones that every reporter there was has covered.
    pub(crate) fn known(&self, seconds: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let mut from_s = seconds.start.max(self.settled_s.saturating_sub(MEMORY_S));
        let end_s = seconds.end.min(self.settled_s);
        let first = self.unknown.partition_point(|range| range.end <= from_s);
        let unknown = self.unknown.range(first..).cloned();
        let unknown = unknown.chain(std::iter::once(end_s..end_s));
        unknown.filter_map(move |range| {
            let known = from_s..range.start.min(end_s);
            from_s = from_s.max(range.end);
            (!known.is_empty()).then_some(known)
        })
    }

    /// The last that was heard of the reporter of that number; none once it is forgotten or began a
    /// new life.
    pub(crate) fn last_word(&self, reporter: u64) -> Option<LastWord> {
        let known = self.reporters.values().find(|known| known.id == reporter);
        known.map(|known| LastWord {
            covered_us: known.covered_us,
            is_lost: known.fate == Fate::Lost,
        })
    }

    /// A reporter appears, begins a new life, or has its clock anchored anew. What went on since it
    /// was last heard, and for one never heard of anything before, is not known.
    fn join(&mut self, name: &str, boot: u64, at_us: u64, now_us: u64) -> Span {
        let before = self.reporters.get(name);
        let (id, covered_us) = match before {
            // Its counters went on: readings of them can still be compared.
            Some(before) if before.boot == boot => (before.id, before.covered_us),
            Some(before) => (self.joined + 1, before.covered_us),
            None => (self.joined + 1, 0),
        };
        self.joined = self.joined.max(id);
        self.mark_unknown(covered_us..now_us);
        let reporter = Reporter {
            id,
            boot,
            at_us,
            offset_us: now_us.wrapping_sub(at_us),
            covered_us: now_us,
            heard_us: now_us,
            late_reports: 0,
            fate: Fate::Present,
        };
        self.reporters.insert(name.to_owned(), reporter);
        Span { reporter: id, start_us: None, end_us: now_us }
    }

    fn mark_unknown(&mut self, range_us: Range<u64>) {
        if range_us.is_empty() {
            return;
        }
        let mut merged = range_us.start / SECOND_US..range_us.end.div_ceil(SECOND_US);
        self.unknown.retain(|range| {
            let apart = range.end < merged.start || merged.end < range.start;
            if !apart {
                merged = merged.start.min(range.start)..merged.end.max(range.end);
            }
            apart
        });
        let at = self.unknown.partition_point(|range| range.end < merged.start);
        self.unknown.insert(at, merged);
    }
}
