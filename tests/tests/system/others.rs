//! Others who write the same workloads, and workloads that belong to others.

use dormouse_tests::app::App;
use dormouse_tests::fake_api::{FakeApi, Fault, Trouble};
use dormouse_tests::parts::Parts;
use dormouse_tests::wait;
use serde_json::Value;

const HOST: &str = "hello.default";

#[test]
fn a_persons_zero_is_answered_503_until_it_is_raised() {
    let (api, app) = (FakeApi::start(), App::start());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    let parts = Parts::start(&api);
    assert_eq!(parts.wait_route(HOST).status, 200);
    let is_zero = |it: &Value| it["spec"]["replicas"] == 0;
    // It lowered: from now on it knows its own zeros from others'.
    api.wait("deployments", "hello", "at zero", is_zero);
    assert_eq!(parts.get(HOST, "/").status, 200);
    api.scale("hello", 0);
    let refused = wait::until("a refusal", || {
        Some(parts.get(HOST, "/")).filter(|answer| answer.status == 503)
    });
    assert!(refused.text().contains("scaled-to-zero"), "{}", refused.text());
    assert_eq!(
        refused.header("retry-after").map(|it| it.parse::<u32>().unwrap() >= 60),
        Some(true)
    );
    api.wait_event("hello", "set to 0 replicas by somebody else");
    assert!(api.get("deployments", "hello").is_some_and(|it| is_zero(&it)));
    api.scale("hello", 1);
    wait::until("an answer", || (parts.get(HOST, "/").status == 200).then_some(()));
    // Left alone it goes to sleep, by our hand: the next request wakes it.
    api.wait("deployments", "hello", "at zero", is_zero);
    assert_eq!(parts.get(HOST, "/again").status, 200);
}

#[test]
fn a_kind_that_is_not_installed_keeps_nothing_waiting() {
    let (api, app) = (FakeApi::start(), App::start());
    let fault = Fault::Refused(404, 0);
    api.trouble(Trouble { method: "GET", path: "/scaledobjects", fault, times: usize::MAX });
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    let parts = Parts::start(&api);
    assert_eq!(parts.wait_route(HOST).status, 200);
}
