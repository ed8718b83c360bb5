//! What the simulator's reports look like: small ones, as they were.

use std::fs;

use dormouse_tests::golden::is_up_to_date;
use dormouse_tests::program::{Scratch, checkout};

use crate::sim::sim;

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
