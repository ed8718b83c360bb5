//! Other ways to install than the chart with its defaults.

use std::net::SocketAddr;
use std::process::Command;

use dormouse_tests::cluster::function::Function;
use dormouse_tests::cluster::installed::{
    NAMESPACE, gateway, gateway_address, kubectl, uninstall, upgrade,
};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::program::{self, checkout};
use dormouse_tests::wait;
use serde_json::Value;

use crate::slices::{answer, front};

#[track_caller]
fn wakes(function: &Function<'_>, gateway: SocketAddr) {
    function.wait_known(gateway);
    function.wait_asleep();
    let answer = Client::connect(gateway).get(&function.host(), "/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Whether the autoscaler may list the pods of a namespace.
fn may_look_at(stage: &Stage<'_>, namespace: &str) -> bool {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:dormouse-autoscaler");
    let ask = ["auth", "can-i", "list", "pods", &account, "--namespace", namespace];
    // It ends with 1 where the answer is no.
    let said = stage.kubectl_output(&ask, "");
    String::from_utf8_lossy(&said.stdout).trim() == "yes"
}

/// What `dormouse doctor` finds about what the autoscaler may do.
fn rights_found(stage: &Stage<'_>) -> Vec<Value> {
    let mut doctor = Command::new(program::dormouse());
    let kubeconfig = stage.cluster.control_plane.kubeconfig("admin");
    doctor.args(["doctor", "--json", "--kubeconfig"]).arg(kubeconfig);
    let output = doctor.output().unwrap();
    let found = serde_json::from_slice::<Vec<Value>>(&output.stdout);
    let mut found = found.unwrap_or_else(|_| panic!("{output:?}"));
    found.retain(|finding| finding["check"] == "rights");
    found
}

pub(crate) fn named_namespaces_take_no_right_in_any_other(stage: &Stage<'_>) {
    gateway(stage);
    let second = format!("{}-2", stage.namespace());
    stage.kubectl(&["create", "namespace", &second]);
    let two = format!("namespaces={{{},{second}}}", stage.namespace());
    let gateway = upgrade(stage, &["--set", &two]);
    let roles = kubectl(
        stage,
        &["get", "clusterroles", "--selector=app.kubernetes.io/instance=dormouse", "--output=name"],
    );
    assert_eq!(roles.trim(), "clusterrole.rbac.authorization.k8s.io/dormouse-tokenreviews");
    let looked_at = [stage.namespace(), &second, "default"].map(|it| may_look_at(stage, it));
    assert_eq!(looked_at, [true, true, false]);
    let function = Function::create(stage, "one", &[], &[]);
    wakes(&function, gateway);
    assert!(!answer(front(stage, "front", "one")).is_empty());
    assert_eq!(rights_found(stage), [Value::Null; 0]);
    let role = ["delete", "role", "dormouse-autoscaler", "--namespace", &second];
    stage.kubectl(&role);
    let found = rights_found(stage);
    let named = |it: &Value| it["what"].as_str().is_some_and(|what| what.contains("deployments"));
    assert!(found.iter().any(named), "{found:?}");
    stage.kubectl(&["delete", "namespace", &second, "--wait=false"]);
    upgrade(stage, &[]);
}

pub(crate) fn the_plain_manifests_install_it_and_take_it_away(stage: &Stage<'_>) {
    gateway(stage);
    uninstall(stage);
    let manifests = checkout().join("deploy/kubernetes");
    let manifests = manifests.to_str().unwrap();
    kubectl(stage, &["apply", "-f", manifests]);
    for part in ["activator", "autoscaler"] {
        let part = format!("deployment/dormouse-{part}");
        kubectl(stage, &["rollout", "status", &part, "--timeout=60s"]);
    }
    wakes(&Function::create(stage, "one", &[], &[]), gateway_address(stage));
    kubectl(stage, &["delete", "-f", manifests, "--timeout=90s"]);
    wait::until("its namespace to be gone", || {
        let found = stage.kubectl(&["get", "namespace", NAMESPACE, "--ignore-not-found"]);
        found.is_empty().then_some(())
    });
}
