//! What the core asks of a Kubernetes cluster, put to the task that holds its state.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::absence;
use super::lease::Standing;
use super::{Errand, Order};
use crate::cluster::{Activators, Hands, ListComplaints, Note, Scale, ScaleError};
use crate::status::Complaint;

/// Asks the cluster's task; it does not keep that running.
struct Asker(mpsc::WeakSender<Errand>);

impl ListComplaints for Asker {
    fn complaints(&self) -> Pin<Box<dyn Future<Output = Vec<Complaint>> + Send + '_>> {
        Box::pin(async {
            let Some(errands) = self.0.upgrade() else {
                return Vec::new();
            };
            let (answer, answered) = oneshot::channel();
            errands.send(Errand::Complaints(answer)).await.ok();
            drop(errands);
            answered.await.unwrap_or_default()
        })
    }
}

/// The hands of a Kubernetes cluster; cheap to clone. When the last is dropped, the facts end.
#[derive(Clone)]
pub struct KubernetesHands {
    pub(super) client: Client,
    pub(super) errands: mpsc::Sender<Errand>,
    pub(super) activators: Arc<latest::Sender<Arc<Activators>>>,
    pub(super) standing: latest::Receiver<Standing>,
    pub(super) resign: CancellationToken,
}

impl Hands for KubernetesHands {
    async fn scale(&self, scale: Scale) -> Result<(), ScaleError> {
        let ended = || ScaleError::Unknown("the cluster is watched no longer".to_owned());
        let (answer, answered) = oneshot::channel();
        let order = Order { scale, answer };
        self.errands.send(Errand::Order(order)).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    fn lead_through(&self, activators: Arc<Activators>) {
        self.activators.send_replace(activators);
    }

    fn note(&self, note: Note) {
        if let Err(TrySendError::Full(Errand::Note(note))) =
            self.errands.try_send(Errand::Note(note))
        {
            warn!(?note, "not said: too much is to be done");
        }
    }

    fn complaints(&self) -> Arc<dyn ListComplaints> {
        Arc::new(Asker(self.errands.downgrade()))
    }

    async fn activator_gone(&self, name: &str) {
        absence::gone(&self.client, name).await;
    }

    async fn release(&self) {
        self.resign.cancel();
        let mut standing = self.standing.clone();
        // It ends with the candidate, which has released the Lease then.
        while standing.changed().await.is_ok() {}
    }
}
