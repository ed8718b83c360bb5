//! Who calls: whose a token is, and how those are refused who are not known, may not, or come too
//! often.

use futures_util::future::join_all;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Server;
use crate::wait::{self, DEADLINE};

/// In whose name an administrator asks.
const IMPERSONATE: &str = "impersonate-user";

/// So many requests at once overlap, however fast each of them is refused.
const AT_ONCE: usize = 32;

/// An answer as it came.
struct Answer {
    status: u16,
    headers: HeaderMap,
    /// Null if it is no JSON.
    body: Value,
}

/// Asks for Deployments, with that header.
fn ask(server: &Server, client: &Client, header: (&str, &str)) -> Answer {
    server.runtime.block_on(exchange(server, client, header))
}

async fn exchange(server: &Server, client: &Client, header: (&str, &str)) -> Answer {
    let request = Request::get(server.deployments()).header(header.0, header.1);
    let request = request.body(kube::client::Body::empty()).expect("a request of text");
    let answer = timeout(DEADLINE, client.send(request)).await.expect("an answer in time");
    let (head, body) = answer.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole one").to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

pub(super) fn a_token_is_reviewed_for_its_audience_and_names_its_pod(server: &Server) {
    let namespace = &server.namespace;
    let within = format!("/api/v1/namespaces/{namespace}");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "activator"},
    });
    server.call("POST", &format!("{within}/serviceaccounts"), &account).expect("a new name");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
        "spec": {
            "serviceAccountName": "activator",
            "containers": [{"name": "app", "image": "dormouse.test/none:1"}],
        },
    });
    let pod = server.call("POST", &format!("{within}/pods"), &pod).expect("a new name");
    let asked = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": ["dormouse"], "expirationSeconds": 3600,
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": "one", "uid": pod["metadata"]["uid"],
            },
        },
    });
    let given = server.call("POST", &format!("{within}/serviceaccounts/activator/token"), &asked);
    let given = given.expect("a token");
    let token = given["status"]["token"].as_str().expect("of text");
    let review = |token: &str, audience: &str| {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
        server.call("POST", reviews, &review).expect("a review")["status"].take()
    };
    let good = review(token, "dormouse");
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &json!(["dormouse"])));
    let user = format!("system:serviceaccount:{namespace}:activator");
    assert_eq!(good["user"]["username"], user);
    let pods = &good["user"]["extra"]["authentication.kubernetes.io/pod-name"];
    assert_eq!(*pods, json!(["one"]));
    for (token, audience) in [(token, "another"), ("garbage", "dormouse")] {
        let bad = review(token, audience);
        assert_ne!(bad["authenticated"], true, "{bad}");
    }
    server.call("DELETE", &format!("{within}/pods/one"), &Value::Null).expect("it is there");
}

pub(super) fn who_is_not_known_is_refused_with_401(server: &Server) {
    let answer = ask(server, &server.nobody, (AUTHORIZATION.as_str(), "Bearer garbage"));
    assert_eq!((answer.status, &answer.body["kind"]), (401, &json!("Status")));
    assert_eq!(
        (&answer.body["code"], &answer.body["reason"]),
        (&json!(401), &json!("Unauthorized"))
    );
}

pub(super) fn who_may_not_is_refused_with_403(server: &Server) {
    let answer = ask(server, &server.client, (IMPERSONATE, "without-rights"));
    assert_eq!((answer.status, &answer.body["kind"]), (403, &json!("Status")));
    assert_eq!((&answer.body["code"], &answer.body["reason"]), (&json!(403), &json!("Forbidden")));
}

pub(super) fn who_is_throttled_is_told_for_how_long_in_a_header(server: &Server) {
    let group = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let name = format!("jail-{}", server.namespace);
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    let flow = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": name},
            "matchingPrecedence": 2,
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "hasty"}}],
                "resourceRules": [{
                    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                }],
            }],
        },
    });
    let [levels, flows] = ["prioritylevelconfigurations", "flowschemas"];
    server.call("POST", &format!("{group}/{levels}"), &level).expect("a new name");
    server.call("POST", &format!("{group}/{flows}"), &flow).expect("a new name");
    // It is heeded a moment later; before, and for one at a time, such a one merely may not.
    let answer = wait::until("requests to be throttled", || {
        let one = || exchange(server, &server.client, (IMPERSONATE, "hasty"));
        let answers = server.runtime.block_on(join_all((0..AT_ONCE).map(|_| one())));
        answers.into_iter().find(|answer| answer.status != 403)
    });
    assert_eq!(answer.status, 429);
    let pause = answer.headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    assert!(pause.is_some_and(|it| it.parse::<u32>().is_ok_and(|pause| pause > 0)), "{pause:?}");
    assert_eq!(answer.body, Value::Null, "plain text");
    for resource in [flows, levels] {
        server.call("DELETE", &format!("{group}/{resource}/{name}"), &Value::Null).expect("it is");
    }
}
