//! What Dormouse counts on of an API server: one list of tests, for the fake one and a real one, so
//! that what is proven on the fake holds.
//!
//! A server is looked at by its HTTP alone. It must have forgotten its version 1, as one has that
//! was started anew since.

mod callers;
mod versions;

use std::path::Path;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::cluster::control_plane::{Identity, connect, runtime};
use crate::wait::{self, DEADLINE};

/// All of it; each part makes objects of its own names.
pub const CONTRACT: &[fn(&Server)] = &[
    a_patch_of_what_is_seen_scales,
    a_patch_of_something_else_conflicts,
    who_writes_what_is_there_does_not_own_it,
    who_scales_to_zero_is_not_named,
    a_watch_begins_with_what_is_there,
    a_watch_goes_on_from_where_a_list_was,
    what_is_forgotten_cannot_be_gone_on_from,
    an_event_is_created_once,
    versions::a_lease_is_its_holders_who_names_its_version,
    versions::a_watch_of_one_name_tells_of_that_one_only,
    versions::a_slice_is_changed_and_deleted_at_its_version_only,
    callers::a_token_is_reviewed_for_its_audience_and_names_its_pod,
    callers::who_is_not_known_is_refused_with_401,
    callers::who_may_not_is_refused_with_403,
    callers::who_is_throttled_is_told_for_how_long_in_a_header,
];

/// An API server under test.
pub struct Server {
    runtime: Runtime,
    client: Client,
    /// As nobody.
    nobody: Client,
    namespace: String,
}

type Events = BoxStream<'static, kube::Result<WatchEvent<Value>>>;

impl Server {
    /// The server that a kubeconfig leads to, and an existing namespace of the test's own in it.
    ///
    /// # Panics
    /// If the kubeconfig is damaged.
    #[must_use]
    pub fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(connect(kubeconfig, Identity::OfTheFile));
        let nobody = runtime.block_on(connect(kubeconfig, Identity::OfTheRequest));
        Self { runtime, client, nobody, namespace: namespace.to_owned() }
    }

    /// Sends a request; the answer, or the status of a refusal.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, u16> {
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(bytes).expect("a request of text");
        let call = async { timeout(DEADLINE, self.client.request(request)).await };
        match self.runtime.block_on(call).expect("an answer in time") {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace)
    }

    /// A Deployment at zero, labelled with its name.
    fn create(&self, name: &str) -> Value {
        let labels = json!({"app": name});
        let containers = json!([{"name": "app", "image": "dormouse.test/none:1"}]);
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": containers},
                },
            },
        });
        self.call("POST", &self.deployments(), &deployment).expect("a new name")
    }

    /// The objects of that name, and the version they were listed at.
    fn list(&self, name: &str) -> (Vec<Value>, String) {
        let path = format!("{}?labelSelector=app%3D{name}", self.deployments());
        let list = self.call("GET", &path, &Value::Null).expect("a list");
        let version = list["metadata"]["resourceVersion"].as_str().expect("lists have one");
        (list["items"].as_array().expect("and items").clone(), version.to_owned())
    }

    fn scale(&self, seen: &Value, replicas: u32) -> Result<Value, u16> {
        let metadata = &seen["metadata"];
        let name = metadata["name"].as_str().expect("objects have names");
        let path = format!("{}/{name}/scale?fieldManager=contract&timeout=1s", self.deployments());
        let precondition =
            json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        let patch = json!({"metadata": precondition, "spec": {"replicas": replicas}});
        self.call("PATCH", &path, &patch)
    }

    /// [`Server::scale`] of what is there now, as often as a controller was faster.
    fn scale_now(&self, name: &str, replicas: u32) -> (Value, Value) {
        wait::until("a patch of what was last seen", || {
            let seen = self.list(name).0.remove(0);
            match self.scale(&seen, replicas) {
                Ok(scale) => Some((seen, scale)),
                Err(409) => None,
                Err(status) => panic!("{status}"),
            }
        })
    }

    fn watch(&self, name: &str, parameters: &str) -> Result<Events, u16> {
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&labelSelector=app%3D{name}&{parameters}",
            self.deployments()
        );
        self.watch_at(&path)
    }

    fn watch_at(&self, path: &str) -> Result<Events, u16> {
        let request = Request::get(path).body(Vec::new()).expect("a request of text");
        match self.runtime.block_on(self.client.request_events::<Value>(request)) {
            Ok(events) => Ok(events.boxed()),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(error) => panic!("{error}"),
        }
    }

    fn next(&self, events: &mut Events) -> WatchEvent<Value> {
        let next = async { timeout(DEADLINE, events.try_next()).await };
        let next = self.runtime.block_on(next).expect("an event in time");
        next.expect("a whole event").expect("the stream goes on")
    }

    /// The next event that tells of so many replicas; a controller has its own to tell.
    fn next_at(&self, events: &mut Events, replicas: u32) -> Value {
        loop {
            if let WatchEvent::Modified(object) = self.next(events)
                && object["spec"]["replicas"] == replicas
            {
                return object;
            }
        }
    }
}

fn a_patch_of_what_is_seen_scales(server: &Server) {
    let created = server.create("scales");
    let (seen, scale) = server.scale_now("scales", 2);
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["metadata"]["uid"], created["metadata"]["uid"]);
    assert_ne!(scale["metadata"]["resourceVersion"], seen["metadata"]["resourceVersion"]);
    let now = server.list("scales").0.remove(0);
    assert_eq!(now["spec"]["replicas"], 2);
    let ours = ours(&now).unwrap_or_else(|| panic!("{now}"));
    assert_eq!((&ours["subresource"], &ours["operation"]), (&json!("scale"), &json!("Update")));
}

/// What of the object is ours by its managed fields.
fn ours(object: &Value) -> Option<&Value> {
    let managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    managers.into_iter().find(|manager| manager["manager"] == "contract")
}

fn a_patch_of_something_else_conflicts(server: &Server) {
    let created = server.create("conflicts");
    server.scale_now("conflicts", 1);
    assert_eq!(server.scale(&created, 0), Err(409), "an older version");
    let mut another = server.list("conflicts").0.remove(0);
    another["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    assert_eq!(server.scale(&another, 0), Err(409), "another of that name");
    another["metadata"]["name"] = json!("nobody");
    assert_eq!(server.scale(&another, 0), Err(404));
    assert_eq!(server.list("conflicts").0[0]["spec"]["replicas"], 1);
}

fn who_writes_what_is_there_does_not_own_it(server: &Server) {
    server.create("same");
    server.scale_now("same", 0);
    assert_eq!(ours(&server.list("same").0[0]), None);
}

fn who_scales_to_zero_is_not_named(server: &Server) {
    server.create("zero");
    server.scale_now("zero", 1);
    assert!(ours(&server.list("zero").0[0]).is_some());
    server.scale_now("zero", 0);
    let now = server.list("zero").0.remove(0);
    let managers = now["metadata"]["managedFields"].as_array().into_iter().flatten();
    let of_replicas = |it: &&Value| !it["fieldsV1"]["f:spec"]["f:replicas"].is_null();
    assert_eq!(managers.filter(of_replicas).count(), 0, "{now}");
}

fn a_watch_begins_with_what_is_there(server: &Server) {
    server.create("begins");
    server.create("another");
    let parameters = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut events = server.watch("begins", parameters).expect("it streams");
    let WatchEvent::Added(object) = server.next(&mut events) else { panic!("not what is there") };
    assert_eq!(object["metadata"]["name"], "begins");
    let end = loop {
        match server.next(&mut events) {
            WatchEvent::Bookmark(bookmark) => break bookmark,
            // A controller has seen it meanwhile.
            WatchEvent::Modified(object) => assert_eq!(object["metadata"]["name"], "begins"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end.metadata.annotations["k8s.io/initial-events-end"], "true");
    assert_ne!(end.metadata.resource_version, "");
    server.scale_now("another", 3);
    server.scale_now("begins", 3);
    let object = server.next_at(&mut events, 3);
    assert_eq!(object["metadata"]["name"], "begins");
}

fn a_watch_goes_on_from_where_a_list_was(server: &Server) {
    server.create("goes-on");
    let (objects, version) = server.list("goes-on");
    assert_eq!(objects.len(), 1);
    server.scale_now("goes-on", 4);
    let mut events =
        server.watch("goes-on", &format!("resourceVersion={version}")).expect("it goes on");
    assert_eq!(server.next_at(&mut events, 4)["metadata"]["name"], "goes-on");
}

fn what_is_forgotten_cannot_be_gone_on_from(server: &Server) {
    // A stream that begins well and says so at once.
    let mut events = server.watch("forgotten", "resourceVersion=1").expect("it begins");
    match server.next(&mut events) {
        WatchEvent::Error(status) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
}

fn an_event_is_created_once(server: &Server) {
    let namespace = &server.namespace;
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "name": "once.0"},
        "eventTime": "2030-01-31T12:34:56.000000Z",
        "type": "Warning",
        "reason": "Contract",
        "action": "Test",
        "reportingController": "dormouse.dev/contract",
        "reportingInstance": "contract",
        "regarding": {"kind": "Deployment", "namespace": namespace, "name": "once"},
        "note": "said once",
    });
    let created = server.call("POST", &path, &event).expect("a new name");
    assert_eq!(created["note"], "said once");
    assert_eq!(server.call("POST", &path, &event), Err(409));
}
