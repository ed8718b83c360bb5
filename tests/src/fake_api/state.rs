//! What the fake API server holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

/// Changes that can still be told to those who ask from an older version.
const LOG_MAX: usize = 100_000;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The body; null if there is none.
    pub body: Value,
    /// When its head had come.
    pub came: Instant,
}

impl Request {
    /// Whether it is a watch.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.query.contains_key("watch")
    }
}

/// What some requests run into.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Their method.
    pub method: &'static str,
    /// What their path ends with.
    pub path: &'static str,
    /// What happens to them.
    pub fault: Fault,
    /// How often; then it is over.
    pub times: usize,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status, and with a pause in seconds if that is not 0.
    Refused(u16, u32),
    /// It is never answered.
    Unanswered,
    /// It is carried out, and never answered.
    CarriedOutUnanswered,
}

/// A change, as a watch tells it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: String,
    pub(super) kind: &'static str,
    pub(super) object: Value,
}

/// The state, shared by the test and the server.
#[derive(Clone, Default)]
pub(super) struct Shared {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

pub(super) struct State {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    log: Vec<Change>,
    /// Versions before this one are forgotten.
    floor: u64,
    /// Watches of an earlier era are over.
    pub(super) era: u64,
    pub(super) requests: Vec<Request>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) streams_lists: bool,
    pub(super) latency: Duration,
    /// Where the proxy leads.
    pub(super) proxied: Option<SocketAddr>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: 1,
            objects: BTreeMap::new(),
            log: Vec::new(),
            floor: 0,
            era: 0,
            requests: Vec::new(),
            troubles: Vec::new(),
            streams_lists: true,
            latency: Duration::ZERO,
            proxied: None,
        }
    }
}

impl Shared {
    pub(super) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        result
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl State {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn is_forgotten(&self, version: u64) -> bool {
        version < self.floor
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.objects.get(&key(resource, namespace, name)).cloned()
    }

    pub(super) fn all(&self, resource: &str) -> Vec<Value> {
        let all = self.objects.iter().filter(|((of, ..), _)| of == resource);
        all.map(|(_, object)| object.clone()).collect()
    }

    /// The changes after a version.
    pub(super) fn since(&self, version: u64) -> &[Change] {
        &self.log[self.log.partition_point(|change| change.version <= version)..]
    }

    pub(super) fn put(&mut self, resource: &str, mut object: Value) -> Value {
        self.version += 1;
        let metadata = &mut object["metadata"];
        if metadata["namespace"].is_null() {
            metadata["namespace"] = json!("default");
        }
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let key = key(resource, &text(&metadata["namespace"]), &text(&metadata["name"]));
        let before = self.objects.get(&key);
        let uid = before.map_or_else(
            || json!(format!("uid-{}", self.version)),
            |before| before["metadata"]["uid"].clone(),
        );
        metadata["uid"] = uid;
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.objects.insert(key, object.clone());
        self.record(resource, kind, object.clone());
        if matches!(resource, "deployments" | "statefulsets") {
            self.give_pods(resource, &object);
        }
        object
    }

    pub(super) fn delete(&mut self, resource: &str, namespace: &str, name: &str) {
        if let Some(mut object) = self.objects.remove(&key(resource, namespace, name)) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            let uid = object["metadata"]["uid"].clone();
            self.record(resource, "DELETED", object);
            self.collect_garbage(&uid);
        }
    }

    /// What is owned by an object goes with it.
    fn collect_garbage(&mut self, owner: &Value) {
        let is_owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|it| it["uid"] == *owner))
        };
        let owned = self.objects.iter().filter(|(_, object)| is_owned(object));
        let owned: Vec<_> = owned.map(|(key, _)| key.clone()).collect();
        for (resource, namespace, name) in owned {
            self.delete(&resource, &namespace, &name);
        }
    }

    pub(super) fn cut(&mut self, is_forgotten: bool) {
        self.era += 1;
        if is_forgotten {
            self.version += 1;
            self.floor = self.version;
            self.log.clear();
        }
    }

    fn record(&mut self, resource: &str, kind: &'static str, object: Value) {
        let resource = resource.to_owned();
        self.log.push(Change { version: self.version, resource, kind, object });
        assert!(self.log.len() <= LOG_MAX, "a test of this size needs a log that forgets");
    }

    /// Each replica is a pod at once: at the address that its template is annotated with, and ready
    /// unless that says for what reason its container is waiting, or why no node takes it.
    fn give_pods(&mut self, resource: &str, workload: &Value) {
        let (spec, metadata) = (&workload["spec"], &workload["metadata"]);
        let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let template = &spec["template"]["metadata"];
        let Some(address) = template["annotations"]["test/address"].as_str() else {
            return;
        };
        let replicas = spec["replicas"].as_u64().unwrap_or(1);
        let exist = self.objects.keys().filter(|(of, its, pod)| {
            let ordinal = pod.strip_prefix(&name).and_then(|rest| rest.strip_prefix('-'));
            of == "pods" && *its == namespace && ordinal.is_some()
        });
        let exist: Vec<String> = exist.map(|(_, _, pod)| pod.clone()).collect();
        for number in exist.len() as u64..replicas {
            let waiting = &template["annotations"]["test/waiting"];
            let unschedulable = &template["annotations"]["test/unschedulable"];
            let conditions = match (waiting.is_null(), unschedulable) {
                (is_fine, Value::Null) => {
                    let ready = if is_fine { "True" } else { "False" };
                    json!([{"type": "Ready", "status": ready}])
                }
                (_, why) => json!([{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": why}]),
            };
            let statuses = match waiting.is_null() {
                true => json!([]),
                false => json!([{"name": "app", "state": {"waiting": {"reason": waiting}}}]),
            };
            let pod = json!({
                "metadata": {
                    "namespace": namespace, "name": format!("{name}-{}-{number}", self.version),
                    "labels": template["labels"],
                },
                "status": {
                    "phase": "Running", "podIP": address,
                    "conditions": conditions,
                    "containerStatuses": statuses,
                },
            });
            self.put("pods", pod);
        }
        for pod in exist.iter().skip(usize::try_from(replicas).unwrap_or(usize::MAX)) {
            self.delete("pods", &namespace, pod);
        }
        let mut workload = workload.clone();
        if workload["status"]["replicas"].as_u64() != Some(replicas) {
            workload["status"]["replicas"] = json!(replicas);
            workload["status"]["updatedReplicas"] = json!(replicas);
            self.put(resource, workload);
        }
    }
}

/// Notes in `managedFields` who wrote `spec.replicas` last, by `/scale`: that has no field for a 0,
/// so that nobody has written it.
pub(super) fn written(object: &mut Value, manager: &str) {
    object["metadata"]["managedFields"] = match object["spec"]["replicas"].as_u64() {
        Some(0) => json!([]),
        _ => json!([{
            "manager": manager, "operation": "Update", "subresource": "scale",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }]),
    };
}

fn key(resource: &str, namespace: &str, name: &str) -> (String, String, String) {
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}
