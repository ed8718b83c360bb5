//! Functions that cannot answer, for reasons that Kubernetes gives or that activators find.

use std::time::Duration;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::parts::Parts;
use dormouse_tests::wait;
use serde_json::{Value, json};

const HOST: &str = "broken.default";

/// Nobody listens there, whatever the port.
const ELSEWHERE: &str = "127.0.0.2";

/// One function, and what keeps it from answering.
struct Broken {
    api: FakeApi,
    parts: Parts,
    _app: App,
}

impl Broken {
    fn start(spoil: impl FnOnce(&mut Value)) -> Self {
        let (api, app) = (FakeApi::start(), App::start());
        let mut broken = app.deployment("broken", &[]);
        spoil(&mut broken);
        api.put("deployments", broken);
        api.put("services", app.service("broken"));
        let parts = Parts::start(&api);
        Self { api, parts, _app: app }
    }

    /// A request is held, and then refused with the code; who looks finds it, too.
    #[track_caller]
    fn refuses(&self, code: &str) {
        let answer = self.parts.wait_route(HOST);
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains(code), "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        // Clients are told the reason, and nothing that Kubernetes says of the cluster.
        for of_the_cluster in ["broken-1", "forbidden", "exceeded quota", "Back-off"] {
            assert!(!answer.text().contains(of_the_cluster), "{}", answer.text());
        }
        self.parts.wait_function("default/broken", "failing", |it| {
            it["state"] == "failing" && it["failure"]["code"] == code
        });
        self.api.wait_event("broken", code);
    }
}

/// Its pods carry these annotations, by which the API server makes them.
fn pods_are(broken: &mut Value, annotations: Value) {
    broken["spec"]["template"]["metadata"]["annotations"] = annotations;
}

/// No pod is made, and its controller says why.
fn pods_are_refused(broken: &mut Value, why: &str) {
    pods_are(broken, json!({}));
    broken["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True",
        "reason": "FailedCreate", "message": format!("pods \"broken-1\" is forbidden: {why}")}]);
}

#[test]
fn an_image_that_cannot_be_had() {
    let waiting = json!({"test/address": ELSEWHERE, "test/waiting": "ImagePullBackOff"});
    Broken::start(|broken| pods_are(broken, waiting)).refuses("image-pull");
}

#[test]
fn a_quota_that_is_used_up() {
    let why = "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1";
    Broken::start(|broken| pods_are_refused(broken, why)).refuses("quota");
}

#[test]
fn whoever_waits_in_vain_for_another_start_is_told_why() {
    let broken = Broken::start(|broken| {
        broken["metadata"]["annotations"]["dormouse.dev/queue-timeout"] = json!("1s");
        pods_are_refused(broken, "exceeded quota: small");
    });
    broken.refuses("quota");
    // Longer than clients are told to wait: from then on requests are held again.
    wait::at_most(Duration::from_secs(12), || {
        let answer = broken.parts.get(HOST, "/");
        assert!(answer.status == 503 && answer.text().contains("quota"), "{}", answer.text());
        None::<()>
    });
}

#[test]
fn a_namespace_that_is_going_away() {
    let why = "unable to create new content in namespace default because it is being terminated";
    Broken::start(|broken| pods_are_refused(broken, why)).refuses("namespace-terminating");
}

#[test]
fn no_node_for_a_while() {
    let nowhere = json!({"test/address": ELSEWHERE, "test/unschedulable": "0/1 nodes available"});
    Broken::start(|broken| pods_are(broken, nowhere)).refuses("unschedulable");
}

#[test]
fn pods_that_are_ready_and_out_of_reach() {
    let broken = Broken::start(|broken| {
        pods_are(broken, json!({"test/address": ELSEWHERE}));
        let container = &mut broken["spec"]["template"]["spec"]["containers"][0];
        let port = container["ports"][0]["containerPort"].clone();
        container["readinessProbe"] = json!({"tcpSocket": {"port": port}});
    });
    broken.refuses("unreachable");
    for suspect in ["NetworkPolicy", "mesh"] {
        broken.api.wait_event("broken", suspect);
    }
}
