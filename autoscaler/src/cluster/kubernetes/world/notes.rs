//! What is noted of a function: complaints about its workload, for as long as it is one.

use dormouse_policy::function::{FunctionName, WorkloadKind};
use tokio::time::Instant;

use super::{World, regarding};
use crate::cluster::kubernetes::complaints::{Complaints, Regarding};
use crate::cluster::{Note, Topic};

/// The kinds of workload that a function may be.
const KINDS: [WorkloadKind; 2] = [WorkloadKind::Deployment, WorkloadKind::StatefulSet];

impl World {
    /// Something is to be said of a function's workload, or no longer.
    pub(in crate::cluster::kubernetes) fn note(&mut self, note: Note, now: Instant) {
        let Note { function, topic, text } = note;
        let Some(text) = text else {
            // Of whichever it was said: another workload may be the function by now, or none.
            for kind in KINDS {
                self.complaints.settle(&regarding(&function, kind), topic.as_str());
            }
            return;
        };
        // Where none is, whoever noted this is about to hear so, and would never take it back.
        if let Some(seen) = self.slots.get(&function).and_then(|slot| slot.holder()) {
            let regarding = regarding(&function, seen.workload.kind);
            self.complaints.raise(&regarding, topic.as_str(), &seen.uid, text, now);
        }
    }

    /// Nobody knows any more what was noted of a function.
    pub(super) fn take_back(&mut self, name: &FunctionName) {
        for kind in KINDS {
            take_back(&mut self.complaints, &regarding(name, kind));
        }
    }
}

/// What was noted of a workload holds no longer.
pub(super) fn take_back(complaints: &mut Complaints, regarding: &Regarding) {
    for topic in Topic::ALL {
        complaints.settle(regarding, topic.as_str());
    }
}
