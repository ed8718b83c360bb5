//! Dormouse as Helm installs it, once for all tests that need it.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::Signal;

use super::stage::Stage;
use crate::helm;
use crate::wait;

/// Where everything is put, and the release's name.
pub const NAMESPACE: &str = "dormouse";

/// The most replicas that the admission policy lets the autoscaler ask for.
pub const REPLICAS_MAX: u32 = 50;

/// Longest wait for what Helm waits for.
const TIMEOUT: &str = "--timeout=90s";

/// Where an activator takes requests.
const GATEWAY_PORT: u16 = 8080;

/// The gateway's address, both parts installed, and the admission policy beside them: whatever a
/// test sees done was allowed.
///
/// # Panics
/// If they do not roll out.
pub fn gateway(stage: &Stage<'_>) -> SocketAddr {
    *installed().get_or_insert_with(|| install(stage, &[]))
}

/// Installs, or upgrades what is installed, with these values beside; the gateway's address.
///
/// # Panics
/// If it does not roll out.
pub fn upgrade(stage: &Stage<'_>, values: &[&str]) -> SocketAddr {
    *installed().insert(install(stage, values))
}

/// Takes everything away that was installed.
///
/// # Panics
/// If Helm cannot.
pub fn uninstall(stage: &Stage<'_>) {
    helm(stage, &["uninstall", NAMESPACE, "--wait", TIMEOUT]);
    *installed() = None;
}

fn installed() -> MutexGuard<'static, Option<SocketAddr>> {
    static GATEWAY: Mutex<Option<SocketAddr>> = Mutex::new(None);
    // What was not whole was not noted.
    GATEWAY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install(stage: &Stage<'_>, values: &[&str]) -> SocketAddr {
    let (chart, most) = (helm::chart(), format!("admissionPolicy.replicasMax={REPLICAS_MAX}"));
    let chart = chart.to_str().expect("a path of text");
    let install =
        ["upgrade", "--install", NAMESPACE, chart, "--create-namespace", "--wait", TIMEOUT];
    let always = ["--set", "admissionPolicy.enabled=true", "--set", &most];
    helm(stage, &[&install[..], &always, values].concat());
    gateway_address(stage)
}

/// Where the activators' Service is, however it was installed.
///
/// # Panics
/// If it was not.
#[must_use]
pub fn gateway_address(stage: &Stage<'_>) -> SocketAddr {
    let services: Api<Service> = Api::namespaced(stage.client(), NAMESPACE);
    let gateway = stage.wait(services.get("dormouse-activator")).expect("it was installed");
    let gateway = gateway.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    SocketAddr::new(gateway.parse().expect("a Service has an address"), 80)
}

fn helm(stage: &Stage<'_>, arguments: &[&str]) -> String {
    let kubeconfig = stage.cluster.control_plane.kubeconfig("admin");
    let place = ["--namespace", NAMESPACE, "--kubeconfig", kubeconfig.to_str().expect("of text")];
    let done = helm::run(stage.cluster.folder(), &[arguments, &place].concat());
    done.unwrap_or_else(|complaint| panic!("helm {}: {complaint}", arguments.join(" ")))
}

/// `kubectl` where Dormouse is installed.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn kubectl(stage: &Stage<'_>, arguments: &[&str]) -> String {
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
    let uid = pod.metadata.uid.as_deref().expect("and uids");
    stage.cluster.node.signal_containers(uid, Signal::SIGKILL);
    wait::until(&format!("{name} to run again"), || {
        let (now, is_ready) = restarts(stage.wait(pods.get(name)).ok()?)?;
        (now > before && is_ready).then_some(())
    });
}
