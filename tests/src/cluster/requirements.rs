//! Whether a cluster can run here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::checkout;

/// Whether the cluster's tests run: `required` makes a cluster that cannot run a failure, as CI
/// wants it; with `try` they are ignored there; without it they are ignored everywhere, for they
/// take minutes.
pub const WANTED: &str = "DORMOUSE_TEST_CLUSTER";

/// Where the network plug-ins of Debian's package lie.
pub const PLUGINS: &str = "/usr/lib/cni";

/// What must be on the path, and the package of Debian's that brings it.
const PROGRAMS: [(&str, &str); 9] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("flock", "util-linux"),
    ("openssl", "openssl"),
];

/// What must have been built from the Go modules in `tests/cluster/`.
const BUILT: [&str; 8] = [
    "etcd",
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
];

/// Why the cluster's tests are not to run; none if they are.
///
/// # Panics
/// If [`WANTED`] says neither, or a cluster is required and cannot run here.
#[must_use]
pub fn objection() -> Option<String> {
    let wanted = std::env::var(WANTED).unwrap_or_default();
    match wanted.as_str() {
        "" => Some(format!("they take minutes; {WANTED}=try runs them")),
        "try" => missing(),
        "required" => match missing() {
            None => None,
            Some(missing) => panic!("{missing}"),
        },
        _ => panic!("{WANTED}={wanted}: neither try nor required"),
    }
}

fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("a cluster needs root".to_owned());
    }
    if let Some((name, package)) = PROGRAMS.iter().find(|(name, _)| !on_path(name)) {
        return Some(format!("{name} is missing: install {package}"));
    }
    if !Path::new(PLUGINS).join("bridge").is_file() {
        return Some(format!("{PLUGINS} is missing: install containernetworking-plugins"));
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount", "--net", "--uts", "--ipc", "true"]);
    if !unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some("this machine grants no namespaces".to_owned());
    }
    let absent = BUILT.iter().find(|name| !built(name).is_file());
    absent.map(|name| format!("{name} is not built: run tests/cluster/programs"))
}

/// A program of Kubernetes: from `$KUBEBUILDER_ASSETS` if it is there, else the one built here.
///
/// # Panics
/// If the script that knows the place fails.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let brought = assets.map(|folder| folder.join(name)).filter(|path| path.is_file());
    brought.unwrap_or_else(|| {
        let script = checkout().join("tests/cluster/programs");
        let output = Command::new(script).arg("--where").output().expect("the script runs");
        let folder = String::from_utf8(output.stdout).expect("a path of text");
        Path::new(folder.trim_end()).join(name)
    })
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
