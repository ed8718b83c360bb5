//! The ConfigMap that says what holds where annotations are absent.

use dormouse_policy::settings::{self, CONFIG_MAP, ClusterDefaults, ParsedDefaults};
use k8s_openapi::api::core::v1::ConfigMap;

use super::yaml::Object;
use super::{Finding, Manifests};

/// Whether the object is that ConfigMap, whatever its namespace: Knative keeps it in one of its
/// own, and local mode has no namespace of its own.
pub(super) fn are_in(object: &Object<'_>) -> bool {
    object.kind == "ConfigMap" && object.name == CONFIG_MAP
}

/// The defaults that the first of `objects` gives. A faulty one is set aside whole.
pub(super) fn read(objects: &[Object<'_>], manifests: &mut Manifests) -> ClusterDefaults {
    let Some((first, others)) = objects.split_first() else {
        return ClusterDefaults::default();
    };
    for other in others {
        let text = format!("the cluster's defaults are in {} already; set aside", first.label());
        manifests.faults.push(other.finding(text));
    }
    match read_one(first) {
        Ok(ParsedDefaults { defaults, not_yet }) => {
            if !not_yet.is_empty() {
                let text = format!("keys not yet supported: {}", not_yet.join(", "));
                manifests.notices.push(first.finding(text));
            }
            defaults
        }
        Err(faults) => {
            manifests.faults.extend(faults);
            ClusterDefaults::default()
        }
    }
}

fn read_one(object: &Object<'_>) -> Result<ParsedDefaults, Vec<Finding>> {
    let ConfigMap { data, .. } = object.typed().map_err(|fault| vec![fault])?;
    settings::parse_defaults(&data.unwrap_or_default())
        .map_err(|faults| faults.iter().map(|fault| object.finding(fault.to_string())).collect())
}
