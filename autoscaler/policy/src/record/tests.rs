//! Records made here by a small world, replayed from everywhere, falsified and broken.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::decision::{Missing, Observation, Outcome, Why};
use crate::settings::{Annotations, Burst, ClusterDefaults, Scaling, parse};

const SECOND_US: u64 = 1_000_000;

/// A decider that records: two functions, two activators with clocks of their own.
struct World {
    reporters: Reporters,
    functions: Vec<(FunctionName, Meter, Scaler)>,
    heard: Vec<Report>,
    lines: Vec<Line>,
    now_us: u64,
}

fn name(number: usize) -> FunctionName {
    FunctionName::new("default", ["hello", "world"][number])
}

fn settings(target: f64) -> Arc<Scaling> {
    let none = Annotations::new();
    let parsed = parse(&none, &none, &ClusterDefaults::default()).unwrap();
    Arc::new(Scaling {
        target,
        stable_window_s: 12,
        panic_window_s: 3,
        ..Arc::unwrap_or_clone(parsed.settings.scaling)
    })
}

impl World {
    fn new() -> Self {
        Self {
            reporters: Reporters::new(),
            functions: Vec::new(),
            heard: Vec::new(),
            lines: vec![Line::Header(Header::new(1_700_000_000 * SECOND_US))],
            now_us: SECOND_US / 3,
        }
    }

    fn begin(&mut self, target: f64) -> usize {
        self.begin_with(settings(target))
    }

    fn begin_with(&mut self, scaling: Arc<Scaling>) -> usize {
        let scaler = Scaler::new(scaling, Missing::Unknown, 1, 1, self.now_us);
        let number = self.functions.len();
        self.functions.push((name(number), Meter::new(self.now_us), scaler));
        self.snapshot(number, Taken::Begin { ready: 1, replicas: 1 });
        number
    }

    fn snapshot(&mut self, number: usize, taken: Taken) {
        let heard = std::mem::take(&mut self.heard);
        self.lines.push(Line::Heard(heard));
        let (function, meter, scaler) = self.functions[number].clone();
        self.lines.push(Line::Snapshot(Box::new(Snapshot {
            function,
            at_us: self.now_us,
            wall_ms: 0,
            taken,
            reporters: self.reporters.clone(),
            meter,
            scaler,
        })));
    }

    /// Both activators report that each function has had `in_flight` requests since the last time.
    fn report(&mut self, in_flight: u64) {
        for (reporter, clock_us) in [("one", 77 * SECOND_US), ("other", 0)] {
            let counters = Counters {
                area_us: self.now_us * in_flight,
                started: self.now_us / 10_000,
                in_flight,
                held: 0,
                refused: 0,
            };
            let (at_us, heard_us) = (self.now_us + clock_us, self.now_us);
            let span = self.reporters.report(reporter, 9, at_us, heard_us);
            let mut readings = Vec::new();
            for (function, meter, _) in &mut self.functions {
                if let Some(span) = span {
                    meter.read(span, counters);
                }
                readings.push(Reading { function: function.clone(), counters });
            }
            let reporter = reporter.to_owned();
            self.heard.push(Report { reporter, boot: 9, at_us, heard_us, readings });
        }
    }

    fn decide(&mut self, number: usize, why: Why, ready: u32, replicas: u32) {
        let now_us = self.now_us;
        self.reporters.advance(now_us);
        let (function, meter, scaler) = &mut self.functions[number];
        let load = scaler.settle(meter, &self.reporters);
        let decision = scaler.decide(&Observation::new(now_us, why, ready, replicas, load));
        self.lines.push(Line::Decided(Box::new(Decided {
            function: function.clone(),
            wall_ms: 0,
            heard: std::mem::take(&mut self.heard),
            decision: Arc::new(decision),
        })));
    }

    fn configure(&mut self, number: usize, target: f64) {
        self.functions[number].2.configure(settings(target));
        self.snapshot(number, Taken::Settings);
    }

    /// A minute and a half of load that comes, grows and goes.
    fn lived() -> Self {
        let mut world = Self::new();
        let first = world.begin(2.0);
        world.decide(first, Why::Start, 1, 1);
        for second in 0..90 {
            world.now_us += SECOND_US;
            world.report(if second < 50 { second / 9 } else { 0 });
            match second {
                5 => {
                    world.begin(1.0);
                }
                30 => world.configure(first, 1.5),
                _ if second > 5 && second % 2 == 0 => world.decide(1, Why::Tick, 2, 2),
                _ => world.decide(first, Why::Tick, 1, 1),
            }
            if second % 20 == 19 {
                world.snapshot(first, Taken::Periodic);
                world.snapshot(1, Taken::Periodic);
            }
        }
        world
    }

    /// Something of every kind that a record can hold, and not much of it.
    fn sampled() -> Self {
        let mut world = Self::new();
        let plain = world.begin(2.0);
        let bursts = Scaling { burst: Burst::StartUp, idle_cost: Some(3.0), ..*settings(1.0) };
        let bursting = world.begin_with(Arc::new(bursts));
        world.decide(plain, Why::Start, 1, 1);
        for second in 0..24 {
            world.now_us += SECOND_US;
            world.report(if second % 12 < 7 { second % 12 } else { 0 });
            world.decide(if second % 2 == 0 { plain } else { bursting }, Why::Tick, 1, 1);
            if second == 12 {
                world.configure(plain, 1.5);
                world.snapshot(bursting, Taken::Periodic);
            }
        }
        let (reporter, at_us, departure) = ("other".to_owned(), world.now_us, Departure::Said);
        world.reporters.forget(&reporter, departure, at_us);
        world.lines.push(Line::Gone(Gone { reporter, at_us, departure }));
        world.decide(plain, Why::Wake, 0, 0);
        world.decide(bursting, Why::Pressure, 1, 2);
        world.lines.push(Line::Gap { lines: 1 });
        world
    }

    fn bytes(&self) -> Vec<u8> {
        bytes(&self.lines)
    }
}

fn bytes(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        line.write_to(&mut bytes).unwrap();
    }
    bytes
}

fn decisions(lines: &[Line]) -> u64 {
    lines.iter().filter(|line| matches!(line, Line::Decided(_))).count() as u64
}

/// The record as text, with the first `from` after `mark` made `to`.
fn falsified(text: &str, mark: &str, from: &str, to: &str) -> String {
    let start = text.find(mark).unwrap();
    let at = start + text[start..].find(from).unwrap_or_else(|| panic!("no {from} after {mark}"));
    format!("{}{to}{}", &text[..at], &text[at + from.len()..])
}

#[test]
fn a_record_replays_from_the_readings_alone() {
    let world = World::lived();
    let outcomes = world.lines.iter().filter_map(|line| match line {
        Line::Decided(recorded) => Some(recorded.decision.outcome),
        _ => None,
    });
    assert!(outcomes.clone().any(|outcome| matches!(outcome, Outcome::ScaleTo(more) if more > 1)));
    assert!(outcomes.clone().any(|outcome| outcome == Outcome::ScaleTo(0)));
    let replayed = replay(&world.bytes(), 0).unwrap();
    assert_eq!(replayed.decisions, decisions(&world.lines));
    assert_eq!((replayed.skipped, replayed.gaps), (0, 0));
    assert_eq!(replayed.snapshots, 11);
}

#[test]
fn a_record_replays_from_every_snapshot() {
    let world = World::lived();
    let bytes = world.bytes();
    for line in &world.lines {
        let Line::Snapshot(snapshot) = line else { continue };
        let replayed = replay(&bytes, snapshot.at_us).unwrap();
        let later = world.lines.iter().filter(|line| {
            matches!(line, Line::Decided(it) if it.decision.inputs.now_us > snapshot.at_us
                && it.function == snapshot.function)
        });
        assert!(replayed.decisions >= later.count() as u64, "{replayed:?}");
        assert_eq!(replayed.decisions + replayed.skipped, decisions(&world.lines));
    }
}

#[test]
fn lost_lines_are_marked_and_the_next_snapshot_goes_on() {
    let world = World::lived();
    let cut = world.lines.iter().position(|line| {
        matches!(line, Line::Decided(it) if
        it.decision.inputs.now_us > 40 * SECOND_US)
    });
    let cut = cut.unwrap();
    let mut lines = world.lines;
    lines.splice(cut..cut + 7, [Line::Gap { lines: 7 }]);
    let replayed = replay(&bytes(&lines), 0).unwrap();
    assert_eq!(replayed.gaps, 1);
    assert!(replayed.skipped > 0 && replayed.decisions > 60, "{replayed:?}");
    assert_eq!(replayed.decisions + replayed.skipped, decisions(&lines));

    lines.remove(cut);
    let error = replay(&bytes(&lines), 0).unwrap_err();
    assert!(matches!(error, ReplayError::Differs { .. }), "unmarked, it shows: {error}");
}

#[test]
fn the_first_difference_is_named() {
    let text = String::from_utf8(World::lived().bytes()).unwrap();
    let check = |mark: &str, from: &str, to: &str, field: &str| {
        let ReplayError::Differs { difference, .. } =
            replay(falsified(&text, mark, from, to).as_bytes(), 0).unwrap_err()
        else {
            panic!("{field} is read");
        };
        assert_eq!(difference.field, field);
        assert!(difference.want != difference.got, "{difference}");
        assert!(!difference.function.as_str().is_empty() && difference.at_us > 0);
    };
    check("tick", "\"desired\":1", "\"desired\":2", "decided.decision.desired");
    check("tick", "\"raw\":0", "\"raw\":1", "decided.decision.raw");
    check("tick", "\"outcome\":\"keep\"", "\"outcome\":\"no-data\"", "decided.decision.outcome");
    check(
        "tick",
        "\"value\":0.0",
        "\"value\":0.5",
        "decided.decision.inputs.averages.stable.value",
    );
    check("tick", "\"before\":", "\"before\":1", "decided.decision.reasons[0].before");
    // What was heard leads elsewhere; so does what a snapshot says that is not what was heard.
    check(
        "\"in_flight\":3",
        "\"area_us\":",
        "\"area_us\":1",
        "decided.decision.inputs.averages.panic.value",
    );
    check("periodic", "\"next_s\":", "\"next_s\":9", "snapshot.meter.next_s");
    check(
        "\"settings\"",
        "\"target\":1.5",
        "\"target\":1.6",
        "decided.decision.inputs.scaling.target",
    );
}

#[test]
fn a_bad_record_is_answered_with_line_and_field() {
    let text = String::from_utf8(World::lived().bytes()).unwrap();
    let check = |text: String, line: u64, field: &str, fault: &str| {
        let error = replay(text.as_bytes(), 0).unwrap_err();
        let ReplayError::Unreadable(Unreadable { line: at, fault: got }) = &error else {
            panic!("{error}");
        };
        assert_eq!((*at, got.field.as_str()), (line, field), "{error}");
        assert!(got.fault.contains(fault), "{error}");
    };
    let broken = |mark: &str, from: &str, to: &str| falsified(&text, mark, from, to);
    check(broken("", "dormouse-record", "x"), 1, "header.format", "dormouse-record");
    check(broken("", "\"version\":1", "\"version\":2"), 1, "header.version", "must be 1");
    check(text.split_once('\n').unwrap().1.to_owned(), 1, "header", "first line");
    check(broken("", "\"snapshot\"", "\"snapshots\""), 3, ".", "unknown variant");
    check(
        broken("start", "\"replicas\":1", "\"replicas\":-1"),
        4,
        "decided.decision.inputs.replicas",
        "u32",
    );
    check(broken("start", "\"raw\":0,", ""), 4, "decided.decision", "missing field `raw`");
    check(broken("", "\"ready\":1", "\"ready\":true"), 3, "snapshot.taken.begin.ready", "boolean");
    check(
        broken("", "\"buckets\":[null,", "\"buckets\":["),
        3,
        "snapshot.scaler.windows",
        "contradicts",
    );
    let far = "\"settled_s\":99999999999999999";
    check(broken("", "\"settled_s\":0", far), 3, "snapshot.reporters.settled_s", "at most");
    let back = broken("tick", "\"now_us\":1", "\"now_us\":");
    check(back, 5, "decided.decision.inputs.now_us", "goes back");
    check(broken("tick", "\"heard_us\":", "\"heard_us\":-"), 5, "decided.heard[0].heard_us", "u64");
}

/// Every difference of a record, with these settings in place of what it says of them.
fn differences(text: &[u8], set: &[(&str, &str)]) -> (Vec<Difference>, Summary) {
    let set = set.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut replayer = Replayer::new(0).with(set);
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let found = lines.filter_map(|line| replayer.take(line.trim_ascii_end()).unwrap()).collect();
    assert_eq!(replayer.functions().len(), 2);
    (found, replayer.summary())
}

#[test]
fn after_a_difference_the_rest_is_replayed_all_the_same() {
    let world = World::lived();
    let text = String::from_utf8(world.bytes()).unwrap();
    let wrong = falsified(&text, "tick", "\"desired\":1", "\"desired\":7");
    let wrong = falsified(&wrong, "\"phase\":{\"idle\"", "\"desired\":0", "\"desired\":6");
    let (found, summary) = differences(wrong.as_bytes(), &[]);
    let fields: Vec<_> = found.iter().map(|it| (it.field.as_str(), it.want.as_str())).collect();
    assert_eq!(fields, [("decided.decision.desired", "7"), ("decided.decision.desired", "6")]);
    assert_eq!(summary.decisions, decisions(&world.lines));
}

#[test]
fn other_settings_decide_otherwise_on_the_same_readings() {
    let world = World::lived();
    let (found, summary) = differences(&world.bytes(), &[("dormouse.dev/paused", "false")]);
    assert_eq!(found, [], "as they were");
    assert_eq!(summary.decisions, decisions(&world.lines));
    let least = "autoscaling.knative.dev/min-scale";
    let (found, summary) = differences(&world.bytes(), &[(least, "3")]);
    assert!(!found.is_empty() && (found.len() as u64) < summary.decisions);
    for difference in found {
        assert_eq!(difference.field, "decided.decision.desired", "nothing else is compared");
        assert!(difference.got.parse::<u32>().unwrap() >= 3, "{difference}");
    }
}

#[test]
fn settings_that_cannot_hold_are_named() {
    let set = [("autoscaling.knative.dev/window".to_owned(), "1s".to_owned())];
    let mut replayer = Replayer::new(0).with(set.into_iter().collect());
    let bytes = World::lived().bytes();
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let error = lines.find_map(|line| replayer.take(line).err()).unwrap();
    assert_eq!((error.line, error.fault.field.as_str()), (3, "snapshot.scaler.scaling"));
    assert!(error.fault.fault.contains("must be a duration"), "{error}");
}

#[test]
fn a_last_line_without_end_is_left_out() {
    let world = World::lived();
    let bytes = world.bytes();
    let whole = replay(&bytes, 0).unwrap();
    let torn = replay(&bytes[..bytes.len() - 9], 0).unwrap();
    assert_eq!(torn.lines, whole.lines - 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever byte is another: an answer, no panic.
    #[test]
    fn no_record_is_bad_enough_to_panic(places in proptest::collection::vec(
        (any::<proptest::sample::Index>(), any::<u8>()), 1..4))
    {
        let mut bytes = World::lived().bytes();
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        replay(&bytes, 0).ok();
        replay(&bytes, 30 * SECOND_US).ok();
    }
}

/// A record as this version has always written it. Where this fails, either write what is there as
/// before, or give [`VERSION`] (or, if decisions come out otherwise, that of the policy) a new
/// number: people keep records, and must be told which of them can be read. With
/// `DORMOUSE_UPDATE_RECORDINGS` set the sample is written anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "the sample is a file")]
fn the_sample_of_this_version_is_written_and_decided_as_ever() {
    assert_eq!((VERSION, crate::decision::VERSION), (1, 1), "a new version needs its own sample");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/record-1.jsonl");
    let written = World::sampled().bytes();
    if std::env::var_os("DORMOUSE_UPDATE_RECORDINGS").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    let sample = std::fs::read(path).unwrap();
    let replayed = replay(&sample, 0).unwrap();
    assert_eq!((replayed.decisions, replayed.skipped, replayed.gaps), (27, 0, 1));
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
    };
    for (written, sample) in lines(&written).iter().zip(&lines(&sample)) {
        assert_eq!(written, sample);
    }
    assert_eq!(written.len(), sample.len());
}

#[test]
fn the_page_on_the_format_shows_what_is_written() {
    let page = include_str!("../../../../deploy/record.md");
    let shown: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"")).collect();
    assert_eq!(shown.len(), 3);
    for line in shown {
        let mut shown: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(scaling) = shown.pointer_mut("/decided/decision/inputs/scaling") {
            *scaling = serde_json::to_value(settings(1.4)).unwrap();
        }
        let written = read::read(shown.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(written).unwrap(), shown, "field for field");
    }
}
