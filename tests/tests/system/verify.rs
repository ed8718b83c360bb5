//! `dormouse sim verify`: what it prints, and how it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dormouse_tests::program::{self, Scratch, checkout};

fn recording(name: &str) -> PathBuf {
    checkout().join("autoscaler/policy/testdata").join(name)
}

fn verify(files: &[&Path]) -> Output {
    Command::new(program::dormouse()).args(["sim", "verify"]).args(files).output().unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(said(&output.stderr), stderr);
    assert_eq!(said(&output.stdout), stdout);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn the_recordings_agree_packed_or_not() {
    let kpa = recording("kpa.jsonl");
    let line = "verified 150 cases, 18350 steps, 0 mismatches\n";
    check(&verify(&[&kpa]), 0, line, "");
    let packed = Command::new("gzip").arg("-c").arg(&kpa).output().unwrap().stdout;
    let scratch = Scratch::new();
    let gz = scratch.path().join("kpa.jsonl.gz");
    fs::write(&gz, packed).unwrap();
    let line = "verified 300 cases, 36700 steps, 0 mismatches\n";
    check(&verify(&[&kpa, &gz]), 0, line, "");
    let piped = Command::new(program::dormouse())
        .args(["sim", "verify", "-"])
        .stdin(Stdio::from(File::open(&gz).unwrap()))
        .output()
        .unwrap();
    check(&piped, 0, "verified 150 cases, 18350 steps, 0 mismatches\n", "");
}

#[test]
fn a_recording_without_cases_shows_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path().join("empty.jsonl");
    fs::write(&path, "\n").unwrap();
    check(&verify(&[&path]), 3, "verified 0 cases, 0 steps, 0 mismatches\n", "");
}

#[test]
fn our_own_recordings_agree() {
    let output = verify(&[&recording("dormouse.jsonl")]);
    check(&output, 0, "verified 30 cases, 2785 steps, 0 mismatches\n", "");
}

#[test]
fn twenty_mismatches_are_printed_and_all_are_counted() {
    let scratch = Scratch::new();
    let path = scratch.path().join("false.jsonl");
    let text = fs::read_to_string(recording("kpa.jsonl")).unwrap();
    let first = text.lines().next().unwrap();
    let honest = first.matches("\"panicking\":true").count();
    assert!(honest > 20);
    let falsified = first.replace("\"panicking\":true", "\"panicking\":false");
    fs::write(&path, &falsified).unwrap();
    let output = verify(&[&path, &path]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 21, "{said}");
    let path = path.display();
    let want = format!("{path}: case 0 (burst-train), t 0: panicking: want false, got true");
    assert_eq!(lines[0], want);
    let last = lines[20];
    assert!(last.starts_with("verified 2 cases, "), "{last}");
    assert!(last.ends_with(&format!(" {} mismatches", 2 * honest)), "{last}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_are_verified() {
    let scratch = Scratch::new();
    let broken = scratch.path().join("broken.jsonl");
    let text = fs::read_to_string(recording("kpa.jsonl")).unwrap();
    let lines: Vec<String> = text
        .lines()
        .take(2)
        .map(str::to_owned)
        .chain([text.lines().nth(2).unwrap().replacen("\"ready\":", "\"raedy\":", 1)])
        .collect();
    fs::write(&broken, lines.join("\n")).unwrap();
    let absent = scratch.path().join("absent.jsonl");
    let output = verify(&[&broken, &absent, &recording("kpa.jsonl")]);
    let said = String::from_utf8(output.stderr).unwrap();
    let (first, second) = said.split_once('\n').unwrap();
    let place = format!("dormouse: {}:3: steps[0].ready: is missing", broken.display());
    assert_eq!(first, place);
    let place = format!("dormouse: {}: cannot be read: ", absent.display());
    assert!(second.starts_with(&place), "{second}");
    let last = String::from_utf8(output.stdout).unwrap();
    assert!(last.starts_with("verified 152 cases, "), "{last}");
    assert_eq!(output.status.code(), Some(2));
}
