//! The harness keeps what it promises.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use dormouse_tests::cluster::api_proxy::{ApiProxy, Fate};
use dormouse_tests::cluster::function::{pods, serve};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::contract::{CONTRACT, Server};
use dormouse_tests::wait;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use crate::functions::{deploy, name_at, pod_on, ready_pods, scale, scale_now};

pub(crate) fn a_pod_answers_by_its_address(stage: &Stage<'_>) {
    deploy(stage, "one", 1);
    let ready = ready_pods(stage, "one", 1);
    let (name, address) = &ready[0];
    assert_eq!(&name_at(*address), name);
}

pub(crate) fn a_service_leads_to_its_pods(stage: &Stage<'_>) {
    deploy(stage, "one", 1);
    let address = serve(stage, "one");
    let ready = ready_pods(stage, "one", 1);
    // Until kube-proxy knows a pod it refuses.
    wait::until("the Service to lead somewhere", || TcpStream::connect(address).ok());
    assert_eq!(name_at(address), ready[0].0);
}

pub(crate) fn a_deployment_scales_from_zero_and_back(stage: &Stage<'_>) {
    let seen = deploy(stage, "one", 0);
    scale_now(stage, "one", 1);
    ready_pods(stage, "one", 1);
    let stale = scale(stage, &seen, 0).unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(status) if status.code == 409), "{stale}");
    scale_now(stage, "one", 0);
    wait::until("no pods", || pods(stage, "one").is_empty().then_some(()));
}

pub(crate) fn kubectl_speaks_for_the_administrator(stage: &Stage<'_>) {
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: note}, data: {a: b}}";
    stage.kubectl_with(&["apply", "-f", "-"], manifest);
    assert_eq!(stage.kubectl(&["get", "configmap", "note", "-o", "jsonpath={.data.a}"]), "b");
    let output = stage.kubectl_output(&["get", "configmap", "none"], "");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("NotFound"));
}

pub(crate) fn the_api_proxy_delays_fails_and_cuts(stage: &Stage<'_>) {
    const DELAY: Duration = Duration::from_millis(300);
    let proxy = ApiProxy::start(stage.cluster);
    let client = stage.connect(&proxy.kubeconfig(stage.cluster, "admin"));
    let deployments: Api<Deployment> = Api::namespaced(client, stage.namespace());
    deploy(stage, "one", 0);
    let get = || stage.wait(deployments.get("one"));

    assert!(get().is_ok());
    proxy.rule(|call| match call.method.as_str() {
        "GET" => Fate::Delay(DELAY),
        _ => Fate::Pass,
    });
    let asked = Instant::now();
    assert!(get().is_ok());
    assert!(asked.elapsed() >= DELAY);

    proxy.rule(|_| Fate::Fail(429, Some(7)));
    let refused = get().unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 429), "{refused}");
    proxy.rule(|_| Fate::Hang);
    let unanswered = get().unwrap_err();
    assert!(!matches!(unanswered, kube::Error::Api(_)), "{unanswered}");

    // A connection on which somebody waits ends with the line.
    proxy.rule(|_| Fate::Pass);
    let mut waiting = TcpStream::connect(proxy.address()).unwrap();
    proxy.cut();
    let cut = get().unwrap_err();
    assert!(!matches!(cut, kube::Error::Api(_)), "{cut}");
    waiting.write_all(b"GET").ok();
    wait::until("the connection to end", || waiting.write_all(b" ").err());
    proxy.mend();
    assert!(get().is_ok());

    let path = format!("/apis/apps/v1/namespaces/{}/deployments/one", stage.namespace());
    let calls = proxy.calls();
    assert_eq!(calls.len(), 5, "those of a cut line never came: {calls:?}");
    assert!(calls.iter().all(|call| call.method == "GET" && call.path.starts_with(&path)));
}

pub(crate) fn the_api_server_keeps_the_contract_of_the_fake(stage: &Stage<'_>) {
    // What it remembers begins with its start.
    let control_plane = &stage.cluster.control_plane;
    control_plane.api_server.kill();
    control_plane.api_server.start_again();
    control_plane.wait_for_api_server();
    let kubeconfig = control_plane.kubeconfig("admin");
    let server = Server::new(&kubeconfig, stage.namespace());
    for part in CONTRACT {
        part(&server);
    }
}

pub(crate) fn the_api_server_forgets_nothing_when_killed(stage: &Stage<'_>) {
    let api_server = &stage.cluster.control_plane.api_server;
    let created = deploy(stage, "one", 0);
    let deployments = stage.api::<Deployment>();
    api_server.kill();
    assert!(stage.wait(deployments.get("one")).is_err());
    api_server.start_again();
    stage.cluster.control_plane.wait_for_api_server();
    let found = stage.wait(deployments.get("one")).unwrap();
    assert_eq!(found.metadata.uid, created.metadata.uid);
}

pub(crate) fn frozen_controllers_make_no_pods(stage: &Stage<'_>) {
    let controllers = &stage.cluster.control_plane.controller_manager;
    let stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", controllers.pid())).unwrap();
        // The name in brackets may hold anything; the state follows it.
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    controllers.freeze();
    wait::until("the controllers to stop", || stopped().then_some(()));
    deploy(stage, "one", 1);
    assert!(pods(stage, "one").is_empty());
    controllers.thaw();
    ready_pods(stage, "one", 1);
}

pub(crate) fn pods_outlive_containerd_and_kubelet(stage: &Stage<'_>) {
    let node = &stage.cluster.node;
    deploy(stage, "one", 1);
    let before = ready_pods(stage, "one", 1);
    node.kubelet.kill();
    node.containerd.kill();
    assert_eq!(name_at(before[0].1), before[0].0);
    node.start_again();
    scale_now(stage, "one", 2);
    let after = ready_pods(stage, "one", 2);
    assert!(after.contains(&before[0]), "{before:?} {after:?}");
}

pub(crate) fn a_second_node_comes_and_dies(stage: &Stage<'_>) {
    let second = stage.cluster.second_node();
    let far = pod_on(stage, &second.node, "far");
    let near = pod_on(stage, &stage.cluster.node, "near");
    assert_eq!([name_at(far), name_at(near)], ["far", "near"]);
    second.node.die();
    wait::until("the pod to be gone", || {
        TcpStream::connect_timeout(&far, Duration::from_millis(100)).err()
    });
    assert_eq!(name_at(near), "near");
}
