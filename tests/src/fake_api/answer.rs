//! What the fake API server answers.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::state::{self, Change, Fault, Request, Shared, State};
use super::{callers, people};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The object that a path names, or the collection.
struct Place {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
    is_scale: bool,
}

/// A watch under way.
struct Watching {
    shared: Shared,
    place: Place,
    selector: String,
    version: u64,
    era: u64,
    lines: VecDeque<Value>,
}

pub(super) async fn answer(shared: &Shared, request: hyper::Request<Incoming>) -> Response<Body> {
    if let Some(refused) = callers::refuse_stranger(shared, request.headers()) {
        return refused;
    }
    let request = read(request).await;
    let (latency, fault) = shared.change(|state| {
        state.requests.push(request.clone());
        (state.latency, meets(state, &request))
    });
    tokio::time::sleep(latency).await;
    match fault {
        Some(Fault::Unanswered) => return pending().await,
        Some(Fault::Refused(code, pause_s)) => return refuse(code, "told to", pause_s),
        Some(Fault::CarriedOutUnanswered) => {
            drop(carry_out(shared, &request));
            return pending().await;
        }
        None => {}
    }
    match people::answer(shared, &request).await {
        Some(response) => response,
        None => carry_out(shared, &request),
    }
}

async fn read(request: hyper::Request<Incoming>) -> Request {
    let came = Instant::now();
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        came,
    }
}

/// What the request runs into, if anything.
fn meets(state: &mut State, request: &Request) -> Option<Fault> {
    let trouble = state.troubles.iter_mut().find(|trouble| {
        let is = request.method == trouble.method && request.path.ends_with(trouble.path);
        is && trouble.times > 0
    })?;
    trouble.times -= 1;
    Some(trouble.fault)
}

fn carry_out(shared: &Shared, request: &Request) -> Response<Body> {
    if let Some(given) = callers::give(shared, request) {
        return given;
    }
    let Some(place) = place(&request.path) else {
        return refuse(404, "no such path", 0);
    };
    match (request.method.as_str(), &place.name) {
        ("GET", None) if request.is_watch() => watch(shared, place, &request.query),
        ("GET", None) => list(shared, &place, &request.query),
        ("GET", Some(_)) if !place.is_scale => get(shared, &place),
        ("PATCH", Some(_)) if place.is_scale => scale(shared, &place, request),
        ("PATCH", Some(_)) => patch(shared, &place, request),
        ("DELETE", Some(_)) => delete(shared, &place, &request.body),
        ("POST", None) if place.resource == "tokenreviews" => {
            callers::review(shared, &request.body)
        }
        ("POST", None) => create(shared, &place, request),
        _ => refuse(405, "the fake does not do this", 0),
    }
}

/// `/api/v1/…` or `/apis/GROUP/VERSION/…`, then `[namespaces/NAMESPACE/]RESOURCE[/NAME[/scale]]`.
fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let rest = match parts[..] {
        ["api", "v1", ..] => &parts[2..],
        ["apis", _, _, ..] => &parts[3..],
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (resource, name, is_scale) = match rest {
        [resource] => (resource, None, false),
        [resource, name] => (resource, Some((*name).to_owned()), false),
        [resource, name, "scale"] => (resource, Some((*name).to_owned()), true),
        _ => return None,
    };
    Some(Place { resource: (*resource).to_owned(), namespace, name, is_scale })
}

impl Place {
    /// Namespace and name. What is in none is kept in the default one.
    fn key(&self) -> (&str, &str) {
        let (namespace, name) = (self.namespace.as_deref(), self.name.as_deref());
        (namespace.unwrap_or("default"), name.unwrap_or_default())
    }

    fn holds(&self, selector: &str, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let is_here = (self.namespace.as_ref())
            .is_none_or(|namespace| metadata["namespace"] == namespace.as_str());
        let is_named = (self.name.as_ref()).is_none_or(|name| metadata["name"] == name.as_str());
        let labels = selector.split(',').filter_map(|part| part.split_once('='));
        let mut labels = labels.map(|(key, value)| metadata["labels"][key] == value);
        is_here && is_named && labels.all(|is| is)
    }
}

fn get(shared: &Shared, place: &Place) -> Response<Body> {
    let (namespace, name) = place.key();
    shared.look(|state| match state.get(&place.resource, namespace, name) {
        Some(object) => respond(200, &object),
        None => refuse(404, "not found", 0),
    })
}

fn list(shared: &Shared, place: &Place, query: &BTreeMap<String, String>) -> Response<Body> {
    let selector = query.get("labelSelector").cloned().unwrap_or_default();
    shared.look(|state| {
        let items = state.all(&place.resource);
        let items: Vec<_> = items.into_iter().filter(|it| place.holds(&selector, it)).collect();
        let metadata = json!({"resourceVersion": state.version().to_string()});
        respond(200, &json!({"kind": "List", "metadata": metadata, "items": items}))
    })
}

fn watch(shared: &Shared, mut place: Place, query: &BTreeMap<String, String>) -> Response<Body> {
    let fields = query.get("fieldSelector");
    place.name = fields.and_then(|it| it.strip_prefix("metadata.name=")).map(str::to_owned);
    let selector = query.get("labelSelector").cloned().unwrap_or_default();
    let is_initial = query.get("sendInitialEvents").is_some_and(|value| value == "true");
    let from = query.get("resourceVersion").and_then(|version| version.parse().ok());
    let watching = shared.look(|state| {
        if is_initial && !state.streams_lists {
            return Err((422, "sendInitialEvents is forbidden"));
        }
        let mut lines = VecDeque::new();
        if is_initial {
            let items = state.all(&place.resource);
            let items = items.into_iter().filter(|item| place.holds(&selector, item));
            lines.extend(items.map(|item| json!({"type": "ADDED", "object": item})));
            lines.push_back(bookmark(state.version()));
        }
        let version = from.unwrap_or_else(|| state.version());
        if state.is_forgotten(version) {
            // As the real one has it: the stream begins well.
            lines.push_back(json!({"type": "ERROR", "object": status(410, "too old")}));
        }
        let era = state.era;
        Ok(Watching { shared: shared.clone(), place, selector, version, era, lines })
    });
    let watching = match watching {
        Ok(watching) => watching,
        Err((code, message)) => return refuse(code, message, 0),
    };
    let body = StreamBody::new(stream::unfold(watching, Watching::next));
    Response::new(BodyExt::boxed_unsync(body))
}

fn bookmark(version: u64) -> Value {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Any",
        "metadata": {"resourceVersion": version.to_string(), "annotations": annotations}}})
}

impl Watching {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        let mut changes = self.shared.changes();
        loop {
            if let Some(line) = self.lines.pop_front() {
                let bytes = Bytes::from(format!("{line}\n"));
                return Some((Ok(Frame::data(bytes)), self));
            }
            changes.borrow_and_update();
            let (place, selector) = (&self.place, &self.selector);
            let (news, version, era) = self.shared.look(|state| {
                let of_it = |change: &&Change| {
                    change.resource == place.resource && place.holds(selector, &change.object)
                };
                let news = state.since(self.version).iter().filter(of_it);
                let line = |it: &Change| json!({"type": it.kind, "object": it.object});
                (news.map(line).collect::<Vec<_>>(), state.version(), state.era)
            });
            if era != self.era {
                return None;
            }
            self.lines.extend(news);
            self.version = self.version.max(version);
            if self.lines.is_empty() {
                changes.changed().await.ok()?;
            }
        }
    }
}

/// Does something with an object that is there and has the uid and the version wanted, if any.
fn with_object(
    shared: &Shared,
    place: &Place,
    wanted: &Value,
    act: impl FnOnce(&mut State, Value) -> Response<Body>,
) -> Response<Body> {
    let (namespace, name) = place.key();
    shared.change(|state| {
        let Some(object) = state.get(&place.resource, namespace, name) else {
            return refuse(404, "not found", 0);
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &wanted[field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return refuse(409, &format!("{field} is not {wanted}"), 0);
            }
        }
        act(state, object)
    })
}

/// A merge patch of a whole object.
fn patch(shared: &Shared, place: &Place, request: &Request) -> Response<Body> {
    with_object(shared, place, &request.body["metadata"], |state, mut object| {
        let before = object.clone();
        merge(&mut object, &request.body);
        if object == before {
            return respond(200, &object);
        }
        note_holder(&mut object, &before, request);
        respond(200, &state.put(&place.resource, object))
    })
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(key))),
            value => merge(&mut target[key], value),
        }
    }
}

fn delete(shared: &Shared, place: &Place, options: &Value) -> Response<Body> {
    with_object(shared, place, &options["preconditions"], |state, object| {
        let (namespace, name) = place.key();
        state.delete(&place.resource, namespace, name);
        respond(200, &object)
    })
}

fn scale(shared: &Shared, place: &Place, request: &Request) -> Response<Body> {
    let (namespace, name) = place.key();
    with_object(shared, place, &request.body["metadata"], |state, mut object| {
        let replicas = &request.body["spec"]["replicas"];
        // Who writes what is there already does not own it for that.
        if object["spec"]["replicas"] != *replicas {
            object["spec"]["replicas"] = replicas.clone();
            let manager = request.query.get("fieldManager").cloned().unwrap_or_default();
            state::written(&mut object, &manager);
        }
        state.put(&place.resource, object.clone());
        // As of after its pods were given: the next order is decided on what is answered here.
        object = state.get(&place.resource, namespace, name).unwrap_or(object);
        let metadata = &object["metadata"];
        respond(
            200,
            &json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {
                    "namespace": namespace, "name": name, "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "spec": {"replicas": replicas},
            }),
        )
    })
}

fn create(shared: &Shared, place: &Place, request: &Request) -> Response<Body> {
    let mut object = request.body.clone();
    let (namespace, _) = place.key();
    object["metadata"]["namespace"] = json!(namespace);
    let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
    shared.change(|state| match state.get(&place.resource, namespace, name) {
        Some(_) => refuse(409, "already exists", 0),
        None => {
            note_holder(&mut object, &Value::Null, request);
            respond(201, &state.put(&place.resource, object))
        }
    })
}

/// Whoever changes the holder of a Lease is named for it.
fn note_holder(object: &mut Value, before: &Value, request: &Request) {
    let holder = &object["spec"]["holderIdentity"];
    if !holder.is_null() && *holder != before["spec"]["holderIdentity"] {
        let manager = request.query.get("fieldManager").map_or("unknown", String::as_str);
        object["metadata"]["managedFields"] = json!([{
            "manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:holderIdentity": {}}},
        }]);
    }
}

/// With a pause it is as a server that throttles says it: in a header, beside a plain text.
pub(super) fn refuse(code: u16, message: &str, pause_s: u32) -> Response<Body> {
    if pause_s == 0 {
        return respond(code, &status(code, message));
    }
    let mut response = Response::new(Full::from(message.to_owned()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert("retry-after", pause_s.into());
    response
}

fn status(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": message, "reason": reason(code),
    })
}

fn reason(code: u16) -> &'static str {
    match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    }
}

pub(super) fn respond(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response
}
