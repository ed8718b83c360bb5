//! Why pods cannot be started, in Kubernetes' words and in codes of ours. Only what is known to
//! last counts: a first failed pull is tried again at once, a back-off says that it failed again.

use serde::Deserialize;

use crate::cluster::FailureFact;

/// What a client is told to wait, in milliseconds: the kubelet's first back-off. Whether it then
/// goes better nobody knows; requests that come later are held until they are told again.
const RETRY_MS: u64 = 10_000;

/// How long pods have to have found no node, in milliseconds, until requests are refused for it:
/// shorter than it takes to add a node, longer than pods that end need to leave one.
const NO_NODE_MS: u64 = 15_000;

/// How long a pod has to have stood on its node without all that its containers need, in
/// milliseconds: it takes seconds to set it up, and longer to attach a disk.
const NO_SANDBOX_MS: u64 = 30_000;

/// A container's status, as far as it tells why it does not run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ContainerStatus {
    #[serde(default)]
    state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ContainerState {
    waiting: Option<Waiting>,
}

#[derive(Clone, Debug, Deserialize)]
struct Waiting {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// A condition of a workload or a pod.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Condition {
    /// Whether a Deployment's controller has given its rollout up for now.
    pub(super) fn gave_up_rollout(&self) -> bool {
        self.kind == "Progressing" && self.status == "False"
    }
}

/// What keeps one of these containers from running, if that is known to last.
pub(super) fn of_containers(statuses: &[ContainerStatus]) -> Option<FailureFact> {
    let waiting = statuses.iter().filter_map(|status| status.state.waiting.as_ref());
    let mut failures = waiting.filter_map(|Waiting { reason, message }| {
        let code = match reason.as_str() {
            "CrashLoopBackOff" => "crash-loop",
            "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => "image-pull",
            // A Secret or ConfigMap that is not there.
            "CreateContainerConfigError" => "container-config",
            "CreateContainerError" | "RunContainerError" => "container-start",
            _ => return None,
        };
        Some(failure(code, reason, message))
    });
    failures.next()
}

/// What keeps a pod from being given a node.
pub(super) fn of_scheduling(conditions: &[Condition]) -> Option<FailureFact> {
    let is_it = |it: &&Condition| {
        it.kind == "PodScheduled" && it.status == "False" && it.reason == "Unschedulable"
    };
    let Condition { reason, message, .. } = conditions.iter().find(is_it)?;
    let failure = failure("unschedulable", reason, message);
    Some(FailureFact { patience_ms: NO_NODE_MS, ..failure })
}

/// What keeps a pod on its node from being set up: a volume of a Secret that is not there, a disk
/// that cannot be attached, a network without addresses. The kubelet says which in Events alone.
pub(super) fn of_setting_up(conditions: &[Condition]) -> Option<FailureFact> {
    let is = |kind: &str, status: &str| {
        conditions.iter().any(|it| it.kind == kind && it.status == status)
    };
    let is_stuck = is("PodScheduled", "True") && is("PodReadyToStartContainers", "False");
    let message = "a volume or the network is missing: the pod's Events say which";
    let failure =
        is_stuck.then(|| failure("pod-setup", "PodNotReadyToStartContainers", message))?;
    Some(FailureFact { patience_ms: NO_SANDBOX_MS, ..failure })
}

/// What keeps a workload's pods from being created.
pub(super) fn of_workload(conditions: &[Condition]) -> Option<FailureFact> {
    let failing = |it: &&Condition| it.kind == "ReplicaFailure" && it.status == "True";
    let Condition { reason, message, .. } = conditions.iter().find(failing)?;
    // The reason is the same for all of them.
    let code = match message.as_str() {
        text if text.contains("exceeded quota") => "quota",
        text if text.contains("because it is being terminated") => "namespace-terminating",
        _ => "pods-refused",
    };
    Some(failure(code, reason, message))
}

fn failure(code: &str, reason: &str, message: &str) -> FailureFact {
    let separator = if message.is_empty() { "" } else { ": " };
    FailureFact {
        code: code.to_owned(),
        message: format!("{reason}{separator}{message}"),
        retry_ms: RETRY_MS,
        patience_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lasts_has_a_code_and_what_may_pass_has_none() {
        for (reason, code) in [
            ("CrashLoopBackOff", Some("crash-loop")),
            ("ImagePullBackOff", Some("image-pull")),
            ("CreateContainerConfigError", Some("container-config")),
            ("RunContainerError", Some("container-start")),
            ("ErrImagePull", None),
            ("ContainerCreating", None),
        ] {
            let statuses = json!([{"state": {"running": {}}}, {"state": {"waiting": {
                "reason": reason, "message": "why"}}}]);
            let statuses: Vec<ContainerStatus> = serde_json::from_value(statuses).unwrap();
            let found = of_containers(&statuses);
            assert_eq!(found.as_ref().map(|it| it.code.as_str()), code, "{reason}");
            assert!(found.is_none_or(|it| it.message == format!("{reason}: why")));
        }
    }

    #[test]
    fn a_pod_that_is_not_set_up_on_its_node_may_become_so() {
        let of = |scheduled: &str, set_up: &str| {
            let conditions = json!([{"type": "PodScheduled", "status": scheduled},
                {"type": "PodReadyToStartContainers", "status": set_up}]);
            let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap();
            of_setting_up(&conditions)
        };
        let found = of("True", "False").unwrap();
        assert_eq!((found.code.as_str(), found.patience_ms), ("pod-setup", NO_SANDBOX_MS));
        assert!(found.message.contains("the pod's Events"));
        assert_eq!((of("False", "False"), of("True", "True")), (None, None));
    }

    #[test]
    fn having_no_node_is_a_failure_that_may_pass() {
        let of = |status: &str, reason: &str| {
            let condition = json!([{"type": "PodScheduled", "status": status, "reason": reason,
                "message": "0/3 nodes are available"}]);
            let conditions: Vec<Condition> = serde_json::from_value(condition).unwrap();
            of_scheduling(&conditions)
        };
        let found = of("False", "Unschedulable").unwrap();
        assert_eq!(found.code, "unschedulable");
        assert_eq!(found.message, "Unschedulable: 0/3 nodes are available");
        assert!(found.patience_ms > 0);
        assert_eq!(of("True", ""), None);
        assert_eq!(of("False", "SchedulingGated"), None, "somebody is going to lift it");
    }

    #[test]
    fn a_quota_is_told_from_other_refusals() {
        let code = |status: &str, message: &str| {
            let condition = json!([{"type": "ReplicaFailure", "status": status,
                "reason": "FailedCreate", "message": message}]);
            let conditions: Vec<Condition> = serde_json::from_value(condition).unwrap();
            of_workload(&conditions).map(|failure| failure.code)
        };
        let exceeded = "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1";
        assert_eq!(code("True", exceeded).as_deref(), Some("quota"));
        let ending = "pods \"a\" is forbidden: unable to create new content in namespace n \
                      because it is being terminated";
        assert_eq!(code("True", ending).as_deref(), Some("namespace-terminating"));
        assert_eq!(code("True", "denied by a webhook").as_deref(), Some("pods-refused"));
        assert_eq!(code("False", exceeded), None);
    }
}
