//! The cluster's defaults.

use super::*;

fn faults(pairs: Pairs<'_>) -> Vec<String> {
    let faults = parse_defaults(&annotations(pairs)).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

/// What a ConfigMap with one key makes of an annotated function.
fn scaling_with(default: (&str, &str), pairs: Pairs<'_>) -> Scaling {
    let defaults = parse_defaults(&annotations(&[default])).unwrap().defaults;
    let parsed = parse(&annotations(pairs), &Annotations::new(), &defaults);
    Arc::unwrap_or_clone(parsed.unwrap().settings.scaling)
}

#[test]
fn an_empty_config_map_says_what_none_says() {
    let parsed = parse_defaults(&annotations(&[("_example", "stable-window: 1s")])).unwrap();
    assert_eq!(parsed.defaults, ClusterDefaults::default());
    assert_eq!(parsed.not_yet, [""; 0]);
    for key in CLUSTER.keys {
        let Fallback::Fixed(default) = key.fallback else {
            panic!("{} has no default", key.name);
        };
        if key.grammar.read(default).is_ok() {
            let parsed = parse_defaults(&annotations(&[(key.name, default)])).unwrap();
            assert_eq!(parsed.defaults, ClusterDefaults::default(), "{}", key.name);
        }
    }
}

#[test]
fn each_default_arrives_where_no_annotation_says_otherwise() {
    type Change = fn(&mut Scaling);
    let cases: [((&str, &str), Change); 17] = [
        (("container-concurrency-target-percentage", "50"), |it| it.target = 50.0),
        (("container-concurrency-target-percentage", "0.5"), |it| it.target = 50.0),
        (("container-concurrency-target-percentage", "1"), |it| it.target = 100.0),
        (("container-concurrency-target-default", "10"), |it| {
            (it.total, it.target) = (10.0, 7.0);
        }),
        (("target-burst-capacity", "0"), |it| it.target_burst_capacity = 0.0),
        (("stable-window", "20s"), |it| (it.stable_window_s, it.panic_window_s) = (20, 2)),
        (("panic-window-percentage", "50"), |it| it.panic_window_s = 30),
        (("panic-threshold-percentage", "105"), |it| it.panic_threshold = 1.05),
        (("max-scale-up-rate", "1.5"), |it| it.max_scale_up_rate = 1.5),
        (("max-scale-down-rate", "1.25"), |it| it.max_scale_down_rate = 1.25),
        (("enable-scale-to-zero", "false"), |it| it.scale_to_zero = ScaleToZero::Refused),
        (("scale-to-zero-grace-period", "1ns"), |it| it.scale_to_zero_grace_us = 1),
        (("scale-to-zero-pod-retention-period", "2h"), |it| {
            it.scale_to_zero_retention_us = 7_200_000_000;
        }),
        (("scale-down-delay", "2h"), |it| it.scale_down_delay_s = 7200),
        (("initial-scale", "2"), |it| it.initial_scale = Some(2)),
        (("min-scale", "2"), |it| it.min_scale = 2),
        (("max-scale", "2"), |it| it.max_scale = 2),
    ];
    for (default, change) in cases {
        let mut want = Scaling::default();
        change(&mut want);
        assert_eq!(scaling_with(default, &[]), want, "{default:?}");
    }
    let rps = [("autoscaling.knative.dev/metric", "rps")];
    let scaling = scaling_with(("requests-per-second-target-default", "10"), &rps);
    assert_eq!((scaling.total.to_bits(), scaling.target.to_bits()), bits(10.0, 7.0));
}

fn bits(total: f64, target: f64) -> (u64, u64) {
    (total.to_bits(), target.to_bits())
}

#[test]
fn every_annotation_wins_over_its_default() {
    for key in ANNOTATIONS.keys {
        let Fallback::Cluster(name) = key.fallback else {
            continue;
        };
        assert!(CLUSTER.lookup(name).is_some(), "{} names {name}", key.name);
    }
    let cases = [
        (("stable-window", "20s"), ("window", "30s")),
        (("scale-down-delay", "10s"), ("scale-down-delay", "0")),
        (("target-burst-capacity", "0"), ("target-burst-capacity", "-1")),
        (("initial-scale", "2"), ("initial-scale", "5")),
        (("max-scale", "3"), ("max-scale", "0")),
        (("panic-threshold-percentage", "300"), ("panic-threshold-percentage", "110")),
    ];
    for (default, (name, value)) in cases {
        let pair = [(knative(name), value)];
        let pair = pair.each_ref().map(|(key, value)| (key.as_str(), *value));
        assert_eq!(scaling_with(default, &pair), scaling(&pair), "{default:?}");
    }
}

#[test]
fn what_the_values_must_be_together() {
    assert_eq!(
        faults(&[("container-concurrency-target-default", "0.01")]),
        ["key container-concurrency-target-default: \"0.01\": must be at least 0.01 when \
          multiplied by container-concurrency-target-percentage"]
    );
    assert_eq!(
        faults(&[("container-concurrency-target-percentage", "0.00009")]),
        ["key container-concurrency-target-percentage: \"0.00009\": must be at least 0.01 when \
          multiplied by container-concurrency-target-default"]
    );
    assert_eq!(
        faults(&[("initial-scale", "0")]),
        ["key initial-scale: \"0\": must be at least 1 unless allow-zero-initial-scale is true"]
    );
    assert_eq!(
        faults(&[("min-scale", "4"), ("max-scale", "3")]),
        ["key min-scale: \"4\": must not be above max-scale, which is 3"]
    );
    assert_eq!(
        faults(&[("max-scale-limit", "3"), ("max-scale", "4")]),
        ["key max-scale: \"4\": must be from 1 to 3, the max-scale-limit"]
    );
    assert_eq!(
        faults(&[("max-scale-limit", "3")]),
        ["key max-scale-limit: \"3\": asks for a max-scale from 1 to 3 beside it"]
    );
    let fits = [("max-scale-limit", "3"), ("max-scale", "3"), ("min-scale", "3")];
    assert!(parse_defaults(&annotations(&fits)).is_ok());
}

#[test]
fn all_faults_of_a_config_map_come_at_once() {
    assert_eq!(
        faults(&[
            ("stable-window", "5s"),
            ("max-scale-up-rate", "NaN"),
            ("stable-windw", "60s"),
            ("colour", "red"),
        ]),
        [
            "key stable-window: \"5s\": must be a duration such as 1m30s, from 6s to 3600s, in \
             whole seconds",
            "key max-scale-up-rate: \"NaN\": must be a number above 1",
            "key colour: \"red\": there is no such key",
            "key stable-windw: \"60s\": there is no such key; did you mean stable-window?",
        ]
    );
    let parsed = parse_defaults(&annotations(&[("activator-capacity", "1")])).unwrap();
    assert_eq!(parsed.not_yet, ["activator-capacity"]);
}
