//! The slim description of a function: all that deciding, routing and admitting need to know of a
//! workload and its Services, with no Kubernetes type in sight.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// The name of a function: `namespace/name` of its workload. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionName(Arc<str>);

impl FunctionName {
    /// The name of the workload `name` in `namespace`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The namespace part; empty if the text holds no `/`, which only a foreign peer can cause.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The workload's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// `namespace/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of workload behind a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        })
    }
}

/// A function: an annotated workload, the Services in front of it, and its validated settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: FunctionName,
    /// The workload's kind.
    pub kind: WorkloadKind,
    /// Age order: of two functions with one claim (a host, a port), the lower keeps it.
    pub created: u64,
    /// `spec.replicas` as written; 1 when absent, as Kubernetes defaults it.
    pub replicas: u32,
    /// Its annotations, validated.
    pub settings: Settings,
    /// The ports of its pods, each once: those that the Services below lead to in order of first
    /// mention, then the probe's and the container's others. A pod's addresses are listed in this
    /// order wherever pods are described.
    pub pod_ports: Vec<PodPort>,
    /// The Service ports that lead here, in manifest order.
    pub endpoints: Vec<Endpoint>,
    /// How a pod is found ready.
    pub probe: Probe,
}

/// A port that a pod of the function listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPort {
    /// The container port's name; empty when it has none.
    pub name: String,
    /// The number in the manifest. Local mode gives each replica another one, in `PORT_<NAME>`.
    pub number: u16,
}

/// One Service port: where requests for the function arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `namespace/service:port`, unique in the cluster. Shared by all that know of the endpoint.
    pub name: Arc<str>,
    /// The Service port's number.
    pub service_port: u16,
    /// Index into the function's `pod_ports`.
    pub pod_port: usize,
    /// Host names, lower case and without port, that lead here at the gateway. Shared likewise.
    pub hosts: Arc<[Arc<str>]>,
    /// The port of every activator that leads here and nowhere else; none = there is no such port.
    pub own_port: Option<u16>,
}

/// How the activator finds out by itself that a pod can take requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// No probe in the manifest: an accepted TCP connection is readiness.
    Connect,
    /// Connect, then `GET path`; ready on 200–399. Shared by all that know of the function.
    Http(Arc<HttpGet>),
    /// A TCP connection to that port is readiness.
    Tcp {
        /// Index into the function's `pod_ports`.
        pod_port: usize,
        /// The longest wait for the connection, in milliseconds, at least 1.
        timeout_ms: u64,
    },
    /// Cannot be tried from outside (exec, gRPC, several probed containers): the pod's own
    /// readiness, as its manager reports it, is the only word.
    Reported,
}

/// What a pod is asked for to find out whether it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// Index into the function's `pod_ports`.
    pub pod_port: usize,
    /// Path and query, starting with `/`.
    pub path: String,
    /// Host header; the pod's address when absent.
    pub host: Option<String>,
    /// Further headers, in order.
    pub headers: Vec<(String, String)>,
    /// The longest wait for an answer, in milliseconds, at least 1.
    pub timeout_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_written_as_peers_read_them() {
        let headers = vec![("a".to_owned(), "b".to_owned())];
        let path = "/".to_owned();
        let get = HttpGet { pod_port: 1, path, host: None, headers, timeout_ms: 5 };
        let http = r#"{"http":{"pod_port":1,"path":"/","host":null,"headers":[["a","b"]],"#;
        for (probe, text) in [
            (Probe::Connect, r#""connect""#),
            (Probe::Http(Arc::new(get)), &format!(r#"{http}"timeout_ms":5}}}}"#)),
            (Probe::Tcp { pod_port: 1, timeout_ms: 5 }, r#"{"tcp":{"pod_port":1,"timeout_ms":5}}"#),
        ] {
            assert_eq!(serde_json::to_string(&probe).unwrap(), text);
            assert_eq!(serde_json::from_str::<Probe>(text).unwrap(), probe);
        }
    }
}
