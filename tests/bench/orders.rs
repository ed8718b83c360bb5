//! From requests at zero to their orders at an API server, and to their answers, with 1 000 cold
//! functions: one request alone, and a hundred together at a server that takes its time.

use std::time::{Duration, Instant};

use dormouse_figures::{Figure, Goal, quantile, row};
use dormouse_tests::app::App;
use dormouse_tests::fake_api::{FakeApi, Request};
use dormouse_tests::http::together;
use dormouse_tests::parts::Parts;

use crate::wake::{self, Way};

/// Functions that are there, asleep.
const FUNCTIONS: usize = 1_000;

/// Functions woken one after the other; each is one sample.
const ALONE: usize = 40;

/// Functions woken together.
const TOGETHER: usize = 100;

/// What the API server takes for each call when many are woken.
const LATENCY: Duration = Duration::from_millis(5);

/// What our own part is to take at most, in µs and in ms.
const ABOVE_FLOOR_US: f64 = 1_000.0;
const TOGETHER_MS: f64 = 100.0;

pub(crate) fn run() {
    let (api, app) = (FakeApi::start(), App::start());
    for number in 0..FUNCTIONS {
        api.put("deployments", app.deployment(&name(number), &[]));
        api.put("services", app.service(&name(number)));
    }
    let parts = Parts::start(&api);
    // The last of the table; it is not woken again.
    parts.wait_route(&host(FUNCTIONS - 1));
    wake_alone(&api, &parts);
    wake_together(&api, &parts);
}

fn wake_alone(api: &FakeApi, parts: &Parts) {
    let before = api.requests().len();
    let alone: Vec<f64> = (0..ALONE).map(|number| to_order_us(api, parts, number)).collect();
    let asked = api.requests().split_off(before);
    let floor = wake::floor(Way::ToTheApiServer);
    let above = alone.iter().map(|took| took - floor.median).collect();
    let what = format!("request at zero → PATCH, {FUNCTIONS} functions asleep");
    row(&what, Figure::of(alone), "µs", Goal::None);
    row("the same way, empty", floor, "µs", Goal::None);
    row("ours: what is above that", Figure::of(above), "µs", Goal::AtMost(ABOVE_FLOOR_US));
    let a_wake = |is: fn(&Request) -> bool| {
        let count = asked.iter().filter(|it| is(it)).count();
        Figure::of(vec![as_f64(count) / as_f64(ALONE)])
    };
    let patches = a_wake(|it| it.method == "PATCH" && it.body["spec"]["replicas"] == 1);
    let gets = a_wake(|it| it.method == "GET" && !it.is_watch() && !it.path.contains("/leases"));
    row("PATCHes a wake", patches, "", Goal::AtMost(1.0));
    row("GETs a wake", gets, "", Goal::AtMost(0.0));
}

fn wake_together(api: &FakeApi, parts: &Parts) {
    api.slow(LATENCY);
    let woken = together(TOGETHER, |number| {
        let sent = Instant::now();
        assert_eq!(parts.get(&host(ALONE + number), "/").status, 200);
        wake::micros(sent.elapsed().saturating_sub(LATENCY)) / 1e3
    });
    let most = Figure::of(vec![quantile(woken.iter().copied(), 0.99)]);
    let what = format!("{TOGETHER} woken together, {LATENCY:?} a call → answered");
    row(&what, Figure::of(woken), "ms", Goal::None);
    row("the same, p99, one call left out", most, "ms", Goal::AtMost(TOGETHER_MS));
}

/// Until the order came.
fn to_order_us(api: &FakeApi, parts: &Parts, number: usize) -> f64 {
    let path = format!("/{}/scale", name(number));
    let sent = Instant::now();
    assert_eq!(parts.get(&host(number), "/").status, 200);
    let requests = api.requests();
    let order = requests.iter().find(|it| it.method == "PATCH" && it.path.ends_with(&path));
    let came = order.expect("what was answered was ordered").came;
    wake::micros(came.duration_since(sent))
}

fn name(number: usize) -> String {
    format!("f{number}")
}

fn host(number: usize) -> String {
    format!("{}.default", name(number))
}

#[allow(clippy::cast_precision_loss, reason = "hundreds")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
