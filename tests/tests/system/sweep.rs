//! `dormouse sim sweep` and `merge`: their commands, how they end, and what bad input gets.

use std::fs;
use std::path::Path;

use dormouse_tests::program::Scratch;

use crate::sim::{ends, said, sim};

const SCENARIO: &str = r#"schema = 1
name = "bursts"
length = "16m"
seeds = 4
[policy.now.set]
"autoscaling.knative.dev/window" = "240s"
[function.api]
load = { on-off = "4/s", on = "20s", off = "40s" }
service = "50ms"
start_up = { boot = "2s" }
"#;

const WINDOWS: &str = "autoscaling.knative.dev/window=12s,60s,240s";
const SCALES: &str = "autoscaling.knative.dev/min-scale=0,1,2";

fn folder() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("bursts.toml"), SCENARIO).unwrap();
    scratch
}

/// The arguments of a sweep of nine candidates, and some more.
fn sweep<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "bursts.toml", "--grid", WINDOWS, "--grid", SCALES], more].concat()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn slices_that_are_merged_are_the_whole_to_the_byte() {
    let folder = folder();
    let outputs = ["-o", "json=whole.json", "-o", "md=whole.md"];
    let whole = ends(folder.path(), &sweep(&outputs), 0, "");
    assert_eq!(whole, "", "what goes to files does not go to stdout");
    for jobs in ["1", "2", "7"] {
        let again = ends(folder.path(), &sweep(&["--jobs", jobs, "-o", "json"]), 0, "");
        assert_eq!(again, read(folder.path(), "whole.json"));
    }
    for slice in 1..=4 {
        let (partition, output) = (format!("slice:{slice}/4"), format!("json={slice}.json"));
        let told = sweep(&["--partition", &partition, "-o", &output, "-o", "text"]);
        let told = ends(folder.path(), &told, 0, "");
        assert!(told.contains("`sim merge` concludes"), "{told}");
    }
    let files = ["merge", "4.json", "1.json", "3.json", "2.json"];
    ends(
        folder.path(),
        &[&files[..], &["-o", "json=merged.json", "-o", "md=merged.md"]].concat(),
        0,
        "",
    );
    for (merged, whole) in [("merged.json", "whole.json"), ("merged.md", "whole.md")] {
        assert_eq!(read(folder.path(), merged), read(folder.path(), whole));
    }
    let text = ends(folder.path(), &files, 0, "");
    assert_eq!(text, ends(folder.path(), &sweep(&[]), 0, ""));
    let refused = |args: &[&str], stderr: &str| {
        let args = [&["merge"], args, &["-o", "json=none.json"]].concat();
        ends(folder.path(), &args, 2, stderr);
    };
    refused(&["1.json", "2.json", "4.json"], "slice:3/4 is missing: given are slice:1/4 (1.json)");
    refused(&["1.json", "2.json", "3.json", "3.json", "4.json"], "3.json and 3.json both have ");
    refused(&["1.json", "whole.json"], "1.json and whole.json are of different sweeps");
    refused(&["1.json", "other.json"], "other.json: cannot be read: ");
    fs::write(folder.path().join("cut.json"), &read(folder.path(), "2.json")[..900]).unwrap();
    refused(&["1.json", "cut.json"], "cut.json: is no part of a sweep: EOF while parsing ");
    let other = ["--partition", "slice:2/4", "--seed", "1..3", "-o", "json=other.json"];
    ends(folder.path(), &sweep(&other), 0, "");
    refused(&["1.json", "other.json", "3.json", "4.json"], "different sweeps: chosen_on.last_seed");
    assert!(!folder.path().join("none.json").exists());
}

#[test]
fn the_annotations_that_cost_less_are_suggested_ready_to_paste() {
    let folder = folder();
    // A pod that is never sent away costs most; one that leaves between two bursts lets them wait.
    let args = ["--cost", "pod_seconds", "--waiting", "refused", "--progress"];
    let output = sim(folder.path(), &sweep(&args));
    let (text, stderr) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("runs are done"), "{stderr}");
    assert!(text.contains("9 candidates beside policy now"), "{text}");
    assert!(text.contains("\nsuggested: min-scale=0 window=12s: pod_seconds -"), "{text}");
    let block = text.split("\n\n").find(|part| part.starts_with("metadata:")).unwrap();
    let block: serde_json::Value = serde_saphyr::from_str(block).unwrap();
    let annotations = &block["metadata"]["annotations"];
    assert_eq!(annotations["autoscaling.knative.dev/window"], "12s");
    assert_eq!(annotations["autoscaling.knative.dev/min-scale"], "0");
    // The other way round there is nothing cheaper that waits less.
    let kept = ends(folder.path(), &sweep(&["--margin", "0%"]), 0, "");
    assert!(kept.contains("nothing is suggested: no candidate lowers pod_seconds"), "{kept}");
    let sleepy = SCENARIO.replace("240s", "12s");
    fs::write(folder.path().join("sleepy.toml"), sleepy).unwrap();
    let args =
        ["sweep", "sleepy.toml", "--grid", WINDOWS, "--lower", "waiting", "--margin", "100%"];
    let waits = ends(folder.path(), &args, 0, "");
    assert!(waits.contains("\nsuggested: window=") && waits.contains("; waited -"), "{waits}");
    let one = ends(folder.path(), &sweep(&["--seed", "7", "--waiting", "refused"]), 0, "");
    assert!(one.contains("one seed leaves everything open"), "{one}");
}

#[test]
fn draws_stay_in_their_ranges() {
    let folder = folder();
    let target = "autoscaling.knative.dev/target=0.5..50";
    let random = ["sweep", "bursts.toml", "--random", "5", "--range", target, "--grid", SCALES];
    let args = [&random[..], &["-o", "json", "--seed", "3"]].concat();
    let json: serde_json::Value = serde_json::from_str(&ends(folder.path(), &args, 0, "")).unwrap();
    let candidates = json["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 5);
    for set in candidates.iter().map(|candidate| &candidate["set"]) {
        let target = set["autoscaling.knative.dev/target"].as_str().unwrap();
        assert!((0.5..=50.0).contains(&target.parse().unwrap()), "{target}");
        assert!(SCALES.contains(set["autoscaling.knative.dev/min-scale"].as_str().unwrap()));
    }
    let args = ["sweep", "bursts.toml", "--range", target];
    ends(folder.path(), &args, 2, "--random <N>");
}

#[test]
fn what_cannot_be_swept_is_named_before_anything_runs() {
    let folder = folder();
    let check = |args: &[&str], code, stderr: &str| {
        let args = [&["sweep", "bursts.toml", "-o", "json=out.json"], args].concat();
        ends(folder.path(), &args, code, stderr);
        assert!(!folder.path().join("out.json").exists(), "{args:?}");
    };
    check(&[], 2, "nothing is varied: --grid KEY=V1,V2,… is missing");
    check(
        &["--grid", "autoscaling.knative.dev/windw=9s"],
        2,
        "did you mean autoscaling.knative.dev/window?",
    );
    let rule = "annotation autoscaling.knative.dev/window: \"5s\": must be a duration";
    check(&["--grid", "autoscaling.knative.dev/window=9s,5s"], 2, rule);
    let many: Vec<_> = (6..1_006).map(|seconds| format!("{seconds}s")).collect();
    let many = format!("autoscaling.knative.dev/window={}", many.join(","));
    let scales: Vec<_> = (0..1_000).map(|scale| scale.to_string()).collect();
    let scales = format!("autoscaling.knative.dev/min-scale={}", scales.join(","));
    let rule = "1000000 candidates are more than the 10000 that a sweep may have";
    check(&["--grid", &many, "--grid", &scales], 2, rule);
    check(&["--grid", WINDOWS, "--partition", "slice:5/4"], 2, "must be slice:N/M");
    check(&["--grid", WINDOWS, "--cost", "pods"], 2, "there is no metric \"pods\"");
    check(&["--grid", WINDOWS, "--assert", "refused == 0"], 2, "a sweep judges no assertions");
    check(&["--grid", WINDOWS, "--set", "autoscaling.knative.dev/window=9s"], 2, "is varied");
    let silent = SCENARIO.replace("4/s", "0/s");
    fs::write(folder.path().join("silent.toml"), silent).unwrap();
    ends(folder.path(), &["sweep", "silent.toml", "--grid", WINDOWS], 3, "did anything arrive?");
    let unwritable = sweep(&["-o", "json=none/out.json"]);
    ends(folder.path(), &unwritable, 74, "none/out.json: cannot be written");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
}
