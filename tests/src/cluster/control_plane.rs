//! etcd, the API server, the controllers and the scheduler, with everything Kubernetes has on by
//! default left on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::runtime::Runtime;

use super::HOST;
use super::bundle::{Bundle, Namespaces};
use super::component::Component;
use super::requirements::built;
use crate::wait;

/// Who may call the API server: user, which is also the token, and group. Kubernetes' own bindings
/// give these names their rights.
const USERS: [(&str, &str); 6] = [
    ("admin", "system:masters"),
    ("system:kube-controller-manager", "system:masters"),
    ("system:kube-scheduler", ""),
    ("system:kube-proxy", ""),
    ("system:node:node1", "system:nodes"),
    ("system:node:node2", "system:nodes"),
];

/// The running control plane.
pub struct ControlPlane {
    folder: PathBuf,
    network: Namespaces,
    /// The store.
    pub etcd: Component,
    /// The API server.
    pub api_server: Component,
    /// The controllers of Kubernetes.
    pub controller_manager: Component,
    /// The scheduler.
    pub scheduler: Component,
}

impl ControlPlane {
    /// Starts all four, and waits for the API server.
    ///
    /// # Panics
    /// If one cannot be started, or the API server is not ready by [`wait::DEADLINE`].
    #[must_use]
    pub fn start(bundle: &Bundle) -> Self {
        let folder = bundle.folder().to_owned();
        let network = bundle.namespaces();
        write_identities(&folder);
        let start = |name: &str, arguments: Vec<String>| {
            Component::start(bundle, network, name, built(name), arguments)
        };
        let etcd = start("etcd", etcd_arguments());
        let api_server = start("kube-apiserver", api_server_arguments(&folder));
        wait_for_api_server(network, &folder);
        let scheduler = kubeconfig(&folder, "system:kube-scheduler");
        let controller_manager = kubeconfig(&folder, "system:kube-controller-manager");
        Self {
            network,
            etcd,
            api_server,
            // It gives up when the API server keeps it waiting for 10 s, so it is started now.
            controller_manager: start(
                "kube-controller-manager",
                vec![
                    format!("--kubeconfig={}", controller_manager.display()),
                    format!("--service-account-private-key-file={}/key.pem", folder.display()),
                    format!("--root-ca-file={}/certificate.pem", folder.display()),
                    "--bind-address=127.0.0.1".into(),
                    "--leader-elect=false".into(),
                ],
            ),
            scheduler: start(
                "kube-scheduler",
                vec![
                    format!("--kubeconfig={}", scheduler.display()),
                    format!("--authentication-kubeconfig={}", scheduler.display()),
                    format!("--authorization-kubeconfig={}", scheduler.display()),
                    "--bind-address=127.0.0.1".into(),
                    "--leader-elect=false".into(),
                ],
            ),
            folder,
        }
    }

    /// The kubeconfig of one of the users: `admin`, `system:kube-proxy`, `system:node:node1` …
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        kubeconfig(&self.folder, user)
    }

    /// The administrator's client, for a thread inside the cluster's network.
    ///
    /// # Panics
    /// If the kubeconfig is damaged.
    #[must_use]
    pub fn client(&self, runtime: &Runtime) -> Client {
        runtime.block_on(connect(&self.kubeconfig("admin"), Identity::OfTheFile))
    }

    /// Waits until the API server takes calls.
    ///
    /// # Panics
    /// If it does not by [`wait::DEADLINE`].
    pub fn wait_for_api_server(&self) {
        wait_for_api_server(self.network, &self.folder);
    }

    pub(super) fn with_client<T: Send>(
        &self,
        work: impl FnOnce(&Runtime, Client) -> T + Send,
    ) -> T {
        with_client(self.network, &self.folder, work)
    }
}

/// As whom a client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// As the kubeconfig's user.
    OfTheFile,
    /// As nobody: each request brings its own token.
    OfTheRequest,
}

/// A client that does not retry. Its connections live on the runtime that waits for this.
///
/// # Panics
/// If the kubeconfig is damaged.
pub async fn connect(kubeconfig: &Path, identity: Identity) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("it was written");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.expect("it is a kubeconfig");
    config.default_retry = false;
    if identity == Identity::OfTheRequest {
        config.auth_info = AuthInfo::default();
    }
    Client::try_from(config).expect("a certificate and a token are all it takes")
}

/// Runs `work` on a thread inside the cluster's network, with the administrator's client.
fn with_client<T: Send>(
    network: Namespaces,
    folder: &Path,
    work: impl FnOnce(&Runtime, Client) -> T + Send,
) -> T {
    let work = || {
        network.enter_network();
        let runtime = runtime();
        let client = runtime.block_on(connect(&kubeconfig(folder, "admin"), Identity::OfTheFile));
        work(&runtime, client)
    };
    std::thread::scope(|scope| {
        let worked = scope.spawn(work).join();
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn wait_for_api_server(network: Namespaces, folder: &Path) {
    with_client(network, folder, |runtime, client| {
        wait::until("the API server", || {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            runtime.block_on(client.request_text(request)).ok()
        });
    });
}

/// A runtime of one thread.
///
/// # Panics
/// If the process has no descriptor left.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread takes two descriptors")
}

fn etcd_arguments() -> Vec<String> {
    let (clients, peers) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    vec![
        "--name=etcd".into(),
        "--data-dir=/run/cluster/etcd".into(),
        // Its disk is memory.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=etcd={peers}"),
        "--log-level=warn".into(),
    ]
}

fn api_server_arguments(folder: &Path) -> Vec<String> {
    let folder = folder.display();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={HOST}"),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        format!("--tls-cert-file={folder}/certificate.pem"),
        format!("--tls-private-key-file={folder}/key.pem"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={folder}/certificate.pem"),
        format!("--service-account-signing-key-file={folder}/key.pem"),
        format!("--token-auth-file={folder}/tokens.csv"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        // Its default asks for nodes by name, and names are those of Services alone.
        "--kubelet-preferred-address-types=InternalIP".into(),
    ]
}

/// One key and one certificate serve all: the API server, its callers' authority and the tokens of
/// service accounts.
fn write_identities(folder: &Path) {
    let host = format!("IP:{HOST}");
    let names = [
        host.as_str(),
        "IP:10.96.0.1",
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
    ];
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-noenc", "-keyout", "key.pem", "-out", "certificate.pem", "-days", "3650"])
        .args(["-subj", "/CN=kube-apiserver", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", &format!("subjectAltName={}", names.join(","))])
        .current_dir(folder);
    let output = openssl.output().expect("openssl can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut tokens = String::new();
    for (user, group) in USERS {
        tokens.push_str(&format!("{user},{user},{user},{group:?}\n"));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{HOST}:6443"),
                "certificate-authority": folder.join("certificate.pem"),
            }}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        });
        write(&kubeconfig(folder, user), config.to_string());
    }
    write(&folder.join("tokens.csv"), tokens);
}

fn kubeconfig(folder: &Path, user: &str) -> PathBuf {
    folder.join(format!("{}.kubeconfig", user.replace(':', "-")))
}

pub(super) fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
