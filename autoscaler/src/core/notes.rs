//! What is said of a function to whoever looks at its workload: each thing once, until it changes.

use dormouse_policy::function::FunctionName;

use super::function::FunctionState;
use super::{Action, Core};
use crate::cluster::{Note, Topic};

impl Core {
    /// Says what is new, and what is so no longer.
    pub(super) fn say(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        for topic in Topic::ALL {
            let text = state.note(topic, now_us);
            if text.as_ref() != state.noted.get(&topic) {
                match &text {
                    Some(text) => state.noted.insert(topic, text.clone()),
                    None => state.noted.remove(&topic),
                };
                let note = Note { function: name.clone(), topic, text };
                self.actions.push(Action::Note(note));
            }
        }
    }
}

impl FunctionState {
    /// What there is to say on a topic.
    pub(super) fn note(&self, topic: Topic, now_us: u64) -> Option<String> {
        match topic {
            Topic::Claimed => self.set_aside.clone(),
            Topic::ScaledToZero => self.others.zero_by().map(|by| {
                format!("set to 0 replicas by {by}: requests are refused until it is scaled up")
            }),
            Topic::Reapplied => self.others.reapplier(now_us).map(|(by, replicas)| {
                format!(
                    "{by} sets replicas to {replicas} again and again: from now on there are no \
                     fewer; leave replicas out of what it applies"
                )
            }),
            Topic::CannotStart => {
                let failure = self.failing()?;
                Some(format!("requests cannot be answered ({}): {}", failure.code, failure.message))
            }
            Topic::CannotListen => self.deaf.clone(),
        }
    }
}
