//! What the tests run in pods, and how they look at it.

use std::net::SocketAddr;

use dormouse_tests::cluster::function::{self, PORT, pods};
use dormouse_tests::cluster::image::FIXTURE;
use dormouse_tests::cluster::node::Node;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::wait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// A Deployment of the fixture, each pod answering with its name; its pods are labelled `app`.
pub(crate) fn deploy(stage: &Stage<'_>, name: &str, replicas: u32) -> Deployment {
    deploy_annotated(stage, name, replicas, json!({}))
}

/// [`deploy`] with annotations.
pub(crate) fn deploy_annotated(
    stage: &Stage<'_>,
    name: &str,
    replicas: u32,
    annotations: Value,
) -> Deployment {
    function::deploy(stage, name, replicas, &annotations, &pod_spec())
}

/// A pod like those of [`deploy`], bound to a node.
pub(crate) fn pod_on(stage: &Stage<'_>, node: &Node, name: &str) -> SocketAddr {
    let mut spec = pod_spec();
    spec["nodeName"] = node.name().into();
    let metadata = json!({"name": name, "labels": {"app": name}});
    let _: Pod = stage.create(json!({"metadata": metadata, "spec": spec}));
    ready_pods(stage, name, 1).remove(0).1
}

fn pod_spec() -> Value {
    json!({
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "fixture",
            "image": FIXTURE,
            "args": ["name"],
            "env": [
                {"name": "PORT", "value": PORT.to_string()},
                {"name": "ADDRESS", "value": "0.0.0.0"},
            ],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        }],
    })
}

/// A merge patch on `/scale`, good only for the Deployment as it was seen.
pub(crate) fn scale(
    stage: &Stage<'_>,
    seen: &Deployment,
    replicas: u32,
) -> Result<Scale, kube::Error> {
    let patch = json!({
        "metadata": {
            "uid": seen.metadata.uid,
            "resourceVersion": seen.metadata.resource_version,
        },
        "spec": {"replicas": replicas},
    });
    let name = seen.metadata.name.as_deref().unwrap();
    let deployments = stage.api::<Deployment>();
    stage.wait(deployments.patch_scale(name, &PatchParams::default(), &Patch::Merge(patch)))
}

/// [`scale`] on what is seen now, as often as somebody else was faster.
#[track_caller]
pub(crate) fn scale_now(stage: &Stage<'_>, name: &str, replicas: u32) {
    wait::until("a patch on what was last seen", || {
        let seen = stage.wait(stage.api::<Deployment>().get(name)).unwrap();
        scale(stage, &seen, replicas).ok()
    });
}

/// Waits for so many ready pods and no other; their names and addresses.
#[track_caller]
pub(crate) fn ready_pods(stage: &Stage<'_>, name: &str, count: usize) -> Vec<(String, SocketAddr)> {
    wait::until(&format!("{count} ready pods of {name}"), || {
        let pods = pods(stage, name);
        let ready: Vec<_> = pods.iter().filter_map(ready).collect();
        (pods.len() == count && ready.len() == count).then_some(ready)
    })
}

fn ready(pod: &Pod) -> Option<(String, SocketAddr)> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|it| it.type_ == "Ready" && it.status == "True")?;
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    Some((pod.metadata.name.clone()?, SocketAddr::new(address, PORT)))
}

/// What the fixture at that address says its name is.
#[track_caller]
pub(crate) fn name_at(address: SocketAddr) -> String {
    let answer = Client::connect(address).get("fixture", "/").unwrap();
    assert_eq!(answer.status, 200);
    answer.text().trim_end().to_owned()
}
