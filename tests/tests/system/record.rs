//! `dormouse up --record`: what it decided follows from what it heard, and from nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_policy::decision::{Decision, Missing, Observation, Scaler};
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::{Meter, Reporters};
use dormouse_policy::record::{self, Line, Report, Taken};
use dormouse_policy::settings::Scaling;
use dormouse_tests::manifest::Function;
use dormouse_tests::program::Scratch;
use dormouse_tests::up::{Start, Up};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Requests at once in each step of the load; each is kept until it shows in the replicas.
const STEPS: [(usize, u64); 3] = [(1, 1), (4, 4), (2, 2)];

#[test]
fn the_live_loop_on_a_step_load_decides_as_the_policy_does_offline_on_the_same_readings() {
    let busy = Function::demo("busy", &["--work", "50ms"])
        .annotated("autoscaling.knative.dev/target", "1")
        .annotated("autoscaling.knative.dev/target-utilization-percentage", "100")
        .annotated("autoscaling.knative.dev/max-scale", "4");
    let mut up = Start::new().functions(&[&busy]).up();
    for (clients, replicas) in STEPS {
        load_until(&up, clients, replicas);
    }
    up.wait_asleep("busy");
    up.signal(Signal::SIGINT);
    assert!(up.wait_end().success());

    let lines: Vec<Line> = read(&up.record());
    let offline = decide_offline(&lines);
    let live: Vec<&Decision> = lines.iter().filter_map(decision).collect();
    assert_eq!(offline.len(), live.len());
    for (offline, live) in offline.iter().zip(&live) {
        assert_eq!(offline, *live);
    }
    let desired: Vec<u32> = live.iter().map(|decision| decision.desired).collect();
    let mut steps = desired.clone();
    steps.dedup();
    let rises = [1, 4].iter().all(|replicas| steps.contains(replicas));
    assert!(rises && steps.last() == Some(&0), "{steps:?}");
}

#[test]
fn a_record_replays_from_each_of_its_snapshots() {
    let both = [Function::demo("one", &[]), Function::demo("other", &[])];
    let mut up = Start::new().functions(&[&both[0], &both[1]]).up();
    for function in ["one", "other"] {
        assert_eq!(up.get(function, "/").status, 200);
        up.wait_asleep_again(function);
    }
    up.signal(Signal::SIGINT);
    assert!(up.wait_end().success());
    let bytes = up.record();
    let lines = read(&bytes);
    let starts = lines.iter().filter_map(|line| match line {
        Line::Snapshot(snapshot) => Some((snapshot.at_us, &snapshot.function)),
        _ => None,
    });
    let starts: Vec<_> = starts.collect();
    assert_eq!(starts.len(), 2, "one at each function's first sight");
    for (from_us, _) in &starts {
        let replayed = record::replay(&bytes, *from_us).unwrap();
        let later = starts.iter().filter(|(at_us, _)| at_us >= from_us);
        let later: Vec<_> = later.map(|(_, function)| *function).collect();
        let theirs = lines.iter().filter(|line| match line {
            Line::Decided(decided) => later.contains(&&decided.function),
            _ => false,
        });
        assert_eq!(replayed.decisions, theirs.count() as u64);
    }
}

#[test]
fn a_record_is_never_written_over_another_file() {
    let scratch = Scratch::new();
    let taken = scratch.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    let start = Start::new().functions(&[&Function::demo("hello", &[])]).unrecorded();
    let output = start.argument("--record", &taken.to_string_lossy()).output();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("--record {}", taken.display())), "{said}");
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
}

fn load_until(up: &Up, clients: usize, replicas: u64) {
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
            up.wait("busy", "as loaded", |now: &Value| now["desired"] == replicas);
        }));
        enough.store(true, Ordering::Relaxed);
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn read(record: &[u8]) -> Vec<Line> {
    let lines = record.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn decision(line: &Line) -> Option<&Decision> {
    match line {
        Line::Decided(decided) => Some(&decided.decision),
        _ => None,
    }
}

/// From reports, settings, pods and times alone; of a snapshot, only that the function began then.
fn decide_offline(lines: &[Line]) -> Vec<Decision> {
    let mut reporters = Reporters::new();
    let mut functions = BTreeMap::new();
    let mut made = Vec::new();
    for line in lines {
        match line {
            Line::Header(_) => {}
            Line::Heard(reports) => hear(reports, &mut reporters, &mut functions),
            Line::Snapshot(snapshot) => {
                let Taken::Begin { ready, replicas } = snapshot.taken else { continue };
                let scaling = settings(lines, snapshot.function.as_str());
                let now_us = snapshot.at_us;
                let scaler = Scaler::new(scaling, Missing::Unknown, ready, replicas, now_us);
                functions.insert(snapshot.function.clone(), (Meter::new(now_us), scaler));
            }
            Line::Decided(decided) => {
                hear(&decided.heard, &mut reporters, &mut functions);
                let live = &decided.decision.inputs;
                let (now_us, why) = (live.now_us, live.why);
                let (ready, replicas) = (live.ready, live.replicas);
                reporters.advance(now_us);
                let (meter, scaler) = functions.get_mut(&decided.function).unwrap();
                let load = scaler.settle(meter, &reporters);
                made.push(scaler.decide(&Observation {
                    start_up_us: live.start_up_us,
                    ..Observation::new(now_us, why, ready, replicas, load)
                }));
            }
            Line::Gone(gone) => reporters.forget(&gone.reporter, gone.departure, gone.at_us),
            Line::Gap { .. } => panic!("nothing was lost"),
        }
    }
    made
}

fn hear(
    reports: &[Report],
    reporters: &mut Reporters,
    functions: &mut BTreeMap<FunctionName, (Meter, Scaler)>,
) {
    for report in reports {
        let span = reporters.report(&report.reporter, report.boot, report.at_us, report.heard_us);
        for reading in &report.readings {
            if let (Some(span), Some((meter, _))) = (span, functions.get_mut(&reading.function)) {
                meter.read(span, reading.counters);
            }
        }
    }
}

fn settings(lines: &[Line], function: &str) -> Arc<Scaling> {
    let mut decided = lines.iter().filter_map(|line| match line {
        Line::Decided(decided) if decided.function.as_str() == function => Some(decided),
        _ => None,
    });
    Arc::clone(&decided.next().unwrap().decision.inputs.scaling)
}
