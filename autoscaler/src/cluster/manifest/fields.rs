//! Which fields of an object are honoured in local mode: one table per kind, so that every other
//! field a manifest sets can be named.

use serde_json::Value;

/// Honoured fields of a Deployment or StatefulSet. `[0]` is the first item of a list, `[]` each.
/// A field stands for everything below it.
const WORKLOAD: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "status",
    "spec.replicas",
    "spec.selector",
    "spec.template.metadata",
    "spec.template.spec.containers[0].name",
    "spec.template.spec.containers[0].command",
    "spec.template.spec.containers[0].args",
    "spec.template.spec.containers[0].env[].name",
    "spec.template.spec.containers[0].env[].value",
    "spec.template.spec.containers[0].ports[].name",
    "spec.template.spec.containers[0].ports[].containerPort",
    "spec.template.spec.containers[0].ports[].protocol",
    "spec.template.spec.containers[0].readinessProbe",
    "spec.template.spec.terminationGracePeriodSeconds",
];

/// Honoured besides when there is no readinessProbe: a startup probe then tells readiness.
const STARTUP_PROBE: &str = "spec.template.spec.containers[0].startupProbe";

/// Honoured fields of a Service.
const SERVICE: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "status",
    "spec.type",
    "spec.clusterIP",
    "spec.clusterIPs",
    "spec.selector",
    "spec.ports[].name",
    "spec.ports[].port",
    "spec.ports[].targetPort",
    "spec.ports[].protocol",
];

/// Left out of a field's name: everything people look for in a workload stands below it.
const POD_SPEC: &str = "spec.template.spec.";

/// The fields of a workload that local mode does not honour, in order of their names.
pub(super) fn not_honoured_of_workload(object: &Value) -> Vec<String> {
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    let mut honoured = WORKLOAD.to_vec();
    if container["readinessProbe"].is_null() {
        honoured.push(STARTUP_PROBE);
    }
    not_honoured(object, &honoured)
}

/// The fields of a Service that local mode does not honour, in order of their names.
pub(super) fn not_honoured_of_service(object: &Value) -> Vec<String> {
    not_honoured(object, SERVICE)
}

fn not_honoured(object: &Value, honoured: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    walk(object, "", "", honoured, &mut found);
    found
}

/// `path` is matched with the table, `shown` is the same for people: items by their names.
fn walk(value: &Value, path: &str, shown: &str, honoured: &[&str], found: &mut Vec<String>) {
    if value.is_null() || honoured.contains(&path) {
        return;
    }
    let leads_on = |rest: &str| rest.starts_with(['.', '[']);
    let is_on_the_way = honoured.iter().any(|field| field.strip_prefix(path).is_some_and(leads_on));
    match value {
        Value::Object(fields) if path.is_empty() || is_on_the_way => {
            let dot = if path.is_empty() { "" } else { "." };
            for (key, value) in fields {
                let (path, shown) = (format!("{path}{dot}{key}"), format!("{shown}{dot}{key}"));
                walk(value, &path, &shown, honoured, found);
            }
        }
        Value::Array(items) if is_on_the_way => {
            let every = format!("{path}[]");
            let is_every = honoured.iter().any(|field| field.starts_with(&every));
            for (index, item) in items.iter().enumerate() {
                let path = if is_every { every.clone() } else { format!("{path}[{index}]") };
                let name = item["name"].as_str();
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                walk(item, &path, &format!("{shown}[{name}]"), honoured, found);
            }
        }
        _ => found.push(shown.strip_prefix(POD_SPEC).unwrap_or(shown).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_not_honoured_is_named_and_as_high_up_as_possible() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {
                "replicas": 2, "strategy": {"type": "Recreate"}, "paused": null,
                "template": {"spec": {
                    "volumes": [{"name": "v"}],
                    "containers": [
                        {"name": "app", "image": "x", "resources": {"limits": {"cpu": 1}},
                         "readinessProbe": {"httpGet": {"port": 1}}, "startupProbe": {},
                         "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]},
                        {"name": "sidecar", "command": ["x"]}],
                }},
            },
        });
        let expected = [
            "spec.strategy",
            "containers[app].env[B].valueFrom",
            "containers[app].image",
            "containers[app].resources",
            "containers[app].startupProbe",
            "containers[sidecar]",
            "volumes",
        ];
        assert_eq!(not_honoured_of_workload(&object), expected);
    }

    #[test]
    fn a_startup_probe_alone_is_honoured() {
        let object = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "app", "startupProbe": {"tcpSocket": {"port": 1}}}]}}}});
        assert_eq!(not_honoured_of_workload(&object), Vec::<String>::new());
    }
}
