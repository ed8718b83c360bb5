//! The activator's admin port: what is counted of real traffic, to the digit.

use dormouse_tests::http::{Client, Closed, Response};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host};
use dormouse_tests::wait;

fn scrape(up: &Up, path: &str, accept: &str) -> Response {
    let mut client = Client::connect(up.activator_admin);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    client.send(request).unwrap();
    client.response().unwrap()
}

/// The samples of a function's counts, labels of its own left out: all but those of time, which no
/// two runs have in common.
fn counts(up: &Up, function: &str) -> Vec<String> {
    let text = scrape(up, "/metrics", "text/plain").text();
    let labels = format!("namespace=\"default\",function=\"{function}\"");
    let of_function = text.lines().filter(|line| line.contains(&labels));
    of_function
        .map(|line| line.replace(&labels, "").replace("{,", "{").replace("{}", ""))
        .filter(|line| !line.contains("_bucket") && !line.contains("_seconds_"))
        .chain(text.lines().filter_map(|line| {
            let (series, count) = line.split_once(&format!("_count{{{labels}}} "))?;
            Some(format!("{series}_count {count}"))
        }))
        .map(|line| line.trim_start_matches("dormouse_").to_owned())
        .collect()
}

/// Waits until the function's samples are these: an answer is counted a moment after its last byte.
#[track_caller]
fn wait_counts(up: &Up, function: &str, wanted: &[&str]) {
    let mut last = Vec::new();
    let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::until("the counts", || {
            last = counts(up, function);
            (last == wanted).then_some(())
        });
    }));
    assert!(reached.is_ok(), "{function}: {last:#?}\nwanted {wanted:#?}");
}

#[test]
fn a_wake_and_what_follows_it_are_counted_once_each() {
    let up = Start::new().functions(&[&Function::fixture("hello", &["mirror"])]).up();
    up.wait_asleep("hello");
    let untouched = [
        "requests_total 0",
        "requests_in_flight 0",
        "requests_held 0",
        "holds_total 0",
        "open_streams 0",
        "abandoned_requests_total 0",
    ];
    wait_counts(&up, "hello", &untouched);
    for _ in 0..6 {
        assert_eq!(up.get("hello", "/").status, 200);
    }
    assert_eq!(up.get("stranger", "/").status, 404);
    let served = [
        "requests_total 6",
        "requests_in_flight 0",
        "requests_held 0",
        "holds_total 1",
        "open_streams 0",
        "abandoned_requests_total 0",
        "responses_total{code=\"2xx\"} 6",
        "wakes_total{phase=\"asked\"} 1",
        "wakes_total{phase=\"usable\"} 1",
        "wakes_total{phase=\"delivered\"} 1",
        "held_seconds_count 1",
        "response_seconds_count 6",
    ];
    wait_counts(&up, "hello", &served);
    assert!(counts(&up, "stranger").is_empty());
}

#[test]
fn refused_given_up_and_broken_requests_are_counted_by_their_cause() {
    let silent =
        Function::fixture("silent", &["silent"]).annotated("dormouse.dev/queue-depth", "1");
    let reset = Function::fixture("reset", &["reset"]);
    let up = Start::new().functions(&[&silent, &reset]).up();
    let mut leaver = Client::connect(up.gateway);
    leaver.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host("silent"))).unwrap();
    up.wait_held("silent", 1);
    assert_eq!(up.get("silent", "/").status, 503);
    let held = [
        "requests_total 2",
        "requests_in_flight 1",
        "requests_held 1",
        "holds_total 1",
        "open_streams 0",
        "abandoned_requests_total 0",
        "responses_total{code=\"5xx\"} 1",
        "refused_requests_total{reason=\"queue-full\"} 1",
        "wakes_total{phase=\"asked\"} 1",
    ];
    wait_counts(&up, "silent", &held);
    drop(leaver);
    let left = [
        "requests_total 2",
        "requests_in_flight 0",
        "requests_held 0",
        "holds_total 1",
        "open_streams 0",
        "abandoned_requests_total 1",
        "responses_total{code=\"5xx\"} 1",
        "refused_requests_total{reason=\"queue-full\"} 1",
        "wakes_total{phase=\"asked\"} 1",
        "wakes_total{phase=\"given-up\"} 1",
        "held_seconds_count 1",
    ];
    wait_counts(&up, "silent", &left);
    assert_eq!(up.get("reset", "/ok").status, 200);
    assert_eq!(up.get("reset", "/broken").status, 502);
    let broken = counts(&up, "reset");
    for line in [
        "requests_total 2",
        "responses_total{code=\"2xx\"} 1",
        "responses_total{code=\"5xx\"} 1",
        "refused_requests_total{reason=\"upstream-ambiguous\"} 1",
        "upstream_errors_total{reason=\"ambiguous\"} 1",
    ] {
        assert!(broken.iter().any(|counted| counted == line), "{line} is not in {broken:#?}");
    }
}

#[test]
fn a_tunnel_is_open_as_long_as_it_stands() {
    let up = Start::new().functions(&[&Function::fixture("tunnel", &["tunnel"])]).up();
    let mut client = Client::connect(up.gateway);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        host("tunnel")
    );
    client.send(request).unwrap();
    assert_eq!(client.response().unwrap().status, 101);
    let woken = [
        "wakes_total{phase=\"asked\"} 1",
        "wakes_total{phase=\"usable\"} 1",
        "wakes_total{phase=\"delivered\"} 1",
    ];
    let open = [
        "requests_total 1",
        "requests_in_flight 1",
        "requests_held 0",
        "holds_total 1",
        "open_streams 1",
        "abandoned_requests_total 0",
    ];
    wait_counts(&up, "tunnel", &[&open[..], &woken[..], &["held_seconds_count 1"]].concat());
    client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    client.exactly(5).unwrap();
    assert_eq!(client.closed().unwrap(), Closed::Yes);
    let closed = [
        "requests_total 1",
        "requests_in_flight 0",
        "requests_held 0",
        "holds_total 1",
        "open_streams 0",
        "abandoned_requests_total 0",
        "responses_total{code=\"1xx\"} 1",
    ];
    wait_counts(&up, "tunnel", &[&closed[..], &woken[..], &["held_seconds_count 1"]].concat());
}

#[test]
fn the_admin_port_says_how_the_activator_is() {
    let up = Start::new().functions(&[&Function::fixture("hello", &["mirror"])]).up();
    assert_eq!(scrape(&up, "/livez", "*/*").status, 200);
    // The greeting came, so a table has.
    assert_eq!(scrape(&up, "/readyz", "*/*").status, 200);
    assert_eq!(scrape(&up, "/elsewhere", "*/*").status, 404);
    let text = scrape(&up, "/metrics", "text/plain");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.text().contains("# TYPE dormouse_requests_total counter\n"));
    let open = scrape(&up, "/metrics", "application/openmetrics-text; version=1.0.0");
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().contains("# TYPE dormouse_requests counter\n"));
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn an_activator_that_drains_is_alive_and_not_ready() {
    let up = Start::new().functions(&[&Function::fixture("silent", &["silent"])]).up();
    let mut held = Client::connect(up.gateway);
    held.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host("silent"))).unwrap();
    up.wait_held("silent", 1);
    up.signal(nix::sys::signal::Signal::SIGTERM);
    wait::until("the drain to show", || {
        (scrape(&up, "/readyz", "*/*").status == 503).then_some(())
    });
    assert_eq!(scrape(&up, "/livez", "*/*").status, 200);
}
