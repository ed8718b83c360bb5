//! How this activator is reached, whether it has anything to say, and that it is about to go.

use super::{Action, ActivatorSide};
use crate::frame::{Standing, Up};

impl ActivatorSide {
    /// Whether a [`Self::tick`] without readings says more than that time passed.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let mut sessions = self.sessions.values();
        let untold = sessions.any(|session| session.wakes_told || !session.learnt.is_empty());
        untold || !self.wakes.is_empty() || !self.retirements.is_empty()
    }

    /// The activator is about to go: from now on Services are to lead elsewhere.
    #[must_use]
    pub fn leave(&mut self) -> Vec<Action> {
        self.standing = Standing::Leaves;
        if self.is_named() { self.send_all(&self.announcement()) } else { Vec::new() }
    }

    /// Whether Services may lead here, so that [`Action::Unnamed`] is worth waiting for.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let mut listening = self.listening.iter();
        !self.reached_at.is_empty() && listening.any(|listening| listening.address.is_some())
    }

    pub(super) fn announcement(&self) -> Up {
        Up::Listening {
            listeners: self.listening.clone(),
            reached_at: self.reached_at.clone(),
            standing: self.standing,
        }
    }
}
