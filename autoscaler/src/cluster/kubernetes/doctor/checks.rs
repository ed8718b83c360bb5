//! The checks: what was found → what is wrong with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::objects::applies;
use super::{Check, Evidence, Finding, Found, Level};

/// The oldest minor version of Kubernetes 1 that has all that is used: admission policies.
const MINOR_MIN: u32 = 30;

/// The manager of our own writes.
const OURS: &str = "dormouse";

/// Makes one check.
pub(super) fn make(check: Check, evidence: &Evidence) -> Vec<Finding> {
    match check {
        Check::Version => with(check, &evidence.version, version),
        Check::Installed => with(check, &evidence.parts, |parts| installed(evidence, parts)),
        Check::Rights => rights(evidence),
        Check::Lease => with(check, &evidence.lease, lease),
        Check::Hpa => with_functions(check, evidence, &evidence.hpas, hpa),
        Check::Keda => with_functions(check, evidence, &evidence.scaled_objects, keda),
        Check::Knative => with(check, &evidence.functions, |functions| knative(functions)),
        Check::Replicas => with(check, &evidence.functions, |functions| replicas(functions)),
        Check::NetworkPolicy => {
            with_functions(check, evidence, &evidence.policies, |policies, functions| {
                network_policy(evidence, policies, functions)
            })
        }
        Check::Endpoints => {
            with(check, &evidence.services, |services| endpoints(evidence, services))
        }
    }
}

/// A check of what could be looked at.
fn with<T>(check: Check, found: &Found<T>, look: impl FnOnce(&T) -> Vec<Finding>) -> Vec<Finding> {
    match found {
        Ok(found) => look(found),
        Err(refused) => {
            let what = format!("not looked at: {} ({})", refused.message, refused.status);
            vec![finding(check, Level::Unknown, String::new(), what, "")]
        }
    }
}

fn with_functions(
    check: Check,
    evidence: &Evidence,
    found: &Found<Vec<Value>>,
    look: impl FnOnce(&[Value], &[Value]) -> Vec<Finding>,
) -> Vec<Finding> {
    with(check, found, |found| with(check, &evidence.functions, |functions| look(found, functions)))
}

fn finding(check: Check, level: Level, object: String, what: String, remedy: &str) -> Finding {
    Finding { check, level, object, what, remedy: remedy.to_owned() }
}

fn version(version: &Value) -> Vec<Finding> {
    let shown = version["gitVersion"].as_str().unwrap_or("of no known version").to_owned();
    let number = |field: &str| {
        let digits = version[field].as_str().unwrap_or_default();
        digits.trim_end_matches(|it: char| !it.is_ascii_digit()).parse::<u32>().unwrap_or(0)
    };
    if number("major") > 1 || number("minor") >= MINOR_MIN {
        return Vec::new();
    }
    let what = format!("Kubernetes is {shown}; Dormouse is made for 1.{MINOR_MIN} and later");
    vec![finding(Check::Version, Level::Warning, String::new(), what, "upgrade the cluster")]
}

fn installed(evidence: &Evidence, parts: &[Value]) -> Vec<Finding> {
    let namespace = &evidence.installed.namespace;
    let mut findings = Vec::new();
    let mut images = BTreeSet::new();
    for component in ["autoscaler", "activator"] {
        let is = |it: &&Value| {
            text(it, &["metadata", "labels", "app.kubernetes.io/component"]) == component
        };
        let Some(part) = parts.iter().find(is) else {
            let what = format!("there is no {component} in namespace {namespace}");
            let remedy = "install it, or name its place by --autoscaler NAMESPACE/SERVICE";
            let level = Level::Fault;
            findings.push(finding(Check::Installed, level, String::new(), what, remedy));
            continue;
        };
        let containers = &part["spec"]["template"]["spec"]["containers"];
        images.insert(containers[0]["image"].as_str().unwrap_or_default().to_owned());
        let ready = part["status"]["readyReplicas"].as_u64().unwrap_or(0);
        let wanted = part["spec"]["replicas"].as_u64().unwrap_or(1);
        if ready < wanted || ready == 0 {
            let level = if ready == 0 { Level::Fault } else { Level::Warning };
            let what = format!("{ready} of {wanted} pods of the {component} are ready");
            let remedy = "look at its pods' Events and logs";
            let object = format!("Deployment {}", name(part));
            findings.push(finding(Check::Installed, level, object, what, remedy));
        }
    }
    if images.len() > 1 {
        let images: Vec<_> = images.into_iter().collect();
        let what = format!("the parts run different images: {}", images.join(", "));
        let remedy = "finish the upgrade: neighbouring versions work together, others may not";
        let level = Level::Warning;
        findings.push(finding(Check::Installed, level, String::new(), what, remedy));
    }
    findings
}

fn rights(evidence: &Evidence) -> Vec<Finding> {
    let account = format!("{}:{}", evidence.installed.namespace, evidence.installed.service);
    let mut findings = Vec::new();
    for (right, allowed) in &evidence.rights {
        match allowed {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("ServiceAccount {account} lacks the rule {right}");
                let remedy = "install the chart's roles: its ClusterRoles, the Role of its own \
                              namespace, and one in each of `namespaces`";
                let level = Level::Warning;
                findings.push(finding(Check::Rights, level, String::new(), what, remedy));
            }
            // All the rest would be refused for the same reason.
            Err(_) => return with(Check::Rights, allowed, |_| Vec::new()),
        }
    }
    findings
}

fn lease(lease: &Value) -> Vec<Finding> {
    let entries = lease["metadata"]["managedFields"].as_array();
    let is_holders = |entry: &&Value| {
        entry["fieldsV1"]["f:spec"].get("f:holderIdentity").is_some() && entry["manager"] != OURS
    };
    let managers = entries.into_iter().flatten().filter(is_holders);
    managers
        .map(|entry| {
            let (holder, manager) =
                (text(lease, &["spec", "holderIdentity"]), text(entry, &["manager"]));
            let what = format!("it is held by {holder:?}, as {manager:?} wrote: nothing is scaled");
            let remedy = "take that one off this Lease, or give the autoscalers another by --lease";
            let object = format!("Lease {}", name(lease));
            finding(Check::Lease, Level::Fault, object, what, remedy)
        })
        .collect()
}

fn hpa(hpas: &[Value], functions: &[Value]) -> Vec<Finding> {
    let remedy = "delete it, or take dormouse.dev/enabled off the workload: one of them may scale";
    scaled_by(Check::Hpa, "HorizontalPodAutoscaler", hpas, functions, remedy)
}

fn keda(scaled: &[Value], functions: &[Value]) -> Vec<Finding> {
    let remedy = "delete it, or take dormouse.dev/enabled off the workload: one of them may scale";
    scaled_by(Check::Keda, "ScaledObject", scaled, functions, remedy)
}

/// Functions that are the target of another scaler's object.
fn scaled_by(
    check: Check,
    kind: &str,
    scalers: &[Value],
    functions: &[Value],
    remedy: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for scaler in scalers {
        let target = &scaler["spec"]["scaleTargetRef"];
        // KEDA's default.
        let target_kind = target["kind"].as_str().unwrap_or("Deployment");
        let is = |function: &&Value| {
            function["kind"] == target_kind
                && function["metadata"]["name"] == target["name"]
                && function["metadata"]["namespace"] == scaler["metadata"]["namespace"]
        };
        if let Some(function) = functions.iter().find(is) {
            let what = format!("{kind} {} scales it, too", text(scaler, &["metadata", "name"]));
            findings.push(finding(check, Level::Warning, object(function), what, remedy));
        }
    }
    findings
}

fn knative(functions: &[Value]) -> Vec<Finding> {
    let is = |function: &&Value| {
        let owners = function["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| {
            let group = owner["apiVersion"].as_str().unwrap_or_default();
            group.contains("knative.dev/")
        })
    };
    let owned = functions.iter().filter(is);
    let what = "it belongs to Knative, which scales it";
    let remedy = "take dormouse.dev/enabled off it: Dormouse is for plain Deployments";
    owned
        .map(|function| {
            finding(Check::Knative, Level::Warning, object(function), what.to_owned(), remedy)
        })
        .collect()
}

/// Managers besides us that own the field `replicas`. One that applies its manifest again sets it
/// back, or is refused.
fn replicas(functions: &[Value]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in functions {
        let entries = function["metadata"]["managedFields"].as_array();
        let managers = entries.into_iter().flatten().filter(|entry| {
            entry["fieldsV1"]["f:spec"].get("f:replicas").is_some()
                && entry["manager"] != OURS
                && applies(text(entry, &["manager"]), text(entry, &["operation"]))
        });
        let managers: BTreeSet<&str> =
            managers.filter_map(|entry| entry["manager"].as_str()).collect();
        for manager in managers {
            let what = format!("{manager:?} applies `replicas`, and will again");
            findings.push(finding(
                Check::Replicas,
                Level::Warning,
                object(function),
                what,
                recipe(manager),
            ));
        }
    }
    findings
}

/// How to keep a manager off the field.
fn recipe(manager: &str) -> &'static str {
    if manager.contains("helm") {
        "leave `replicas` out of the chart's template; Helm 4 fails on the conflict otherwise"
    } else if manager.contains("argocd") {
        "ignore /spec/replicas of it in the Application, with RespectIgnoreDifferences=true"
    } else if manager.contains("kustomize") || manager.contains("flux") {
        "leave `replicas` out of the manifest: Flux takes over each field that it finds there"
    } else {
        "leave `replicas` out of what is applied"
    }
}

/// Policies that select a function's pods for what comes in and name nobody among whom the
/// activators can be.
fn network_policy(evidence: &Evidence, policies: &[Value], functions: &[Value]) -> Vec<Finding> {
    let namespace = &evidence.installed.namespace;
    let mut findings = Vec::new();
    for function in functions {
        let labels = &function["spec"]["template"]["metadata"]["labels"];
        let over: Vec<&Value> = policies
            .iter()
            .filter(|policy| {
                policy["metadata"]["namespace"] == function["metadata"]["namespace"]
                    && is_for_ingress(policy)
                    && selects(&policy["spec"]["podSelector"], labels)
            })
            .collect();
        // They add up: one that lets activators in is enough.
        if over.is_empty() || over.iter().any(|policy| admits(policy, namespace)) {
            continue;
        }
        let names: Vec<String> =
            over.iter().map(|policy| text(policy, &["metadata", "name"]).to_owned()).collect();
        let what = format!("NetworkPolicy {} keeps activators from its pods", names.join(", "));
        let remedy = "admit pods labelled app.kubernetes.io/name=dormouse of that namespace";
        let level = Level::Warning;
        findings.push(finding(Check::NetworkPolicy, level, object(function), what, remedy));
    }
    findings
}

fn is_for_ingress(policy: &Value) -> bool {
    match policy["spec"]["policyTypes"].as_array() {
        Some(types) => types.iter().any(|it| it == "Ingress"),
        None => true,
    }
}

/// Whether activators in `namespace` may be among those whom a policy lets in. Addresses are taken
/// for theirs: nobody knows them before.
fn admits(policy: &Value, namespace: &str) -> bool {
    let here = policy["metadata"]["namespace"] == namespace;
    let of_namespace = serde_json::json!({"kubernetes.io/metadata.name": namespace});
    let of_pod = serde_json::json!({
        "app.kubernetes.io/name": "dormouse", "app.kubernetes.io/component": "activator"});
    let peer = |peer: &Value| {
        let in_namespace = match peer.get("namespaceSelector") {
            Some(selector) => selects(selector, &of_namespace),
            None => here,
        };
        let is_pod = peer.get("podSelector").is_none_or(|selector| selects(selector, &of_pod));
        peer.get("ipBlock").is_some() || (in_namespace && is_pod)
    };
    let rules = policy["spec"]["ingress"].as_array();
    rules.into_iter().flatten().any(|rule| match rule["from"].as_array() {
        Some(peers) if !peers.is_empty() => peers.iter().any(peer),
        _ => true,
    })
}

/// Whether a label selector takes an object of those labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object();
    let equal = equal.into_iter().flatten().all(|(key, value)| labels[key] == *value);
    let expressions = selector["matchExpressions"].as_array();
    equal
        && expressions.into_iter().flatten().all(|expression| {
            let label = labels.get(text(expression, &["key"]));
            let values = expression["values"].as_array();
            let is_one = values.is_some_and(|values| label.is_some_and(|it| values.contains(it)));
            match text(expression, &["operator"]) {
                "In" => is_one,
                "NotIn" => !is_one,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

/// Roles that read Endpoints and no EndpointSlices, where there is a Service that has only slices.
fn endpoints(evidence: &Evidence, services: &[Value]) -> Vec<Finding> {
    let ours =
        |it: &&Value| !text(it, &["metadata", "annotations", "dormouse.dev/target"]).is_empty();
    let Some(service) = services.iter().find(ours) else {
        return Vec::new();
    };
    with(Check::Endpoints, &evidence.cluster_roles, |roles| {
        let reads = |role: &Value, resource: &str| {
            let rules = role["rules"].as_array();
            rules.into_iter().flatten().any(|rule| {
                let names = |field: &str, name: &str| {
                    rule[field].as_array().is_some_and(|it| it.iter().any(|it| it == name))
                };
                names("resources", resource) && (names("verbs", "watch") || names("verbs", "*"))
            })
        };
        let is_old = |role: &&Value| {
            let name = text(role, &["metadata", "name"]);
            !name.starts_with("system:")
                && !["admin", "edit", "view"].contains(&name)
                && reads(role, "endpoints")
                && !reads(role, "endpointslices")
        };
        let old = roles.iter().filter(is_old);
        old.map(|role| {
            let what = format!(
                "ClusterRole {} reads Endpoints and no EndpointSlices: whoever has it does not \
                 see where Service {} leads",
                text(role, &["metadata", "name"]),
                name(service)
            );
            let remedy = "upgrade that component, or send its requests to the gateway";
            finding(Check::Endpoints, Level::Note, String::new(), what, remedy)
        })
        .collect()
    })
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().fold(value, |value, key| &value[*key]).as_str().unwrap_or_default()
}

/// `namespace/name`.
fn name(object: &Value) -> String {
    let [namespace, name] = ["namespace", "name"].map(|field| text(object, &["metadata", field]));
    format!("{namespace}/{name}")
}

fn object(function: &Value) -> String {
    format!("{} {}", text(function, &["kind"]), name(function))
}
