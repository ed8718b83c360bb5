//! Dormouse as its manifests install it, once for all tests that need it.

use std::net::SocketAddr;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;

use super::stage::Stage;
use crate::program::checkout;
use crate::wait;

/// Where the manifests put everything.
const NAMESPACE: &str = "dormouse";

/// Where an activator takes requests.
const GATEWAY_PORT: u16 = 8080;

/// The gateway's address, both parts installed as deploy/kubernetes/README.md says.
///
/// # Panics
/// If they do not roll out.
pub fn gateway(stage: &Stage<'_>) -> SocketAddr {
    static GATEWAY: OnceLock<SocketAddr> = OnceLock::new();
    *GATEWAY.get_or_init(|| install(stage))
}

fn install(stage: &Stage<'_>) -> SocketAddr {
    let manifests = checkout().join("deploy/kubernetes");
    kubectl(stage, &["apply", "-f", manifests.to_str().expect("a path of text")]);
    for part in ["autoscaler", "activator"] {
        let deployment = format!("deployment/dormouse-{part}");
        kubectl(stage, &["rollout", "status", &deployment, "--timeout=60s"]);
    }
    let services: Api<Service> = Api::namespaced(stage.client(), NAMESPACE);
    let gateway = stage.wait(services.get("dormouse-activator")).expect("it was applied");
    let gateway = gateway.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    SocketAddr::new(gateway.parse().expect("a Service has an address"), 80)
}

fn kubectl(stage: &Stage<'_>, arguments: &[&str]) -> String {
    stage.kubectl(&[&["--namespace", NAMESPACE], arguments].concat())
}

/// A part of Dormouse.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// In the requests' way.
    Activator,
    /// Decides.
    Autoscaler,
}

/// The pods of a part.
///
/// # Panics
/// If the API server does not say.
#[must_use]
pub fn parts(stage: &Stage<'_>, part: Part) -> Vec<Pod> {
    let component = match part {
        Part::Activator => "activator",
        Part::Autoscaler => "autoscaler",
    };
    let pods: Api<Pod> = Api::namespaced(stage.client(), NAMESPACE);
    let labels = format!("app.kubernetes.io/component={component}");
    let listed = stage.wait(pods.list(&ListParams::default().labels(&labels)));
    listed.expect("pods can be listed").items
}

/// Where requests reach that one activator.
///
/// # Panics
/// If it has no address yet.
#[must_use]
pub fn gateway_of(activator: &Pod) -> SocketAddr {
    let address = activator.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let address = address.and_then(|address| address.parse().ok());
    SocketAddr::new(address.expect("it runs"), GATEWAY_PORT)
}

/// Kills the one container of a pod as a crash would, and waits until another runs in its place.
///
/// # Panics
/// If none does.
#[track_caller]
pub fn crash(stage: &Stage<'_>, pod: &Pod) {
    let name = pod.metadata.name.as_deref().expect("pods have names");
    let pods: Api<Pod> = Api::namespaced(stage.client(), NAMESPACE);
    let restarts = |pod: Pod| {
        let status = pod.status?.container_statuses?.into_iter().next()?;
        Some((status.restart_count, status.ready))
    };
    let (before, _) = restarts(pod.clone()).expect("it runs");
    stage.cluster.node.kill_containers(pod.metadata.uid.as_deref().expect("and uids"));
    wait::until(&format!("{name} to run again"), || {
        let (now, is_ready) = restarts(stage.wait(pods.get(name)).ok()?)?;
        (now > before && is_ready).then_some(())
    });
}
