//! What the simulator's reports look like: small ones, as they were.

use std::fs;
use std::path::Path;
use std::process::Command;

use dormouse_tests::golden::is_up_to_date;
use dormouse_tests::program::{Scratch, checkout};

use crate::sim::{ends, sim};

/// Set it and the reports are brought up to date instead of being found out of date.
const UPDATE: &str = "DORMOUSE_UPDATE_REPORTS";

const SCENARIO: &str = r#"schema = 1
name = "a spell & a pause"
warmup = "20s"
length = "100s"
seeds = 2
[policy.now]
[policy.kept.set]
"autoscaling.knative.dev/min-scale" = 1
[function.api]
load = { on-off = "8/s", on = "10s", off = "40s" }
service = "400ms"
start_up = { boot = "2s" }
[score]
price = { pod_hour = 0.05, currency = "USD" }
assert = ["refused == 0", "now wait.max <= 1us"]
"#;

/// Debian's package python3-jsonschema, so not just any Python.
const PYTHON: &str = "/usr/bin/python3";

/// Says in which places a document is not as its part of the schema has it.
const VALIDATE: &str = "
import json, jsonschema, sys
schema, part, *documents = sys.argv[1:]
schema = json.load(open(schema))
jsonschema.Draft202012Validator.check_schema(schema)
del schema['oneOf']
schema['$ref'] = '#/$defs/' + part
validator = jsonschema.Draft202012Validator(schema)
for name in documents:
    for error in validator.iter_errors(json.load(open(name))):
        print(name, error.json_path, error.message)
";

#[track_caller]
fn faults(folder: &Path, part: &str, documents: &[&str]) -> String {
    let mut python = Command::new(PYTHON);
    python.args(["-c", VALIDATE, "schema.json", part]).args(documents).current_dir(folder);
    let output = python.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3-jsonschema: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn json_is_as_the_schema_says() {
    let folder = Scratch::new();
    let path = folder.path();
    fs::write(path.join("spell.toml"), SCENARIO).unwrap();
    fs::write(path.join("schema.json"), ends(path, &["schema"], 0, "")).unwrap();
    let windows = "autoscaling.knative.dev/window=6s,15s";
    let range = "autoscaling.knative.dev/window=6s..60s";
    sim(path, &["run", "spell.toml", "-o", "json=run.json"]);
    sim(path, &["compare", "spell.toml", "--seed", "1..10", "-o", "json=compare.json"]);
    sim(path, &["sweep", "spell.toml", "--grid", windows, "-o", "json=whole.json"]);
    let drawn = ["--random", "3", "--range", range, "--partition", "slice:1/2"];
    sim(path, &[&["sweep", "spell.toml", "-o", "json=slice.json"], &drawn[..]].concat());
    assert_eq!(faults(path, "run", &["run.json"]), "");
    assert_eq!(faults(path, "comparison", &["compare.json"]), "");
    assert_eq!(faults(path, "sweep", &["whole.json", "slice.json"]), "");

    let run = fs::read_to_string(path.join("run.json")).unwrap();
    for (was, is, place) in [
        ("\"arrived\"", "\"arrivals\"", "arrivals"),
        ("\"schema\": 1", "\"schema\": 2", "$.schema"),
        ("\"ruling\": \"holds\"", "\"ruling\": \"true\"", "$.assertions[0].ruling"),
    ] {
        fs::write(path.join("other.json"), run.replace(was, is)).unwrap();
        let faults = faults(path, "run", &["other.json"]);
        assert!(faults.contains(place), "{place} is not in {faults:?}");
    }
}

#[test]
fn reports_look_as_they_did() {
    let folder = Scratch::new();
    fs::write(folder.path().join("spell.toml"), SCENARIO).unwrap();
    let windows = "autoscaling.knative.dev/window=6s,15s,30s,60s";
    for (command, flags, kinds) in [
        ("run", &[][..], &["svg", "md", "prom"][..]),
        ("compare", &[], &["svg", "md"]),
        ("sweep", &["--grid", windows, "--margin", "50%"], &["svg", "md"]),
    ] {
        for kind in kinds {
            let name = format!("{command}.{kind}");
            let output = format!("{kind}={name}");
            sim(folder.path(), &[&[command, "spell.toml", "-o", &output], flags].concat());
            let made = fs::read_to_string(folder.path().join(&name)).unwrap();
            let golden = checkout().join("tests/tests/system/goldens").join(name);
            is_up_to_date(&golden, &made, UPDATE);
        }
    }
}
