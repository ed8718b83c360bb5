//! The hold queue's bounds, as clients see them.

use std::fs;

use dormouse_tests::http::{Client, Response, together};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host};

/// A function that starts to listen once the test opens the gate: requests are held until then.
fn gated(start: &Start<'_>, name: &str) -> Function {
    gated_as(start, name, "mirror")
}

/// The same, in that way of the fixture's.
fn gated_as(start: &Start<'_>, name: &str, way: &str) -> Function {
    let gate = start.folder().join("gate");
    let program = dormouse_tests::program::fixture();
    let script = format!(
        "until [ -e '{}' ]; do sleep 0.02; done; exec '{}' {way}",
        gate.display(),
        program.display()
    );
    Function::running(name, "/bin/sh", &["-c", &script])
}

fn open_gate(up: &Up) {
    fs::write(up.folder().join("gate"), "").unwrap();
}

fn problem(answer: &Response) -> serde_json::Value {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    serde_json::from_slice(&answer.body).expect("a problem is JSON")
}

fn retry_after(answer: &Response) -> u64 {
    let value = answer.header("retry-after").expect("503 says when to try again");
    value.parse().expect("whole seconds")
}

#[test]
fn a_full_queue_answers_503_while_the_others_are_still_held() {
    let start = Start::new();
    let full = gated(&start, "full").annotated("dormouse.dev/queue-depth", "5");
    let up = start.functions(&[&full]).up();
    let answers = std::thread::scope(|scope| {
        let held = scope.spawn(|| together(5, |client| up.get("full", &format!("/{client}"))));
        up.wait_held("full", 5);
        let refused = up.get("full", "/one-too-many");
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(retry_after(&refused) >= 1);
        assert_eq!(problem(&refused)["status"], 503);
        up.wait_held("full", 5);
        open_gate(&up);
        held.join().unwrap()
    });
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(!up.get("full", "/seen").text().contains("/one-too-many"));
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let start = Start::new();
    let single = gated(&start, "single").annotated("dormouse.dev/queue-depth", "1");
    let up = start.functions(&[&single]).up();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", host("single"));
    let mut leaver = Client::connect(up.gateway);
    leaver.send(request("/leaver")).unwrap();
    up.wait_held("single", 1);
    assert_eq!(up.get("single", "/refused").status, 503);
    drop(leaver);
    up.wait_held("single", 0);
    let mut stayer = Client::connect(up.gateway);
    stayer.send(request("/stayer")).unwrap();
    up.wait_held("single", 1);
    open_gate(&up);
    assert_eq!(stayer.response().unwrap().status, 200);
    let seen = up.get("single", "/seen").text();
    assert!(seen.contains("/stayer"), "{seen}");
    assert!(!seen.contains("/leaver"), "a request nobody waits for was sent: {seen}");
}

#[test]
fn the_deadline_answers_504_and_frees_the_place() {
    let start = Start::new();
    let late = gated(&start, "late").annotated("dormouse.dev/queue-timeout", "1s");
    let up = start.functions(&[&late]).up();
    let answer = up.get("late", "/too-late");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(problem(&answer)["status"], 504);
    up.wait_held("late", 0);
    open_gate(&up);
    // Not every request reaches the deadline now that the function answers.
    let answered = dormouse_tests::wait::until("an answer", || {
        let answer = up.get("late", "/seen");
        (answer.status == 200).then_some(answer)
    });
    assert!(!answered.text().contains("/too-late"));
}

#[test]
fn an_unknown_host_is_404() {
    let up = Start::new().functions(&[&Function::fixture("known", &["mirror"])]).up();
    let answer = up.get("stranger", "/");
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(problem(&answer)["status"], 404);
}

#[test]
fn a_pod_never_gets_more_at_once_than_its_limit_and_the_oldest_go_first() {
    let start = Start::new();
    let order = start.folder().join("order");
    let narrow = gated_as(&start, "narrow", &format!("narrow '{}'", order.display()))
        .annotated("dormouse.dev/container-concurrency", "1")
        .annotated("autoscaling.knative.dev/max-scale", "2");
    let up = start.functions(&[&narrow]).up();
    let get = |path: &str| up.get("narrow", path);
    let answers = std::thread::scope(|scope| {
        let early = scope.spawn(|| together(20, |client| get(&format!("/early/{client}"))));
        up.wait_held("narrow", 20);
        let late = scope.spawn(|| together(20, |client| get(&format!("/late/{client}"))));
        up.wait_held("narrow", 40);
        open_gate(&up);
        [early.join().unwrap(), late.join().unwrap()].concat()
    });
    for answer in answers {
        assert_eq!((answer.status, answer.text().as_str()), (200, "1"), "the most at once");
    }
    let order = fs::read_to_string(order).unwrap();
    let order: Vec<&str> = order.lines().collect();
    let mut once = order.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((order.len(), once.len()), (40, 40), "each was delivered once: {order:?}");
    // Two replicas: what one is given first, the other may note first.
    let last_early = order.iter().rposition(|line| line.contains("/early/")).unwrap();
    assert!(last_early <= 20, "first in, first out: {order:?}");
}

#[test]
fn one_function_that_fills_the_queues_leaves_another_its_share() {
    let start = Start::new();
    let (greedy, modest) = (gated(&start, "greedy"), gated(&start, "modest"));
    let up = start.argument("--held-max", "16").functions(&[&greedy, &modest]).up();
    let statuses = std::thread::scope(|scope| {
        let flood = scope.spawn(|| together(20, |client| up.get("greedy", &format!("/{client}"))));
        up.wait_held("greedy", 15);
        let held = scope.spawn(|| up.get("modest", "/"));
        up.wait_held("modest", 1);
        open_gate(&up);
        assert_eq!(held.join().unwrap().status, 200);
        flood.join().unwrap().iter().map(|answer| answer.status).collect::<Vec<_>>()
    });
    let shed = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!((statuses.len(), shed), (20, 5), "{statuses:?}");
}

#[test]
fn a_queue_full_by_bytes_answers_503_and_says_so() {
    let start = Start::new();
    let heavy = gated(&start, "heavy");
    let up = start.argument("--held-bytes-max", "256Ki").functions(&[&heavy]).up();
    let large = |client: &mut Client| {
        let filler = "x".repeat(50_000);
        let host = host("heavy");
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Filler: {filler}\r\n\r\n"))
    };
    let mut held: Vec<_> = (0..2).map(|_| Client::connect(up.gateway)).collect();
    for client in &mut held {
        large(client).unwrap();
    }
    up.wait_held("heavy", 2);
    let mut refused = Client::connect(up.gateway);
    large(&mut refused).unwrap();
    let refused = refused.response().unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(retry_after(&refused) >= 1);
    let problem = problem(&refused)["type"].as_str().unwrap().to_owned();
    assert!(problem.ends_with("/queue-bytes-full"), "{problem}");
    up.wait_held("heavy", 2);
    open_gate(&up);
    for client in &mut held {
        assert_eq!(client.response().unwrap().status, 200);
    }
}
