//! Functions that do not do what they should: who waits, gets an answer that says why.

use std::fs;

use dormouse_tests::http::{Client, together};
use dormouse_tests::manifest::Function;
use dormouse_tests::program;
use dormouse_tests::up::{Start, Up, host};
use serde_json::Value;

#[test]
fn a_child_that_exits_at_once_is_503_crash_loop_after_its_second_exit() {
    let start = Start::new();
    let starts = start.folder().join("starts");
    let broken = Function::fixture("broken", &["exit", &starts.to_string_lossy()]);
    let up = start.functions(&[&broken]).up();
    let answer = up.get("broken", "/");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("crash-loop"), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(fs::read_to_string(starts).unwrap().lines().count(), 2);
    let failing = up.wait("broken", "failing", |now| !now["failure"].is_null());
    assert!(failing.to_string().contains("crash-loop"), "{failing}");
}

#[test]
fn a_child_that_dies_once_while_starting_loses_no_held_request() {
    let start = Start::new();
    let died = start.folder().join("died");
    let script = format!(
        "if [ -e '{0}' ]; then exec '{1}' mirror; else touch '{0}'; exit 1; fi",
        died.display(),
        program::fixture().display()
    );
    let clumsy = Function::running("clumsy", "/bin/sh", &["-c", &script]);
    let up = start.functions(&[&clumsy]).up();
    for answer in together(5, |client| up.get("clumsy", &format!("/{client}"))) {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn a_child_that_never_listens_is_504_at_the_deadline_and_its_port_is_named() {
    deaf("silent");
}

#[test]
fn a_child_that_listens_elsewhere_is_504_at_the_deadline_and_its_port_is_named() {
    deaf("elsewhere");
}

fn deaf(way: &str) {
    let function = Function::fixture(way, &[way])
        .annotated("dormouse.dev/queue-timeout", "2s")
        .annotated("autoscaling.knative.dev/min-scale", "1");
    let up = Start::new().functions(&[&function]).up();
    let answer = up.get(way, "/");
    assert_eq!(answer.status, 504, "{}", answer.text());
    up.wait(way, "naming the port it should listen on", |now| {
        let address = now["pods"][0]["addresses"][0].as_str().unwrap_or_default();
        let port = address.rsplit(':').next().unwrap_or_default();
        !port.is_empty() && says(now, "listen") && says(now, port)
    });
}

/// Whether a sentence for people in the account's line holds `word`; the addresses do not count.
fn says(now: &Value, word: &str) -> bool {
    let mut sentences = vec![&now["message"]];
    let pods = now["pods"].as_array().into_iter().flatten();
    sentences.extend(pods.map(|pod| &pod["waiting_for"]));
    let mut said = sentences.into_iter().filter_map(Value::as_str);
    said.any(|sentence| sentence.contains(word))
}

#[test]
fn a_child_that_hangs_is_504_at_the_request_timeout() {
    let function =
        Function::fixture("swallow", &["swallow"]).annotated("dormouse.dev/request-timeout", "2s");
    let up = Start::new().functions(&[&function]).up();
    let answer = up.get("swallow", "/");
    assert_eq!(answer.status, 504, "{}", answer.text());
}

#[test]
fn a_child_that_resets_is_502_for_those_in_flight_only() {
    let up = Start::new().functions(&[&Function::fixture("reset", &["reset"])]).up();
    assert_eq!(up.get("reset", "/ok").status, 200);
    for answer in together(5, |client| up.get("reset", &format!("/{client}"))) {
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    assert_eq!(up.get("reset", "/ok").status, 200);
}

#[test]
fn a_child_that_dies_is_502_for_those_in_flight_and_the_next_are_queued_and_answered() {
    let start = Start::new();
    let received = start.folder().join("received");
    let mortal = Function::demo("mortal", &["--record", &received.to_string_lossy()])
        .annotated("autoscaling.knative.dev/max-scale", "1");
    let up = start.functions(&[&mortal]).up();
    assert_eq!(up.get("mortal", "/id/first").status, 200);
    let in_flight: Vec<Client> = (0..5).map(|_| send(&up, "mortal", "/hang")).collect();
    up.wait("mortal", "five in flight", |now| now["in_flight"] == 5);
    assert_eq!(up.get("mortal", "/crash").status, 502);
    for mut client in in_flight {
        let answer = client.response().unwrap();
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    for answer in together(10, |client| up.get("mortal", &format!("/id/{client}"))) {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let received = fs::read_to_string(received).unwrap();
    assert_eq!(received.lines().count(), 11, "{received}");
}

fn send(up: &Up, function: &str, path: &str) -> Client {
    let mut client = Client::connect(up.gateway);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", host(function));
    client.send(request).unwrap();
    client
}
