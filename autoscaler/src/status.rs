//! What people and programs are told about functions: the JSON of the admin API and of `--json`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use dormouse_policy::decision::Decision;
use dormouse_policy::function::{FunctionName, WorkloadKind};
use serde::{Deserialize, Serialize};

/// Every function's status, sorted by name.
pub type Statuses = Arc<[FunctionStatus]>;

/// One function, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// `namespace/name`.
    pub name: FunctionName,
    /// The kind of its workload.
    pub kind: WorkloadKind,
    /// Where it is in its life.
    pub state: State,
    /// Pods ready, terminating ones not counted.
    pub ready: u32,
    /// Replicas wanted.
    pub desired: u32,
    /// Its pods, oldest first, terminating ones included.
    pub pods: Vec<PodStatus>,
    /// Requests in flight over all activators, held ones included, as last reported.
    pub in_flight: u64,
    /// Of these, the held ones.
    pub held: u64,
    /// Requests begun per second, between the last two reports.
    pub rps: f64,
    /// How much of the stable window the last decision knew, 0–1; below 1 nothing scales down.
    pub coverage: f64,
    /// Where its requests arrive.
    pub endpoints: Vec<EndpointStatus>,
    /// Set while its pods cannot be started.
    pub failure: Option<FailureStatus>,
    /// One sentence for people, if there is something to complain of.
    pub message: Option<String>,
    /// The last decision.
    pub last: Option<DecisionSummary>,
}

/// Where a function is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No pods, none wanted.
    Asleep,
    /// Pods are wanted, none is ready.
    Waking,
    /// At least one pod is ready.
    Ready,
    /// On its way to zero: its pods are being taken out of use or stopped.
    Retiring,
    /// Its pods cannot be started.
    Failing,
    /// Something it claims belongs to an older function; it is neither routed nor scaled.
    SetAside,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Its addresses, one per pod port of the function.
    pub addresses: Vec<SocketAddr>,
    /// What a starting pod is seen to lack.
    pub waiting_for: Option<String>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodPhase {
    /// Started or about to, not ready.
    Starting,
    /// Ready to take requests.
    Ready,
    /// Asked to stop.
    Terminating,
}

/// Where requests arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// `namespace/service:port`.
    pub name: String,
    /// Host names that lead here at the gateway.
    pub hosts: Vec<String>,
    /// The address of its own listener, once an activator has it.
    pub listening: Option<SocketAddr>,
    /// Why an activator has no listener, if binding failed.
    pub error: Option<String>,
}

/// Why pods cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStatus {
    /// A stable code: `crash-loop`, …
    pub code: String,
    /// One sentence for people.
    pub message: String,
}

/// What is to be said of an object of the cluster, or of a manifest: why it is set aside, or what
/// has no effect there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// `Kind namespace/name`; of a manifest that cannot be read, its path.
    pub object: String,
    /// The reason of its Event: `SetAside`, …
    pub reason: String,
    /// One sentence or several, for people.
    pub note: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.note)
    }
}

impl Complaint {
    /// The object's `namespace/name`; none of a manifest.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.object.split_once(' ').map(|(_, name)| name)
    }
}

/// A decision in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionSummary {
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// What was decided and why.
    pub line: String,
}

/// One function and why it is as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The function, now.
    pub status: FunctionStatus,
    /// When its requests go through the activators, and why. One sentence for people.
    #[serde(default)]
    pub path: String,
    /// The decisions kept, oldest first.
    pub decisions: Vec<Kept>,
}

/// A decision that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The decision in one line.
    pub line: String,
    /// Whether the policy, given the stored inputs again, decides the same.
    pub reproduced: bool,
    /// The decision with everything it was made from.
    pub decision: Decision,
}
