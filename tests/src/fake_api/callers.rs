//! Who calls the fake API server. Everybody may do everything, without saying who it is, but for
//! who shows a token that nobody was given, and who asks in another's name.

use hyper::Response;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::answer::{Body, refuse, respond};
use super::state::{Request, Shared};

/// How such a one is refused. In another's name nobody has any rights; one whom a FlowSchema names
/// is throttled before that is looked at.
pub(super) fn refuse_stranger(shared: &Shared, headers: &HeaderMap) -> Option<Response<Body>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(user) = text("impersonate-user") {
        let flows = shared.look(|state| state.all("flowschemas"));
        let rules = flows.iter().filter_map(|flow| flow["spec"]["rules"].as_array()).flatten();
        let mut subjects = rules.filter_map(|rule| rule["subjects"].as_array()).flatten();
        return Some(match subjects.any(|subject| subject["user"]["name"] == user) {
            true => refuse(429, "Too many requests, please try again later.", 1),
            false => refuse(403, &format!("{user} may not"), 0),
        });
    }
    let token = text(AUTHORIZATION.as_str())?.strip_prefix("Bearer ")?;
    let tokens = shared.look(|state| state.all("tokens"));
    let is_known = tokens.iter().any(|it| it["token"] == token);
    (!is_known).then(|| refuse(401, "Unauthorized", 0))
}

/// Who a token was given to, and for whom, is an object of the test's own, a `token`.
pub(super) fn review(shared: &Shared, review: &Value) -> Response<Body> {
    let spec = &review["spec"];
    let tokens = shared.look(|state| state.all("tokens"));
    let is = |it: &&Value| {
        it["token"] == spec["token"]
            && (it["audiences"].is_null() || it["audiences"] == spec["audiences"])
    };
    let status = match tokens.iter().find(is) {
        None => json!({"authenticated": false, "error": "unknown"}),
        Some(token) => json!({
            "authenticated": true, "audiences": spec["audiences"], "user": token["user"],
        }),
    };
    respond(201, &json!({"kind": "TokenReview", "status": status}))
}

/// The answer, if a token is asked for: a service account's, bound to a pod.
pub(super) fn give(shared: &Shared, request: &Request) -> Option<Response<Body>> {
    let account = request.path.strip_prefix("/api/v1/namespaces/")?.strip_suffix("/token")?;
    let (namespace, account) = account.split_once("/serviceaccounts/")?;
    let spec = &request.body["spec"];
    let pod = &spec["boundObjectRef"]["name"];
    let token = format!("token-of-{account}");
    let user = json!({
        "username": format!("system:serviceaccount:{namespace}:{account}"),
        "extra": {"authentication.kubernetes.io/pod-name": [pod]},
    });
    let given = json!({
        "metadata": {"name": token}, "token": token, "audiences": spec["audiences"], "user": user,
    });
    shared.change(|state| state.put("tokens", given));
    Some(respond(201, &json!({"kind": "TokenRequest", "status": {"token": token}})))
}
