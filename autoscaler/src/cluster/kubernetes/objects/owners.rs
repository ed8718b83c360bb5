//! Who wrote a field, by `managedFields`.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::cluster::kubernetes::scale::FIELD_MANAGER;

/// What one writer wrote.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
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

/// The last of those who wrote `spec.replicas` or `spec.holderIdentity`, unless we are among them.
pub(super) fn other_writer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<str>>, D::Error> {
    let entries = Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default();
    let wrote = |entry: &&Entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.spec.as_ref());
        fields.is_some_and(|spec| spec.replicas.is_some() || spec.holder.is_some())
    };
    let writers = || entries.iter().filter(wrote);
    if writers().any(|entry| entry.manager == FIELD_MANAGER) {
        return Ok(None);
    }
    let last = writers().max_by(|one, other| one.time.cmp(&other.time));
    Ok(last.map(|entry| Arc::from(entry.manager.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn writer(entries: Value) -> Option<String> {
        let writer = other_writer(entries).unwrap();
        writer.map(|writer| writer.to_string())
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
        let ours = entry(FIELD_MANAGER, "2026-01-01T00:00:00Z", replicas);
        let status = entry("kube-controller-manager", "2026-01-04T00:00:00Z", json!({}));
        let others = json!([created, scaled, rolled, status]);
        assert_eq!(writer(others).as_deref(), Some("kubectl-scale"));
        assert_eq!(writer(json!([ours, scaled])), None, "the same figure, written by both");
        assert_eq!(writer(json!([rolled, status])), None);
        assert_eq!(writer(Value::Null), None);
        let held = json!({"f:spec": {"f:holderIdentity": {}, "f:renewTime": {}}});
        let lease = json!([entry("other-elector", "2026-01-01T00:00:00Z", held)]);
        assert_eq!(writer(lease).as_deref(), Some("other-elector"));
    }
}
