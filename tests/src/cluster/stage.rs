//! What one test sees of the cluster: a namespace of its own, a typed client, `kubectl`.

use std::fmt::Debug;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Cluster;
use super::control_plane::{Identity, connect, runtime};
use super::requirements::built;
use crate::wait::{self, DEADLINE};

/// Kubernetes' bound on the length of a namespace's name.
const NAME_LENGTH_MAX: usize = 63;

/// One test's place in the cluster. The test's thread is inside the cluster's network: it reaches
/// pods, Services and the API server by their addresses, and so does every program it starts.
pub struct Stage<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    namespace: String,
    runtime: Runtime,
    client: Client,
}

impl<'a> Stage<'a> {
    /// Enters the network and makes a namespace named after the test.
    ///
    /// # Panics
    /// If the API server does not take it.
    #[must_use]
    pub fn enter(cluster: &'a Cluster, test: &str) -> Self {
        cluster.namespaces().enter_network();
        let runtime = runtime();
        let client = cluster.control_plane.client(&runtime);
        let mut namespace = test.replace(['_', ':'], "-");
        namespace.truncate(NAME_LENGTH_MAX);
        let namespace = namespace.trim_end_matches('-').to_owned();
        let stage = Self { cluster, namespace, runtime, client };
        let object: Namespace = typed(json!({"metadata": {"name": stage.namespace}}));
        let namespaces: Api<Namespace> = Api::all(stage.client());
        stage.wait(namespaces.create(&PostParams::default(), &object)).expect("a new name");
        // Pods are refused until it is there.
        let accounts = stage.api::<ServiceAccount>();
        wait::until("the service account", || stage.wait(accounts.get("default")).ok());
        stage
    }

    /// The test's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client by another kubeconfig, such as one that leads through a proxy.
    ///
    /// # Panics
    /// If the kubeconfig is damaged.
    #[must_use]
    pub fn connect(&self, kubeconfig: &Path) -> Client {
        self.runtime.block_on(connect(kubeconfig, Identity::OfTheFile))
    }

    /// The objects of a kind in the test's namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Waits for a call.
    ///
    /// # Panics
    /// If it takes longer than [`DEADLINE`].
    #[track_caller]
    pub fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        let done = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, call).await });
        done.unwrap_or_else(|_| panic!("a call took longer than {DEADLINE:?}"))
    }

    /// Creates an object in the test's namespace.
    ///
    /// # Panics
    /// If it is not what its kind should be, or is refused.
    #[track_caller]
    pub fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let object: K = typed(object);
        let created = self.wait(self.api::<K>().create(&PostParams::default(), &object));
        created.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The pods with that label.
    ///
    /// # Panics
    /// If the API server does not say.
    #[must_use]
    pub fn pods(&self, selector: &str) -> Vec<Pod> {
        let listed = self.wait(self.api::<Pod>().list(&ListParams::default().labels(selector)));
        listed.expect("pods can be listed").items
    }

    /// `kubectl` as the administrator, in the test's namespace.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// [`Stage::kubectl`] with something to read: `kubectl_with(&["apply", "-f", "-"], manifest)`.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> String {
        let Output { status, stdout, stderr } = self.kubectl_output(arguments, stdin);
        let said = String::from_utf8_lossy(&stdout).into_owned();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "kubectl {}: {stderr}{said}", arguments.join(" "));
        said
    }

    /// [`Stage::kubectl_with`], whatever comes of it.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn kubectl_output(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut kubectl = Command::new(built("kubectl"))
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .env("KUBECONFIG", self.cluster.control_plane.kubeconfig("admin"))
            // Where it keeps what it learnt of the API server.
            .env("HOME", self.cluster.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be run");
        let mut pipe = kubectl.stdin.take().expect("it is piped");
        // One that fails does not read to the end; its status says so.
        pipe.write_all(stdin.as_bytes()).ok();
        drop(pipe);
        kubectl.wait_with_output().expect("kubectl ends")
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // With its pods a failed test would lose their logs.
        if std::thread::panicking() {
            return;
        }
        // The processors are for the next test; that it is gone nobody waits for.
        let namespaces: Api<Namespace> = Api::all(self.client());
        let parameters = DeleteParams::default();
        let delete = namespaces.delete(&self.namespace, &parameters);
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, delete).await }).ok();
    }
}

/// An object of a kind, from JSON.
///
/// # Panics
/// If it is not what its kind should be.
#[must_use]
#[track_caller]
pub fn typed<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap_or_else(|error| panic!("{error}"))
}
