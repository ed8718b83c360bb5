//! A node: containerd, kubelet and kube-proxy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::DeleteParams;
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Runtime;

use super::HOST;
use super::bundle::{Bundle, Namespaces};
use super::component::Component;
use super::control_plane::{ControlPlane, write};
use super::image::Image;
use super::requirements::built;
use crate::program::checkout;
use crate::wait;

mod config;

/// Where kubelets listen.
const KUBELET_PORT: u16 = 10250;

/// A running node.
pub struct Node {
    name: String,
    address: Ipv4Addr,
    socket: String,
    folder: PathBuf,
    namespaces: Namespaces,
    /// Runs containers; they outlive it.
    pub containerd: Component,
    /// Starts and probes pods.
    pub kubelet: Component,
    /// Leads Services' addresses to pods.
    pub kube_proxy: Component,
}

impl Node {
    /// Starts the node of that number, gives it the images and waits until Kubernetes calls it
    /// ready.
    ///
    /// # Panics
    /// If a component cannot be started, or it is not ready by [`wait::DEADLINE`].
    #[must_use]
    pub fn start(
        bundle: &Bundle,
        control_plane: &ControlPlane,
        number: u8,
        namespaces: Namespaces,
        images: &[Image],
    ) -> Self {
        let name = format!("node{number}");
        let folder = bundle.folder().join(&name);
        let inside = format!("/run/cluster/{name}");
        fs::create_dir_all(namespaces.path(&inside)).expect("the run's tmpfs is writable");
        config::write_all(bundle, &folder, number, &inside, control_plane);

        let start = |program: &str, path: PathBuf, arguments: Vec<String>| {
            Component::start(bundle, namespaces, &format!("{program}{number}"), path, arguments)
        };
        let config = |file: &str| format!("--config={}", folder.join(file).display());
        let containerd = start("containerd", "containerd".into(), vec![config("containerd.toml")]);
        let socket = format!("{inside}/containerd.sock");
        wait::until("containerd", || namespaces.path(&socket).exists().then_some(()));
        for image in images {
            import(namespaces, &socket, &folder, image);
        }
        let user = control_plane.kubeconfig(&format!("system:node:{name}"));
        let [first, second, third, _] = HOST.octets();
        let address = Ipv4Addr::new(first, second, third, number);
        let node = Self {
            containerd,
            kubelet: start(
                "kubelet",
                built("kubelet"),
                vec![
                    config("kubelet.json"),
                    format!("--kubeconfig={}", user.display()),
                    format!("--hostname-override={name}"),
                    format!("--node-ip={address}"),
                    format!("--root-dir={inside}/kubelet"),
                    format!("--cert-dir={inside}/kubelet/pki"),
                ],
            ),
            kube_proxy: start("kube-proxy", built("kube-proxy"), vec![config("proxy.json")]),
            name,
            address,
            socket,
            folder,
            namespaces,
        };
        control_plane.with_client(|runtime, client| node.wait_until_ready(runtime, client));
        node
    }

    /// What Kubernetes calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Imports an image.
    ///
    /// # Panics
    /// If containerd refuses it.
    pub fn load(&self, image: &Image) {
        import(self.namespaces, &self.socket, &self.folder, image);
    }

    /// Starts containerd and kubelet again after both were killed. Only for threads in the
    /// cluster's network.
    ///
    /// # Panics
    /// If they do not run by [`wait::DEADLINE`].
    pub fn start_again(&self) {
        self.containerd.start_again();
        self.kubelet.start_again();
        wait::until("the kubelet", || {
            // It gives up on a containerd that has yet to begin.
            if self.kubelet.has_ended() {
                self.kubelet.start_again();
            }
            TcpStream::connect((self.address, KUBELET_PORT)).ok()
        });
    }

    /// Sends a signal to the containers of the pod with that uid: SIGKILL is a crash, SIGSTOP
    /// freezes them. Its sandbox is left alone.
    ///
    /// # Panics
    /// If it has none.
    pub fn signal_containers(&self, uid: &str, signal: Signal) {
        let read = |pid: i32, file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let is_of_pod = |pid: i32| {
            let groups = read(pid, "cgroup").unwrap_or_default();
            String::from_utf8_lossy(&groups).contains(&format!("/pod{uid}/"))
        };
        // The sandbox runs the one program that is told to be silent.
        let is_sandbox =
            |pid: i32| read(pid, "cmdline").is_some_and(|it| it.ends_with(b"\0silent\0"));
        let pids = processes().into_iter().map(|(pid, _)| pid);
        let meant: Vec<i32> = pids.filter(|&pid| is_of_pod(pid) && !is_sandbox(pid)).collect();
        assert!(!meant.is_empty(), "no container of {uid} runs");
        for pid in meant {
            // Whoever went with its parent is gone already.
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    fn wait_until_ready(&self, runtime: &Runtime, client: Client) {
        let nodes: Api<NodeObject> = Api::all(client);
        wait::until(&format!("{} to be ready", self.name), || {
            let node = runtime.block_on(nodes.get(&self.name)).ok()?;
            let mut conditions = node.status?.conditions?.into_iter();
            conditions.find(|it| it.type_ == "Ready" && it.status == "True")
        });
    }

    /// Everything on it dies at once, containers included. Only for a node with namespaces of its
    /// own, so not the first.
    ///
    /// # Panics
    /// If its processes cannot be found.
    pub fn die(&self) {
        let keeper = self.namespaces.keeper();
        let mounts = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let own = mounts(keeper).expect("the node lives");
        let processes = processes();
        let on_node: Vec<i32> = processes
            .iter()
            .map(|&(pid, _)| pid)
            .filter(|&pid| mounts(pid) == Some(own.clone()))
            .collect();
        // A container has mounts of its own; its shim, which is its parent, has the node's.
        let contained = processes.iter().filter(|(_, parent)| on_node.contains(parent));
        let mut doomed: Vec<i32> = contained.map(|&(pid, _)| pid).collect();
        doomed.extend(on_node);
        doomed.retain(|&pid| pid != keeper);
        for pid in doomed {
            // Whoever went with its parent is gone already.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

/// A second node, taken out of the cluster at the end.
pub struct SecondNode<'a> {
    /// The node.
    pub node: Node,
    control_plane: &'a ControlPlane,
    keeper: Child,
}

impl<'a> SecondNode<'a> {
    /// Makes a network and mounts of its own, and starts the node there.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(bundle: &Bundle, control_plane: &'a ControlPlane, images: &[Image]) -> Self {
        let (keeper, namespaces) = network(bundle, 2);
        let node = Node::start(bundle, control_plane, 2, namespaces, images);
        Self { node, control_plane, keeper }
    }
}

impl Drop for SecondNode<'_> {
    fn drop(&mut self) {
        self.node.die();
        kill(Pid::from_raw(self.node.namespaces.keeper()), Signal::SIGKILL).ok();
        self.keeper.wait().ok();
        let name = self.node.name.clone();
        self.control_plane.with_client(|runtime, client| {
            let nodes: Api<NodeObject> = Api::all(client);
            runtime.block_on(nodes.delete(&name, &DeleteParams::default())).ok();
        });
    }
}

fn network(bundle: &Bundle, number: u8) -> (Child, Namespaces) {
    let log = fs::File::create(bundle.logs().join(format!("node{number}.log")))
        .expect("the folder for logs is writable");
    let mut keeper = bundle
        .namespaces()
        .command(checkout().join("tests/cluster/bundle"))
        .args(["node", &number.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the script can be run");
    let mut ready = String::new();
    let stdout = keeper.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut ready).expect("a pipe can be read");
    assert_eq!(ready, "ready\n", "node{number}.log says why");
    let children = format!("/proc/{0}/task/{0}/children", keeper.id());
    let children = fs::read_to_string(children).expect("the script runs");
    let pid = children.trim().parse().expect("nsenter has one child");
    (keeper, Namespaces::of(pid))
}

/// Every process with its parent.
fn processes() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").expect("/proc is there on Linux").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in brackets may hold anything; state and parent follow it.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

fn import(namespaces: Namespaces, socket: &str, folder: &Path, image: &Image) {
    let archive = folder.join("image.tar");
    write(&archive, image.archive());
    let mut import = namespaces.command("ctr");
    import.args(["--address", socket, "--namespace", "k8s.io", "images", "import"]).arg(&archive);
    let output = import.output().expect("ctr can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(&archive).expect("it was just written");
}
