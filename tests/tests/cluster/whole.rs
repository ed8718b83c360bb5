//! Dormouse as its manifests install it.

use std::net::{SocketAddr, TcpStream};

use dormouse_tests::cluster::image;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::program::checkout;
use dormouse_tests::wait;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::functions::{deploy_annotated, pods, serve};

/// The image that the manifests name.
const IMAGE: &str = "dormouse:0.1.0";

/// Where the manifests put everything.
const NAMESPACE: &str = "dormouse";

/// Installs both parts as deploy/kubernetes/README.md says; the gateway's address.
pub(crate) fn install(stage: &Stage<'_>) -> SocketAddr {
    stage.cluster.load(&image::dormouse(IMAGE));
    let manifests = checkout().join("deploy/kubernetes");
    let namespace = manifests.join("00-namespace.yaml");
    kubectl(stage, &["apply", "-f", namespace.to_str().unwrap()]);
    let secret = "--from-literal=token=0123456789abcdef0123456789abcdef";
    kubectl(stage, &["create", "secret", "generic", "dormouse-link", secret]);
    kubectl(stage, &["apply", "-f", manifests.to_str().unwrap()]);
    // The cluster has no name service: what a name would lead to is said outright.
    let address = wait::until("the autoscaler's address", || address_of(stage, "autoscaler"));
    let dial = format!("DORMOUSE_LINK_DIAL={address}:9001");
    kubectl(stage, &["set", "env", "deployment/dormouse-activator", &dial]);
    let services: Api<Service> = Api::namespaced(stage.client(), NAMESPACE);
    let gateway = stage.wait(services.get("dormouse-activator")).unwrap();
    let gateway = gateway.spec.unwrap().cluster_ip.unwrap();
    SocketAddr::new(gateway.parse().unwrap(), 80)
}

fn kubectl(stage: &Stage<'_>, arguments: &[&str]) -> String {
    stage.kubectl(&[&["--namespace", NAMESPACE], arguments].concat())
}

fn address_of(stage: &Stage<'_>, component: &str) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(stage.client(), NAMESPACE);
    let labels = format!("app.kubernetes.io/component={component}");
    let listed = stage.wait(pods.list(&ListParams::default().labels(&labels))).ok()?;
    listed.items.into_iter().next()?.status?.pod_ip
}

pub(crate) fn a_request_at_zero_wakes_a_pod(stage: &Stage<'_>) {
    let gateway = install(stage);
    let annotations = json!({
        "dormouse.dev/enabled": "true",
        "autoscaling.knative.dev/window": "6s",
    });
    deploy_annotated(stage, "one", 0, annotations);
    serve(stage, "one");
    let host = format!("one.{}", stage.namespace());
    // Until an activator has the table there is no such function, and nothing is woken.
    let answer = wait::until("an answer", || {
        TcpStream::connect(gateway).ok()?;
        let answer = Client::connect(gateway).get(&host, "/").ok()?;
        (answer.status == 200).then_some(answer)
    });
    let woken = pods(stage, "one");
    assert_eq!(woken.len(), 1);
    assert_eq!(Some(answer.text().trim_end()), woken[0].metadata.name.as_deref());
    wait::until("zero again", || pods(stage, "one").is_empty().then_some(()));
    uninstall(stage);
}

/// Takes it all away again.
pub(crate) fn uninstall(stage: &Stage<'_>) {
    kubectl(stage, &["delete", "deployments", "--all"]);
    // Nobody is left to whom the last ones would have to hand over.
    kubectl(stage, &["delete", "pods", "--all", "--grace-period=1"]);
    kubectl(stage, &["delete", "namespace", NAMESPACE]);
}
