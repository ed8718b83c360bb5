//! What people and their tools do beside Dormouse.

use dormouse_tests::cluster::function::{Function, pods};
use dormouse_tests::cluster::installed::{
    NAMESPACE, REPLICAS_MAX, gateway, kubectl, uninstall, upgrade,
};
use dormouse_tests::cluster::load::Connections;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
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
fn wait_event(stage: &Stage<'_>, text: &str) {
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
