//! The oracle against the recordings of Knative's own autoscaler: it would prove nothing if it were
//! wrong.

use std::fs;

use serde_json::Value;

use crate::case::{Policy, Seen, Start};
use crate::checkout;
use crate::kpa::Oracle;

fn whole(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn start(case: &Value) -> Start {
    let policy = &case["policy"];
    let ready = whole(&case["initial_ready"]);
    Start {
        load: String::new(),
        policy: Policy {
            target: policy["target"].as_f64().unwrap(),
            total: policy["total"].as_f64().unwrap(),
            target_burst_capacity: policy["target_burst_capacity"].as_f64().unwrap(),
            max_scale_up_rate: policy["max_scale_up_rate"].as_f64().unwrap(),
            max_scale_down_rate: policy["max_scale_down_rate"].as_f64().unwrap(),
            panic_threshold: policy["panic_threshold"].as_f64().unwrap(),
            stable_s: policy["stable_window_s"].as_u64().unwrap(),
            panic_s: policy["panic_window_s"].as_u64().unwrap(),
            delay_s: policy["scale_down_delay_s"].as_u64().unwrap(),
            activation_scale: whole(&policy["activation_scale"]),
            exponential: policy["aggregation"] == "weighted-exponential",
            ..Policy::default()
        },
        start_ms: 0,
        ready,
        replicas: ready,
        missing_is_unknown: false,
    }
}

#[test]
fn the_oracle_agrees_with_knative() {
    let text = fs::read_to_string(checkout().join("autoscaler/policy/testdata/kpa.jsonl")).unwrap();
    // Every fifth: the oracle is slow, and the policy is held to all of them.
    for case in text.lines().step_by(5) {
        let case: Value = serde_json::from_str(case).unwrap();
        let mut oracle = Oracle::new(&start(&case));
        for step in case["steps"].as_array().unwrap() {
            let mut seen = Seen::tick(step["t"].as_u64().unwrap() * 1000, whole(&step["ready"]));
            let pairs = step["samples"].as_array().unwrap().iter();
            let sample =
                |pair: &Value| (pair[0].as_u64().unwrap() * 1000, pair[1].as_f64().unwrap());
            seen.samples = pairs.map(sample).collect();
            let (have, want) = (oracle.step(&seen), &step["want"]);
            let place = format!("case {}, t {}: {have:?}, not {want}", case["id"], step["t"]);
            assert_eq!(have.valid, want["valid"], "{place}");
            if !have.valid {
                continue;
            }
            let close = |have: f64, want: &Value| {
                let want = want.as_f64().unwrap();
                (have - want).abs() <= 1e-5 * want.max(1.0)
            };
            assert!(close(have.stable, &want["stable"]), "{place}");
            assert!(close(have.panic, &want["panic"]), "{place}");
            assert_eq!(have.desired, whole(&want["desired"]), "{place}");
            let excess = i64::from(have.excess_burst_capacity);
            assert_eq!(excess, want["excess_burst_capacity"].as_i64().unwrap(), "{place}");
            assert_eq!(have.panicking, want["panicking"], "{place}");
        }
    }
}
