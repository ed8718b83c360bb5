//! What is wrong with which object, until it has been said there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::status;

/// How long a fault has to stand before it is said: objects of one manifest arrive one by one, and
/// a Service a moment after its Deployment is no fault.
const STANDS: Duration = Duration::from_secs(1);

/// How long after it was said a fault that still stands is said again: a cluster forgets Events
/// after an hour, unless it is told otherwise.
pub(super) const REPEATED: Duration = Duration::from_secs(50 * 60);

/// Pause before a complaint that could not be posted is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// An object that an Event can be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Regarding {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
}

impl fmt::Display for Regarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A complaint to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) regarding: Regarding,
    /// What it is about: the Event's reason.
    pub(super) reason: &'static str,
    pub(super) uid: String,
    /// One sentence or several, for people.
    pub(super) note: String,
}

/// What a complaint is known by: its object and its reason.
type Key = (Regarding, &'static str);

/// All complaints that stand: at most one per object and reason.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    standing: BTreeMap<Key, Standing>,
    due: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Standing {
    uid: String,
    note: String,
    /// When it is to be said, or said again.
    due: Instant,
}

impl Complaints {
    /// The object has this fault; the same one is said once.
    pub(super) fn raise(
        &mut self,
        regarding: &Regarding,
        reason: &'static str,
        uid: &str,
        note: String,
        now: Instant,
    ) {
        let key = (regarding.clone(), reason);
        let standing = self.standing.get(&key);
        if standing.is_some_and(|it| it.uid == uid && it.note == note) {
            return;
        }
        self.settle(regarding, reason);
        let due = now + STANDS;
        self.due.insert((due, key.clone()));
        let standing = Standing { uid: uid.to_owned(), note, due };
        self.standing.insert(key, standing);
    }

    /// The object breaks these rules; it has no such fault, or none any more, if there are none.
    pub(super) fn hold(
        &mut self,
        regarding: &Regarding,
        reason: &'static str,
        uid: &str,
        rules: &[String],
        now: Instant,
    ) {
        match rules {
            [] => self.settle(regarding, reason),
            rules => self.raise(regarding, reason, uid, rules.join("; "), now),
        }
    }

    /// The object has no such fault any more.
    pub(super) fn settle(&mut self, regarding: &Regarding, reason: &'static str) {
        let key = (regarding.clone(), reason);
        if let Some(Standing { due, .. }) = self.standing.remove(&key) {
            self.due.remove(&(due, key));
        }
    }

    /// The object is gone.
    pub(super) fn forget(&mut self, regarding: &Regarding) {
        let of_it = self.standing.range((regarding.clone(), "")..);
        let of_it = of_it.take_while(|((of, _), _)| of == regarding);
        let reasons: Vec<_> = of_it.map(|((_, reason), _)| *reason).collect();
        for reason in reasons {
            self.settle(regarding, reason);
        }
    }

    /// All that stand, by object.
    pub(super) fn all(&self) -> Vec<status::Complaint> {
        let told = |((regarding, reason), standing): (&Key, &Standing)| status::Complaint {
            object: regarding.to_string(),
            reason: (*reason).to_owned(),
            note: standing.note.clone(),
        };
        self.standing.iter().map(told).collect()
    }

    /// When the next one is to be posted.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The next one that is due; it counts as posted unless [`Complaints::failed`] says otherwise.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Complaint> {
        if self.due()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let standing = self.standing.get_mut(&key)?;
        let again = now + REPEATED;
        standing.due = again;
        let (uid, note) = (standing.uid.clone(), standing.note.clone());
        self.due.insert((again, key.clone()));
        let (regarding, reason) = key;
        Some(Complaint { regarding, reason, uid, note })
    }

    /// It could not be posted: again later, if it still stands.
    pub(super) fn failed(&mut self, complaint: &Complaint, now: Instant) {
        let key = (complaint.regarding.clone(), complaint.reason);
        let Some(standing) = self.standing.get_mut(&key) else {
            return;
        };
        let again = now + AGAIN;
        if standing.note == complaint.note {
            let due = std::mem::replace(&mut standing.due, again);
            self.due.remove(&(due, key.clone()));
            self.due.insert((again, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: &str = "SetAside";

    fn cart() -> Regarding {
        Regarding {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            kind: "Deployment",
            api_version: "apps/v1",
        }
    }

    #[test]
    fn a_fault_is_said_once_and_only_if_it_stands() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        complaints.raise(&cart(), REASON, "u", "no Service".to_owned(), now);
        assert_eq!(complaints.take_due(now), None);
        complaints.settle(&cart(), REASON);
        assert_eq!(complaints.due(), None);
        complaints.raise(&cart(), REASON, "u", "bad window".to_owned(), now);
        let said = complaints.take_due(now + STANDS).unwrap();
        assert_eq!(said.note, "bad window");
        complaints.raise(&cart(), REASON, "u", "bad window".to_owned(), now + STANDS);
        assert_eq!(complaints.due(), Some(now + STANDS + REPEATED), "while it stands");
        complaints.raise(&cart(), REASON, "u", "another".to_owned(), now + STANDS);
        assert_eq!(complaints.take_due(now + STANDS * 2).unwrap().note, "another");
        assert_eq!(complaints.take_due(now + STANDS + REPEATED), None);
        let later = now + STANDS * 2 + REPEATED;
        assert_eq!(complaints.take_due(later).unwrap().note, "another");
        complaints.settle(&cart(), REASON);
        assert_eq!(complaints.due(), None);
    }

    #[test]
    fn what_could_not_be_posted_is_tried_again_while_it_stands() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        complaints.raise(&cart(), REASON, "u", "bad window".to_owned(), now);
        let said = complaints.take_due(now + STANDS).unwrap();
        complaints.failed(&said, now + STANDS);
        assert_eq!(complaints.due(), Some(now + STANDS + AGAIN));
        complaints.settle(&cart(), REASON);
        complaints.failed(&said, now + STANDS);
        assert_eq!(complaints.due(), None);
    }

    #[test]
    fn an_object_has_a_complaint_per_reason_and_none_once_it_is_gone() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        complaints.raise(&cart(), REASON, "u", "bad window".to_owned(), now);
        complaints.raise(&cart(), "Reapplied", "u", "by argocd".to_owned(), now);
        let mut said = || complaints.take_due(now + STANDS).map(|it| it.reason);
        assert_eq!([said(), said(), said()], [Some("Reapplied"), Some(REASON), None]);
        complaints.raise(&cart(), REASON, "u", "another".to_owned(), now);
        complaints.forget(&cart());
        assert_eq!(complaints.due(), None);
        assert!(complaints.standing.is_empty());
    }
}
