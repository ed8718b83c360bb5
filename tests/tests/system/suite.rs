//! `dormouse sim test` with the flags that `run` has.

use std::fs;

use crate::sim::{ends, folder};

const MIN_SCALE: &str = "autoscaling.knative.dev/min-scale=5";

#[test]
fn what_a_scenario_comes_to_with_other_flags_is_judged_by_its_assertions_alone() {
    let folder = folder();
    let test = |flags: &[&str], code, stderr: &str| {
        ends(folder.path(), &[&["test", "."], flags].concat(), code, stderr)
    };
    test(&["--bless"], 0, "");
    for flags in [
        ["--set", MIN_SCALE],
        ["--seed", "7..9"],
        ["--only", "api"],
        ["--manifest", "app.yaml"],
        ["--jobs", "3"],
        ["--max-events", "1000000"],
    ] {
        assert_eq!(test(&flags, 0, ""), "ok      ./small.toml\n", "{flags:?}");
    }
    let left_out = "wide pods.max >= 2: is not judged, for policy wide is not run";
    test(&["--policy", "now"], 0, left_out);
    let failed = "FAILED  now: wait.max < 1us";
    assert!(test(&["--assert", "wait.max < 1us"], 1, failed).starts_with("FAILED "));
    assert_eq!(test(&["--check-events", "--quiet"], 0, ""), "");
    test(&["--max-events", "100"], 2, "raise --max-events");
    test(&["--only", "apo"], 2, "--only: apo: there is none of this name; there are api");
    test(&["--only", "apo"], 2, "./small.toml: is not judged");
    for jobs in ["0", "1025", "many"] {
        test(&["--jobs", jobs], 2, "must be a whole number from 1 to 1024");
    }
    let text = fs::read_to_string(folder.path().join("small.toml")).unwrap();
    let mute = text.split("[score]").next().unwrap();
    fs::write(folder.path().join("small.toml"), mute).unwrap();
    test(&[], 0, "");
    test(&["--seed", "7"], 3, "./small.toml: asserts nothing of what is run");
}

#[test]
fn what_it_came_to_before_is_compared_with_and_blessed_as_it_stands_alone() {
    let folder = folder();
    let test = |flags: &[&str], code, stderr: &str| {
        ends(folder.path(), &[&["test", "."], flags].concat(), code, stderr)
    };
    test(&["--bless"], 0, "");
    let golden = folder.path().join("small.json");
    let blessed = fs::read_to_string(&golden).unwrap();
    let rule = "--bless: writes what comes of each scenario as it stands; leave out ";
    let flags = ["--bless", "--set", MIN_SCALE, "--seed", "7", "--assert", "refused == 0"];
    test(&flags, 2, &format!("{rule}--set, --seed, --assert"));
    test(&["--bless", "--check-events"], 2, &format!("{rule}--check-events"));
    assert_eq!(fs::read_to_string(&golden).unwrap(), blessed);
    fs::write(&golden, blessed.replace("\"pods.max\": 2", "\"pods.max\": 4")).unwrap();
    test(&["--assert", "refused == 0"], 1, "pods.max: was 4, is 2");
    test(&["--tolerance", "pods.max=50%"], 0, "");
    test(&["--bless"], 0, "");
    assert_eq!(fs::read_to_string(&golden).unwrap(), blessed);
}
