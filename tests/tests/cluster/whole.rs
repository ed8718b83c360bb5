//! What users see of Dormouse in a cluster.

use std::collections::BTreeMap;

use dormouse_tests::cluster::function::{Function, pods};
use dormouse_tests::cluster::image::DORMOUSE;
use dormouse_tests::cluster::installed::gateway;
use dormouse_tests::cluster::load::{Connections, Load, Outcome};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::{Client, together};
use dormouse_tests::wait;
use serde_json::json;

pub(crate) fn a_request_at_zero_wakes_a_pod(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function = Function::create(stage, "one", &[], &[]);
    function.wait_known(gateway);
    function.wait_asleep();
    let answer = Client::connect(gateway).get(&function.host(), "/").unwrap();
    assert_eq!(answer.status, 200);
    let woken = pods(stage, "one");
    assert_eq!(woken.len(), 1);
    let name = woken[0].metadata.name.as_deref().unwrap();
    assert!(answer.text().contains(name), "{}", answer.text());
    function.wait_asleep();
}

/// Whether a Deployment's only pod is ready as the kubelet sees it.
fn is_ready(stage: &Stage<'_>, name: &str) -> bool {
    let pods = pods(stage, name);
    let conditions = pods[0].status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
}

pub(crate) fn a_pod_of_two_containers_is_used_once_the_kubelet_calls_it_ready(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function =
        Function::create(stage, "paired", &[("autoscaling.knative.dev/window", "20s")], &[]);
    // What requests go to listens at once; what stands beside it takes its time.
    let probe = json!({"tcpSocket": {"port": 8081}, "periodSeconds": 1});
    let beside = json!({
        "name": "beside", "image": DORMOUSE, "args": ["demo", "--port=8081", "--start-delay=4s"],
        "readinessProbe": probe,
    });
    let patch = json!({"spec": {"template": {"spec": {"containers": [beside]}}}});
    let patch = patch.to_string();
    stage.kubectl(&["patch", "deployment", "paired", "--patch", &patch]);
    let answer = wait::until("to be known", || {
        let answer = Client::connect(gateway).get(&function.host(), "/").unwrap();
        (answer.status != 404).then_some(answer)
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(is_ready(stage, "paired"));
}

pub(crate) fn twenty_functions_come_and_go_ten_times(stage: &Stage<'_>) {
    const FUNCTIONS: usize = 20;
    const ROUNDS: usize = 10;
    let gateway = gateway(stage);
    let functions: Vec<Function<'_>> = (0..FUNCTIONS)
        .map(|number| Function::create(stage, &format!("f{number}"), &[], &[]))
        .collect();
    together(FUNCTIONS, |number| functions[number].wait_known(gateway));
    let mut outcomes = vec![BTreeMap::new(); FUNCTIONS];
    for round in 0..ROUNDS {
        wait::until("every function to sleep", || stage.pods("app").is_empty().then_some(()));
        let answers = together(FUNCTIONS, |number| {
            let path = format!("/id/round{round}");
            let answer = Client::connect(gateway).get(&functions[number].host(), &path);
            answer.map_or_else(
                |error| Outcome::Failed(error.to_string()),
                |answer| Outcome::Answered(answer.status, answer.text()),
            )
        });
        for (outcomes, outcome) in outcomes.iter_mut().zip(answers) {
            outcomes.insert(format!("round{round}"), outcome);
        }
    }
    for (function, outcomes) in functions.iter().zip(&outcomes) {
        function.assert_none_lost(outcomes);
    }
}

/// How an app ends that loses nothing: asked to end it answers on, for as long as routers need to
/// look elsewhere. Which pods of a Deployment go nobody says before, and their end is news to
/// routers and to the app at the same moment.
pub(crate) const LINGERS: &str = "--linger=3s";

pub(crate) fn a_burst_scales_out_and_in_under_load(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    // Two requests a pod: eight at once, as Little's law has it, want four or more.
    let annotations =
        [("autoscaling.knative.dev/target", "2"), ("autoscaling.knative.dev/max-scale", "6")];
    let function = Function::create(stage, "bursty", &annotations, &["--work=200ms", LINGERS]);
    function.wait_known(gateway);
    let count = || pods(stage, "bursty").len();
    let burst = function.load(gateway, 40, Connections::Kept);
    wait::until("four pods", || (count() >= 4).then_some(()));
    let mut outcomes = burst.finish();
    let rest = [Connections::Kept, Connections::Fresh].map(|how| function.load(gateway, 2, how));
    wait::until("one pod", || (count() == 1).then_some(()));
    outcomes.extend(rest.into_iter().flat_map(Load::finish));
    function.wait_asleep();
    function.assert_none_lost(&outcomes);
}

pub(crate) fn a_rolling_update_under_load_loses_nothing(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let annotations =
        [("autoscaling.knative.dev/min-scale", "2"), ("autoscaling.knative.dev/max-scale", "3")];
    let function = Function::create(stage, "rolling", &annotations, &["--work=5ms", LINGERS]);
    function.wait_known(gateway);
    wait::until("two pods", || (pods(stage, "rolling").len() >= 2).then_some(()));
    let loads = [Connections::Kept, Connections::Fresh].map(|how| function.load(gateway, 25, how));
    loads[0].pass(50);
    for order in ["restart", "restart", "undo"] {
        stage.kubectl(&["rollout", order, "deployment/rolling"]);
        stage.kubectl(&["rollout", "status", "deployment/rolling", "--timeout=60s"]);
    }
    loads[0].pass(50);
    let outcomes = loads.into_iter().flat_map(Load::finish).collect();
    function.assert_none_lost(&outcomes);
}
