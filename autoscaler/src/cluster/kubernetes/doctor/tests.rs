//! A cluster in which all is well, and for each check what trips it.

use serde_json::{Value, json};

use super::rights::Place;
use super::*;

fn part(component: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "dormouse", "name": format!("dormouse-{component}"),
            "labels": {"app.kubernetes.io/component": component},
        },
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "dormouse:1"}]}}},
        "status": {"readyReplicas": 2},
    })
}

fn function() -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {
            "namespace": "shop", "name": "cart",
            "annotations": {"dormouse.dev/enabled": "true"},
            "managedFields": [
                {"manager": "dormouse", "operation": "Update",
                    "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "helm", "operation": "Apply",
                    "fieldsV1": {"f:spec": {"f:template": {}}}},
            ],
        },
        "spec": {"template": {"metadata": {"labels": {"app": "cart", "tier": "front"}}}},
    })
}

fn installed() -> Installed {
    Installed { namespace: "dormouse".into(), service: "dormouse-autoscaler".into() }
}

/// Each right that is needed, with what was found of it.
fn rights(found: impl Fn(&Right) -> Found<bool>) -> Vec<(Right, Found<bool>)> {
    let needed = needed(&installed(), Known::ByTheirTokens).into_iter();
    needed.map(|right| (right.clone(), found(&right))).collect()
}

fn well() -> Evidence {
    Evidence {
        installed: installed(),
        version: Ok(json!({"major": "1", "minor": "33+", "gitVersion": "v1.33.1"})),
        parts: Ok(vec![part("autoscaler"), part("activator")]),
        rights: rights(|_| Ok(true)),
        lease: Ok(lease("dormouse")),
        functions: Ok(vec![function()]),
        hpas: Ok(vec![json!({"metadata": {"namespace": "other", "name": "cart"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "cart"}}})]),
        scaled_objects: Ok(Vec::new()),
        policies: Ok(Vec::new()),
        cluster_roles: Ok(vec![role("old", &["endpoints"])]),
        services: Ok(Vec::new()),
    }
}

fn role(name: &str, resources: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "rules": [{"resources": resources, "verbs": ["watch"]}]})
}

fn lease(manager: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "dormouse", "name": "dormouse-autoscaler",
            "managedFields": [{"manager": manager, "operation": "Update",
                "fieldsV1": {"f:spec": {"f:holderIdentity": {}}}}],
        },
        "spec": {"holderIdentity": "one_00ff"},
    })
}

fn policy(spec: Value) -> Value {
    json!({"metadata": {"namespace": "shop", "name": "wall"}, "spec": spec})
}

/// What is found once `spoil` has been there.
fn found(spoil: impl FnOnce(&mut Evidence)) -> Vec<Finding> {
    let mut evidence = well();
    spoil(&mut evidence);
    judge(&evidence)
}

/// Finds one thing: of that check, at that level, saying that.
#[track_caller]
fn trips(check: Check, level: Level, says: &str, spoil: impl FnOnce(&mut Evidence)) {
    let findings = found(spoil);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = &findings[0];
    assert_eq!((finding.check, finding.level), (check, level), "{finding:?}");
    let text = format!("{} {} {}", finding.object, finding.what, finding.remedy);
    assert!(text.contains(says), "{text}");
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn an_old_api_server_is_named() {
    trips(Check::Version, Level::Warning, "v1.27.3", |evidence| {
        evidence.version = Ok(json!({"major": "1", "minor": "27", "gitVersion": "v1.27.3"}));
    });
}

#[test]
fn a_lease_that_somebody_else_writes_is_named_with_its_writer() {
    trips(Check::Lease, Level::Fault, "\"one_00ff\", as \"other-elector\"", |evidence| {
        evidence.lease = Ok(lease("other-elector"));
    });
    assert_eq!(found(|evidence| evidence.lease = Ok(Value::Null)), [], "nobody led yet");
}

#[test]
fn parts_that_are_missing_not_ready_or_of_two_versions_are_named() {
    trips(Check::Installed, Level::Fault, "no activator", |evidence| {
        evidence.parts = Ok(vec![part("autoscaler")]);
    });
    let with = |edit: fn(&mut Value)| {
        move |evidence: &mut Evidence| {
            let mut activator = part("activator");
            edit(&mut activator);
            evidence.parts = Ok(vec![part("autoscaler"), activator]);
        }
    };
    let some = with(|part| part["status"]["readyReplicas"] = 1.into());
    trips(Check::Installed, Level::Warning, "dormouse/dormouse-activator 1 of 2", some);
    let none = with(|part| part["status"] = json!({}));
    trips(Check::Installed, Level::Fault, "0 of 2", none);
    let other = with(|part| {
        part["spec"]["template"]["spec"]["containers"][0]["image"] = "dormouse:2".into();
    });
    trips(Check::Installed, Level::Warning, "dormouse:1, dormouse:2", other);
}

#[test]
fn a_right_that_is_missing_is_named_as_a_rule() {
    let rules = [
        (
            "deployments/scale",
            "patch",
            r#"resources: ["deployments/scale"], verbs: ["patch"]} where it looks"#,
        ),
        ("tokenreviews", "create", r#"verbs: ["create"]} in a ClusterRole"#),
        (
            "leases",
            "patch",
            r#"resourceNames: ["dormouse-autoscaler"], verbs: ["patch"]} in its own namespace"#,
        ),
    ];
    for (resource, verb, rule) in rules {
        trips(Check::Rights, Level::Warning, rule, |evidence| {
            evidence.rights = rights(|it| Ok((it.resource, it.verb) != (resource, verb)));
        });
    }
}

#[test]
fn the_rights_looked_at_are_those_that_the_roles_grant() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/rbac.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap());
    let names = |rule: &Value, field: &str| -> Vec<String> {
        let names = rule[field].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = Vec::new();
    for role in documents.filter(|it: &Value| it["rules"].is_array()) {
        let is_own = role["kind"] == "Role";
        for rule in role["rules"].as_array().unwrap() {
            for group in names(rule, "apiGroups") {
                for resource in names(rule, "resources") {
                    for verb in names(rule, "verbs") {
                        let name = names(rule, "resourceNames").concat();
                        granted.push((is_own, group.clone(), resource.clone(), name, verb));
                    }
                }
            }
        }
    }
    granted.sort();
    let own = |it: Right| {
        let [group, resource, verb] = [it.group, it.resource, it.verb].map(str::to_owned);
        (it.place == Place::Own, group, resource, it.name, verb)
    };
    let needed = needed(&installed(), Known::ByTheirTokens).into_iter();
    let mut needed: Vec<_> = needed.map(own).collect();
    needed.sort();
    assert_eq!(granted, needed);
}

#[test]
fn what_may_not_be_looked_at_is_said_once() {
    let refused = || Refused { status: 403, message: "forbidden".to_owned() };
    trips(Check::Rights, Level::Unknown, "forbidden (403)", |evidence| {
        evidence.rights = rights(|_| Err(refused()));
    });
    trips(Check::Hpa, Level::Unknown, "forbidden", |evidence| evidence.hpas = Err(refused()));
    trips(Check::Version, Level::Unknown, "forbidden", |evidence| {
        evidence.version = Err(refused())
    });
}

#[test]
fn other_scalers_of_a_function_are_named() {
    let scaler = |name: &str, target: Value| {
        json!({
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"scaleTargetRef": target},
        })
    };
    let target = json!({"kind": "Deployment", "name": "cart"});
    trips(Check::Hpa, Level::Warning, "Deployment shop/cart HorizontalPodAutoscaler busy", |it| {
        it.hpas = Ok(vec![scaler("busy", target)]);
    });
    trips(Check::Keda, Level::Warning, "ScaledObject queue", |it| {
        it.scaled_objects = Ok(vec![scaler("queue", json!({"name": "cart"}))]);
    });
    trips(Check::Knative, Level::Warning, "Knative", |it| {
        let mut function = function();
        let owner = json!([{"apiVersion": "serving.knative.dev/v1", "kind": "Revision"}]);
        function["metadata"]["ownerReferences"] = owner;
        it.functions = Ok(vec![function]);
    });
}

#[test]
fn whoever_applies_replicas_is_named_with_a_recipe() {
    let managers = [
        ("helm", "Apply", "the chart's template"),
        ("helm", "Update", "the chart's template"),
        ("argocd-controller", "Apply", "RespectIgnoreDifferences"),
        ("kustomize-controller", "Apply", "Flux"),
        ("kubectl", "Apply", "what is applied"),
        ("kubectl-client-side-apply", "Update", "what is applied"),
    ];
    for (manager, operation, recipe) in managers {
        let applies = |evidence: &mut Evidence| {
            let mut function = function();
            let fields = function["metadata"]["managedFields"].as_array_mut().unwrap();
            fields.push(json!({"manager": manager, "operation": operation,
                "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
            evidence.functions = Ok(vec![function]);
        };
        trips(Check::Replicas, Level::Warning, recipe, applies);
    }
    let by_hand = found(|evidence| {
        let mut function = function();
        let fields = function["metadata"]["managedFields"].as_array_mut().unwrap();
        fields.push(json!({"manager": "kubectl", "operation": "Update", "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
        evidence.functions = Ok(vec![function]);
    });
    assert_eq!(by_hand, [], "a person who scales once is no re-applier");
}

#[test]
fn a_network_policy_that_keeps_activators_out_is_named() {
    let ours = json!({"matchLabels": {"kubernetes.io/metadata.name": "dormouse"}});
    let cart = json!({"matchLabels": {"app": "cart"}});
    let by_expression =
        json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]});
    let from = |selector: &Value, from: Value| {
        policy(json!({"podSelector": selector, "policyTypes": ["Ingress"],
            "ingress": [{"from": from}]}))
    };
    let others = json!([{"namespaceSelector": {"matchLabels": {"team": "x"}}}]);
    let walls = [
        policy(json!({"podSelector": cart, "policyTypes": ["Ingress"]})),
        policy(json!({"podSelector": {}})),
        from(&by_expression, json!([{"podSelector": {}}])),
        from(&cart, others.clone()),
        from(
            &cart,
            json!([{"namespaceSelector": ours, "podSelector": {"matchLabels": {"a": "b"}}}]),
        ),
    ];
    for wall in walls {
        trips(Check::NetworkPolicy, Level::Warning, "NetworkPolicy wall", |evidence| {
            evidence.policies = Ok(vec![wall]);
        });
    }
    let open = [
        policy(json!({"podSelector": cart, "policyTypes": ["Egress"]})),
        policy(json!({"podSelector": {"matchLabels": {"app": "other"}}})),
        policy(json!({"podSelector": cart, "ingress": [{}]})),
        from(&cart, json!([{"namespaceSelector": ours}])),
        from(&cart, json!([{"namespaceSelector": {}}])),
        from(&cart, json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}])),
    ];
    for gate in open {
        let findings = found(|evidence| evidence.policies = Ok(vec![gate.clone()]));
        assert_eq!(findings, [], "{gate:#}");
    }
    // Several add up.
    let both = vec![from(&cart, others), from(&cart, json!([{"namespaceSelector": {}}]))];
    assert_eq!(found(|evidence| evidence.policies = Ok(both)), []);
}

#[test]
fn readers_of_endpoints_only_are_named_once_a_service_has_only_slices() {
    let ours = json!({"metadata": {"namespace": "shop", "name": "cart",
        "annotations": {"dormouse.dev/target": "cart"}}});
    let roles = vec![
        role("old", &["endpoints"]),
        role("new", &["endpoints", "endpointslices"]),
        role("system:node", &["endpoints"]),
    ];
    trips(Check::Endpoints, Level::Note, "ClusterRole old", |evidence| {
        evidence.services = Ok(vec![ours]);
        evidence.cluster_roles = Ok(roles);
    });
}

#[test]
fn rights_are_those_of_the_autoscaler_as_it_runs() {
    let autoscaler = |argument: &str, variable: &str| {
        json!({"spec": {"template": {"spec": {"containers": [
            {"args": ["--log=info", argument], "env": [{"name": variable, "value": "x"}]}]}}}})
    };
    let everywhere = autoscaler("--x", "DORMOUSE_LEASE");
    assert_eq!((looked_at(&everywhere), known(&everywhere)), (Vec::new(), Known::ByTheirTokens));
    let two = autoscaler("--namespace=shop,blog", "DORMOUSE_TOKEN_FILE");
    assert_eq!(looked_at(&two), ["shop", "blog"]);
    assert_eq!(known(&two), Known::BySecret);
    assert_eq!(known(&autoscaler("--token-file=/run/token", "X")), Known::BySecret);
    let asks = |known| needed(&installed(), known).iter().any(|it| it.resource == "tokenreviews");
    assert!(asks(Known::ByTheirTokens) && !asks(Known::BySecret));
}
