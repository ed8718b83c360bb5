//! What the cluster's task does about leading: it stands for it, and tells how that goes.

use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::lease::{self, Candidate, Standing};
use super::watch::Watch;
use super::{CHANGES_MAX, KubernetesCluster, Options};
use crate::cluster::{Fact, Leading};

impl KubernetesCluster {
    /// Begins to compete for the Lease of our own namespace.
    pub(super) fn stand(
        &mut self,
        options: &Options,
        standing: latest::Sender<Standing>,
        eligible: oneshot::Receiver<()>,
        resign: CancellationToken,
    ) {
        let identity = options.identity.clone();
        let namespace = self.client.default_namespace().to_owned();
        let place = lease::Place { namespace, name: options.lease.clone() };
        info!(lease = ?place, identity, "standing for leader");
        let (changes_in, changes) = mpsc::channel(CHANGES_MAX);
        let (client, subject) = (self.client.clone(), lease::subject(&place));
        let watch = Watch::new(client, subject, |change| change, changes_in, self.rng.fork());
        self.watches.spawn(watch.run::<lease::Lease>());
        let candidate = Candidate::new(self.client.clone(), place, identity, standing);
        self.candidate.spawn(candidate.run(eligible, changes, resign));
    }

    pub(super) fn leading(&self) -> Leading {
        match *self.standing.borrow() {
            Standing::Follows => Leading::No,
            Standing::Leads { term, .. } => Leading::Yes { term },
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.leading() != self.leading || self.world.has_news()
    }

    /// The next fact: whether we lead before all others, for it says what to make of them.
    pub(super) fn tell(&mut self) -> Option<Fact> {
        let leading = self.leading();
        if leading != self.leading {
            self.leading = leading;
            return Some(Fact::Leading(leading));
        }
        let fact = self.world.tell();
        if fact == Some(Fact::Complete)
            && let Some(eligible) = self.eligible.take()
        {
            // A candidate that has resigned does not miss it.
            eligible.send(()).ok();
        }
        fact
    }
}
