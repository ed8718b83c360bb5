//! `dormouse sim replay`: a record as it is, falsified, cut, foreign, and under other settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use dormouse_tests::program::{self, Scratch, checkout};

/// A record of two functions and nine decisions.
fn record() -> String {
    let path = checkout().join("tests/tests/fuzz/corpus/records/lived");
    fs::read_to_string(path).unwrap()
}

/// Replays `record`: how it ended, and what it said on stdout and on stderr.
fn replay(record: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let folder = Scratch::new();
    fs::write(folder.path().join("day.jsonl"), record).unwrap();
    replay_in(folder.path(), args)
}

fn replay_in(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program::dormouse());
    command.args(["sim", "replay", "day.jsonl"]).args(args).current_dir(folder);
    let output = command.output().unwrap();
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), said(output.stdout), said(output.stderr))
}

#[test]
fn a_record_comes_out_as_it_was() {
    let all = "replayed 2 functions, 9 decisions, 0 differ\n".to_owned();
    assert_eq!(replay(&record(), &[]), (Some(0), all, String::new()));
}

#[test]
fn each_decision_that_differs_is_named_up_to_a_bound() {
    let (code, told, complaint) = replay(&record().replace("\"desired\":1", "\"desired\":5"), &[]);
    assert_eq!((code, complaint.as_str()), (Some(1), ""));
    let first = "day.jsonl: 333.333ms, default/hello, desired: recorded 5, now 1\n";
    assert!(told.starts_with(first), "{told}");
    assert!(told.ends_with("\nreplayed 2 functions, 9 decisions, 7 differ\n"), "{told}");
    assert_eq!(told.lines().count(), 8, "{told}");
    let (_, told, _) =
        replay(&record().replace("\"desired\":1", "\"desired\":5"), &["day.jsonl"; 3]);
    assert_eq!(told.lines().count(), 21, "{told}");
    assert!(told.ends_with("\nreplayed 2 functions, 36 decisions, 28 differ\n"), "{told}");
}

#[test]
fn other_settings_are_tried_on_the_same_readings() {
    let set = ["--set", "autoscaling.knative.dev/min-scale=3"];
    let (code, told, _) = replay(&record(), &set);
    assert_eq!(code, Some(0));
    assert!(told.starts_with("what these settings would have decided on the recorded readings"));
    assert!(told.contains(", default/world, desired: recorded 2, now 3\n"), "{told}");
    let (code, told, _) = replay(&record(), &["--set", "dormouse.dev/burst=kpa"]);
    assert!(code == Some(0) && told.ends_with(" 9 decisions, 0 differ\n"), "{told}");
    let (code, _, complaint) = replay(&record(), &["--set", "dormouse.dev/bursts=kpa"]);
    assert!(code == Some(2) && complaint.contains("did you mean dormouse.dev/burst?"));
    let (code, told, complaint) = replay(&record(), &["--set", "dormouse.de/burst=kpa"]);
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(complaint.contains("--set: \"dormouse.de/burst\": there is no such annotation"));
    let (code, told, complaint) = replay(&record(), &["--policy", "hpa"]);
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(
        complaint.contains("no other policy can be judged; `sim import record`"),
        "{complaint}"
    );
}

#[test]
fn what_was_cut_is_left_out_and_what_is_foreign_is_refused() {
    let record = record();
    let cut = &record[..record.trim_end().len() - 9];
    let (code, told, complaint) = replay(cut, &[]);
    assert_eq!((code, told.as_str()), (Some(0), "replayed 2 functions, 8 decisions, 0 differ\n"));
    assert_eq!(complaint, "dormouse: day.jsonl: line 14 has no end and is left out\n");

    let refused = |record: &str, why: &str| {
        let (code, _, complaint) = replay(record, &[]);
        assert_eq!(code, Some(2), "{complaint}");
        assert!(complaint.contains(why), "{complaint}");
    };
    let torn = [&cut[..9000], "\n", &record[9000..]].concat();
    refused(&torn, "day.jsonl:9: ");
    refused(&record.replace("\"version\":1", "\"version\":2"), "day.jsonl:1: header.version: must");
    refused(&record.replace("dormouse-record", "x"), "day.jsonl:1: header.format: must be");
    refused("", "day.jsonl:1: header: must be the first line, and there is none");
    for other in ["a line of a log\n", "{\"a\":1}\n"] {
        let rule = "day.jsonl:1: header: must be the first line of a record of decisions: ";
        refused(other, rule);
    }
    refused("{\"header\":", "day.jsonl:1: header: must be the first line");
    let (code, _, complaint) = replay_in(Scratch::new().path(), &[]);
    assert!(code == Some(2) && complaint.contains("day.jsonl: cannot be read: No such file"));
}
