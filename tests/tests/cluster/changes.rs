//! Functions that are changed, or go, on a real cluster.

use dormouse_tests::cluster::function::{Function, pods};
use dormouse_tests::cluster::installed::gateway;
use dormouse_tests::cluster::load::Connections;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::{Client, Response, together};
use dormouse_tests::wait;

use crate::whole::LINGERS;

/// Which template each pod was made from.
fn templates(stage: &Stage<'_>, name: &str) -> Vec<String> {
    let template =
        |mut labels: std::collections::BTreeMap<_, _>| labels.remove("pod-template-hash");
    let labels = pods(stage, name).into_iter().filter_map(|pod| pod.metadata.labels);
    labels.filter_map(template).collect()
}

pub(crate) fn a_paused_deployment_wakes_by_the_template_that_holds(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    let function = Function::create(stage, "paused", &[], &[]);
    function.wait_known(gateway);
    let before = templates(stage, "paused");
    let rollout = |order: &str| stage.kubectl(&["rollout", order, "deployment/paused"]);
    rollout("pause");
    stage.kubectl(&["set", "env", "deployment/paused", "MOOD=good"]);
    function.wait_asleep();
    let ask = || Client::connect(gateway).get(&function.host(), "/").unwrap().status;
    assert_eq!(ask(), 200);
    assert_eq!(templates(stage, "paused"), before, "nothing is rolled out");
    rollout("resume");
    wait::until("the other template", || {
        assert_eq!(ask(), 200);
        let now = templates(stage, "paused");
        (now.len() == 1 && now != before).then_some(())
    });
}

pub(crate) fn a_rollout_that_hangs_leaves_the_old_pods_serving(stage: &Stage<'_>) {
    let gateway = gateway(stage);
    // However slow the machine is, nothing but the rollout makes pods.
    let one = ("autoscaling.knative.dev/max-scale", "1");
    let function = Function::create(stage, "hangs", &[one], &["--work=5ms", LINGERS]);
    function.wait_known(gateway);
    let load = function.load(gateway, 25, Connections::Fresh);
    load.pass(25);
    stage.kubectl(&["set", "image", "deployment/hangs", "app=dormouse.test/none:1"]);
    let is_stuck = || stage.kubectl(&["get", "pods"]).contains("ImagePullBackOff").then_some(());
    wait::until("the new pod to be stuck", is_stuck);
    // Longer than its window: few requests, and yet nothing is taken from the old one.
    load.pass(10 * 25);
    assert_eq!(pods(stage, "hangs").len(), 2);
    stage.kubectl(&["rollout", "undo", "deployment/hangs"]);
    stage.kubectl(&["rollout", "status", "deployment/hangs", "--timeout=60s"]);
    load.pass(25);
    function.assert_none_lost(&load.finish());
    function.wait_asleep();
}

/// Longer than a test waits: whoever is answered was not answered at the deadline.
const LONG: (&str, &str) = ("dormouse.dev/queue-timeout", "300s");

/// It gets no further.
const NEVER: &str = "--start-delay=600s";

fn is_refused(answer: &Response, codes: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, 503, "{text}");
    assert!(codes.iter().any(|code| text.contains(code)), "{text}");
}

/// What a request held for a function is answered once it is deleted.
fn told(stage: &Stage<'_>, function: &Function<'_>, delete: impl Fn() + Sync) -> Response {
    let gateway = gateway(stage);
    let answers = together(2, |number| match number {
        0 => Some(wait::until("another answer than that it is unknown", || {
            let answer = Client::connect(gateway).get(&function.host(), "/").ok()?;
            (answer.status != 404).then_some(answer)
        })),
        _ => {
            let woken = || (!pods(stage, &function.name).is_empty()).then_some(());
            wait::until("a pod of it", woken);
            delete();
            None
        }
    });
    answers.into_iter().flatten().next().unwrap()
}

pub(crate) fn who_waits_for_what_is_deleted_is_told_at_once(stage: &Stage<'_>) {
    let functions = ["alone", "whole"].map(|name| Function::create(stage, name, &[LONG], &[NEVER]));
    let [alone, whole] = &functions;
    let delete = |what: &[&str]| stage.kubectl(&[&["delete", "--wait=false"], what].concat());
    let answer = told(stage, alone, || drop(delete(&["deployment", "alone"])));
    is_refused(&answer, &["function-gone"]);
    let answer = told(stage, whole, || drop(delete(&["namespace", stage.namespace()])));
    // In which order its objects go nobody promises.
    is_refused(&answer, &["function-gone", "namespace-terminating"]);
    for function in &functions {
        wait::until("nothing to be known of it", || {
            let answer = Client::connect(gateway(stage)).get(&function.host(), "/").ok()?;
            (answer.status == 404).then_some(())
        });
    }
}
