//! `dormouse sim`: its commands, how they end, and what bad input gets.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dormouse_tests::program::{self, Scratch, checkout};

const SCENARIO: &str = r#"schema = 1
name = "small"
length = "3m"
seeds = 2
[policy.now]
manifest = "app.yaml"
[policy.wide]
manifest = "app.yaml"
set = { "autoscaling.knative.dev/min-scale" = "2" }
[function.api]
load = { poisson = "2/s" }
service = "50ms"
[score]
assert = ["arrived >= 100", "wide pods.max >= 2"]
"#;

const MANIFEST: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  annotations: {dormouse.dev/enabled: "true", autoscaling.knative.dev/window: "20s"}
spec:
  replicas: 0
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: api}]}
"#;

/// A folder with a scenario, small.toml, and the manifest that it names, app.yaml.
pub(crate) fn folder() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("small.toml"), SCENARIO).unwrap();
    fs::write(scratch.path().join("app.yaml"), MANIFEST).unwrap();
    scratch
}

pub(crate) fn sim(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program::dormouse());
    command.arg("sim").args(args).current_dir(folder).env("RUST_BACKTRACE", "0").output().unwrap()
}

pub(crate) fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// How it ended, and what it said on stderr.
#[track_caller]
pub(crate) fn ends(folder: &Path, args: &[&str], code: i32, stderr: &str) -> String {
    let output = sim(folder, args);
    let complaint = said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
    assert!(complaint.contains(stderr), "{args:?}: {stderr:?} is not in {complaint:?}");
    said(&output.stdout)
}

#[test]
fn every_scenario_of_the_repository_comes_out_as_it_did() {
    let told = ends(&checkout(), &["test", "sim/scenarios"], 0, "");
    assert!(told.lines().count() >= 12 && told.lines().all(|line| line.starts_with("ok ")));
}

#[test]
fn a_run_tells_what_came_of_it_in_every_shape() {
    let folder = folder();
    let outputs = ["-o", "json=out.json", "-o", "junit=out.xml", "-o", "csv=out.csv", "-o", "text"];
    let text = ends(folder.path(), &[&["run", "small.toml"], &outputs[..]].concat(), 0, "");
    assert!(text.contains("ok      wide: wide pods.max >= 2"), "{text}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let json = read("out.json");
    assert!(json.contains("\"stable_window_s\": 20") && json.contains("\"name\": \"app.yaml\""));
    assert!(read("out.xml").contains("tests=\"3\" failures=\"0\""));
    assert!(read("out.csv").contains("wide,2,default/api,pods.max,2\n"));
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 5, "nothing is left beside them");
    // The same bytes on any number of threads.
    for jobs in ["1", "2", "7"] {
        let again =
            ends(folder.path(), &["run", "small.toml", "-o", "json", "--jobs", jobs], 0, "");
        assert_eq!(again, json);
    }
    // Where every event is looked at, none is left out.
    let checked = ["run", "small.toml", "-o", "json", "--check-events"];
    let checked = ends(folder.path(), &checked, 0, "");
    let but_events = |json: &str| -> Vec<String> {
        json.lines().filter(|line| !line.contains("\"events\":")).map(str::to_owned).collect()
    };
    assert_eq!(but_events(&checked), but_events(&json));
}

#[test]
fn flags_come_before_the_scenario() {
    let folder = folder();
    let run = |flags: &[&str], code, stderr: &str| {
        let args = [&["run", "small.toml", "-o", "csv"], flags].concat();
        ends(folder.path(), &args, code, stderr)
    };
    let seeds = run(&["--seed", "5..6", "--policy", "wide"], 0, "");
    assert!(seeds.contains("wide,5,") && seeds.contains("wide,6,") && !seeds.contains("now,"));
    let set = run(&["--set", "autoscaling.knative.dev/min-scale=3", "--seed", "1"], 0, "");
    assert!(set.contains("now,1,default/api,pods.max,3\n"), "{set}");
    run(&["--only", "apo"], 2, "--only: apo: there is none of this name; there are api");
    run(&["--seed", "9..1"], 2, "must not end before it begins");
    run(&["--set", "autoscaling.knative.dev/min-scale=-3"], 2, "must be a whole number");
    run(&["--max-events", "100"], 2, "raise --max-events");
    run(&["--manifest", "none.yaml"], 2, "none.yaml: cannot be read");
    fs::write(folder.path().join("other.yaml"), MANIFEST.replace("20s", "30s")).unwrap();
    let args = ["check", "small.toml", "--manifest", "other.yaml"];
    let effective = ends(folder.path(), &args, 0, "");
    assert!(effective.contains("# scaling.stable_window_s = 30\n"), "{effective}");
}

#[test]
fn what_fails_is_told_and_the_report_is_written_all_the_same() {
    let folder = folder();
    let args =
        ["run", "small.toml", "--assert", "wait.max < 1us", "-o", "junit=out.xml", "--quiet"];
    ends(folder.path(), &args, 1, "FAILED  now: wait.max < 1us");
    let junit = fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(junit.contains("against 1 us, seed ") && junit.contains(", worst from "), "{junit}");
    let args = ["run", "small.toml", "--assert", "wait.p99 < 1s after 2m59s999999999ns"];
    assert!(ends(folder.path(), &args, 1, "").contains("NO DATA now"));
}

#[test]
fn a_baseline_is_compared_with_and_blessed() {
    let folder = folder();
    let baseline = |flags: &[&str], code, stderr: &str| {
        let args = ["run", "small.toml", "--quiet", "--baseline", "was.json"];
        ends(folder.path(), &[&args[..], flags].concat(), code, stderr)
    };
    baseline(&[], 2, "was.json: No such file");
    baseline(&["--bless"], 0, "");
    baseline(&[], 0, "");
    let set = "autoscaling.knative.dev/min-scale=5";
    baseline(&["--set", set], 1, "now, seed 1, all: pods.max: was ");
    fs::write(folder.path().join("was.json"), "{}").unwrap();
    baseline(&[], 2, "was.json: has schema null");
}

#[test]
fn a_tolerance_is_what_a_baseline_may_be_missed_by() {
    let folder = folder();
    let baseline = |flags: &[&str], code, stderr: &str| {
        let args = ["run", "small.toml", "--quiet", "--baseline", "was.json"];
        ends(folder.path(), &[&args[..], flags].concat(), code, stderr)
    };
    let wide = ["--policy", "wide"];
    baseline(&[&wide[..], &["--bless"]].concat(), 0, "");
    let more = [&wide[..], &["--set", "autoscaling.knative.dev/min-scale=3"]].concat();
    baseline(&more, 1, "wide, seed 1, all: pods.max: was 2, is 3");
    let args = ["run", "small.toml", "--quiet", "--baseline", "was.json", "--tolerance"];
    let tolerant = [&args[..], &["pods.max=50%"], &more].concat();
    let complaint = said(&sim(folder.path(), &tolerant).stderr);
    assert!(complaint.contains("pod_seconds") && !complaint.contains("pods.max"), "{complaint}");
    baseline(&["--tolerance", "wait=5"], 2, "must be a percentage from 0% to 100%");
    baseline(&["--tolerance", "weight=5%"], 2, "weight: there is no such metric");
    ends(folder.path(), &["run", "small.toml", "--tolerance", "wait=5%"], 2, "--baseline");
}

#[test]
fn a_comparison_tells_what_is_worse_in_every_shape() {
    let folder = folder();
    let outputs = ["-o", "json=out.json", "-o", "md=out.md", "-o", "text"];
    let args = [&["compare", "small.toml"], &outputs[..]].concat();
    let text = ends(folder.path(), &args, 1, "");
    assert!(text.contains("mean of 10 seeds; 95 % intervals: paired t over 10 seeds"), "{text}");
    let of = |figure: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(figure));
        line.unwrap_or_else(|| panic!("{figure} is not in {text}")).to_owned()
    };
    assert!(of("pod_seconds").ends_with("worse"));
    assert!(of("waited").ends_with("better") || of("waited").ends_with("undecided"), "{text}");
    assert!(of("start-up × 0.5: ").len() > 20 && of("start-up × 2: ").len() > 20);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let json = read("out.json");
    assert!(json.contains("\"baseline\": \"now\"") && json.contains("\"count\": 10"), "{json}");
    assert!(read("out.md").contains("| figure | now | wide | difference | verdict |\n"));
    for jobs in ["1", "7"] {
        let args = ["compare", "small.toml", "-o", "json", "--jobs", jobs];
        assert_eq!(ends(folder.path(), &args, 1, ""), json);
    }
    let quiet = ["compare", "small.toml", "--quiet"];
    assert_eq!(ends(folder.path(), &quiet, 1, "wide: pod_seconds: +"), "");
    ends(folder.path(), &["compare", "small.toml", "--metric", "arrived"], 2, "is the load's");
    ends(folder.path(), &["compare", "small.toml", "--metric", "lost"], 0, "");
    ends(
        folder.path(),
        &["compare", "small.toml", "--metric", "pod_seconds", "--margin", "99%"],
        1,
        "",
    );
}

#[test]
fn a_scenario_beside_itself_is_the_same_and_one_of_another_load_is_refused() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("again.toml", SCENARIO);
    let compare = |flags: &[&str], code, stderr: &str| {
        let args = [&["compare", "small.toml", "again.toml", "--policy", "now"], flags].concat();
        ends(folder.path(), &args, code, stderr)
    };
    let text = compare(&[], 0, "");
    assert!(text.contains("small.toml:now") && text.contains("again.toml:now"), "{text}");
    let rows: Vec<_> = text.lines().filter(|line| line.contains(" (0 % to 0 %)")).collect();
    assert!(rows.len() >= 5 && rows.iter().all(|row| row.ends_with("same")), "{text}");
    compare(&["--seed", "1..9"], 2, "--seed 1..9: invented loads are compared by 10 seeds or more");
    write("again.toml", &SCENARIO.replace("3m", "4m"));
    let want = "length: small.toml has \"3m\", again.toml has \"4m\"; they may differ in their \
                policies alone";
    compare(&[], 2, want);
    let one = ["compare", "small.toml", "--policy", "now"];
    ends(folder.path(), &one, 2, "there is but one policy, and nothing to compare it with");
    ends(folder.path(), &["compare", "none.toml"], 2, "none.toml: cannot be read");
}

#[test]
fn a_folder_is_tested_and_one_without_scenarios_has_nothing_to_judge() {
    let folder = folder();
    let test = |code, stderr: &str| ends(folder.path(), &["test", "."], code, stderr);
    test(0, "");
    ends(folder.path(), &["test", ".", "--bless"], 0, "");
    test(0, "");
    let golden = folder.path().join("small.json");
    let text = fs::read_to_string(&golden).unwrap();
    fs::write(&golden, text.replacen("\"arrived\": ", "\"arrived\": 1", 1)).unwrap();
    test(1, "now, seed 1, all: arrived: was 1");
    fs::remove_file(&golden).unwrap();
    let mute = SCENARIO.split("[score]").next().unwrap();
    fs::write(folder.path().join("small.toml"), mute).unwrap();
    test(3, "asserts nothing, and has no");
    fs::remove_file(folder.path().join("small.toml")).unwrap();
    test(3, "there is no .toml file in it");
    let silent = mute.replace("2/s", "0/s");
    fs::write(folder.path().join("silent.toml"), silent).unwrap();
    ends(folder.path(), &["run", "silent.toml"], 3, "nothing arrived");
}

#[test]
fn bad_input_is_named_with_its_place_and_nothing_is_written() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("bad.toml", &SCENARIO.replace("length = \"3m\"", "lenght = \"3m\"\nseed = 1"));
    let args = ["run", "bad.toml", "-o", "json=out.json"];
    ends(
        folder.path(),
        &args,
        2,
        "bad.toml:3:1: lenght: there is no such key; did you mean length?",
    );
    ends(folder.path(), &args, 2, "bad.toml:4:1: seed: there is no such key; did you mean seeds?");
    ends(folder.path(), &args, 2, "bad.toml:1:1: length is missing");
    ends(folder.path(), &["run", "none.toml"], 2, "none.toml: cannot be read");
    write("app.yaml", &MANIFEST.replace("20s", "5s"));
    let rule = "small.toml:10:11: policy.now, function.api: annotation \
                autoscaling.knative.dev/window: \"5s\": must be a duration";
    ends(folder.path(), &["check", "small.toml"], 2, rule);
    write("app.yaml", &MANIFEST.replace("name: api", "name: web"));
    ends(folder.path(), &["check", "small.toml"], 2, "there is no such workload");
    let trace = "schema = 1\nlength = \"2m\"\n[function.\"f/*\"]\nservice = \"1ms\"\n\
                 [function.\"f/*\".trace]\nformat = \"azure-2019\"\ncounts = \"c.csv\"\n";
    write("trace.toml", trace);
    ends(folder.path(), &["run", "trace.toml"], 2, "c.csv: cannot be read");
    let header = "HashOwner,HashApp,HashFunction,Trigger,1,2\r\n";
    write("c.csv", &format!("{header}o,a,f,http,3,NaN\r\n"));
    let rule = "c.csv:2: column 2: \"NaN\": must be a whole number from 0 to 100000000";
    ends(folder.path(), &["run", "trace.toml"], 2, rule);
    write("c.csv", &format!("{header}o,a,f,http,3\r\n"));
    ends(folder.path(), &["run", "trace.toml"], 2, "c.csv:2: has 5 columns, the header has 6");
    write("c.csv", header);
    ends(folder.path(), &["run", "trace.toml"], 2, "c.csv: has no row but the header");
    write("trace.toml", &trace.replace("2m", "3m"));
    write("c.csv", &format!("\u{feff}{header}o,\"a,b\",f,http,3,1\r\n"));
    ends(folder.path(), &["run", "trace.toml"], 2, "has 2 minutes after 0s, the run has 3");
    write("trace.toml", trace);
    ends(folder.path(), &["run", "trace.toml"], 0, "");
    for cost in ["0", "-300", "1e99", "NaN", "a lot"] {
        let set = format!("dormouse.dev/idle-cost={cost}");
        let rule = format!(
            "trace.toml:3:11: policy.default, function.f/*: annotation dormouse.dev/idle-cost: \
             {cost:?}: must be a number from 0.001 to 1000000000"
        );
        ends(folder.path(), &["run", "trace.toml", "--set", &set, "-o", "html=out.html"], 2, &rule);
    }
    assert!(!folder.path().join("out.html").exists());
    assert!(!folder.path().join("out.json").exists());
}

#[test]
fn an_output_that_cannot_be_written_is_no_partial_file() {
    let folder = folder();
    let args = ["run", "small.toml", "-o", "json=none/out.json"];
    ends(folder.path(), &args, 74, "none/out.json: cannot be written");
    for (command, kind) in [
        (&["run", "small.toml"][..], "html"),
        (&["run", "small.toml"], "svg"),
        (&["compare", "small.toml"], "html"),
        (&["sweep", "small.toml", "--grid", "autoscaling.knative.dev/window=9s"], "html"),
    ] {
        for (path, what) in [("none/out", "No such file"), ("app.yaml/out", "Not a directory")] {
            let output = format!("{kind}={path}");
            let args = [command, &["-o", &output]].concat();
            ends(folder.path(), &args, 74, &format!("{path}: cannot be written: {what}"));
        }
    }
    ends(folder.path(), &["run", "small.toml", "-o", "html=/dev/full"], 74, "No space left");
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2, "nothing is left beside them");
    assert!(!folder.path().join("none").exists());
    let full = Command::new(program::dormouse())
        .args(["sim", "run", "small.toml"])
        .current_dir(folder.path())
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(74), "{}", said(&full.stderr));
}

#[test]
fn how_far_it_is_is_a_bar_on_a_terminal_and_lines_where_asked_for() {
    let folder = folder();
    let run = ["run", "small.toml", "-o", "json=out.json"];
    let piped = |flags: &[&str]| {
        let output = sim(folder.path(), &[&run, flags].concat());
        assert_eq!(output.status.code(), Some(0));
        said(&output.stderr)
    };
    assert_eq!(piped(&[]), "");
    let lines = piped(&["--progress"]);
    assert!(
        lines.ends_with("dormouse: 4 of 4 runs are done\n") && !lines.contains('\r'),
        "{lines}"
    );
    assert_eq!(piped(&["--progress", "--quiet"]), "");
    // A terminal of its own: what both streams say comes out of it.
    let shown = |term: &str, flags: &str| {
        let program = program::dormouse();
        let typed = format!("{} sim {} {flags}", program.display(), run.join(" "));
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &typed, "/dev/null"])
            .current_dir(folder.path())
            .env("TERM", term)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        said(&output.stdout)
    };
    let bar = shown("xterm", "");
    assert!(bar.contains("] 0 of 4 runs") && bar.contains("\r\x1b[K[███████"), "{bar:?}");
    assert!(bar.ends_with("\r\x1b[K"), "it is gone at the end: {bar:?}");
    assert_eq!(shown("xterm", "--quiet"), "");
    assert_eq!(shown("dumb", ""), "");
}

#[test]
fn a_folder_is_told_of_in_junits_words_too() {
    let folder = folder();
    fs::write(folder.path().join("bad.toml"), "schema = 1\n[oops]\n").unwrap();
    fs::write(folder.path().join("small.json"), "{}").unwrap();
    let told = ends(folder.path(), &["test", ".", "-o", "junit=out.xml", "-o", "text"], 2, "oops");
    assert_eq!(told, "FAILED  ./bad.toml\nFAILED  ./small.toml\n");
    let xml = fs::read_to_string(folder.path().join("out.xml")).unwrap();
    for part in [
        "<testsuites tests=\"5\" failures=\"0\" errors=\"2\">",
        "<testsuite name=\"small\" tests=\"3\" failures=\"0\" errors=\"0\"",
        "<testcase classname=\"wide\" name=\"wide pods.max &gt;= 2\">",
        "<error message=\"cannot be run; stderr says why\"/>",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    ends(folder.path(), &["test", ".", "-o", "csv"], 2, "must be text or junit");
}

#[test]
fn flags_come_before_set_and_set_before_the_manifest() {
    let folder = folder();
    let window = "autoscaling.knative.dev/window";
    let set = |of_one: &str| {
        let policy = "[policy.wide]\nmanifest = \"app.yaml\"\n";
        let all = format!("{policy}set.\"{window}\" = \"30s\"\n{of_one}");
        let start = SCENARIO.find("[policy.wide]").unwrap();
        let end = SCENARIO.find("[function.api]").unwrap();
        fs::write(folder.path().join("set.toml"), SCENARIO.replace(&SCENARIO[start..end], &all))
            .unwrap();
    };
    let windows = |flags: &[&str]| {
        let args = [&["run", "set.toml", "-o", "json"], flags].concat();
        let report: serde_json::Value =
            serde_json::from_str(&ends(folder.path(), &args, 1, "")).unwrap();
        let scaling = |policy| &report["settings"][policy]["api"]["scaling"];
        ["now", "wide"].map(|policy| scaling(policy)["stable_window_s"].as_u64().unwrap())
    };
    set("");
    assert_eq!(windows(&[]), [20, 30]);
    set(&format!("[policy.wide.set.api]\n\"{window}\" = \"40s\"\n"));
    assert_eq!(windows(&[]), [20, 40]);
    let flag = format!("{window}=50s");
    assert_eq!(windows(&["--set", &flag]), [50, 50]);
}

#[test]
fn an_interrupted_run_ends_at_once_and_leaves_nothing() {
    let folder = folder();
    let long = SCENARIO.replace("3m", "8000h").replace("2/s", "100/s");
    fs::write(folder.path().join("long.toml"), long).unwrap();
    let mut child = Command::new(program::dormouse())
        .args(["sim", "run", "long.toml", "-o", "json=out.json", "--progress"])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    // It is inside the run once it has its signal handler: before, it would end by the signal.
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let tasks = format!("/proc/{pid}/task");
    while !fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() > 1) {
        std::thread::yield_now();
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing was written");
}

#[test]
fn a_decision_is_explained_and_a_beginning_is_given() {
    let folder = folder();
    let told = ends(folder.path(), &["explain", "small.toml", "--at", "1m"], 0, "");
    assert!(told.contains("policy wide, seed 1, default/api\n  decided at 5"), "{told}");
    ends(folder.path(), &["explain", "small.toml", "--at", "3m"], 2, "before the end of the run");
    ends(folder.path(), &["explain", "small.toml", "--at", "-5s"], 2, "must not be negative");
    let beginning = ends(folder.path(), &["init"], 0, "");
    fs::write(folder.path().join("begin.toml"), &beginning).unwrap();
    ends(folder.path(), &["check", "begin.toml"], 0, "");
    ends(folder.path(), &["init", "begin.toml"], 2, "begin.toml: is there already");
}
