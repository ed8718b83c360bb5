//! One write of an EndpointSlice, as a call.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request};
use kube::Client;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::slice::EndpointSlices;
use crate::cluster::kubernetes::api::{Refusal, Right, bounded};
use crate::cluster::kubernetes::scale::FIELD_MANAGER;
use crate::cluster::workload::Key;

/// Longest wait for an answer, at both ends: a leader must know the outcome within its lease.
const CALL_MAX: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster::kubernetes) struct Write {
    /// The Service it is for.
    pub(super) service: Key,
    pub(super) slice: Key,
    pub(super) kind: Kind,
    /// What the slice will lead to.
    pub(super) activators: Vec<IpAddr>,
}

/// How it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A new one.
    Create(Value),
    /// The one of that uid and version is changed.
    Patch(Value),
    /// The one of that uid and version goes.
    Delete { uid: String, resource_version: String },
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointSlice {}", self.slice)
    }
}

impl Write {
    /// The Service it is for.
    pub(in crate::cluster::kubernetes) fn service(&self) -> &Key {
        &self.service
    }

    /// Where it is written.
    pub(in crate::cluster::kubernetes) fn namespace(&self) -> &str {
        self.slice.namespace()
    }

    fn request(&self) -> Result<(Request<Vec<u8>>, Right), Refusal> {
        let (namespace, name) = (self.slice.namespace(), self.slice.name());
        let all = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let parameters = format!("fieldManager={FIELD_MANAGER}&timeout={}s", CALL_MAX.as_secs());
        let (method, verb, uri, content, body) = match &self.kind {
            Kind::Create(body) => {
                let uri = format!("{all}?{parameters}");
                (Method::POST, "create", uri, "application/json", body.clone())
            }
            Kind::Patch(body) => {
                let uri = format!("{all}/{name}?{parameters}");
                (Method::PATCH, "patch", uri, "application/merge-patch+json", body.clone())
            }
            Kind::Delete { uid, resource_version } => {
                let preconditions = json!({"uid": uid, "resourceVersion": resource_version});
                let uri = format!("{all}/{name}?timeout={}s", CALL_MAX.as_secs());
                let body = json!({"preconditions": preconditions});
                (Method::DELETE, "delete", uri, "application/json", body)
            }
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content)
            .body(body.to_string().into_bytes())
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let namespace = Some(namespace.to_owned());
        let right =
            Right { verb, group: "discovery.k8s.io", resource: "endpointslices", namespace };
        Ok((request, right))
    }

    /// Makes the call; the slice as it is then, or none if it is gone.
    pub(in crate::cluster::kubernetes) async fn call(
        &self,
        client: &Client,
    ) -> Result<Option<EndpointSlices>, Refusal> {
        let (request, right) = self.request()?;
        if let Kind::Delete { .. } = self.kind {
            let call = client.request::<IgnoredAny>(request);
            return match bounded(CALL_MAX, &right, call).await {
                Ok(_) | Err(Refusal::Absent) => Ok(None),
                Err(refusal) => Err(refusal),
            };
        }
        let written = bounded(CALL_MAX, &right, client.request(request)).await.map(Some);
        written.map_err(|refusal| match (&self.kind, refusal) {
            (Kind::Create(_), Refusal::Conflict) => Refusal::Taken,
            (_, refusal) => refusal,
        })
    }
}
