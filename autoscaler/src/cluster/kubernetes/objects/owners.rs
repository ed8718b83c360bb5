//! Who wrote a field, by `managedFields`.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::cluster::kubernetes::scale::FIELD_MANAGER;
use crate::cluster::{Means, Setter, UNNAMED};

/// Who wrote `spec.replicas`, or a Lease's `spec.holderIdentity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cluster::kubernetes) enum Writer {
    /// We did.
    Us,
    /// Somebody else did.
    Other(Setter),
    /// Nobody is named, as after `kubectl scale`; and after our own 0, for the field of `/scale`
    /// leaves a 0 out.
    #[default]
    Unnamed,
}

impl Writer {
    /// Who else it was, `replicas` being what is written there; none if it was or may have been us.
    pub(super) fn other(self, replicas: u32) -> Option<Setter> {
        let unnamed = || Setter { name: Arc::from(UNNAMED), means: Means::Figure };
        match self {
            Self::Unnamed => (replicas > 0).then(unnamed),
            named => named.named_other(),
        }
    }

    /// Who else it was, if somebody else is named.
    pub(in crate::cluster::kubernetes) fn named_other(self) -> Option<Setter> {
        match self {
            Self::Other(setter) => Some(setter),
            Self::Us | Self::Unnamed => None,
        }
    }
}

/// What one writer wrote.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    /// RFC 3339 in UTC, whole seconds: sorts as text.
    #[serde(default)]
    time: String,
    fields_v1: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<Spec>,
}

/// The fields in which it matters; no object has both.
#[derive(Deserialize)]
struct Spec {
    /// Of a workload.
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
    /// Of a Lease.
    #[serde(rename = "f:holderIdentity")]
    holder: Option<IgnoredAny>,
}

/// The last of those who wrote `spec.replicas` or `spec.holderIdentity`; us if we are among them.
pub(super) fn writer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Writer, D::Error> {
    let entries = Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default();
    let wrote = |entry: &&Entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.spec.as_ref());
        fields.is_some_and(|spec| spec.replicas.is_some() || spec.holder.is_some())
    };
    let writers = || entries.iter().filter(wrote);
    if writers().any(|entry| entry.manager == FIELD_MANAGER) {
        return Ok(Writer::Us);
    }
    let last = writers().max_by(|one, other| one.time.cmp(&other.time));
    let named = last.map(|Entry { manager, operation, .. }| {
        let means = match applies(manager, operation) {
            true => Means::Manifest,
            false => Means::Figure,
        };
        Writer::Other(Setter { name: Arc::from(manager.as_str()), means })
    });
    Ok(named.unwrap_or_default())
}

/// Whether a manager applies manifests, on the server or, as it is known to, by itself: Helm 3,
/// `kubectl apply` unless told otherwise, and others that write whole objects.
pub(in crate::cluster::kubernetes) fn applies(manager: &str, operation: &str) -> bool {
    let known = ["helm", "client-side-apply", "argocd", "kustomize", "terraform", "pulumi", "kapp"];
    let manager = manager.to_ascii_lowercase();
    operation == "Apply" || known.iter().any(|name| manager.contains(name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(entries: Value) -> Writer {
        writer(entries).unwrap()
    }

    fn entry(manager: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn the_last_other_writer_of_replicas_is_found() {
        let replicas = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}});
        let template = json!({"f:spec": {"f:template": {}}});
        let created = entry("kubectl-create", "2026-01-01T00:00:00Z", replicas.clone());
        let scaled = entry("kubectl-scale", "2026-01-02T00:00:00Z", replicas.clone());
        let rolled = entry("kubectl-rollout", "2026-01-03T00:00:00Z", template);
        let ours = entry(FIELD_MANAGER, "2026-01-01T00:00:00Z", replicas.clone());
        let status = entry("kube-controller-manager", "2026-01-04T00:00:00Z", json!({}));
        let others = json!([created, scaled, rolled, status]);
        let other = |name: &str, means| Writer::Other(Setter { name: name.into(), means });
        assert_eq!(of(others), other("kubectl-scale", Means::Figure));
        for manager in ["kubectl-client-side-apply", "helm", "HashiCorp-Terraform"] {
            assert_eq!(
                of(json!([entry(manager, "", replicas.clone())])),
                other(manager, Means::Manifest)
            );
        }
        let mut applied = entry("anybody", "", replicas.clone());
        applied["operation"] = json!("Apply");
        assert_eq!(of(json!([applied])), other("anybody", Means::Manifest));
        assert_eq!(of(json!([ours, scaled])), Writer::Us, "the same figure, written by both");
        assert_eq!(of(json!([rolled, status])), Writer::Unnamed);
        assert_eq!(of(Value::Null), Writer::Unnamed);
        let held = json!({"f:spec": {"f:holderIdentity": {}, "f:renewTime": {}}});
        let lease = json!([entry("other-elector", "2026-01-01T00:00:00Z", held)]);
        assert_eq!(of(lease), other("other-elector", Means::Figure));
    }

    #[test]
    fn an_unnamed_writer_of_a_figure_is_somebody_else_and_of_a_zero_perhaps_us() {
        let name = |writer: Writer, replicas| writer.other(replicas).map(|setter| setter.name);
        assert_eq!(name(Writer::Unnamed, 1).as_deref(), Some(UNNAMED));
        assert_eq!(Writer::Unnamed.other(0), None);
        assert_eq!(Writer::Us.other(1), None);
        let helm = Setter { name: "helm".into(), means: Means::Manifest };
        assert_eq!(name(Writer::Other(helm), 0).as_deref(), Some("helm"));
    }
}
