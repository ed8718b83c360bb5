//! The chart, by Helm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::golden::is_up_to_date;
use dormouse_tests::helm::{self, chart};
use dormouse_tests::program::{Scratch, checkout, dormouse};
use serde_json::{Value, json};

/// Set it and what is made from the chart is brought up to date instead of being found out of date.
const UPDATE: &str = "DORMOUSE_UPDATE_MANIFESTS";

/// What stands above each plain manifest.
const MADE: &str = "# Made from deploy/chart; see deploy/README.md.\n";

/// The templates that the plain manifests are made from.
const PLAIN: [&str; 4] = ["activator", "autoscaler", "network-policies", "rbac"];

fn goldens() -> PathBuf {
    checkout().join("tests/tests/install/goldens")
}

/// The cases: a file of values each, beside what it renders to.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(goldens()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        entries.filter(|path| path.to_str().unwrap().ends_with(".values.yaml")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn template(arguments: &[&str]) -> Result<String, String> {
    let scratch = Scratch::new();
    let chart = chart();
    let first = ["template", "dormouse", chart.to_str().unwrap(), "--namespace", "dormouse"];
    helm::run(scratch.path(), &[&first[..], arguments].concat())
}

/// Every object of a stream of YAML documents.
fn objects(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap());
    documents.filter(|value: &Value| !value.is_null()).collect()
}

pub(crate) fn the_chart_has_no_fault() {
    let scratch = Scratch::new();
    let chart = chart();
    let plain = ["lint", "--strict", chart.to_str().unwrap()];
    helm::run(scratch.path(), &plain).unwrap();
    for case in cases() {
        let values = ["--values", case.to_str().unwrap()];
        helm::run(scratch.path(), &[&plain[..], &values].concat()).unwrap();
    }
}

pub(crate) fn each_case_renders_as_before() {
    for case in cases() {
        let made = template(&["--values", case.to_str().unwrap()]).unwrap();
        let golden = case.to_str().unwrap().replace(".values.yaml", ".yaml");
        is_up_to_date(Path::new(&golden), &made, UPDATE);
    }
}

pub(crate) fn the_plain_manifests_are_the_charts() {
    for name in PLAIN {
        let made = template(&["--show-only", &format!("templates/{name}.yaml")]).unwrap();
        // Where Helm says what came from where.
        let lines = made.lines().filter(|line| !line.starts_with("# Source: "));
        let lines: Vec<&str> = lines.collect();
        let objects = lines.join("\n").replace("---\n---\n", "---\n");
        let text = format!("{MADE}{}\n", objects.trim_start_matches("---\n").trim_end());
        let path = checkout().join(format!("deploy/kubernetes/{name}.yaml"));
        is_up_to_date(&path, &text, UPDATE);
    }
}

pub(crate) fn alerts_look_at_what_there_is() {
    let exposed = ["metrics/src/exposition.rs", "autoscaler/src/server/figures.rs"];
    let exposed = exposed.map(|path| fs::read_to_string(checkout().join(path)).unwrap()).concat();
    let rules = template(&["--set", "monitoring.alerts.enabled=true"]).unwrap();
    let words = rules.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let names: Vec<_> = words.filter(|word| word.starts_with("dormouse_")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(exposed.contains(&format!("\"{family}\"")), "nobody exposes {name}");
    }
}

pub(crate) fn a_bad_value_is_named() {
    let cases = [
        ("activator.replcas=3", "replcas"),
        ("activator.replicas=-1", "activator/replicas"),
        ("activator.heldBytesMax=64MB", "activator/heldBytesMax"),
        ("activator.heldBytesMax=255Ki", "activator/heldBytesMax"),
        ("activator.heldBytesMax=99999999999999999Mi", "activator/heldBytesMax"),
        ("activator.workers=1", "activator/workers"),
        ("activator.service.type=ExternalName", "activator/service/type"),
        ("image.digest=sha256:abc", "image/digest"),
        ("log.format=xml", "log/format"),
        ("log.level=verbose", "log/level"),
        ("log.level=dormouse=loud", "log/level"),
        (r"activator.podLabels.app\.kubernetes\.io/component=web", "app.kubernetes.io/component"),
        (r"monitoring.labels.app\.kubernetes\.io/name=web", "app.kubernetes.io/name"),
        ("defaults.a b=1", "'a b'"),
        ("defaults.x: y=1", "'x: y'"),
        ("networkPolicies.functionsIn.foo=1", "networkPolicies/functionsIn"),
        ("securityContext.fixedIds=maybe", "securityContext/fixedIds"),
        ("networkPolicies.dnsPorts={0}", "networkPolicies/dnsPorts"),
        ("networkPolicies.portRanges=maybe", "networkPolicies/portRanges"),
        ("namespaces={shop,Shop}", "namespaces/1"),
        ("namespaces={shop,shop}", "namespaces"),
        ("link.secret=Shared", "link/secret"),
        ("link.tlsSecret=Certificate", "link/tlsSecret"),
        ("monitoring.scrape.intervalSeconds=0", "monitoring/scrape/intervalSeconds"),
        ("admissionPolicy.replicasMax=-1", "admissionPolicy/replicasMax"),
    ];
    for (set, named) in cases {
        let complaint = template(&["--set", set]).expect_err(set);
        assert!(complaint.contains(named), "{set}: {complaint}");
    }
}

pub(crate) fn a_release_that_no_service_can_be_named_after_is_refused() {
    let scratch = Scratch::new();
    let chart = chart();
    let named = |name: &str| {
        let arguments = ["template", name, chart.to_str().unwrap(), "--namespace", "dormouse"];
        helm::run(scratch.path(), &arguments)
    };
    let longest = "d".repeat(52);
    for objects in [named(&longest), named("d"), named("d-2")].map(|made| objects(&made.unwrap())) {
        let names = objects.iter().filter(|it| it["kind"] == "Service");
        let names: Vec<_> = names.map(|it| it["metadata"]["name"].as_str().unwrap()).collect();
        assert!(names.len() == 2 && names.iter().all(|name| name.len() <= 63), "{names:?}");
    }
    for bad in [&*format!("{longest}d"), "d.d", "2d"] {
        let complaint = named(bad).expect_err(bad);
        assert!(complaint.contains(&format!("the release cannot be named {bad:?}")), "{complaint}");
    }
}

pub(crate) fn the_binary_takes_what_pods_are_told() {
    let mut parts = Vec::new();
    let cases = cases();
    let given = cases.iter().map(|case| vec!["--values", case.to_str().unwrap()]);
    for values in given.chain([Vec::new()]) {
        for object in objects(&template(&values).unwrap()) {
            if object["kind"] == "Deployment" {
                parts.push(object["spec"]["template"]["spec"]["containers"][0].clone());
            }
        }
    }
    assert_eq!(parts.len(), 2 * (cases.len() + 1));
    for part in parts {
        let words = |field: &str| -> Vec<String> {
            let words = part[field].as_array().unwrap().iter();
            words.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        // A flag that is not known is found before help is given.
        let output = Command::new(dormouse())
            .args(&words("command")[1..])
            .args(words("args"))
            .arg("--help")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{part:#}: {complaint}");
    }
}

pub(crate) fn users_and_groups_are_left_to_a_cluster_that_gives_them() {
    let objects = objects(&template(&["--set", "securityContext.fixedIds=false"]).unwrap());
    let pods = objects.iter().filter(|it| it["kind"] == "Deployment");
    let pods: Vec<_> = pods.map(|it| &it["spec"]["template"]["spec"]["securityContext"]).collect();
    let confined = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pods, [&confined, &confined]);
}

pub(crate) fn requests_need_no_range_of_ports() {
    let requests = |values: &[&str]| {
        let sets = values.iter().flat_map(|value| ["--set", value]);
        let objects = objects(&template(&sets.collect::<Vec<_>>()).unwrap());
        let mut policies = objects.iter().filter(|it| it["kind"] == "NetworkPolicy");
        let activator = |it: &&Value| it["metadata"]["name"] == "dormouse-activator";
        policies.find(activator).unwrap()["spec"]["ingress"][0].clone()
    };
    let ports = json!([{"port": "gateway"}, {"port": 10000, "endPort": 29999}]);
    let some = "networkPolicies.requestsFrom[0].ipBlock.cidr=10.0.0.0/8";
    let from = json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]);
    assert_eq!(requests(&[]), json!({"ports": ports}));
    assert_eq!(requests(&[some]), json!({"ports": ports, "from": from}));
    let none = "networkPolicies.portRanges=false";
    assert_eq!(requests(&[none]), json!({}), "everybody, everywhere");
    assert_eq!(requests(&[none, some]), json!({"from": from}));
}

pub(crate) fn pods_are_confined() {
    let objects = objects(&template(&[]).unwrap());
    let deployments: Vec<_> = objects.iter().filter(|it| it["kind"] == "Deployment").collect();
    assert_eq!(deployments.len(), 2);
    for deployment in deployments {
        let pod = &deployment["spec"]["template"]["spec"];
        let name = &deployment["metadata"]["name"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let container = &pod["containers"][0];
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        assert!(container["livenessProbe"].is_object(), "{name}");
        assert!(container["readinessProbe"].is_object(), "{name}");
    }
    let activator = objects
        .iter()
        .find(|it| it["kind"] == "Deployment" && it["metadata"]["name"] == "dormouse-activator");
    let pod = &activator.unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let account = &pod["serviceAccountName"];
    assert_eq!(account, "dormouse-activator");
    let bindings = objects.iter().flat_map(|it| it["subjects"].as_array()).flatten();
    assert!(bindings.into_iter().all(|subject| subject["name"] != *account), "it has rights");
    let roles = objects.iter().filter(|it| it["rules"].is_array());
    let verbs: Vec<&Value> =
        roles.flat_map(|role| role["rules"].as_array().unwrap()).map(|it| &it["verbs"]).collect();
    assert!(!verbs.is_empty());
    let wild = verbs.iter().flat_map(|it| it.as_array().unwrap()).any(|verb| verb == "*");
    assert!(!wild, "{verbs:?}");
}
