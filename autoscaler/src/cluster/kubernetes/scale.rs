//! One order to scale, as a call.

use std::time::Duration;

use dormouse_policy::function::{FunctionName, WorkloadKind};
use http::Request;
use http::header::CONTENT_TYPE;
use kube::Client;
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, Right, bounded};
use super::objects::Metadata;

/// Longest wait for an answer, at both ends: a leader must know the outcome within its lease.
pub(super) const CALL_MAX: Duration = Duration::from_secs(1);

/// The one field manager of all our writes.
pub(super) const FIELD_MANAGER: &str = "dormouse";

/// A workload as an order was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: FunctionName,
    pub(super) kind: WorkloadKind,
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
}

/// What the API server made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
    pub(super) replicas: u32,
}

#[derive(Deserialize)]
struct Answer {
    metadata: Metadata,
    #[serde(default)]
    spec: AnswerSpec,
}

#[derive(Default, Deserialize)]
struct AnswerSpec {
    #[serde(default)]
    replicas: u32,
}

/// Sets the replicas of `target`, unless it was changed or replaced since it was looked at.
pub(super) async fn scale(
    client: &Client,
    target: &Target,
    replicas: u32,
) -> Result<Placed, Refusal> {
    let (namespace, name) = (target.name.namespace(), target.name.name());
    let (workloads, resource) = match target.kind {
        WorkloadKind::Deployment => ("deployments", "deployments/scale"),
        WorkloadKind::StatefulSet => ("statefulsets", "statefulsets/scale"),
    };
    let uri = format!(
        "/apis/apps/v1/namespaces/{namespace}/{workloads}/{name}/scale\
         ?fieldManager={FIELD_MANAGER}&timeout={}s",
        CALL_MAX.as_secs()
    );
    let body = json!({
        "metadata": {"uid": target.uid, "resourceVersion": target.resource_version},
        "spec": {"replicas": replicas},
    });
    let request = Request::patch(uri)
        .header(CONTENT_TYPE, "application/merge-patch+json")
        .body(body.to_string().into_bytes())
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let namespace = Some(namespace.to_owned());
    let right = Right { verb: "patch", group: "apps", resource, namespace };
    let answer: Answer = bounded(CALL_MAX, &right, client.request(request)).await?;
    Ok(Placed {
        uid: answer.metadata.uid.into(),
        resource_version: answer.metadata.resource_version.into(),
        replicas: answer.spec.replicas,
    })
}
