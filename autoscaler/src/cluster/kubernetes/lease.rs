//! The Lease that says which autoscaler leads: the calls, at the times that [`Election`] names.
//! What is written carries the version it replaces.

use std::future::Future;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http::header::CONTENT_TYPE;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::api::{Refusal, Right, bounded};
use super::objects::{Metadata, Watched};
use super::scale::{CALL_MAX, FIELD_MANAGER};
use super::watch::{Change, Subject};
use crate::leader::{Answer, Call, Claim, Election, LEASE_US, Record};

const GROUP: &str = "coordination.k8s.io";

/// Whether this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Another one does, or nobody.
    Follows,
    /// It does, in this term.
    Leads {
        term: u64,
        /// When another one may, at the earliest.
        until: Instant,
    },
}

impl Standing {
    /// Whether a write that takes no longer than `call` ends before anybody else may lead.
    pub(super) fn covers(self, call: Duration) -> bool {
        match self {
            Self::Follows => false,
            Self::Leads { until, .. } => Instant::now() + call < until,
        }
    }
}

/// A Lease as the API server has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Lease {
    metadata: Metadata,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    lease_transitions: Option<u64>,
}

impl Watched for Lease {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Lease {
    fn record(self) -> Record {
        let Self { metadata, spec } = self;
        Record {
            holder: spec.holder_identity.unwrap_or_default(),
            term: spec.lease_transitions.unwrap_or_default(),
            lease_us: spec.lease_duration_seconds.unwrap_or_default().saturating_mul(1_000_000),
            written_by: metadata.written_by.named_other().map(|setter| setter.name),
            version: metadata.resource_version,
        }
    }
}

/// What tells of the Lease without being asked, so that a release is seen at once.
pub(super) fn subject(place: &Place) -> Subject {
    Subject {
        group: GROUP,
        version: "v1",
        resource: "leases",
        namespace: Some(place.namespace.clone()),
        name: Some(place.name.clone()),
        selector: String::new(),
    }
}

/// Where the Lease is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One who would lead.
pub(super) struct Candidate {
    client: Client,
    place: Place,
    election: Election,
    start: Instant,
    standing: watch::Sender<Standing>,
    /// The holder last named in the log.
    named: String,
    /// The refusal last logged.
    complaint: Option<String>,
}

impl Candidate {
    /// A candidate of that identity, unlike any other's, for the Lease at `place`.
    pub(super) fn new(
        client: Client,
        place: Place,
        identity: String,
        standing: watch::Sender<Standing>,
    ) -> Self {
        Self {
            client,
            place,
            election: Election::new(identity),
            start: Instant::now(),
            standing,
            named: String::new(),
            complaint: None,
        }
    }

    /// Stands from when `eligible` is sent until `resign` is cancelled, then releases what it
    /// holds.
    pub(super) async fn run(
        mut self,
        eligible: oneshot::Receiver<()>,
        mut changes: mpsc::Receiver<Change<Lease>>,
        resign: CancellationToken,
    ) {
        tokio::select! {
            () = resign.cancelled() => return,
            Ok(()) = eligible => {}
            else => return,
        }
        let mut calls = FuturesUnordered::new();
        loop {
            if let Some(call) = self.election.call(self.now_us()) {
                calls.push(self.make(call));
            }
            let due = self.election.due_us(self.now_us());
            let due = due.map(|due_us| self.start + Duration::from_micros(due_us));
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = resign.cancelled() => break,
                Some(answer) = calls.next() => self.answered(answer),
                Some(change) = changes.recv() => self.told(change),
                () = due => {}
            }
            self.publish();
        }
        // Its outcome decides what there is to release.
        while let Some(answer) = calls.next().await {
            self.answered(answer);
        }
        let claim = self.election.resign();
        self.publish();
        if let Some(claim) = claim {
            let released = self.make(Call::Write(claim)).await;
            match released {
                Ok(_) => info!("no longer leading: released the Lease"),
                Err(refusal) => warn!(why = %refusal, "the Lease was not released; it runs out"),
            }
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn told(&mut self, change: Change<Lease>) {
        let now_us = self.now_us();
        match change {
            Change::Is(lease) => self.election.told(lease.record(), now_us),
            Change::Gone(_) => self.election.look_again(),
            Change::Begin | Change::Synced => {}
        }
    }

    fn answered(&mut self, answer: Result<Answer, Refusal>) {
        let now_us = self.now_us();
        match answer {
            Ok(answer) => {
                self.complaint = None;
                self.election.answered(answer, now_us);
            }
            Err(refusal) => {
                self.election.answered(Answer::Failed, now_us);
                let text = refusal.to_string();
                // Of two that claim at once one comes too late: that is how it should be.
                if refusal != Refusal::Conflict && self.complaint.as_ref() != Some(&text) {
                    warn!(why = text, "cannot read or write the Lease");
                    self.complaint = Some(text);
                }
            }
        }
    }

    fn publish(&mut self) {
        let standing = match self.election.lead(self.now_us()) {
            None => Standing::Follows,
            Some(lead) => Standing::Leads {
                term: lead.term,
                until: self.start + Duration::from_micros(lead.until_us),
            },
        };
        if let Some(Record { holder, written_by, .. }) = self.election.other()
            && *holder != self.named
        {
            holder.clone_into(&mut self.named);
            let lease = &self.place.name;
            match written_by {
                None => info!(holder, lease, "another autoscaler leads"),
                Some(manager) => warn!(holder, lease, manager = &**manager, "a stranger leads"),
            }
        }
        self.standing.send_if_modified(|known| {
            let is_news = *known != standing;
            *known = standing;
            is_news
        });
    }

    fn make(&self, call: Call) -> impl Future<Output = Result<Answer, Refusal>> + use<> {
        let (client, place) = (self.client.clone(), self.place.clone());
        async move {
            match call {
                Call::Look => look(&client, &place).await.map(Answer::Is),
                Call::Write(claim) => write(&client, &place, claim).await.map(Answer::Written),
            }
        }
    }
}

fn right(verb: &'static str, namespace: &str) -> Right {
    Right { verb, group: GROUP, resource: "leases", namespace: Some(namespace.to_owned()) }
}

fn collection(namespace: &str) -> String {
    format!("/apis/{GROUP}/v1/namespaces/{namespace}/leases")
}

async fn look(client: &Client, place: &Place) -> Result<Option<Record>, Refusal> {
    let Place { namespace, name } = place;
    let uri = format!("{}/{name}?timeout={}s", collection(namespace), CALL_MAX.as_secs());
    let request = Request::get(uri).body(Vec::new());
    let request = request.map_err(|error| Refusal::Failed(error.to_string()))?;
    let right = right("get", namespace);
    match bounded(CALL_MAX, &right, client.request::<Lease>(request)).await {
        Ok(lease) => Ok(Some(lease.record())),
        Err(Refusal::Absent) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

async fn write(client: &Client, place: &Place, claim: Claim) -> Result<Record, Refusal> {
    let Place { namespace, name } = place;
    let Claim { holder, term, over } = claim;
    let time = Timestamp::try_from(SystemTime::now())
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let mut spec = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": LEASE_US / 1_000_000,
        "leaseTransitions": term,
        // For people: nobody here compares it with a clock.
        "renewTime": format!("{time:.6}"),
    });
    let collection = collection(namespace);
    let query = format!("fieldManager={FIELD_MANAGER}&timeout={}s", CALL_MAX.as_secs());
    let (verb, request, body) = match over {
        None => {
            spec["acquireTime"] = spec["renewTime"].clone();
            let metadata = json!({"namespace": namespace, "name": name});
            let lease = json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": "Lease",
                "metadata": metadata, "spec": spec,
            });
            let request = Request::post(format!("{collection}?{query}"));
            ("create", request.header(CONTENT_TYPE, "application/json"), lease)
        }
        // A patch leaves others' labels and annotations where they are.
        Some(version) => {
            let lease = json!({"metadata": {"resourceVersion": version}, "spec": spec});
            let request = Request::patch(format!("{collection}/{name}?{query}"));
            ("patch", request.header(CONTENT_TYPE, "application/merge-patch+json"), lease)
        }
    };
    let request = request.body(body.to_string().into_bytes());
    let request = request.map_err(|error| Refusal::Failed(error.to_string()))?;
    let right = right(verb, namespace);
    let lease: Lease = bounded(CALL_MAX, &right, client.request(request)).await?;
    Ok(lease.record())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_might_end_after_the_lease_is_not_covered_by_it() {
        let lease = Duration::from_secs(5);
        let leads = Standing::Leads { term: 1, until: Instant::now() + lease };
        assert!(leads.covers(lease - Duration::from_millis(1)));
        assert!(!leads.covers(lease));
        tokio::time::advance(lease - CALL_MAX).await;
        assert!(!leads.covers(CALL_MAX));
        assert!(!Standing::Follows.covers(Duration::ZERO));
    }
}
