//! What is kept of the API's objects: the fields that are used, and no more.

mod owners;

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::function::{FunctionName, WorkloadKind};
use dormouse_policy::settings::{Annotations, keys};
use k8s_openapi::api::core::v1::ServiceSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use self::owners::Writer;
pub(super) use self::owners::applies;
use super::failure::{self, Condition, ContainerStatus};
use crate::cluster::workload::{Container, Workload};
use crate::cluster::{FailureFact, Rollout, Setter};

/// Where a Deployment's controller numbers its templates.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// An object that can be watched.
pub(super) trait Watched: Clone + for<'de> Deserialize<'de> + Send + 'static {
    /// What identifies and dates it.
    fn metadata(&self) -> &Metadata;
}

/// What identifies and dates an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) creation_timestamp: Option<Time>,
    pub(super) deletion_timestamp: Option<Time>,
    #[serde(deserialize_with = "ours")]
    pub(super) annotations: Annotations,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) owner_references: Vec<OwnerReference>,
    /// Who wrote the one field in which others' writes matter.
    #[serde(rename = "managedFields", deserialize_with = "owners::writer")]
    pub(super) written_by: Writer,
}

/// Why what belongs to `owner` is scaled by others alone, if it is.
fn rules_out(owner: &OwnerReference) -> Option<String> {
    let OwnerReference { api_version, kind, name, .. } = owner;
    let group = api_version.split('/').next().unwrap_or_default();
    let whose = match (group, kind.as_str()) {
        ("serving.knative.dev", "Revision") => "Knative",
        ("pkg.crossplane.io", _) => "Crossplane",
        _ => return None,
    };
    Some(format!("it belongs to {kind} {name}, which {whose} scales"))
}

/// A Deployment or StatefulSet.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Workloads {
    metadata: Metadata,
    spec: WorkloadSpec,
    #[serde(default)]
    status: WorkloadStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadSpec {
    replicas: Option<i32>,
    selector: LabelSelector,
    template: Template,
    /// Of a Deployment: changes of the template are not rolled out.
    #[serde(default)]
    paused: bool,
    /// Of a StatefulSet.
    #[serde(default)]
    update_strategy: UpdateStrategy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    r#type: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Clone, Debug, Deserialize)]
struct RollingUpdate {
    #[serde(default)]
    partition: i32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkloadStatus {
    replicas: i32,
    updated_replicas: i32,
    /// Of a StatefulSet: the name of its newest template.
    update_revision: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Template {
    #[serde(default)]
    metadata: Metadata,
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct TemplateSpec {
    containers: Vec<Container>,
}

/// A workload as the cluster has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
    /// `spec.replicas`.
    pub(super) replicas: u32,
    /// Who else wrote that; none = we did, or nobody says.
    pub(super) set_by: Option<Arc<Setter>>,
    /// Which template new pods are made from; empty before its controller says so.
    pub(super) revision: Arc<str>,
    /// Whether its pods are being replaced.
    pub(super) rollout: Rollout,
    /// Pods its controller counts.
    pub(super) pods: u32,
    /// Why it has no pods.
    pub(super) failure: Option<Box<FailureFact>>,
    /// Its pods' labels, as the API is asked for them.
    pub(super) selector: Box<str>,
    /// Why it is left alone whatever it is annotated with.
    pub(super) ruled_out: Option<Box<str>>,
    pub(super) workload: Workload,
}

/// A Service.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Services {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: ServiceSpec,
}

/// The ConfigMap of cluster defaults.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConfigMaps {
    metadata: Metadata,
    #[serde(default)]
    pub(super) data: Annotations,
}

/// A HorizontalPodAutoscaler or a ScaledObject.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Scalers {
    metadata: Metadata,
    pub(super) spec: ScalerSpec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScalerSpec {
    pub(super) scale_target_ref: ScaleTarget,
}

/// The workload that one scales.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScaleTarget {
    /// A ScaledObject need not say it.
    #[serde(default = "deployment")]
    pub(super) kind: String,
    pub(super) name: String,
}

fn deployment() -> String {
    "Deployment".to_owned()
}

/// A Pod.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) status: PodStatus,
}

impl Pod {
    /// Whether what made it makes no pods of a Deployment or StatefulSet: a Job's may well have
    /// the labels of one.
    pub(super) fn is_of_another(&self) -> bool {
        let mut owners = self.metadata.owner_references.iter();
        let controller = owners.find(|owner| owner.controller == Some(true));
        controller.is_some_and(|owner| !matches!(&*owner.kind, "ReplicaSet" | "StatefulSet"))
    }
}

/// A Pod's state.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

impl Watched for Workloads {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Watched for ConfigMaps {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Watched for Scalers {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Watched for Services {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Watched for Pod {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Seen {
    /// Whether `later` says something else of its pods.
    pub(super) fn tells_otherwise(&self, later: &Self) -> bool {
        let told = |seen: &Self| {
            let Self { replicas, set_by, revision, rollout, failure, .. } = seen;
            (*replicas, set_by.clone(), revision.clone(), *rollout, failure.clone())
        };
        told(self) != told(later)
    }
}

impl WorkloadStatus {
    /// Pods of an older template are being replaced, unless that is halted or given up.
    fn rollout(&self, spec: &WorkloadSpec) -> Rollout {
        let has_old = self.updated_replicas < self.replicas;
        let UpdateStrategy { r#type, rolling_update } = &spec.update_strategy;
        let partition = rolling_update.as_ref().map_or(0, |it| it.partition);
        let halted = spec.paused || r#type == "OnDelete" || partition > 0;
        let given_up = self.conditions.iter().any(Condition::gave_up_rollout);
        match has_old && !halted && !given_up {
            true => Rollout::UnderWay,
            false => Rollout::Done,
        }
    }
}

impl Workloads {
    pub(super) fn seen(self, kind: WorkloadKind) -> Seen {
        let Self { mut metadata, spec, status } = self;
        let revision =
            metadata.annotations.remove(REVISION).unwrap_or(status.update_revision.clone());
        let created = metadata.creation_timestamp.map_or(0, |time| time.0.as_second());
        let positive = |number: i32| u32::try_from(number).unwrap_or(0);
        let replicas = positive(spec.replicas.unwrap_or(1));
        Seen {
            uid: metadata.uid.into(),
            resource_version: metadata.resource_version.into(),
            replicas,
            set_by: metadata.written_by.other(replicas).map(Arc::new),
            revision: revision.into(),
            rollout: status.rollout(&spec),
            pods: positive(status.replicas),
            failure: failure::of_workload(&status.conditions).map(Box::new),
            ruled_out: metadata.owner_references.iter().find_map(rules_out).map(Into::into),
            selector: selector(&spec.selector).into(),
            workload: Workload {
                kind,
                name: FunctionName::new(&metadata.namespace, &metadata.name),
                created: u64::try_from(created).unwrap_or(0),
                annotations: metadata.annotations.into(),
                labels: enabling(metadata.labels).into(),
                // Counted above: how many there are describes nothing anew.
                replicas: None,
                selector: spec.selector.match_labels.into(),
                template_annotations: spec.template.metadata.annotations.into(),
                template_labels: spec.template.metadata.labels.into(),
                containers: spec.template.spec.containers.into(),
            },
        }
    }
}

impl PodStatus {
    /// Whether the kubelet calls it ready.
    pub(super) fn is_ready(&self) -> bool {
        self.conditions.iter().any(|it| it.kind == "Ready" && it.status == "True")
    }

    /// What keeps it from running.
    pub(super) fn failure(&self) -> Option<FailureFact> {
        let init = failure::of_containers(&self.init_container_statuses);
        let containers = || failure::of_containers(&self.container_statuses);
        let node = || failure::of_scheduling(&self.conditions);
        let set_up = || failure::of_setting_up(&self.conditions);
        init.or_else(containers).or_else(node).or_else(set_up)
    }

    /// Whether it will never run again.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// The annotations under our prefixes, and the revision; others, of which some hold whole
/// manifests, are not kept.
fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Annotations, D::Error> {
    let mut all = Option::<Annotations>::deserialize(deserializer)?.unwrap_or_default();
    all.retain(|key, _| {
        key.starts_with(keys::DORMOUSE) || key.starts_with(keys::KNATIVE) || key == REVISION
    });
    Ok(all)
}

/// Of a workload's own labels, the opt-in alone has a meaning.
fn enabling(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.retain(|key, _| key.starts_with(keys::DORMOUSE));
    labels
}

/// A label selector in the words of the API's query.
fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let key = &expression.key;
        let values = expression.values.iter().flatten().map(String::as_str);
        let values = values.collect::<Vec<_>>().join(",");
        match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use serde_json::json;

    use super::*;
    use crate::cluster::workload::Protocol;

    /// What a workload may take up beside its texts and containers, in bytes: ten thousand are
    /// kept.
    const BYTES_MAX: usize = 256;

    #[test]
    fn a_workload_takes_little_room() {
        assert!(size_of::<Seen>() <= BYTES_MAX, "{}", size_of::<Seen>());
    }

    #[test]
    fn of_a_workload_what_is_used_is_kept() {
        let object = json!({
            "metadata": {
                "namespace": "shop", "name": "cart", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "1970-01-01T00:00:09Z",
                "annotations": {"dormouse.dev/enabled": "true", "other": "x"},
                "labels": {"app": "cart", "dormouse.dev/enabled": "true"},
                "managedFields": [{"manager": "someone"}],
            },
            "spec": {
                "replicas": 0,
                "selector": {
                    "matchLabels": {"app": "cart"},
                    "matchExpressions": [
                        {"key": "tier", "operator": "In", "values": ["a", "b"]},
                        {"key": "old", "operator": "DoesNotExist"}],
                },
                "template": {
                    "metadata": {"labels": {"app": "cart"}, "annotations": null},
                    "spec": {"containers": [{"name": "app", "image": "x", "ports": [
                        {"containerPort": 80},
                        {"containerPort": 81, "protocol": "TCP", "name": "web"},
                        {"containerPort": 82, "protocol": "SCTP"}]}]},
                },
            },
        });
        let seen: Workloads = serde_json::from_value(object).unwrap();
        let seen = seen.seen(WorkloadKind::Deployment);
        assert_eq!(&*seen.selector, "app=cart,tier in (a,b),!old");
        assert_eq!((seen.replicas, seen.pods, seen.workload.created), (0, 0, 9));
        assert_eq!(seen.workload.annotations.iter().count(), 1);
        assert_eq!(seen.workload.labels.iter().count(), 1);
        let container = &seen.workload.containers[0];
        let ports = container.ports.iter().map(|port| (port.container_port, port.protocol));
        let protocols = [(80, None), (81, Some(Protocol::Tcp)), (82, Some(Protocol::Other))];
        assert_eq!(container.name, "app");
        assert_eq!(ports.collect::<Vec<_>>(), protocols);
    }

    #[test]
    fn a_pod_is_ready_by_its_condition_alone() {
        let pod = |conditions| {
            let object = json!({"metadata": {}, "status": {"conditions": conditions}});
            let pod: Pod = serde_json::from_value(object).unwrap();
            pod.status.is_ready()
        };
        assert!(pod(json!([{"type": "Ready", "status": "True"}])));
        assert!(!pod(json!([{"type": "Ready", "status": "False"}])));
        assert!(!pod(json!([{"type": "ContainersReady", "status": "True"}])));
    }
}
