//! Who of several autoscalers leads: the rule, without I/O and without a clock of its own.
//!
//! They compete for one record that everybody can read and that changes only for who names the
//! version it replaces (a Kubernetes Lease). Its holder leads until a lease has passed on its own
//! clock since it *sent* its last successful renewal; another one claims the record when a lease
//! has passed on that one's own clock since it first *saw* the record as it is. A renewal is seen
//! after it was sent, so the first of these ends before the second, whatever the clocks show: only
//! their pace matters, and no time in the record is ever compared with one's own.
//!
//! A record that is not there, be it that a person deleted it under its holder, has no version to
//! guard it. So who makes one leads nothing by that: it is made as [`NOBODY`]'s, and claimed like
//! a stranger's, when a lease has passed since it was first seen. Whoever led by the record before
//! was last renewed before that one was deleted, and leads no longer then.

#[cfg(test)]
mod tests;

use std::sync::Arc;

/// How long a claim lasts that is not renewed, in microseconds: what a crash costs.
pub(crate) const LEASE_US: u64 = 5_000_000;

/// A leader that did not get a renewal through for so long ceases to lead, in microseconds: two
/// attempts, and time left to end what was begun.
pub(crate) const RENEW_US_MAX: u64 = 3_000_000;

/// Pause between two renewals, and between attempts, from sending to sending, in microseconds.
pub(crate) const RETRY_US: u64 = 1_000_000;

/// The longest lease of somebody else's choosing that is waited for unrenewed, in microseconds:
/// longer than any usual one.
const STRANGER_US_MAX: u64 = 60_000_000;

/// The holder of a record that was made where there was none: no process calls itself so.
const NOBODY: &str = "nobody-yet";

/// The record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it; empty if it was released.
    pub(crate) holder: String,
    /// Grows with each change of holder.
    pub(crate) term: u64,
    /// How long its holder says it lasts, in microseconds.
    pub(crate) lease_us: u64,
    /// Who wrote its holder, if that was no autoscaler of ours.
    pub(crate) written_by: Option<Arc<str>>,
    /// Changes with every write.
    pub(crate) version: String,
}

/// A call to make. One at a time: the next comes after its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Read the record.
    Look,
    /// Write it.
    Write(Claim),
}

/// What the record is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The new holder; empty to release it.
    pub(crate) holder: String,
    /// The new term.
    pub(crate) term: u64,
    /// The version to replace; none = it must not exist.
    pub(crate) over: Option<String>,
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The record is so; none = there is none.
    Is(Option<Record>),
    /// It was written and is so now.
    Written(Record),
    /// Nothing is known: not written, or perhaps written.
    Failed,
}

/// The leadership of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    /// Its term.
    pub(crate) term: u64,
    /// When it may be somebody else's, in microseconds: a write must have ended before.
    pub(crate) until_us: u64,
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Election {
    /// Unlike that of any other process, ever.
    identity: String,
    seen: Option<Seen>,
    /// The last renewal known to have been successful.
    held: Option<Held>,
    /// When the call under way was sent.
    sent_us: Option<u64>,
    /// The next call is sent no earlier.
    not_before_us: u64,
    next: Next,
    term_max: u64,
}

#[derive(Debug)]
struct Seen {
    record: Option<Record>,
    /// From when on it may be claimed.
    free_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    sent_us: u64,
    term: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Look,
    Claim,
}

impl Election {
    /// A candidate that has seen nothing yet.
    pub(crate) fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            held: None,
            sent_us: None,
            not_before_us: 0,
            next: Next::Look,
            term_max: 0,
        }
    }

    /// The leadership, while it lasts.
    pub(crate) fn lead(&self, now_us: u64) -> Option<Lead> {
        let held = self.held.filter(|held| now_us < held.sent_us + RENEW_US_MAX)?;
        Some(Lead { term: held.term, until_us: held.sent_us + LEASE_US })
    }

    /// Who leads, if it is another.
    pub(crate) fn other(&self) -> Option<&Record> {
        let record = self.seen.as_ref()?.record.as_ref()?;
        (self.is_others(record) && record.holder != NOBODY).then_some(record)
    }

    /// When [`Self::call`] or [`Self::lead`] changes by the mere passing of time.
    pub(crate) fn due_us(&self, now_us: u64) -> Option<u64> {
        let ends = self.lead(now_us).and(self.held).map(|held| held.sent_us + RENEW_US_MAX);
        let call = self.sent_us.is_none().then(|| self.call_us());
        ends.into_iter().chain(call).min()
    }

    /// The call to send now, if one is due.
    pub(crate) fn call(&mut self, now_us: u64) -> Option<Call> {
        if self.sent_us.is_some() || now_us < self.call_us() {
            return None;
        }
        self.sent_us = Some(now_us);
        Some(match self.next {
            Next::Look => Call::Look,
            Next::Claim => Call::Write(self.claim()),
        })
    }

    fn claim(&self) -> Claim {
        let Some(record) = self.seen.as_ref().and_then(|seen| seen.record.as_ref()) else {
            return Claim { holder: NOBODY.to_owned(), term: self.term_max, over: None };
        };
        let is_mine = record.holder == self.identity;
        Claim {
            holder: self.identity.clone(),
            term: if is_mine { record.term } else { self.term_max + 1 },
            over: Some(record.version.clone()),
        }
    }

    /// The call under way was answered.
    pub(crate) fn answered(&mut self, answer: Answer, now_us: u64) {
        let Some(sent_us) = self.sent_us.take() else {
            return;
        };
        match answer {
            Answer::Is(record) => {
                self.next = Next::Claim;
                self.see(record, now_us);
            }
            Answer::Written(record) => {
                // Who makes a record leads nothing by that.
                if record.holder == self.identity {
                    self.held = Some(Held { sent_us, term: record.term });
                }
                self.not_before_us = sent_us + RETRY_US;
                self.see(Some(record), now_us);
            }
            Answer::Failed => {
                self.not_before_us = sent_us + RETRY_US;
                self.next = Next::Look;
            }
        }
    }

    /// Somebody told of the record as it is or was a moment ago.
    pub(crate) fn told(&mut self, record: Record, now_us: u64) {
        // Before the first look it could be older than what the holder has written since.
        if self.seen.is_some() {
            self.see(Some(record), now_us);
        }
    }

    /// Somebody told that the record is gone.
    pub(crate) fn look_again(&mut self) {
        self.next = Next::Look;
    }

    /// What is to be written on leaving, so that nobody has to wait; nothing is led from here on.
    pub(crate) fn resign(&mut self) -> Option<Claim> {
        self.held = None;
        let record = self.seen.as_ref()?.record.as_ref()?;
        (record.holder == self.identity).then(|| Claim {
            holder: String::new(),
            term: record.term,
            over: Some(record.version.clone()),
        })
    }

    fn call_us(&self) -> u64 {
        match (self.next, &self.seen) {
            (Next::Claim, Some(seen)) => self.not_before_us.max(seen.free_us),
            (Next::Look, _) | (_, None) => self.not_before_us,
        }
    }

    fn is_others(&self, record: &Record) -> bool {
        !record.holder.is_empty() && record.holder != self.identity
    }

    fn see(&mut self, record: Option<Record>, now_us: u64) {
        let known = self.seen.as_ref().and_then(|seen| seen.record.as_ref());
        if let Some((record, known)) = record.as_ref().zip(known)
            && (record == known || is_older(&record.version, &known.version))
        {
            return;
        }
        let free_us = match &record {
            Some(record) if self.is_others(record) => {
                now_us + record.lease_us.clamp(LEASE_US, STRANGER_US_MAX)
            }
            _ => now_us,
        };
        if record.as_ref().is_none_or(|record| record.holder != self.identity) {
            self.held = None;
        }
        self.term_max = self.term_max.max(record.as_ref().map_or(0, |record| record.term));
        self.seen = Some(Seen { record, free_us });
    }
}

/// Whether a version of an object is before another; versions that are no numbers cannot be told
/// apart, and what comes later is then taken for newer.
pub(crate) fn is_older(version: &str, than: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(version).zip(number(than)).is_some_and(|(version, than)| version < than)
}
