//! The configuration of a node's three components, everything they would find or write on the host
//! led elsewhere.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cluster::HOST;
use crate::cluster::bundle::Bundle;
use crate::cluster::control_plane::{ControlPlane, write};
use crate::cluster::image::PAUSE;
use crate::cluster::requirements::PLUGINS;

/// Writes those of a node into its folder; what they name lies `inside` the namespaces.
pub(super) fn write_all(
    bundle: &Bundle,
    folder: &Path,
    number: u8,
    inside: &str,
    control_plane: &ControlPlane,
) {
    let logs = bundle.logs().join(format!("pods{number}")).display().to_string();
    let network = folder.join("network");
    fs::create_dir_all(&network).expect("the run's folder is writable");
    write(&network.join("pods.conflist"), pods(number, inside));
    let network = network.display().to_string();
    write(&folder.join("containerd.toml"), containerd(inside, &network));
    write(&folder.join("kubelet.json"), kubelet(inside, &bundle.cgroup(number), &logs));
    let proxy_user = control_plane.kubeconfig("system:kube-proxy").display().to_string();
    write(&folder.join("proxy.json"), kube_proxy(&format!("node{number}"), &proxy_user));
}

fn containerd(inside: &str, network: &str) -> String {
    format!(
        r#"
version = 2
root = "{inside}/containerd"
state = "{inside}/containerd-state"
disabled_plugins = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{inside}/containerd.sock"

[ttrpc]
address = "{inside}/containerd.sock.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
path = "{inside}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
disable_hugetlb_controller = true
disable_tcp_service = true
netns_mounts_under_state_dir = true
# Without CAP_SYS_RESOURCE, as in many containers, runc cannot lower it, and no sandbox starts.
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{network}"
"#
    )
}

fn pods(number: u8, inside: &str) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": format!("{inside}/addresses"),
                "ranges": [[{"subnet": format!("10.244.{number}.0/24")}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

fn kubelet(inside: &str, cgroup: &str, logs: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Only the cluster's own network reaches it.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": format!("unix://{inside}/containerd.sock"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        // It lives in memory and knows neither its disk nor the machine's other users.
        "evictionHard": {
            "memory.available": "10Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 250,
        "podLogsDir": logs,
        "volumePluginDir": format!("{inside}/volume-plugins"),
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        // A process without CAP_SYS_RESOURCE may neither lower the one nor raise the other.
        "oomScoreAdj": 0,
        "maxOpenFiles": 20_000,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [HOST],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
    })
    .to_string()
}

fn kube_proxy(node: &str, kubeconfig: &str) -> String {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": node,
        "clusterCIDR": "10.244.0.0/16",
        "oomScoreAdj": 0,
        // Zero leaves the kernel's own settings alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
    .to_string()
}
