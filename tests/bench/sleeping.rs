//! What ten thousand sleeping functions cost: memory and processor time of both parts, and what is
//! written to the API server meanwhile. The server is a real one, whose controllers are stopped:
//! the functions never were awake.

#![allow(clippy::print_stdout, reason = "what a bench is for")]

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_tests::cluster::Cluster;
use dormouse_tests::cluster::api_proxy::ApiProxy;
use dormouse_tests::cluster::stage::{Stage, typed};
use dormouse_tests::http::Client;
use dormouse_tests::parts::Parts;
use dormouse_tests::wait;
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Functions that sleep.
const FUNCTIONS: usize = 10_000;

/// Objects created at once: the server is what limits it.
const AT_ONCE: usize = 48;

/// Functions created within the longest wait for one call.
const BATCH: usize = 500;

/// Longest wait for all of them to be known.
const PATIENCE: Duration = Duration::from_secs(180);

/// After the last of them is known: first decisions are made and first reports sent.
const SETTLE: Duration = Duration::from_secs(30);

/// How long is looked on.
const LOOK: Duration = Duration::from_secs(60);

/// What is meant to be kept to by each part, after as long as it lives.
const MEMORY_MIB: f64 = 64.0;
const PROCESSOR_PERCENT: f64 = 1.0;

fn main() {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster-logs-sleeping");
    let cluster = Cluster::start(&logs);
    let stage = Stage::enter(&cluster, "sleeping");
    cluster.control_plane.controller_manager.kill();
    cluster.node.kube_proxy.kill();
    let proxy = ApiProxy::start(&cluster);
    let kubeconfig = proxy.kubeconfig(&cluster, "admin");
    let base = Used::both(&Parts::beside(&kubeconfig));
    let creating = Instant::now();
    create_all(&stage);
    println!("{FUNCTIONS} Deployments and Services created in {:.0?}", creating.elapsed());

    let starting = Instant::now();
    let parts = Parts::beside(&kubeconfig);
    let known = wait::at_most(PATIENCE, || (known(&parts) >= FUNCTIONS).then_some(()));
    assert!(known.is_some(), "{FUNCTIONS} functions are not known after {PATIENCE:?}");
    println!("known to the activator after {:.1?}", starting.elapsed());
    pass(SETTLE);
    let (asked, before) = (proxy.calls().len(), Used::both(&parts));
    pass(LOOK);
    let after = Used::both(&parts);
    heading(&format!("{FUNCTIONS} functions asleep, looked at for {LOOK:?}"));
    let each = ["autoscaler", "activator"].into_iter().zip(base).zip(before).zip(after);
    for (((part, base), before), after) in each {
        report(part, base, before, after);
    }
    let calls = proxy.calls();
    let writes = calls.iter().skip(asked).filter(|call| call.method != "GET");
    let (lease, others): (Vec<_>, Vec<_>) =
        writes.partition(|call| call.path.contains("/leases/dormouse-autoscaler"));
    row("writes to the API server, the Lease's", one(to_f64(lease.len())), "", Goal::None);
    row("other writes", one(to_f64(others.len())), "", Goal::AtMost(0.0));
}

fn report(part: &str, base: Used, before: Used, after: Used) {
    let share = 100.0 * (after.processor_s - before.processor_s) / LOOK.as_secs_f64();
    let each_kib = (after.memory_kib - base.memory_kib) / to_f64(FUNCTIONS);
    let mib = |kib: f64| one(kib / 1024.0);
    row(&format!("{part}: memory"), mib(after.memory_kib), "MiB", Goal::AtMost(MEMORY_MIB));
    row(&format!("{part}: at most, since it began"), mib(after.most_kib), "MiB", Goal::None);
    row(&format!("{part}: a function's"), one(each_kib), "KiB", Goal::None);
    row(&format!("{part}: of a core"), one(share), "%", Goal::AtMost(PROCESSOR_PERCENT));
}

fn one(sample: f64) -> Figure {
    Figure::of(vec![sample])
}

fn create_all(stage: &Stage<'_>) {
    for first in (0..FUNCTIONS).step_by(BATCH) {
        let all = stream::iter(first..first + BATCH).map(|number| async move {
            let name = format!("f{number}");
            create::<Deployment>(stage, deployment(&name)).await?;
            create::<Service>(stage, service(&name)).await
        });
        let all = all.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
        stage.wait(all).expect("the API server takes them");
    }
}

fn service(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// As people write them: with resources, a probe, and what `kubectl apply` leaves behind.
fn deployment(name: &str) -> Value {
    let labels = json!({"app": name, "app.kubernetes.io/part-of": "shop"});
    let mut deployment = json!({
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"dormouse.dev/enabled": "true"},
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "app",
                    "image": "dormouse.test/none:1",
                    "ports": [{"containerPort": 8080}],
                    "env": [{"name": "MODE", "value": "production"}],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                }]},
            },
        },
    });
    let applied = deployment.to_string();
    deployment["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!(applied);
    deployment
}

async fn create<K>(stage: &Stage<'_>, object: Value) -> kube::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let object: K = typed(object);
    stage.api::<K>().create(&PostParams::default(), &object).await.map(drop)
}

/// Functions of which the activator was told.
fn known(parts: &Parts) -> usize {
    let answer = Client::connect(parts.activator_admin).get("localhost", "/metrics");
    let text = answer.map(|answer| answer.text()).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("dormouse_functions "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[allow(clippy::disallowed_methods, reason = "time itself is what is waited for")]
fn pass(time: Duration) {
    thread::sleep(time);
}

/// What a process uses.
#[derive(Clone, Copy)]
struct Used {
    memory_kib: f64,
    most_kib: f64,
    processor_s: f64,
}

impl Used {
    fn both(parts: &Parts) -> [Self; 2] {
        [&parts.autoscalers()[0], &parts.activators()[0]].map(|part| Self::of(part.id()))
    }

    fn of(process: u32) -> Self {
        let read = |file| fs::read_to_string(format!("/proc/{process}/{file}")).expect("it runs");
        let status = read("status");
        let kib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).expect("Linux says it in KiB")
        };
        // The name may hold spaces; user and system time are the 12th and 13th words after it.
        let stat = read("stat");
        let words = stat.rsplit(')').next().into_iter().flat_map(str::split_whitespace);
        let ticks: f64 = words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
        let processor_s = ticks / TICKS_PER_SECOND;
        Self { memory_kib: kib("VmRSS:"), most_kib: kib("VmHWM:"), processor_s }
    }
}

/// `USER_HZ`, which is 100 on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

#[allow(clippy::cast_precision_loss, reason = "thousands")]
fn to_f64(count: usize) -> f64 {
    count as f64
}
