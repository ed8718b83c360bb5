//! Objects that only whoever names their version may change: Leases and EndpointSlices.

use kube::core::WatchEvent;
use serde_json::{Value, json};

use super::Server;

/// Where a Lease of that name is, as it is written by that manager.
fn lease(server: &Server, name: &str, manager: &str) -> String {
    let leases = leases(server);
    format!("{leases}/{name}?fieldManager={manager}&timeout=1s")
}

fn leases(server: &Server) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", server.namespace)
}

/// Creates a Lease that nobody holds yet.
fn create_lease(server: &Server, name: &str) -> Result<Value, u16> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "annotations": {"somebodys": "own"}},
        "spec": {
            "holderIdentity": "nobody-yet", "leaseDurationSeconds": 5, "leaseTransitions": 0,
            "acquireTime": "2030-01-31T12:34:56.000000Z",
            "renewTime": "2030-01-31T12:34:56.000000Z",
        },
    });
    server.call("POST", &format!("{}?fieldManager=contract", leases(server)), &lease)
}

fn claim(server: &Server, name: &str, over: &Value, manager: &str) -> Result<Value, u16> {
    let claim = json!({
        "metadata": {"resourceVersion": over["metadata"]["resourceVersion"]},
        "spec": {
            "holderIdentity": manager, "leaseTransitions": 1,
            "renewTime": "2030-01-31T12:34:57.654321Z",
        },
    });
    server.call("PATCH", &lease(server, name, manager), &claim)
}

/// Who wrote the holder last.
fn holders_writers(lease: &Value) -> Vec<&str> {
    let entries = lease["metadata"]["managedFields"].as_array().into_iter().flatten();
    let wrote = |it: &&Value| !it["fieldsV1"]["f:spec"]["f:holderIdentity"].is_null();
    entries.filter(wrote).filter_map(|it| it["manager"].as_str()).collect()
}

pub(super) fn a_lease_is_its_holders_who_names_its_version(server: &Server) {
    let created = create_lease(server, "held").expect("a new name");
    assert_eq!(create_lease(server, "held"), Err(409), "there is one");
    assert_eq!(holders_writers(&created), ["contract"]);
    let claimed = claim(server, "held", &created, "contract").expect("its version");
    assert_eq!(claimed["spec"]["holderIdentity"], "contract");
    assert_eq!(claimed["spec"]["leaseDurationSeconds"], 5, "what is not named stays");
    assert_eq!(claimed["metadata"]["annotations"]["somebodys"], "own");
    assert_eq!(claim(server, "held", &created, "late"), Err(409), "an older version");
    let taken = claim(server, "held", &claimed, "stranger").expect("its version");
    assert_eq!(holders_writers(&taken), ["stranger"]);
    let read = server.call("GET", &lease(server, "held", "contract"), &Value::Null);
    assert_eq!(read.expect("it is there")["spec"]["holderIdentity"], "stranger");
    assert_eq!(claim(server, "never-made", &taken, "contract"), Err(404));
}

pub(super) fn a_watch_of_one_name_tells_of_that_one_only(server: &Server) {
    let watched = create_lease(server, "watched").expect("a new name");
    let other = create_lease(server, "beside").expect("a new name");
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let path = format!(
        "{}?watch=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dwatched&{initial}",
        leases(server)
    );
    let mut events = server.watch_at(&path).expect("it streams");
    let WatchEvent::Added(object) = server.next(&mut events) else { panic!("not what is there") };
    assert_eq!(object["metadata"]["name"], "watched");
    assert!(matches!(server.next(&mut events), WatchEvent::Bookmark(_)));
    claim(server, "beside", &other, "contract").expect("its version");
    claim(server, "watched", &watched, "contract").expect("its version");
    let WatchEvent::Modified(object) = server.next(&mut events) else { panic!("not the change") };
    assert_eq!(object["metadata"]["name"], "watched");
    assert_eq!(object["spec"]["holderIdentity"], "contract");
}

pub(super) fn a_slice_is_changed_and_deleted_at_its_version_only(server: &Server) {
    let slices =
        format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", server.namespace);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "led", "labels": {"app": "led"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}, {"addresses": ["10.1.2.4"]}],
        "ports": [{"name": "http", "port": 10_000, "protocol": "TCP"}],
    });
    let created = server.call("POST", &slices, &slice).expect("a new name");
    assert_eq!(server.call("POST", &slices, &slice), Err(409), "there is one");
    let path = format!("{slices}/led");
    let fewer = |over: &Value| {
        let version = &over["metadata"]["resourceVersion"];
        json!({
            "metadata": {"resourceVersion": version},
            "endpoints": [{"addresses": ["10.1.2.5"]}],
        })
    };
    let changed = server.call("PATCH", &path, &fewer(&created)).expect("its version");
    let addresses = changed["endpoints"].as_array().expect("it has some");
    assert_eq!(addresses.len(), 1, "a list is replaced as a whole");
    assert_eq!(changed["ports"][0]["port"], 10_000);
    assert_eq!(server.call("PATCH", &path, &fewer(&created)), Err(409), "an older version");
    let delete = |over: &Value| {
        let version = &over["metadata"]["resourceVersion"];
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": version},
        });
        server.call("DELETE", &path, &options)
    };
    assert_eq!(delete(&created), Err(409), "an older version");
    let found = |selector: &str| {
        let path = format!("{slices}?labelSelector={selector}");
        let list = server.call("GET", &path, &Value::Null).expect("a list");
        list["items"].as_array().expect("of items").len()
    };
    assert_eq!((found("app%3Dled"), found("app%3Dother")), (1, 0));
    delete(&changed).expect("its version");
    assert_eq!(delete(&changed), Err(404));
    assert_eq!(found("app%3Dled"), 0);
}
