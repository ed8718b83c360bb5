//! Services without selector that name their target.

use std::net::{SocketAddr, TcpStream};

use dormouse_tests::cluster::function::{Function, PORT, pods};
use dormouse_tests::cluster::installed::{gateway, kubectl};
use dormouse_tests::cluster::load::Connections;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::wait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::functions::deploy_annotated;

/// A Service without selector in front of a Deployment; its address.
pub(crate) fn front(stage: &Stage<'_>, name: &str, target: &str) -> SocketAddr {
    let service: Service = stage.create(json!({
        "metadata": {"name": name, "annotations": {"dormouse.dev/target": target}},
        "spec": {"ports": [{"name": "web", "port": 80, "targetPort": PORT}]},
    }));
    let address = service.spec.unwrap().cluster_ip.unwrap();
    SocketAddr::new(address.parse().unwrap(), 80)
}

fn slices(stage: &Stage<'_>, service: &str) -> Vec<EndpointSlice> {
    let labels = format!("kubernetes.io/service-name={service}");
    let listed = stage.api::<EndpointSlice>();
    stage.wait(listed.list(&ListParams::default().labels(&labels))).unwrap().items
}

/// The answer at the Service's own address, once kube-proxy leads from there.
#[track_caller]
pub(crate) fn answer(address: SocketAddr) -> String {
    let answer = wait::until("an answer", || {
        TcpStream::connect(address).ok()?;
        let answer = Client::connect(address).get("anything.example", "/").ok()?;
        (answer.status == 200).then_some(answer)
    });
    answer.text().trim_end().to_owned()
}

pub(crate) fn a_service_that_names_its_target_wakes_it(stage: &Stage<'_>) {
    gateway(stage);
    let annotations = json!({
        "dormouse.dev/enabled": "true",
        "autoscaling.knative.dev/window": "6s",
    });
    deploy_annotated(stage, "one", 0, annotations);
    // Where a pod listens that no selector finds is said by its container alone.
    let declared = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "fixture", "ports": [{"containerPort": PORT}]}]}}}});
    let (deployments, declared) = (stage.api::<Deployment>(), Patch::Strategic(declared));
    stage.wait(deployments.patch("one", &PatchParams::default(), &declared)).unwrap();
    let (first, second) = (front(stage, "front", "one"), front(stage, "side", "one"));
    let name = answer(first);
    let woken = pods(stage, "one");
    assert!(woken.iter().any(|pod| pod.metadata.name.as_ref() == Some(&name)), "{name}");
    assert!(!answer(second).is_empty());
    let ports = |service: &str| slices(stage, service)[0].ports.clone().unwrap()[0].port;
    assert_ne!(ports("front"), ports("side"));
    wait::until("zero again", || pods(stage, "one").is_empty().then_some(()));
    // It goes with its Service, and with what makes it one of ours; without a way in the function
    // is left as it is.
    let services = stage.api::<Service>();
    stage.wait(services.delete("front", &DeleteParams::default())).unwrap();
    stage.kubectl(&["annotate", "service", "side", "dormouse.dev/target-"]);
    for service in ["front", "side"] {
        wait::until("no slices", || slices(stage, service).is_empty().then_some(()));
    }
}

pub(crate) fn a_service_of_its_own_follows_the_activators_under_load(stage: &Stage<'_>) {
    gateway(stage);
    let function = Function::create(stage, "busy", &[], &[]);
    let address = front(stage, "front", "busy");
    answer(address);
    let load = function.load(address, 50, Connections::Fresh);
    load.pass(50);
    kubectl(stage, &["rollout", "restart", "deployment/dormouse-activator"]);
    kubectl(stage, &["rollout", "status", "deployment/dormouse-activator", "--timeout=90s"]);
    load.pass(100);
    function.assert_none_lost(&load.finish());
    // Every address is of an activator of now.
    let activators = kubectl(
        stage,
        &[
            "get",
            "pods",
            "--selector=app.kubernetes.io/component=activator",
            "--output=jsonpath={.items[*].status.podIP}",
        ],
    );
    wait::until("the slice to name those that are left", || {
        let slices = slices(stage, "front");
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        let mut addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
        addresses.all(|it| activators.split(' ').any(|now| now == it)).then_some(())
    });
}
