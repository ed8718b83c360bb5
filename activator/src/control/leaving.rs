//! The end of an activator: Services and routers lead elsewhere, then all is said.

use std::time::Duration;

use dormouse_admin::Readiness;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::{Control, Leaving};
use crate::link_client::LinkEvent;
use crate::network::Network;
use crate::worker::Command;

/// Longest wait for Services to lead elsewhere, before an activator that leaves closes its
/// listeners all the same: that of a thousand Services at the pace of an autoscaler's writes.
const UNNAMED_MAX: Duration = Duration::from_secs(20);

/// Longest wait for the last word to be sent: a peer that reads nothing for so long will find out.
const PARTING_MAX: Duration = Duration::from_secs(1);

impl<N: Network> Control<N> {
    /// Begins the drain: routers learn to look elsewhere, and so do Services that lead here.
    pub(super) async fn leave(&mut self) {
        info!("draining");
        self.parts.readiness.send_replace(Readiness::Ending);
        let unnamed_in = if self.side.is_named() { UNNAMED_MAX } else { Duration::ZERO };
        let until = Instant::now() + unnamed_in + self.parts.config.drain_delay;
        self.leaving = Leaving::Until(until);
        self.tell_workers(|| Command::Leave).await;
        let actions = self.side.leave();
        self.act(actions).await;
    }

    /// The workers have ended: what is counted is final. Says so, and waits until it is sent.
    pub(super) async fn part(mut self) {
        self.report().await;
        let goodbye = self.side.goodbye();
        self.send_all(goodbye);
        let mut open = self.outgoing.len();
        self.outgoing.clear();
        let sent = async {
            while open > 0 {
                match self.parts.link.recv().await {
                    Some(LinkEvent::Disconnected(_)) => open -= 1,
                    Some(LinkEvent::Connected(..) | LinkEvent::Frame(..)) => {}
                    None => return,
                }
            }
        };
        if timeout(PARTING_MAX, sent).await.is_err() {
            warn!("an autoscaler was not told that this activator ends");
        }
    }

    /// No Service leads here any more; the routers behind them still have to learn it.
    pub(super) fn unnamed(&mut self) {
        if let Leaving::Until(until) = &mut self.leaving {
            debug!("no Service leads here any more");
            *until = (*until).min(Instant::now() + self.parts.config.drain_delay);
        }
    }
}
