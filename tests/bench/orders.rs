//! From requests at zero to their orders at an API server, and to their answers, with 1 000 cold
//! functions: one request alone, and a hundred together at a server that takes its time.

use std::time::{Duration, Instant};

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::figures::{median, quantile};
use dormouse_tests::http::together;
use dormouse_tests::parts::Parts;

use crate::wake;

/// Functions that are there, asleep.
const FUNCTIONS: usize = 1_000;

/// Functions woken one after the other; each is one sample.
const ALONE: usize = 40;

/// Functions woken together.
const TOGETHER: usize = 100;

/// What the API server takes for each call when many are woken.
const LATENCY: Duration = Duration::from_millis(5);

pub(crate) fn run() {
    let (api, app) = (FakeApi::start(), App::start());
    for number in 0..FUNCTIONS {
        api.put("deployments", app.deployment(&name(number), &[]));
        api.put("services", app.service(&name(number)));
    }
    let parts = Parts::start(&api);
    // The last of the table; it is not woken again.
    parts.wait_route(&host(FUNCTIONS - 1));
    let alone: Vec<f64> = (0..ALONE).map(|number| to_order(&api, &parts, number)).collect();
    let floor = wake::floor_us();
    println!("\nrequest at zero → PATCH at the API server, {FUNCTIONS} functions, {ALONE} wakes");
    let (half, most) = (median(alone.iter().copied()), quantile(alone.into_iter(), 0.99));
    println!("  median {half:.0} µs, p99 {most:.0} µs; floor {floor:.0} µs (median)");

    api.slow(LATENCY);
    let woken = together(TOGETHER, |number| {
        let sent = Instant::now();
        assert_eq!(parts.get(&host(ALONE + number), "/").status, 200);
        wake::micros(sent.elapsed().saturating_sub(LATENCY)) / 1e3
    });
    let (half, most) = (median(woken.iter().copied()), quantile(woken.into_iter(), 0.99));
    println!("{TOGETHER} woken together, the API server's {LATENCY:?} left out, to the answer");
    println!("  median {half:.1} ms, p99 {most:.1} ms");
}

/// Until the order came, in µs.
fn to_order(api: &FakeApi, parts: &Parts, number: usize) -> f64 {
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
