//! What is wrong in a manifest is named; that object is set aside, the others run.

use std::net::TcpListener;
use std::process::Output;

use dormouse_tests::http::Client;
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up};

const OURS: &str = "dormouse.dev";
const KNATIVE: &str = "autoscaling.knative.dev";

fn good() -> Function {
    Function::fixture("good", &["mirror"])
}

/// Checks that one line of the log holds all `words`, and that the good function runs.
#[track_caller]
fn names(up: &Up, words: &[&str]) {
    up.log().wait(&format!("a line with {words:?}"), |lines| {
        lines.iter().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    });
}

#[test]
fn a_bad_annotation_is_named_with_its_value_and_rule_and_others_run() {
    // (prefix, name, value, what the rule speaks of)
    let cases = [
        (OURS, "queue-dept", "5", "queue-depth"),
        (KNATIVE, "min-scal", "1", "min-scale"),
        (OURS, "queue-depth", "100001", "100000"),
        (OURS, "queue-timeout", "500ms", "1s"),
        (KNATIVE, "window", "5s", "6s"),
        (KNATIVE, "min-scale", "many", "min-scale"),
        (KNATIVE, "target", "NaN", "target"),
        (KNATIVE, "metric", "cpu", "concurrency"),
        (OURS, "hosts", "not a host", "hosts"),
    ];
    let faulty: Vec<Function> = cases
        .iter()
        .enumerate()
        .map(|(number, (prefix, name, value, _))| {
            Function::fixture(&format!("faulty{number}"), &["mirror"])
                .annotated(&format!("{prefix}/{name}"), value)
        })
        .collect();
    let mut functions: Vec<&Function> = faulty.iter().collect();
    let good = good();
    functions.push(&good);
    let up = Start::new().functions(&functions).up();
    for (number, (prefix, name, value, rule)) in cases.iter().enumerate() {
        let object = format!("faulty{number}");
        names(&up, &[&object, &format!("{prefix}/{name}"), value, rule]);
        assert_eq!(up.get(&object, "/").status, 404, "{object} runs");
    }
    assert_eq!(up.get("good", "/").status, 200);
}

#[test]
fn two_annotations_that_exclude_each_other_are_named() {
    let torn = Function::fixture("torn", &["mirror"])
        .annotated("autoscaling.knative.dev/min-scale", "4")
        .annotated("autoscaling.knative.dev/max-scale", "2");
    let up = Start::new().functions(&[&torn, &good()]).up();
    names(&up, &["torn", "min-scale", "4", "2"]);
    assert_eq!(up.get("good", "/").status, 200);
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let status = said(up.ask(&["status"]).stdout);
    assert!(status.contains("\n! Deployment default/torn: "), "{status}");
    let explained = said(up.ask(&["explain", "torn"]).stderr);
    let why = "no function is named \"torn\"; Deployment default/torn: ";
    assert!(explained.contains(why) && explained.contains(".yaml:"), "{explained}");
}

#[test]
fn a_known_key_that_is_not_honoured_yet_is_named_once() {
    let early = good().annotated("dormouse.dev/overflow-status", "429");
    let up = Start::new().functions(&[&early]).up();
    names(&up, &["dormouse.dev/overflow-status"]);
    assert_eq!(up.get("good", "/").status, 200);
    let lines = up.log().entries();
    let times = lines.iter().filter(|line| line.contains("overflow-status"));
    assert_eq!(times.count(), 1);
}

#[test]
fn yaml_that_is_not_kubernetes_is_named_with_file_and_line_and_others_run() {
    let up = Start::new()
        .manifest("greeting: hello\n")
        .manifest("---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  - a list\n")
        .manifest("a: b\n  c: [\n")
        .functions(&[&good()])
        .up();
    names(&up, &["app1.yaml:1"]);
    names(&up, &["app2.yaml:"]);
    names(&up, &["app3.yaml:2"]);
    assert_eq!(up.get("good", "/").status, 200);
}

#[test]
fn an_object_without_a_command_or_with_an_unknown_one_is_set_aside() {
    let mute = Function::fixture("mute", &[]).without_command();
    let lost = Function::running("lost", "no-such-program-anywhere", &[]);
    let up = Start::new().functions(&[&mute, &lost, &good()]).up();
    names(&up, &["mute", "command"]);
    names(&up, &["lost", "no-such-program-anywhere"]);
    assert_eq!(up.get("mute", "/").status, 404);
    assert_eq!(up.get("lost", "/").status, 404);
    assert_eq!(up.get("good", "/").status, 200);
}

#[test]
fn nothing_runnable_exits_2_with_every_fault() {
    let mute = Function::fixture("mute", &[]).without_command();
    let faulty = good().annotated("dormouse.dev/queue-depth", "0");
    let Output { status, stderr, .. } = Start::new().functions(&[&mute, &faulty]).output();
    assert_eq!(status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("mute"), "{stderr}");
    assert!(stderr.contains("queue-depth"), "{stderr}");
}

#[test]
fn of_two_that_claim_one_host_the_older_keeps_it() {
    let claim = |name: &str| {
        Function::fixture(name, &["mirror"])
            .env("NAME", name)
            .annotated("dormouse.dev/hosts", "shop.example")
    };
    let (older, younger) = (claim("older"), claim("younger"));
    let up = Start::new().functions(&[&older, &younger]).up();
    let answer = Client::connect(up.gateway).get("shop.example", "/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    up.wait("older", "awake", |now| now["ready"] == 1);
    let aside = up.wait("younger", "told", |now| now["message"].is_string());
    let message = aside["message"].as_str().unwrap();
    assert!(message.contains("shop.example"), "{message}");
    assert!(message.contains("older"), "{message}");
    assert_eq!(aside["ready"], 0);
}

#[test]
fn of_two_that_claim_one_port_the_older_keeps_it() {
    let port = free_port();
    let older = Function::fixture("older", &["mirror"]).service_port(port);
    let younger = Function::fixture("younger", &["mirror"]).service_port(port);
    let up = Start::new().functions(&[&older, &younger]).up();
    let listens = |function: &str| {
        let now =
            up.wait(function, "listening", |now| now["endpoints"][0]["listening"].is_string());
        let address = now["endpoints"][0]["listening"].as_str().unwrap();
        address.parse::<std::net::SocketAddr>().unwrap()
    };
    assert_eq!(listens("older").port(), port);
    let other = listens("younger");
    assert_ne!(other.port(), port);
    for (address, name) in [(listens("older"), "older"), (other, "younger")] {
        // On a listener of its own the Host header does not matter.
        let answer = Client::connect(address).get("anything.example", "/");
        assert_eq!(answer.unwrap().status, 200);
        up.wait(name, "awake", |now| now["ready"] == 1);
    }
}

/// A free port below those that the kernel hands out by itself, so that no other test is given it.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap();
    (first..30_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of thousands is free")
}
