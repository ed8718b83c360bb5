//! What annotations and the cluster's defaults ask for, as users see it obeyed.

use dormouse_tests::manifest::{self, Function};
use dormouse_tests::up::Start;

#[test]
fn a_paused_function_is_not_woken_and_its_requests_are_answered_at_their_deadline() {
    let still = Function::fixture("still", &["mirror"])
        .annotated("dormouse.dev/paused", "true")
        .annotated("dormouse.dev/queue-timeout", "1s");
    let up = Start::new().functions(&[&still]).up();
    let answer = up.get("still", "/");
    assert_eq!(answer.status, 504, "{}", answer.text());
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["type"], "https://dormouse.dev/problems/queue-timeout");
    let explained = up.ask_json(&["explain", "still", "--json"]);
    assert_eq!(explained["status"]["message"], "paused: replicas are left as they are");
    let decisions = explained["decisions"].as_array().unwrap();
    let wake = decisions.iter().find(|kept| kept["decision"]["inputs"]["why"] == "wake").unwrap();
    assert!(wake["line"].as_str().unwrap().contains("1 → 0 by paused"), "{wake:#}");
    for kept in decisions {
        assert_eq!(kept["decision"]["outcome"], "keep", "{kept:#}");
        assert_eq!(kept["reproduced"], true);
    }
    assert_eq!(explained["status"]["pods"], serde_json::json!([]));
}

#[test]
fn defaults_from_the_config_map_hold_where_no_annotation_says_otherwise() {
    let defaults = "\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {stable-window: 8s, panic-window-percentage: \"50\", min-scale: \"1\"}
";
    let plain = Function::fixture("plain", &["mirror"]);
    let own = Function::fixture("own", &["mirror"])
        .annotated("autoscaling.knative.dev/min-scale", "0")
        .annotated("autoscaling.knative.dev/panic-window-percentage", "100");
    let text = manifest::file(&[&plain, &own]) + defaults;
    let up = Start::new().manifest(&text).up();
    up.wait("plain", "awake by min-scale", |now| now["ready"] == 1);
    let settings = |name| {
        let explained = up.ask_json(&["explain", name, "--json"]);
        let scaling = &explained["decisions"][0]["decision"]["inputs"]["scaling"];
        ["min_scale", "stable_window_s", "panic_window_s"].map(|field| scaling[field].as_u64())
    };
    // The window is annotated on every function of these tests.
    assert_eq!(settings("plain"), [1, 6, 3].map(Some));
    assert_eq!(settings("own"), [0, 6, 6].map(Some));
}
