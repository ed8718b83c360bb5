//! A wake on a real node, by phase: what is Kubernetes' share, what the app's, and what is ours,
//! from the later of (the app listens, its address is in the watch) to the answer's first byte.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use dormouse_figures::{Figure, Goal, heading, quantile, row};
use dormouse_tests::cluster::Cluster;
use dormouse_tests::cluster::background::Background;
use dormouse_tests::cluster::control_plane::{Identity, connect};
use dormouse_tests::cluster::function::Function;
use dormouse_tests::cluster::installed::gateway;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::wait;
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::WatchParams;
use kube::core::WatchEvent;

/// Wakes, one after the other; each is one sample.
const WAKES: usize = 100;

/// Functions, woken in turn: while one is used the others fall asleep.
const FUNCTIONS: usize = 4;

/// What our own part is to take at most.
const OURS_MEDIAN_MS: f64 = 10.0;
const OURS_P99_MS: f64 = 25.0;

/// When a pod got how far, in seconds.
#[derive(Clone, Debug)]
struct Seen {
    function: String,
    pod: String,
    at: f64,
    is_scheduled: bool,
    has_address: bool,
}

/// One wake, in ms since the request was sent.
#[derive(Clone, Copy, Debug)]
struct Wake {
    created: f64,
    scheduled: f64,
    listening: f64,
    addressed: f64,
    answered: f64,
}

impl Wake {
    fn address_ms(&self) -> f64 {
        self.addressed - self.listening
    }

    fn ours_ms(&self) -> f64 {
        self.answered - self.listening.max(self.addressed)
    }
}

fn main() {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster-logs-bench");
    let cluster = Cluster::start(&logs);
    let stage = Stage::enter(&cluster, "wakes");
    let gateway = gateway(&stage);
    let functions: Vec<Function<'_>> = (0..FUNCTIONS)
        .map(|number| Function::create(&stage, &format!("f{number}"), &[], &["--log=info"]))
        .collect();
    functions.iter().for_each(|function| function.wait_known(gateway));
    let (_watch, seen) = watch(&stage);
    let wakes: Vec<Wake> = (0..WAKES)
        .map(|number| {
            let function = &functions[number % FUNCTIONS];
            function.wait_asleep();
            // What was told of the pods before.
            while seen.try_recv().is_ok() {}
            let sent = now();
            let mut client = Client::connect(gateway);
            let asked = client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", function.host()));
            let head = asked.and_then(|()| client.head()).expect("an answer");
            let answered = now();
            assert_eq!(head.status, 200);
            measure(&logs, &seen, &function.name, sent, answered)
        })
        .collect();
    report(&wakes);
}

fn report(wakes: &[Wake]) {
    heading("a pod of a real node, woken");
    let phase = |what: &str, figure: fn(&Wake) -> f64, goal: Goal| {
        row(what, Figure::of(wakes.iter().map(figure).collect()), "ms", goal);
    };
    phase("request sent → pod created", |wake| wake.created, Goal::None);
    phase("→ scheduled", |wake| wake.scheduled - wake.created, Goal::None);
    phase("→ the app listens", |wake| wake.listening - wake.scheduled, Goal::None);
    phase("its listening → its address in the watch", Wake::address_ms, Goal::None);
    let ours = "ours: the later of both → first byte";
    phase(ours, Wake::ours_ms, Goal::AtMost(OURS_MEDIAN_MS));
    let most = quantile(wakes.iter().map(Wake::ours_ms), 0.99);
    row(&format!("{ours}, p99"), Figure::of(vec![most]), "ms", Goal::AtMost(OURS_P99_MS));
    phase("in all", |wake| wake.answered, Goal::None);
}

/// Tells what is seen of the pods, as it is.
fn watch(stage: &Stage<'_>) -> (Background, Receiver<Seen>) {
    let (tell, told) = channel();
    let kubeconfig = stage.cluster.control_plane.kubeconfig("admin");
    let namespace = stage.namespace().to_owned();
    let (task, ()) = Background::start(stage.cluster.namespaces(), |started| async move {
        // The stage's own would stand still whenever the stage waits for nothing.
        let client = connect(&kubeconfig, Identity::OfTheFile).await;
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        started.send(()).expect("the bench waits");
        loop {
            let events =
                pods.watch(&WatchParams::default(), "0").await.expect("pods can be watched");
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.try_next().await.expect("the API server is there") {
                let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event else { continue };
                // The last wake's pod may still be on its way out.
                if pod.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let address = pod.status.and_then(|status| status.pod_ip);
                let labels = pod.metadata.labels.unwrap_or_default();
                let seen = Seen {
                    function: labels.get("app").cloned().unwrap_or_default(),
                    pod: pod.metadata.name.unwrap_or_default(),
                    at: now(),
                    is_scheduled: pod.spec.and_then(|spec| spec.node_name).is_some(),
                    has_address: address.is_some_and(|address| !address.is_empty()),
                };
                if tell.send(seen).is_err() {
                    return;
                }
            }
        }
    });
    (task, told)
}

fn measure(logs: &Path, seen: &Receiver<Seen>, function: &str, sent: f64, answered: f64) -> Wake {
    let mut all: Vec<Seen> = Vec::new();
    wait::until("a pod with an address", || {
        all.extend(seen.try_iter().filter(|it| it.at > sent && it.function == function));
        all.iter().any(|it| it.has_address).then_some(())
    });
    let first = |is: fn(&Seen) -> bool| {
        let first = all.iter().find(|it| is(it)).expect("it has an address by now");
        (first.at - sent) * 1e3
    };
    let pod = &all.first().expect("it was seen").pod;
    let listening = wait::until("the app's log", || listening(logs, pod));
    Wake {
        created: first(|_| true),
        scheduled: first(|it| it.is_scheduled),
        listening: (listening - sent) * 1e3,
        addressed: first(|it| it.has_address),
        answered: (answered - sent) * 1e3,
    }
}

/// When the app in that pod said that it listens: its own stamp, after the container runtime's.
fn listening(logs: &Path, pod: &str) -> Option<f64> {
    let folders = fs::read_dir(logs.join("pods1")).ok()?.flatten().map(|entry| entry.path());
    let mut of_pod = folders.filter(|path| path.to_string_lossy().contains(pod));
    let log = fs::read_to_string(of_pod.next()?.join("app/0.log")).ok()?;
    let line = log.lines().find(|line| line.contains("demo listens"))?;
    let stamp: Timestamp = line.split_whitespace().nth(3)?.parse().ok()?;
    Some(stamp.as_duration().as_secs_f64())
}

/// In seconds since 1970, as all on this machine have it.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("we live after 1970").as_secs_f64()
}
