//! What people and their tools do beside Dormouse.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use dormouse_tests::cluster::function::{Function, PORT, pods};
use dormouse_tests::cluster::image::DORMOUSE;
use dormouse_tests::cluster::installed::{
    NAMESPACE, REPLICAS_MAX, gateway, kubectl, uninstall, upgrade,
};
use dormouse_tests::cluster::load::Connections;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::helm;
use dormouse_tests::http::Client;
use dormouse_tests::program;
use dormouse_tests::wait;
use http::Request;
use serde_json::{Value, json};

use crate::functions::{deploy, ready_pods};

/// What installs every kind of object that the chart has.
const NAMESPACED: &str = "deployments,pods,services,serviceaccounts,roles,rolebindings,\
    networkpolicies,poddisruptionbudgets,configmaps";
const CLUSTER_WIDE: &str = "clusterroles,clusterrolebindings,validatingadmissionpolicies,\
    validatingadmissionpolicybindings";

/// Waits until an Event of the test's namespace says that.
#[track_caller]
pub(crate) fn wait_event(stage: &Stage<'_>, text: &str) {
    wait::until(&format!("an Event with {text:?}"), || {
        stage
            .kubectl(&["get", "events", "--output=jsonpath={..message}{..note}"])
            .contains(text)
            .then_some(())
    });
}

/// What the autoscaler says of a function, asked as `dormouse status` asks.
fn status(stage: &Stage<'_>, name: &str) -> Option<Value> {
    let path = format!(
        "/api/v1/namespaces/{NAMESPACE}/services/dormouse-autoscaler:admin/proxy/api/v1/functions"
    );
    let output = stage.kubectl_output(&["get", "--raw", &path], "");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
    all.into_iter().find(|it| it["name"] == format!("{}/{name}", stage.namespace()))
}

pub(crate) fn a_persons_zero_stays_until_kubectl_scales_up(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function = Function::create(stage, "handmade", &[], &[]);
    function.wait_known(gateway);
    let ask = || Client::connect(gateway).get(&function.host(), "/").unwrap();
    wait::until("a refusal that says so", || {
        // It may have been asleep already: then an answer says that it is awake now.
        stage.kubectl(&["scale", "deployment/handmade", "--replicas=0"]);
        let answer = ask();
        (answer.status == 503 && answer.text().contains("scaled-to-zero")).then_some(())
    });
    wait_event(stage, "set to 0 replicas by somebody else");
    stage.kubectl(&["scale", "deployment/handmade", "--replicas=1"]);
    wait::until("an answer", || (ask().status == 200).then_some(()));
    function.wait_asleep();
    assert_eq!(ask().status, 200, "as ever");
}

pub(crate) fn what_an_autoscaler_of_kubernetes_scales_is_left_alone(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    stage.kubectl_with(
        &["apply", "-f", "-"],
        &json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "other"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shared"},
                "minReplicas": 1, "maxReplicas": 3,
            },
        })
        .to_string(),
    );
    let function = Function::create(stage, "shared", &[], &[]);
    wait_event(stage, "left alone: HorizontalPodAutoscaler other scales it");
    let answer = Client::connect(gateway).get(&function.host(), "/").unwrap();
    assert_eq!(answer.status, 404);
    stage.kubectl(&["delete", "horizontalpodautoscaler", "other"]);
    function.wait_known(gateway);
    function.wait_asleep();
}

pub(crate) fn people_ask_the_cluster_by_the_binary(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function = Function::create(stage, "asked", &[], &[]);
    function.wait_known(gateway);
    let kubeconfig = stage.cluster.control_plane.kubeconfig("admin");
    let ask = |arguments: &[&str]| -> Value {
        let mut dormouse = Command::new(program::dormouse());
        dormouse.args(arguments).args(["--json", "--kubeconfig"]).arg(&kubeconfig);
        let output = dormouse.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let (namespace, name) = (stage.namespace(), format!("{}/asked", stage.namespace()));
    assert_eq!(ask(&["status", "-n", namespace])[0]["name"], name);
    let explained = ask(&["explain", "asked", "-n", namespace]);
    assert_eq!(explained["status"]["name"], name);
    assert!(!explained["decisions"].as_array().unwrap().is_empty(), "{explained:#}");
    // Other tests' functions may have all sorts of faults.
    let found = || {
        let mut findings: Vec<Value> = serde_json::from_value(ask(&["doctor"])).unwrap();
        findings.retain(|it| {
            let object = it["object"].as_str().unwrap();
            !object.contains('/') || object.contains(namespace) || object.contains(NAMESPACE)
        });
        findings
    };
    assert_eq!(found(), [Value::Null; 0]);
    stage.kubectl(&["autoscale", "deployment", "asked", "--max=3"]);
    let findings = found();
    assert_eq!((findings.len(), &findings[0]["check"]), (1, &json!("hpa")), "{findings:?}");
}

/// A function that is kept awake, with so many replicas in its manifest or none; and its Service.
fn manifest(name: &str, replicas: Option<u32>) -> String {
    let labels = json!({"app": name});
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "annotations": {
            "dormouse.dev/enabled": "true",
            "autoscaling.knative.dev/min-scale": "1",
        }},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "app", "image": DORMOUSE, "args": ["demo"],
                    "ports": [{"containerPort": PORT}],
                }]},
            },
        },
    });
    if let Some(replicas) = replicas {
        deployment["spec"]["replicas"] = json!(replicas);
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": PORT}]},
    });
    format!("{deployment}\n---\n{service}\n")
}

/// Waits until a function answers, woken by us: from then on its replicas are ours.
#[track_caller]
fn wait_ours(stage: &Stage<'_>, gateway: SocketAddr, name: &str) {
    wait::until(&format!("{name} to answer"), || {
        let host = format!("{name}.{}", stage.namespace());
        let answer = Client::connect(gateway).get(&host, "/").ok()?;
        (answer.status == 200).then_some(())
    });
}

/// The one conflict that there is by design.
#[track_caller]
fn is_conflict(said: &str) {
    assert!(said.contains("conflict with \"dormouse\""), "{said}");
    assert!(said.contains(".spec.replicas"), "{said}");
}

pub(crate) fn a_manifest_that_is_applied_again_puts_nobody_out(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let apply = || {
        // By the client, which writes over what others wrote.
        stage.kubectl_with(&["apply", "-f", "-"], &manifest("again", Some(0)))
    };
    apply();
    wait_ours(stage, gateway, "again");
    assert!(apply().contains("deployment.apps/again configured"));
    wait_ours(stage, gateway, "again");
}

pub(crate) fn who_applies_replicas_on_the_server_is_refused_and_without_them_is_not(
    stage: &Stage<'_>,
) {
    let gateway = gateway(stage);
    let apply = ["apply", "--server-side", "-f", "-"];
    stage.kubectl_with(&apply, &manifest("applied", Some(0)));
    wait_ours(stage, gateway, "applied");
    let refused = stage.kubectl_output(&apply, &manifest("applied", Some(0)));
    assert!(!refused.status.success());
    is_conflict(&String::from_utf8_lossy(&refused.stderr));
    stage.kubectl_with(&apply, &manifest("applied", None));
    assert_eq!(ready_pods(stage, "applied", 1).len(), 1);

    let chart = stage.cluster.folder().join(format!("{}-chart", stage.namespace()));
    let write = |file: &str, text: &str| fs::write(chart.join(file), text).unwrap();
    fs::create_dir_all(chart.join("templates")).unwrap();
    write("Chart.yaml", "{apiVersion: v2, name: charted, version: 0.1.0}");
    let upgrade = |replicas| {
        write("templates/all.yaml", &manifest("charted", replicas));
        let kubeconfig = stage.cluster.control_plane.kubeconfig("admin");
        let [chart, kubeconfig] = [&chart, &kubeconfig].map(|path| path.to_str().unwrap());
        let place = ["--namespace", stage.namespace(), "--kubeconfig", kubeconfig];
        let upgrade = ["upgrade", "--install", "charted", chart];
        helm::run(stage.cluster.folder(), &[&upgrade[..], &place].concat())
    };
    upgrade(Some(0)).unwrap();
    wait_ours(stage, gateway, "charted");
    is_conflict(&upgrade(Some(0)).unwrap_err());
    upgrade(None).unwrap();
    assert_eq!(ready_pods(stage, "charted", 1).len(), 1);
}

pub(crate) fn the_admission_policy_lets_the_autoscaler_do_its_own_work_only(stage: &Stage<'_>) {
    gateway(stage);
    deploy(stage, "one", 0);
    let as_autoscaler = |method: &str, path: String, kind: &str, body: Value| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header(
                "impersonate-user",
                format!("system:serviceaccount:{NAMESPACE}:dormouse-autoscaler"),
            )
            .body(body.to_string().into_bytes())
            .unwrap();
        match stage.wait(stage.client().request::<Value>(request)) {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    };
    let scale = |replicas: u32| {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/one/scale", stage.namespace());
        let body = json!({"spec": {"replicas": replicas}});
        as_autoscaler("PATCH", path, "application/merge-patch+json", body)
    };
    let refused = scale(REPLICAS_MAX + 1).unwrap_err();
    assert!(refused.contains(&format!("at most {REPLICAS_MAX} replicas")), "{refused}");
    assert_eq!(scale(1), Ok(()));
    ready_pods(stage, "one", 1);
    assert_eq!(scale(0), Ok(()));
    // Roles cannot say under which name something may be created; the policy can.
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "another"},
    });
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let refused = as_autoscaler("POST", path, "application/json", lease).unwrap_err();
    assert!(refused.contains("its Lease"), "{refused}");
}

pub(crate) fn helm_upgrades_under_load_and_takes_everything_away(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function = Function::create(stage, "kept", &[], &[]);
    function.wait_known(gateway);
    let load = function.load(gateway, 50, Connections::Fresh);
    load.pass(50);
    let values = ["--set-string", "defaults.min-scale=1", "--set", "log.level=debug"];
    assert_eq!(upgrade(stage, &values), gateway);
    load.pass(50);
    function.assert_none_lost(&load.finish());
    wait::until("the new default to hold", || {
        let last = status(stage, "kept")?["last"]["line"].take();
        last.as_str().is_some_and(|line| line.contains("min-scale")).then_some(())
    });
    assert_eq!(pods(stage, "kept").len(), 1);

    uninstall(stage);
    let release = "--selector=app.kubernetes.io/instance=dormouse";
    for kinds in [NAMESPACED, CLUSTER_WIDE] {
        wait::until("nothing of it to be left", || {
            kubectl(stage, &["get", kinds, release, "--output=name"]).is_empty().then_some(())
        });
    }
    // Functions stay as they were last.
    assert_eq!(ready_pods(stage, "kept", 1).len(), 1);
}
