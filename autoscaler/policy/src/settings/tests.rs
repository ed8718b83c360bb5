use super::keys::{Grammar, KEYS, Standing};
use super::*;

fn annotations(pairs: Pairs<'_>) -> Annotations {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Annotations as written: keys and values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Short for a key of Knative's, with its prefix.
fn knative(name: &str) -> String {
    format!("{}{name}", keys::KNATIVE)
}

fn read(pairs: Pairs<'_>) -> Result<Parsed, Vec<Fault>> {
    parse(&annotations(pairs), &Annotations::new(), &ClusterDefaults::default())
}

fn scaling(pairs: Pairs<'_>) -> Scaling {
    read(pairs).unwrap().settings.scaling
}

fn fault(pairs: Pairs<'_>) -> Fault {
    let mut faults = read(pairs).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

#[test]
fn without_annotations_the_defaults_hold() {
    let Parsed { settings, not_yet } =
        read(&[("team", "x"), ("serving.knative.dev/a", "b")]).unwrap();
    assert!(not_yet.is_empty());
    let want = Settings {
        scaling: Scaling {
            metric: Metric::Concurrency,
            target: 70.0,
            total: 100.0,
            target_burst_capacity: -1.0,
            stable_window_s: 60,
            panic_window_s: 6,
            panic_threshold: 2.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            min_scale: 0,
            max_scale: 0,
            initial_scale: None,
            activation_scale: 0,
            scale_down_delay_s: 0,
            aggregation: Aggregation::Linear,
        },
        admission: Admission { queue_depth: 1000, queue_timeout_ms: 55_000 },
        timeouts: Timeouts { request_ms: 300_000 },
        hosts: Vec::new(),
        local_command: None,
    };
    assert_eq!(settings, want);
}

/// Each honoured annotation, with values that it takes and values that it refuses.
const BOUNDS: [(&str, &[&str], &[&str]); 15] = [
    ("min-scale", &["0", "1", "+5", "2147483647"], &["-1", "2147483648", "1.0", "", " 1", "x"]),
    ("max-scale", &["0", "1", "2147483647"], &["-1", "2147483648", "1e3", "0x10"]),
    ("initial-scale", &["1", "2147483647"], &["0", "-1", "2147483648", "two"]),
    ("metric", &["concurrency", "rps"], &["cpu", "", "RPS"]),
    (
        "target",
        &["0.01", "1e6", "70", ".5"],
        &["0.0099", "0", "-1", "NaN", "inf", "+Inf", "1e999", "0x1p4", "70%"],
    ),
    ("target-utilization-percentage", &["1", "100"], &["0.99", "100.01", "NaN", "-inf"]),
    (
        "window",
        &["6s", "1h", "1m5s", "6000ms"],
        &["5s", "5.999s", "1h1s", "6.5s", "60", "0", "-6s"],
    ),
    ("panic-window-percentage", &["1", "100"], &["0.99", "100.01", "NaN"]),
    ("panic-threshold-percentage", &["110", "1000"], &["109.9", "1000.1", "infinity"]),
    ("dormouse.dev/enabled", &["true", "false"], &["True", "yes", "1", ""]),
    (
        "dormouse.dev/hosts",
        &["a.example", "A.example, b", "x-1.y"],
        &["", "a,,b", "a b", "-a", "a-", "a.", "*.a", "a:80", "10.0.0.1", "ä.example", "a_b"],
    ),
    ("dormouse.dev/queue-depth", &["1", "100000"], &["0", "100001", "-1", "many"]),
    ("dormouse.dev/queue-timeout", &["1s", "1h", "1500ms"], &["999ms", "1h1ms", "1000001us", "55"]),
    ("dormouse.dev/request-timeout", &["1s", "1h"], &["0.999s", "3601s", "0", "300"]),
    ("dormouse.dev/local-command", &["./run --fast"], &["", "  "]),
];

#[test]
fn each_honoured_annotation_just_inside_and_just_outside_its_bounds() {
    let honoured = KEYS.iter().filter(|key| key.standing == Standing::Honoured);
    assert_eq!(honoured.count(), BOUNDS.len());
    for (name, inside, outside) in BOUNDS {
        let key = if name.contains('/') { name.to_owned() } else { knative(name) };
        for value in inside {
            let parsed = read(&[(&key, value)]);
            assert!(parsed.is_ok(), "{key}: {value:?}: {parsed:?}");
        }
        for value in outside {
            let fault = fault(&[(&key, value)]);
            assert_eq!((&fault.key, fault.value.as_str()), (&key, *value));
            assert!(fault.rule.starts_with("must be"), "{fault}");
        }
    }
}

#[test]
fn values_arrive_in_the_settings() {
    let parsed = read(&[
        (&knative("min-scale"), "2"),
        (&knative("max-scale"), "9"),
        (&knative("initial-scale"), "3"),
        (&knative("window"), "1m30s"),
        (&knative("panic-window-percentage"), "20"),
        (&knative("panic-threshold-percentage"), "150"),
        ("dormouse.dev/hosts", "B.example, a.example,b.example"),
        ("dormouse.dev/queue-depth", "7"),
        ("dormouse.dev/queue-timeout", "2.5s"),
        ("dormouse.dev/request-timeout", "1m"),
        ("dormouse.dev/local-command", "exec ./server"),
    ])
    .unwrap()
    .settings;
    let scaling = &parsed.scaling;
    assert_eq!((scaling.min_scale, scaling.max_scale), (2, 9));
    assert_eq!(scaling.initial_scale, Some(3));
    assert_eq!((scaling.stable_window_s, scaling.panic_window_s), (90, 18));
    assert!((scaling.panic_threshold - 1.5).abs() < f64::EPSILON);
    assert_eq!(parsed.hosts, ["b.example", "a.example"]);
    let want = Admission { queue_depth: 7, queue_timeout_ms: 2500 };
    assert_eq!(parsed.admission, want);
    assert_eq!(parsed.timeouts.request_ms, 60_000);
    assert_eq!(parsed.local_command.as_deref(), Some("exec ./server"));
}

#[test]
fn target_and_total() {
    let cases: [(Pairs<'_>, f64, f64); 6] = [
        (&[], 70.0, 100.0),
        (&[("metric", "rps")], 140.0, 200.0),
        (&[("target", "10")], 7.0, 10.0),
        (&[("target", "10"), ("target-utilization-percentage", "100")], 10.0, 10.0),
        (&[("metric", "rps"), ("target-utilization-percentage", "50")], 100.0, 200.0),
        (&[("target", "0.01")], 0.01, 0.01),
    ];
    for (pairs, target, total) in cases {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (knative(name), *value)).collect();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let scaling = scaling(&pairs);
        assert!((scaling.target - target).abs() < 1e-12, "{pairs:?}: {}", scaling.target);
        assert!((scaling.total - total).abs() < 1e-12, "{pairs:?}: {}", scaling.total);
    }
}

#[test]
fn the_panic_window_is_whole_seconds() {
    for (window, percent, want) in
        [("10s", "10", 1), ("6s", "1", 1), ("15s", "10", 2), ("60s", "100", 60)]
    {
        let have = scaling(&[
            (&knative("window"), window),
            (&knative("panic-window-percentage"), percent),
        ]);
        assert_eq!(have.panic_window_s, want, "{percent} % of {window}");
    }
}

#[test]
fn the_workload_wins_over_the_template_and_the_new_spelling_over_the_old() {
    let (new, old) = (knative("max-scale"), knative("maxScale"));
    let cases: [(Pairs<'_>, Pairs<'_>, u32); 5] = [
        (&[(&new, "1")], &[(&new, "2")], 1),
        (&[], &[(&new, "2")], 2),
        (&[(&new, "1"), (&old, "3")], &[], 1),
        (&[(&old, "3")], &[(&new, "2")], 3),
        // What does not count is not looked at.
        (&[(&new, "1"), (&old, "x")], &[(&new, "y")], 1),
    ];
    for (workload, template, want) in cases {
        let parsed =
            parse(&annotations(workload), &annotations(template), &ClusterDefaults::default());
        assert_eq!(parsed.unwrap().settings.scaling.max_scale, want);
    }
    assert_eq!(fault(&[(&old, "x")]).key, old);
}

#[test]
fn all_faults_come_at_once() {
    let faults = read(&[
        (&knative("min-scale"), "x"),
        (&knative("window"), "1s"),
        ("dormouse.dev/enabled", "maybe"),
        ("dormouse.dev/quue-depth", "5"),
    ])
    .unwrap_err();
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "annotation autoscaling.knative.dev/window: \"1s\": must be a duration such as 1m30s, \
             from 6s to 3600s, in whole seconds",
            "annotation autoscaling.knative.dev/min-scale: \"x\": must be a whole number from 0 to \
             2147483647",
            "annotation dormouse.dev/enabled: \"maybe\": must be true or false",
            "annotation dormouse.dev/quue-depth: \"5\": there is no such annotation; did you mean \
             dormouse.dev/queue-depth?",
        ]
    );
}

#[test]
fn a_name_that_is_near_is_suggested() {
    for (written, want) in [
        ("autoscaling.knative.dev/minscale", Some("autoscaling.knative.dev/min-scale")),
        ("autoscaling.knative.dev/max-scal", Some("autoscaling.knative.dev/max-scale")),
        ("dormouse.dev/min-scale", Some("autoscaling.knative.dev/min-scale")),
        ("autoscaling.knative.dev/hosts", Some("dormouse.dev/hosts")),
        ("dormouse.dev/enable", Some("dormouse.dev/enabled")),
        ("dormouse.dev/zzz", None),
    ] {
        assert_eq!(keys::nearest(written), want, "{written}");
    }
    let rule = fault(&[("dormouse.dev/zzz", "")]).rule;
    assert_eq!(rule, "there is no such annotation");
}

#[test]
fn bounds_hold_against_the_effective_values() {
    let defaults = ClusterDefaults {
        min_scale: 2,
        max_scale: 4,
        max_scale_limit: 8,
        ..ClusterDefaults::default()
    };
    let (min, max) = (knative("min-scale"), knative("max-scale"));
    let cases: [(Pairs<'_>, Option<(&str, &str)>); 7] = [
        (&[(&min, "4")], None),
        (
            &[(&min, "5")],
            Some((&min, "must not be above max-scale, which is 4 by the cluster's default")),
        ),
        (&[(&max, "2")], None),
        (
            &[(&max, "1")],
            Some((&max, "must not be below min-scale, which is 2 by the cluster's default")),
        ),
        (&[(&min, "7"), (&max, "6")], Some((&min, "must not be above max-scale, which is 6"))),
        (&[(&max, "9")], Some((&max, "must be from 1 to 8, the cluster's max-scale-limit"))),
        (&[(&max, "0")], Some((&max, "must be from 1 to 8, the cluster's max-scale-limit"))),
    ];
    for (pairs, want) in cases {
        let parsed = parse(&annotations(pairs), &Annotations::new(), &defaults);
        let have = parsed.err().map(|faults| (faults[0].key.clone(), faults[0].rule.clone()));
        let want = want.map(|(key, rule)| (key.to_owned(), rule.to_owned()));
        assert_eq!(have, want, "{pairs:?}");
    }
}

#[test]
fn zero_initial_scale_where_the_cluster_allows_it() {
    let defaults = ClusterDefaults {
        zero_initial_scale: ZeroInitialScale::Allowed,
        ..ClusterDefaults::default()
    };
    let pairs = annotations(&[(&knative("initial-scale"), "0")]);
    let parsed = parse(&Annotations::new(), &pairs, &defaults).unwrap();
    assert_eq!(parsed.settings.scaling.initial_scale, Some(0));
}

#[test]
fn at_most_64_hosts() {
    let hosts = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("h{at}.example")).collect();
        names.join(",")
    };
    assert!(read(&[("dormouse.dev/hosts", &hosts(64))]).is_ok());
    let fault = fault(&[("dormouse.dev/hosts", &hosts(65))]);
    assert_eq!(fault.rule, "must be at most 64 names");
    let long = format!("{}.example", "a".repeat(64));
    assert!(read(&[("dormouse.dev/hosts", &long)]).is_err());
}

#[test]
fn known_keys_without_effect_are_named_once_and_not_validated() {
    let workload = annotations(&[
        (&knative("targetBurstCapacity"), "whatever"),
        ("dormouse.dev/paused", "perhaps"),
    ]);
    let template =
        annotations(&[(&knative("target-burst-capacity"), "200"), (&knative("class"), "")]);
    let parsed = parse(&workload, &template, &ClusterDefaults::default()).unwrap();
    let want =
        [knative("class"), knative("target-burst-capacity"), "dormouse.dev/paused".to_owned()];
    assert_eq!(parsed.not_yet, want);
}

#[test]
fn the_table_is_in_order() {
    for key in KEYS {
        assert!(key.name.starts_with(keys::KNATIVE) || key.name.starts_with(keys::DORMOUSE));
        for name in [Some(key.name), key.legacy].into_iter().flatten() {
            assert_eq!(keys::lookup(name), Some(&key), "{name} stands twice");
        }
        assert!(!key.default.is_empty());
        if let Grammar::Word(words) = key.grammar {
            assert!(!words.is_empty());
        }
    }
}

#[test]
fn opting_in() {
    const ENABLED: &str = "dormouse.dev/enabled";
    let cases: [(Pairs<'_>, Pairs<'_>, Option<OptIn>); 6] = [
        (&[], &[], Some(OptIn::No)),
        (&[(ENABLED, "true")], &[], Some(OptIn::Yes)),
        (&[], &[(ENABLED, "true")], Some(OptIn::Yes)),
        (&[(ENABLED, "false")], &[(ENABLED, "true")], Some(OptIn::No)),
        (&[(ENABLED, "on")], &[(ENABLED, "true")], None),
        (&[], &[(ENABLED, "")], None),
    ];
    for (own, labels, want) in cases {
        assert_eq!(
            is_enabled(&annotations(own), &annotations(labels)).ok(),
            want,
            "{own:?} {labels:?}"
        );
    }
}
