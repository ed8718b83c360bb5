//! `dormouse sim`: what cannot be used, or cannot come to anything, is refused with its place.

use std::fs;

use dormouse_tests::program::Scratch;

use crate::sim::ends;

const SCENARIO: &str = r#"schema = 1
length = "3m"
[policy.now]
[policy.wide]
set = { "autoscaling.knative.dev/min-scale" = "2" }
[function.api]
load = { poisson = "2/s" }
service = "50ms"
[score]
assert = ["arrived >= 100", "wide pods.max >= 2"]
"#;

/// A folder with one scenario.
fn folder(scenario: &str) -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("x.toml"), scenario).unwrap();
    scratch
}

/// What `run` and `check` say of a scenario that cannot be used.
#[track_caller]
fn is_refused(scenario: &str, rule: &str) {
    for command in ["check", "run"] {
        ends(folder(scenario).path(), &[command, "x.toml"], 2, rule);
    }
}

#[test]
fn annotations_that_there_are_none_of_are_not_set() {
    let rule = "there is no such annotation";
    is_refused(&SCENARIO.replace("autoscaling.knative.dev/", ""), rule);
    let folder = folder(SCENARIO);
    let set = |set: &str, rule: &str| {
        ends(folder.path(), &["run", "x.toml", "--set", set], 2, rule);
    };
    let near = "did you mean autoscaling.knative.dev/window?";
    set("window=30s", &format!("--set: \"window\": {rule}; {near}"));
    set("=1", &format!("--set: \"\": {rule}"));
}

#[test]
fn a_fault_of_what_is_not_there_is_refused() {
    let world =
        "[world]\nfault = [{ at = \"1s\", kill = \"activator\", number = 1, for = \"1s\" }]";
    let rule = "x.toml:12:52: world.fault[0].number: must be below world.activators (1)";
    is_refused(&format!("{SCENARIO}{world}\n"), rule);
}

#[test]
fn a_function_has_one_key() {
    let function = |key: &str| {
        format!("[function.{key:?}]\nload = {{ poisson = \"1/s\" }}\nservice = \"1ms\"\n")
    };
    let twice = SCENARIO.replace("[score]", &(function("default/api") + "[score]"));
    let rule = "x.toml:9:11: function.default/api: stands for default/api, as function.api does";
    is_refused(&twice, rule);
    let folder = folder(&format!(
        "schema = 1\nlength = \"2m\"\n{}[function.\"f/*\"]\nservice = \"1ms\"\n\
         trace = {{ format = \"azure-2019\", counts = \"c.csv\" }}\n",
        function("f/a"),
    ));
    let row = "HashOwner,HashApp,HashFunction,Trigger,1,2\no,p,b,http,3,1\no,p,a,http,3,1\n";
    fs::write(folder.path().join("c.csv"), row).unwrap();
    let rule = "x.toml:6:11: function.f/*: stands for f/a, as function.f/a does; a function has";
    ends(folder.path(), &["check", "x.toml"], 2, rule);
}

#[test]
fn a_folder_ends_as_the_worst_of_its_scenarios() {
    let mute = SCENARIO.split("[score]").next().unwrap();
    let folder = folder(mute);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let test = |code| ends(folder.path(), &["test", "."], code, "asserts nothing, and has no");
    test(3);
    write("failing.toml", &SCENARIO.replace("arrived >= 100", "arrived >= 100000"));
    test(1);
    write("bad.toml", "schema = 1\n");
    test(2);
    fs::remove_file(folder.path().join("failing.toml")).unwrap();
    test(2);
}

#[test]
fn a_trace_that_is_not_there_is_placed_where_it_is_named() {
    let trace = |trace: &str| {
        format!(
            "schema = 1\nlength = \"2m\"\n[function.\"f/*\"]\nservice = \"1ms\"\n\
             [function.\"f/*\".trace]\n{trace}\n"
        )
    };
    let counts = "format = \"azure-2019\"\ncounts = \"none.csv\"";
    is_refused(&trace(counts), "x.toml:7:10: none.csv: cannot be read: No such file");
    let file = "format = \"dormouse\"\nfile = \"none.trc\"";
    is_refused(&trace(file), "x.toml:7:8: none.trc: cannot be read: No such file");
}

#[test]
fn more_than_a_run_may_have_is_placed_at_the_length() {
    let folder = folder(SCENARIO);
    let run = |most: &str, rule: &str| {
        ends(folder.path(), &["run", "x.toml", "--max-events", most], 2, rule);
    };
    run("100", "x.toml:2:10: length: up to 360 requests are more than the 100 events");
    let changes =
        SCENARIO.replace("poisson = \"2/s\"", "on-off = \"2/h\", on = \"10ms\", off = \"20ms\"");
    fs::write(folder.path().join("x.toml"), changes).unwrap();
    run("1000", "x.toml:2:10: length: up to 12000 changes of a rate are more than the 1000 events");
    fs::write(folder.path().join("x.toml"), SCENARIO).unwrap();
    // What no look at the loads can tell is told once it has happened.
    run("500", "policy now, seed 1: more than 500 events by ");
}

#[test]
fn an_assertion_of_what_is_left_out_is_said_not_to_be_judged() {
    let folder = folder(SCENARIO);
    let left_out = |flags: &[&str], why: &str| {
        for command in ["run", "check"] {
            let args = [&[command, "x.toml"], flags].concat();
            ends(folder.path(), &args, 0, &format!("dormouse: {why}\n"));
        }
    };
    let rule = "wide pods.max >= 2: is not judged, for policy wide is not run";
    left_out(&["--policy", "now"], rule);
    let rule = "arrived >= 1 of now: is not judged, for policy now is not run";
    left_out(&["--policy", "wide", "--assert", "arrived >= 1 of now"], rule);
}
