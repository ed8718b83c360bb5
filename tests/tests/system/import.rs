//! `dormouse sim import`: from a log to a simulation, within its memory, and how it ends.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use dormouse_tests::program::{self, Scratch, checkout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

const SCENARIO: &str = "schema = 1\nlength = \"3m\"\n[function.api]\nservice = \"50ms\"\n\
    trace = { format = \"dormouse\", file = \"out.trace\", place = \"even\" }\n";

const LOG: &str = "h - - [03/Mar/2026:08:00:00 +0000] \"GET /api/1 HTTP/1.1\" 200 1\n\
    h - - [03/Mar/2026:08:02:00 +0000] \"GET /api/2 HTTP/1.1\" 200 1\n";

fn sim(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program::dormouse());
    command.arg("sim").args(args).current_dir(folder).output().unwrap()
}

/// How it ended, and what it said on stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[track_caller]
fn ends(folder: &Path, args: &[&str], code: i32, want: &str) {
    let (got, said) = told(&sim(folder, args));
    assert_eq!(got, Some(code), "{args:?}: {said}");
    assert!(said.contains(want), "{args:?}: {want:?} is not in {said:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_log_becomes_a_load() {
    let folder = Scratch::new();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("log"), LOG).unwrap();
    fs::write(at("s.toml"), SCENARIO).unwrap();
    let wanted = "out.trace: 1 functions, 2 requests from 2026-03-03T08:00:00Z to \
                  2026-03-03T08:02:00Z, exact to 1s, service times unknown\n";
    ends(folder.path(), &["import", "access-log", "log", "-o", "out.trace"], 0, wanted);
    assert_eq!(names(folder.path()), ["log", "out.trace", "s.toml"]);
    let held = "arrived == 2";
    ends(folder.path(), &["run", "s.toml", "--assert", held], 0, "default: arrived == 2");
    // A trace of several functions is a fleet, or one of them.
    let fixture = checkout().join("sim/testdata/import/json-lines.jsonl");
    let fields = ["--field", "time=ts", "--field", "duration=dur", "--field", "function=http.host"];
    let import = ["import", "json-lines", fixture.to_str().unwrap(), "-o", "out.trace", "--quiet"];
    ends(folder.path(), &[&import[..], &fields].concat(), 0, "");
    ends(folder.path(), &["run", "s.toml"], 2, "has no function \"api\"; it has 7, blog, shop, ");
    let shop = SCENARIO.replace("out.trace\"", "out.trace\", function = \"shop\", skip = \"1ms\"");
    fs::write(at("s.toml"), shop.replace("service = \"50ms\"\n", "")).unwrap();
    let two = ["--assert", "arrived == 5", "--assert", "latency.max < 2s"];
    ends(folder.path(), &[&["run", "s.toml"], &two[..]].concat(), 0, "");
    let fleet = SCENARIO.replace("api", "\"f/*\"");
    let fleet = fleet.replace("place", "where = \"function != 7\", place");
    fs::write(at("s.toml"), fleet).unwrap();
    ends(folder.path(), &["run", "s.toml", "--assert", "arrived == 9"], 0, "");
    // Its times are read from it, and the report says which bytes it was.
    let json = told(&sim(folder.path(), &["run", "s.toml", "-o", "json"])).1;
    let hash = Sha256::digest(fs::read(at("out.trace")).unwrap());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(json.contains(&hash), "{json}");
}

#[test]
fn a_trace_that_cannot_be_used_is_named() {
    let folder = Scratch::new();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("log"), LOG).unwrap();
    fs::write(at("s.toml"), SCENARIO).unwrap();
    let run = |want: &str| ends(folder.path(), &["run", "s.toml"], 2, want);
    run("out.trace: cannot be read: No such file");
    ends(folder.path(), &["import", "access-log", "log", "-o", "out.trace"], 0, "");
    let good = fs::read(at("out.trace")).unwrap();
    let mut damaged = good.clone();
    damaged[30] ^= 1;
    for (bytes, want) in [
        (&good[..good.len() - 1], "out.trace: is cut: it does not end as a trace does"),
        (&damaged[..], "out.trace: is damaged: its checksum is "),
        (LOG.as_bytes(), "out.trace: is no trace of dormouse: it does not begin as one"),
        (&[0x1f, 0x8b, 8], "out.trace: is packed with gzip"),
    ] {
        fs::write(at("out.trace"), bytes).unwrap();
        run(want);
    }
    fs::write(at("out.trace"), good).unwrap();
    let skip = SCENARIO.replace("place", "skip = \"1h\", place");
    fs::write(at("s.toml"), skip.replace("1h", "1500ms")).unwrap();
    run("trace.skip must be a multiple of 1s");
    fs::write(at("s.toml"), skip).unwrap();
    run("out.trace: is 2m1s long, and trace.skip is 1h");
    fs::write(at("s.toml"), SCENARIO.replace("service = \"50ms\"\n", "")).unwrap();
    run("service is missing, for the trace has no service times");
}

#[test]
fn an_import_that_fails_leaves_nothing_and_what_was_there() {
    let folder = Scratch::new();
    let at = |name: &str| folder.path().join(name);
    let hour = |hour: u32| LOG.replace(":08:", &format!(":{hour:02}:"));
    fs::write(at("log"), [hour(8), hour(11), hour(9)].concat()).unwrap();
    fs::write(at("out.trace"), "as it was").unwrap();
    let import = |args: &[&str], code: i32, want: &str| {
        ends(folder.path(), &[&["import", "access-log", "log", "-o"], args].concat(), code, want);
    };
    import(&["out.trace"], 2, "log:5: time: is 7320 s before line 4; a line may lie 3600 s before");
    import(&["out.trace", "--field", "x=y"], 2, "must be time=, duration= or function=");
    import(&["out.trace", "--memory", "1KiB"], 2, "must be a size such as 256MiB, at least 1MiB");
    import(&["none/out.trace", "--disorder", "9h"], 74, "none/out.trace: cannot be written");
    let none = ["--disorder", "9h", "--function", "*="];
    import(&[&["out.trace"], &none[..]].concat(), 3, "log: there is not one request in it");
    assert_eq!(names(folder.path()), ["log", "out.trace"]);
    assert_eq!(fs::read_to_string(at("out.trace")).unwrap(), "as it was");
    let rule = ["--disorder", "9h", "--function", "/api/1=one"];
    import(&[&["out.trace"], &rule[..]].concat(), 2, "log:2: function: \"/api/2\": no --function");
}

/// An import whose input is written by the test.
fn fed(folder: &Path) -> (Child, BufWriter<std::process::ChildStdin>) {
    let mut child = Command::new(program::dormouse())
        .args(["sim", "import", "access-log", "-", "-o", "out.trace", "--memory", "1MiB"])
        .args(["--function", "/*/0=zero", "--function", "*=rest", "--disorder", "9h"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = BufWriter::new(child.stdin.take().unwrap());
    (child, input)
}

fn feed(input: &mut impl Write, lines: std::ops::Range<u32>) {
    for number in lines {
        // Neither in order nor any two alike.
        let second = number.wrapping_mul(2_654_435_761) % 3600;
        let (minute, second) = (second / 60, second % 60);
        let time = format!("03/Mar/2026:{:02}:{minute:02}:{second:02} +0000", number / 100_000);
        writeln!(input, "h - - [{time}] \"GET /{number}/{} HTTP/1.1\" 200 1", number % 7).unwrap();
    }
    input.flush().unwrap();
}

/// The most memory that a process had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_long_log_takes_no_more_memory_than_a_short_one() {
    let folder = Scratch::new();
    let (child, mut input) = fed(folder.path());
    // Beyond the memory allowed, several times.
    feed(&mut input, 0..60_000);
    let short = peak_kib(child.id());
    feed(&mut input, 60_000..240_000);
    let long = peak_kib(child.id());
    drop(input);
    let (code, said) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(0));
    assert!(said.starts_with("out.trace: 2 functions, 240000 requests from 2026-03-03T00:"));
    // As much again in memory would be 5 MiB of rows alone.
    assert!(long < short + 2048, "{short} KiB, then {long} KiB");
    assert_eq!(names(folder.path()), ["out.trace"]);
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let folder = Scratch::new();
    let (mut child, mut input) = fed(folder.path());
    // Enough for temporary files.
    feed(&mut input, 0..50_000);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
