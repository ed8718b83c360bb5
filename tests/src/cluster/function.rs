//! Functions to wake: Deployments, the Services in front of them, and an account of what came.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};

use super::image::DORMOUSE;
use super::load::{Connections, Load, Outcome, Plan};
use super::stage::Stage;
use crate::http::Client;
use crate::wait;

/// Where functions listen in each pod.
pub const PORT: u16 = 8080;

/// Answers on fresh connections after which every activator behind an address has given one, and
/// none is left there that is about to end and is told nothing any more.
const IN_A_ROW: usize = 16;

/// So many lost requests are shown.
const SHOWN_MAX: usize = 10;

/// An annotated Deployment of `dormouse demo` and its Service. It writes down the id of each
/// request on arrival, and finishes what it has begun when it is told to end.
pub struct Function<'a> {
    stage: &'a Stage<'a>,
    /// The Deployment's and the Service's name.
    pub name: String,
    ids: PathBuf,
}

impl<'a> Function<'a> {
    /// At zero, with a short window, these annotations beside and these arguments.
    ///
    /// # Panics
    /// If the API server refuses it.
    #[must_use]
    pub fn create(
        stage: &'a Stage<'a>,
        name: &str,
        annotations: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let ids = stage.cluster.folder().join(format!("{}-{name}.ids", stage.namespace()));
        fs::write(&ids, "")
            .and_then(|()| fs::set_permissions(&ids, Permissions::from_mode(0o666)))
            .expect("the run's folder is writable");
        let mut all = json!({
            "dormouse.dev/enabled": "true",
            "autoscaling.knative.dev/window": "6s",
        });
        for (key, value) in annotations {
            all[*key] = json!(value);
        }
        let arguments = [&["demo", "--record=/ids"], arguments].concat();
        let pod = json!({
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "app",
                "image": DORMOUSE,
                "args": arguments,
                "ports": [{"containerPort": PORT}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                "volumeMounts": [{"name": "ids", "mountPath": "/ids"}],
            }],
            "volumes": [{"name": "ids", "hostPath": {"path": ids, "type": "File"}}],
        });
        deploy(stage, name, 0, &all, &pod);
        serve(stage, name);
        Self { stage, name: name.to_owned(), ids }
    }

    /// Where the gateway answers for it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}", self.name, self.stage.namespace())
    }

    /// Waits until whichever activator is behind that address knows it, which wakes it.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_known(&self, gateway: SocketAddr) {
        let is_answered = || {
            TcpStream::connect(gateway).ok()?;
            let answer = Client::connect(gateway).get(&self.host(), "/").ok()?;
            (answer.status == 200).then_some(())
        };
        wait::until(&format!("{} to be known", self.name), || {
            (0..IN_A_ROW).try_for_each(|_| is_answered())
        });
    }

    /// So many requests a second to it.
    #[must_use]
    pub fn load(&self, gateway: SocketAddr, per_second: u32, connections: Connections) -> Load {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("load{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let plan = Plan { gateway, host: self.host(), name, per_second, connections };
        Load::start(self.stage.cluster.namespaces(), plan)
    }

    /// Each request was answered well, and came to the function once; no other did.
    ///
    /// # Panics
    /// If not, showing some.
    #[track_caller]
    pub fn assert_none_lost(&self, outcomes: &BTreeMap<String, Outcome>) {
        let arrived = self.arrived();
        let lost = outcomes.iter().filter(|(_, outcome)| !outcome.is_good());
        let lost: Vec<_> = lost.map(|(id, outcome)| (id, outcome, arrived.get(id))).collect();
        let (count, some) = (lost.len(), &lost[..lost.len().min(SHOWN_MAX)]);
        assert_eq!(count, 0, "of {} to {}, such as {some:#?}", outcomes.len(), self.name);
        let unsent: Vec<_> = arrived.keys().filter(|id| !outcomes.contains_key(*id)).collect();
        assert!(unsent.is_empty(), "{} got what nobody sent: {unsent:?}", self.name);
        let wrong = outcomes.keys().filter(|id| arrived.get(*id) != Some(&1));
        let wrong: Vec<_> = wrong.map(|id| (id, arrived.get(id))).collect();
        assert!(wrong.is_empty(), "{} did not get once: {wrong:?}", self.name);
    }

    /// The ids that came, and how often each.
    ///
    /// # Panics
    /// If the run's folder is gone.
    #[must_use]
    pub fn arrived(&self) -> BTreeMap<String, u32> {
        let mut arrived = BTreeMap::new();
        for id in fs::read_to_string(&self.ids).expect("it was written").lines() {
            *arrived.entry(id.to_owned()).or_default() += 1;
        }
        arrived
    }

    /// Waits until it has no pod.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_asleep(&self) {
        wait::until(&format!("{} to sleep", self.name), || {
            pods(self.stage, &self.name).is_empty().then_some(())
        });
    }
}

/// A Deployment with that pod, labelled `app`.
///
/// # Panics
/// If it is refused.
#[track_caller]
pub fn deploy(
    stage: &Stage<'_>,
    name: &str,
    replicas: u32,
    annotations: &Value,
    pod: &Value,
) -> Deployment {
    let labels = json!({"app": name});
    stage.create(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))
}

/// A Service on port 80 in front of a Deployment; its address.
///
/// # Panics
/// If it is refused.
#[track_caller]
pub fn serve(stage: &Stage<'_>, name: &str) -> SocketAddr {
    let service: Service = stage.create(json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }));
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    SocketAddr::new(address.parse().expect("a Service has an address"), 80)
}

/// The pods of a Deployment.
#[must_use]
pub fn pods(stage: &Stage<'_>, name: &str) -> Vec<Pod> {
    stage.pods(&format!("app={name}"))
}
