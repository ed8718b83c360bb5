//! Pods that others end, that hang, that go with their node or never come.

use std::collections::BTreeMap;

use dormouse_tests::cluster::function::{Function, pods};
use dormouse_tests::cluster::installed::gateway;
use dormouse_tests::cluster::load::{Connections, Load, Outcome};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::{Client, together};
use dormouse_tests::wait;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::functions::ready_pods;
use crate::people::wait_event;
use crate::whole::LINGERS;

/// Two pods, whatever comes.
const TWO: [(&str, &str); 2] =
    [("autoscaling.knative.dev/min-scale", "2"), ("autoscaling.knative.dev/max-scale", "2")];

/// Requests a second, each way.
const PER_SECOND: u32 = 25;

/// A function of two ready pods under load, on kept and on fresh connections.
fn two_under_load<'a>(
    stage: &'a Stage<'a>,
    name: &str,
    annotations: &[(&str, &str)],
) -> (Function<'a>, Vec<Load>) {
    let gateway = gateway(stage);
    let annotations = [&TWO[..], annotations].concat();
    let function = Function::create(stage, name, &annotations, &["--work=5ms", LINGERS]);
    function.wait_known(gateway);
    ready_pods(stage, name, 2);
    let begin = |how| function.load(gateway, PER_SECOND, how);
    let loads: Vec<Load> = [Connections::Kept, Connections::Fresh].map(begin).into();
    pass(&loads, 1);
    (function, loads)
}

#[track_caller]
fn pass(loads: &[Load], seconds: u32) {
    loads.iter().for_each(|load| load.pass(seconds * PER_SECOND));
}

fn finish(loads: Vec<Load>) -> BTreeMap<String, Outcome> {
    loads.into_iter().flat_map(Load::finish).collect()
}

/// Waits until two pods are ready, and that one is not among them.
#[track_caller]
fn wait_replaced(stage: &Stage<'_>, name: &str, gone: &str) {
    wait::until(&format!("another pod than {gone}"), || {
        ready_pods(stage, name, 2).iter().all(|(pod, _)| pod != gone).then_some(())
    });
}

pub(crate) fn pods_deleted_and_evicted_under_load_lose_nothing(stage: &Stage<'_>) {
    let (function, loads) = two_under_load(stage, "pushed", &[]);
    let first = ready_pods(stage, "pushed", 2).remove(0).0;
    stage.kubectl(&["delete", "pod", &first, "--wait=false"]);
    pass(&loads, 1);
    wait_replaced(stage, "pushed", &first);
    // As a drained node does it, one by one; nothing forbids it.
    let second = ready_pods(stage, "pushed", 2).remove(0).0;
    let path = format!("/api/v1/namespaces/{}/pods/{second}/eviction", stage.namespace());
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": second},
    });
    stage.kubectl_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
    pass(&loads, 1);
    wait_replaced(stage, "pushed", &second);
    pass(&loads, 1);
    function.assert_none_lost(&finish(loads));
}

pub(crate) fn a_frozen_pod_fails_its_own_requests_alone_and_in_time(stage: &Stage<'_>) {
    let (function, loads) =
        two_under_load(stage, "stiff", &[("dormouse.dev/request-timeout", "3s")]);
    let uid = pods(stage, "stiff").remove(0).metadata.uid.unwrap();
    let signal = |signal| stage.cluster.node.signal_containers(&uid, signal);
    signal(Signal::SIGSTOP);
    pass(&loads, 8);
    signal(Signal::SIGCONT);
    let is_late = |outcome: &Outcome| match outcome {
        Outcome::Answered(status, text) => *status == 504 && text.contains("request-timeout"),
        Outcome::Failed(_) => false,
    };
    let outcomes = finish(loads);
    let (good, others): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|(_, outcome)| outcome.is_good());
    let foreign: Vec<_> = others.iter().filter(|(_, outcome)| !is_late(outcome)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(!others.is_empty(), "it was frozen");
    // Whoever chooses next finds the other pod less busy; but on a slow machine that is busy, too.
    assert!(good.len() > 2 * others.len(), "{} of {}", others.len(), outcomes.len());
    let again = function.load(gateway(stage), PER_SECOND, Connections::Fresh);
    again.pass(2 * PER_SECOND);
    let lost: Vec<_> = again.finish().into_values().filter(|it| !it.is_good()).collect();
    assert!(lost.is_empty(), "it goes on: {lost:?}");
}

pub(crate) fn a_node_that_dies_takes_only_what_was_under_way_there(stage: &Stage<'_>) {
    // Installed before there is another node to be put on.
    gateway(stage);
    let second = stage.cluster.second_node();
    let (function, loads) = two_under_load(stage, "spread", &[]);
    let node = |pod: &Pod| pod.spec.as_ref().unwrap().node_name.clone();
    let on_second = |pod: &&Pod| node(pod).as_deref() == Some(second.node.name());
    assert_eq!(pods(stage, "spread").iter().filter(on_second).count(), 1);
    second.node.die();
    pass(&loads, 10);
    let outcomes = finish(loads);
    let arrived = function.arrived();
    let mut broken = 0;
    for (id, outcome) in outcomes {
        let times = arrived.get(&id).copied().unwrap_or(0);
        match outcome {
            outcome if outcome.is_good() => assert_eq!(times, 1, "{id}"),
            Outcome::Answered(502, text) if text.contains("upstream-ambiguous") => broken += 1,
            outcome => panic!("{id}, which came {times} times: {outcome:?}"),
        }
    }
    // Two loads, five milliseconds a request: hardly more than one each was under way.
    assert!(broken <= 4, "{broken}");
}

/// Something that keeps a function of the test's from starting.
struct Obstacle {
    code: &'static str,
    arguments: &'static [&'static str],
    /// A change of its pods.
    pod: Value,
    /// A change of its Service.
    service: Value,
}

fn obstacles() -> [Obstacle; 7] {
    let of = |code, pod| Obstacle { code, arguments: &[], pod, service: json!({}) };
    let container = |fields: Value| {
        let mut container = json!({"name": "app"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let secret =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "a"}}}]);
    let mut volume = container(json!({"volumeMounts": [{"name": "none", "mountPath": "/none"}]}));
    volume["volumes"] = json!([{"name": "none", "secret": {"secretName": "none"}}]);
    let requests = json!({"resources": {"requests": {"cpu": "1m"}}});
    [
        of("image-pull", container(json!({"image": "dormouse.test/none:1"}))),
        of("container-config", container(json!({"env": secret}))),
        of("quota", container(requests)),
        of("pod-setup", volume),
        of("unschedulable", json!({"nodeSelector": {"nowhere": "true"}})),
        Obstacle { arguments: &["--no-such-flag"], ..of("crash-loop", json!({})) },
        Obstacle {
            // Its probe is answered, and its Service leads past it.
            service: json!({"ports": [{"port": 80, "targetPort": 9}]}),
            ..of("unreachable", json!({}))
        },
    ]
}

pub(crate) fn functions_that_cannot_start_are_refused_by_the_reason(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    // For pods that ask for a share of a processor, as one of the functions' do.
    let _: ResourceQuota = stage.create(json!({
        "metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]},
    }));
    let patch = |kind: &str, name: &str, change: &Value| {
        stage.kubectl(&["patch", kind, name, "--patch", &change.to_string()]);
    };
    let obstacles = obstacles();
    for obstacle in &obstacles {
        let Obstacle { code, arguments, pod, service } = obstacle;
        drop(Function::create(stage, code, &[], arguments));
        patch("deployment", code, &json!({"spec": {"template": {"spec": pod}}}));
        patch("service", code, &json!({"spec": service}));
    }
    together(obstacles.len(), |number| {
        let code = obstacles[number].code;
        let host = format!("{code}.{}", stage.namespace());
        wait::until(&format!("a refusal for {code}"), || {
            let answer = Client::connect(gateway).get(&host, "/").ok()?;
            assert_ne!(answer.status, 200, "{code}");
            (answer.status == 503 && answer.text().contains(code)).then_some(())
        });
    });
    for Obstacle { code, .. } in obstacles {
        wait_event(stage, &format!("requests cannot be answered ({code})"));
    }
}
