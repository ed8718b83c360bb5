//! The pods of one function while they are watched.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use dormouse_policy::function::PodPort;
use k8s_openapi::jiff::Timestamp;

use super::objects::{Pod, Watched};
use super::watch::Change;
use crate::cluster::{FailureFact, PodFact, PodPhase};

/// The pods that one watch told of.
pub(super) struct PodsSeen {
    /// The watch's number.
    pub(super) watch: u64,
    pub(super) selector: Box<str>,
    pods: BTreeMap<String, Kept>,
    round: u64,
    is_synced: bool,
}

/// What is kept of a pod.
struct Kept {
    created: Option<Timestamp>,
    address: Option<IpAddr>,
    phase: PodPhase,
    failure: Option<FailureFact>,
    round: u64,
}

impl PodsSeen {
    pub(super) fn new(watch: u64, selector: Box<str>) -> Self {
        Self { watch, selector, pods: BTreeMap::new(), round: 0, is_synced: false }
    }

    /// Whether all were told at least once.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }

    pub(super) fn has_some(&self) -> bool {
        !self.pods.is_empty()
    }

    pub(super) fn apply(&mut self, change: Change<Pod>) {
        match change {
            Change::Begin => self.round += 1,
            Change::Is(pod) if !pod.status.is_over() && !pod.is_of_another() => {
                let Pod { metadata, status } = pod;
                let phase = match (&metadata.deletion_timestamp, status.is_ready()) {
                    (Some(_), _) => PodPhase::Terminating,
                    (None, true) => PodPhase::Ready,
                    (None, false) => PodPhase::Starting,
                };
                let kept = Kept {
                    created: metadata.creation_timestamp.map(|time| time.0),
                    address: status.pod_ip.parse().ok(),
                    phase,
                    failure: status.failure(),
                    round: self.round,
                };
                self.pods.insert(metadata.name, kept);
            }
            Change::Is(pod) | Change::Gone(pod) => {
                self.pods.remove(&pod.metadata().name);
            }
            Change::Synced => {
                self.pods.retain(|_, pod| pod.round == self.round);
                self.is_synced = true;
            }
        }
    }

    /// What keeps all of them from running, or else their workload from having some: nothing as
    /// long as one is ready.
    pub(super) fn failure(&self, of_workload: Option<&FailureFact>) -> Option<FailureFact> {
        if self.pods.values().any(|pod| pod.phase == PodPhase::Ready) {
            return None;
        }
        let starting = self.pods.values().filter(|pod| pod.phase == PodPhase::Starting);
        let mut failures = starting.filter_map(|pod| pod.failure.as_ref());
        failures.next().or(of_workload).cloned()
    }

    /// The pods, oldest first.
    pub(super) fn list(&self, ports: &[PodPort]) -> Vec<PodFact> {
        let mut pods: Vec<_> = self.pods.iter().collect();
        pods.sort_by_key(|(_, pod)| pod.created);
        let fact = |(name, pod): (&String, &Kept)| PodFact {
            name: name.clone(),
            addresses: pod.addresses(ports),
            phase: pod.phase,
            waiting_for: None,
        };
        pods.into_iter().map(fact).collect()
    }
}

impl Kept {
    /// None before it has an address.
    fn addresses(&self, ports: &[PodPort]) -> Vec<SocketAddr> {
        let Some(ip) = self.address else {
            return Vec::new();
        };
        ports.iter().map(|port| SocketAddr::new(ip, port.number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, owners: Value) -> Change<Pod> {
        let metadata = json!({"namespace": "shop", "name": name, "ownerReferences": owners});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": ready});
        let pod = json!({"metadata": metadata, "status": status});
        Change::Is(serde_json::from_value(pod).unwrap())
    }

    fn owner(kind: &str, controller: bool) -> Value {
        json!([{
            "apiVersion": "any/v1", "kind": kind, "name": "a", "uid": "1", "controller": controller,
        }])
    }

    #[test]
    fn pods_of_others_that_have_the_labels_are_passed_over() {
        let mut seen = PodsSeen::new(1, "app=cart".into());
        seen.apply(Change::Begin);
        seen.apply(pod("job", owner("Job", true)));
        seen.apply(pod("daemon", owner("DaemonSet", true)));
        assert!(!seen.has_some());
        seen.apply(pod("of-a-deployment", owner("ReplicaSet", true)));
        seen.apply(pod("of-a-stateful-set", owner("StatefulSet", true)));
        seen.apply(pod("watched-by-another", owner("Job", false)));
        seen.apply(pod("by-hand", json!([])));
        let names = seen.list(&[]).into_iter().map(|pod| pod.name);
        let names: Vec<String> = names.collect();
        assert_eq!(
            names,
            ["by-hand", "of-a-deployment", "of-a-stateful-set", "watched-by-another"]
        );
    }
}
