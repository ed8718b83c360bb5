//! From the end of the autoscaler that leads to the first order of the one that leads next, which
//! is more than a wake: that any of them orders.

use std::time::Instant;

use dormouse_figures::{Figure, Goal, quantile, row};
use dormouse_tests::app::App;
use dormouse_tests::fake_api::{FakeApi, Request};
use dormouse_tests::parts::{Part, Parts};
use dormouse_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Leaders ended each way.
const ENDS: usize = 5;

const FUNCTION: &str = "hello";

pub(crate) fn run() {
    let ways = [("killed", Signal::SIGKILL, 6.0), ("asked to", Signal::SIGTERM, 1.0)];
    for (what, signal, most_s) in ways {
        let took: Vec<f64> = (0..ENDS).map(|_| to_order_s(signal)).collect();
        let worst = Figure::of(vec![quantile(took.iter().copied(), 1.0)]);
        let what = format!("the leader ends, {what} → first order of the next");
        row(&what, Figure::of(took), "s", Goal::None);
        row(&format!("the same, worst of {ENDS}"), worst, "s", Goal::AtMost(most_s));
    }
}

/// Until the order came.
fn to_order_s(signal: Signal) -> f64 {
    let (api, app) = (FakeApi::start(), App::start());
    api.put("deployments", app.deployment(FUNCTION, &[]));
    api.put("services", app.service(FUNCTION));
    let parts = Parts::several(&api, &[], 2);
    parts.wait_route("hello.default");
    api.wait("deployments", FUNCTION, "asleep again", |it| it["spec"]["replicas"] == 0);
    let leads =
        |part: &&Part| part.log().entries().iter().any(|line| line["message"] == "lead changed");
    let leader = wait::until("a leader", || parts.autoscalers().iter().find(leads));
    let before = api.requests().len();
    leader.signal(signal);
    let ended = Instant::now();
    // Nobody asks for it: this is no wake, and takes a leader.
    api.edit("deployments", FUNCTION, |it: &mut Value| {
        it["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] = json!("1");
    });
    let is_order = |it: &Request| it.method == "PATCH" && it.path.ends_with("/scale");
    let came = wait::until("an order", || {
        let mut requests = api.requests().split_off(before).into_iter();
        requests.find(is_order).map(|order| order.came)
    });
    came.duration_since(ended).as_secs_f64()
}
