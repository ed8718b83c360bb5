//! Each decision can be made again by hand from what `dormouse explain --json` says of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_tests::manifest::Function;
use dormouse_tests::program;
use dormouse_tests::up::{Start, Up};
use serde_json::Value;

/// The kinds of decision that one round from zero to load and back must show.
const KINDS: [&str; 6] = ["start", "wake", "scale out", "keep", "scale in", "zero"];

#[test]
fn one_decision_of_each_kind_follows_from_the_figures_shown_with_it() {
    let busy = Function::demo("busy", &["--work", "100ms"])
        .annotated("autoscaling.knative.dev/target", "2")
        .annotated("autoscaling.knative.dev/target-utilization-percentage", "50")
        .annotated("autoscaling.knative.dev/max-scale", "3");
    let up = Start::new().functions(&[&busy]).up();
    load_until(&up, 8, |now| now["ready"] == 3);
    // One client is worth one replica: scaling in comes before zero.
    load_until(&up, 1, |now| now["desired"] == 1);
    up.wait_asleep("busy");
    let explained = up.ask_json(&["explain", "busy", "--json"]);
    let decisions = explained["decisions"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    let mut rules = BTreeSet::new();
    for kept in decisions {
        let decision = &kept["decision"];
        assert_eq!(by_hand(decision), integer(&decision["desired"]), "{decision:#}");
        assert_reasons_lead_there(decision);
        shown.insert(kind(decision));
        let reasons = decision["reasons"].as_array().unwrap();
        rules.extend(reasons.iter().filter_map(|reason| reason["rule"].as_str()));
    }
    assert_eq!(shown, BTreeSet::from(KINDS), "of {} decisions", decisions.len());
    assert!(rules.contains("max-scale"), "{rules:?}");
    let newest = up.ask_json(&["explain", "busy", "--json", "--last", "3"]);
    assert_eq!(newest["decisions"].as_array().unwrap()[..], decisions[decisions.len() - 3..]);
}

#[test]
fn it_fails_for_whom_nobody_knows_and_for_a_decision_that_does_not_come_out_again() {
    let up = Start::new().functions(&[&Function::demo("hello", &[])]).up();
    let explained = dormouse_tests::wait::until("a decision", || {
        let explained = up.ask_json(&["explain", "hello", "--json"]);
        (!explained["decisions"].as_array()?.is_empty()).then_some(explained)
    });
    let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for (typed, answer) in [
        (&["hallo"][..], "no function is named \"hallo\"; did you mean default/hello?"),
        (&["other/hello"], "no function is named \"other/hello\""),
    ] {
        let output = up.ask(&[&["explain"], typed].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output.stderr).contains(answer), "{}", said(&output.stderr));
    }
    let output = up.ask(&["explain", "hello", "--since", "5"]);
    assert_eq!(output.status.code(), Some(2), "no unit");
    assert!(said(&output.stderr).contains("--since \"5\" must be a duration"));
    let kept = |since: &str| {
        let explained = up.ask_json(&["explain", "hello", "--json", "--since", since]);
        explained["decisions"].as_array().unwrap().len()
    };
    assert_eq!((kept("0s"), kept("1h") > 0), (0, true));

    let mut falsified = explained;
    falsified["decisions"][0]["decision"]["desired"] = 99.into();
    let output = ask_one_who_answers(&falsified, &["explain", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output.stdout).contains("NOT REPRODUCED"), "{}", said(&output.stdout));
    assert!(said(&output.stderr).contains("come out otherwise"), "{}", said(&output.stderr));
}

/// Runs a `dormouse` command against an admin port that says this of its one function.
fn ask_one_who_answers(explained: &Value, arguments: &[&str]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = listener.local_addr().unwrap().to_string();
    let bodies = [Value::from(vec![explained["status"].clone()]), explained.clone()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for body in bodies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                while !head.next().unwrap().unwrap().is_empty() {}
                let body = body.to_string();
                let length = body.len();
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
                    .unwrap();
            }
        });
        let mut command = Command::new(program::dormouse());
        command.args(arguments).args(["--admin", &admin]).output().unwrap()
    })
}

fn load_until(up: &Up, clients: usize, reached: impl Fn(&Value) -> bool) {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    assert_eq!(up.get("busy", "/").status, 200);
                }
            });
        }
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            up.wait("busy", "as loaded", reached);
        }));
        enough.store(true, Ordering::Relaxed);
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn kind(decision: &Value) -> &'static str {
    let inputs = &decision["inputs"];
    let (desired, replicas) = (integer(&decision["desired"]), integer(&inputs["replicas"]));
    match inputs["why"].as_str() {
        Some("start") => "start",
        Some("wake") => "wake",
        _ if desired > replicas => "scale out",
        _ if desired == replicas => "keep",
        _ if desired == 0 => "zero",
        _ => "scale in",
    }
}

/// Knative's rules as the manual words them, written down a second time.
fn by_hand(decision: &Value) -> u64 {
    let inputs = &decision["inputs"];
    let scaling = &inputs["scaling"];
    let ready = number(&inputs["ready"]).max(1.0);
    let averages = &inputs["averages"];
    let known = averages.is_object() && inputs["why"] != "start";
    let now_us = integer(&inputs["now_us"]);
    let mut wanted: f64 = 0.0;
    if known {
        let pods =
            |average: &Value| (number(&average["value"]) / number(&scaling["target"])).ceil();
        let fewest = (ready / number(&scaling["max_scale_down_rate"])).floor();
        let most = (ready * number(&scaling["max_scale_up_rate"])).ceil();
        wanted = pods(&averages["stable"]).max(fewest).min(most);
        let panicked = pods(&averages["panic"]);
        let over = panicked / ready >= number(&scaling["panic_threshold"]);
        let window_us = integer(&scaling["stable_window_s"]) * 1_000_000;
        let since_us = inputs["panic"]["since_us"].as_u64();
        if over || since_us.is_some_and(|since_us| since_us + window_us >= now_us) {
            let highest = inputs["panic"]["most"].as_f64().unwrap_or(0.0);
            wanted = wanted.max(panicked.max(fewest).min(most)).max(highest);
        }
    }
    let replicas = number(&inputs["replicas"]);
    let window_s = integer(&scaling["stable_window_s"]);
    let covered = known && integer(&averages["stable"]["known_s"]) == window_s;
    if !covered && inputs["why"] != "start" {
        wanted = wanted.max(replicas);
    }
    if integer(&inputs["in_flight"]) > 0 || inputs["why"] == "wake" {
        wanted = wanted.max(1.0);
    }
    wanted = wanted.max(inputs["initial"].as_f64().unwrap_or(0.0));
    let since = |phase: &str| inputs["phase"][phase]["since_us"].as_u64();
    if since("starting").or(since("waking")).is_some() && wanted < 1.0 {
        wanted = replicas;
    }
    if since("active").is_some_and(|since| now_us - since < window_s * 1_000_000) {
        wanted = wanted.max(1.0);
    }
    wanted = wanted.max(number(&scaling["min_scale"]));
    match number(&scaling["max_scale"]) {
        0.0 => {}
        most => wanted = wanted.min(most),
    }
    format!("{wanted:.0}").parse().unwrap()
}

fn assert_reasons_lead_there(decision: &Value) {
    let mut figure = integer(&decision["raw"]);
    for reason in decision["reasons"].as_array().unwrap() {
        assert_eq!(integer(&reason["before"]), figure, "{decision:#}");
        figure = integer(&reason["after"]);
    }
    assert_eq!(figure, integer(&decision["desired"]), "{decision:#}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn integer(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}
