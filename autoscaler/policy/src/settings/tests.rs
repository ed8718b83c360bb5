mod bounds;
mod defaults;

use super::keys::{ANNOTATIONS, Fallback, Standing};
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
    Arc::unwrap_or_clone(read(pairs).unwrap().settings.scaling)
}

/// What is to be changed of them.
fn its(settings: &mut Settings) -> &mut Scaling {
    Arc::make_mut(&mut settings.scaling)
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
        scaling: Arc::new(Scaling {
            metric: Metric::Concurrency,
            target: 70.0,
            total: 100.0,
            target_burst_capacity: 211.0,
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
            scale_to_zero: ScaleToZero::Allowed,
            scale_to_zero_grace_us: 30_000_000,
            scale_to_zero_retention_us: 0,
            aggregation: Aggregation::Linear,
            burst: Burst::Kpa,
            idle_cost: None,
            paused: Paused::No,
        }),
        admission: Admission {
            queue_depth: 1000,
            queue_timeout_ms: 55_000,
            container_concurrency: 0,
        },
        timeouts: Timeouts { request_ms: 300_000 },
        hosts: Vec::new(),
        local_command: None,
    };
    assert_eq!(settings, want);
    assert_eq!(*settings.scaling, Scaling::default());
}

#[test]
fn the_defaults_in_the_table_are_true() {
    let unannotated = read(&[]).unwrap();
    for key in ANNOTATIONS.keys {
        let default = match key.fallback {
            Fallback::Fixed(default) => default,
            Fallback::Cluster(name) => match CLUSTER.lookup(name).unwrap().fallback {
                Fallback::Fixed(default) => default,
                Fallback::Cluster(name) => panic!("{name}"),
            },
        };
        // A default that is a word for people says that there is no value.
        if key.grammar.read(default).is_ok() && !matches!(key.grammar, Grammar::Text) {
            let written = read(&[(key.name, default)]).unwrap().settings;
            let want = match key.grammar {
                Grammar::Hosts => Settings { hosts: vec![default.to_owned()], ..written.clone() },
                _ => unannotated.settings.clone(),
            };
            assert_eq!(written, want, "{}", key.name);
        }
    }
}

/// Every honoured key with a value that is not its default, and what it does to the settings.
#[test]
fn each_honoured_value_arrives_in_the_settings() {
    type Change = fn(&mut Settings);
    let cases: [(&str, &str, Change); 26] = [
        ("autoscaling.knative.dev/metric", "rps", |it| {
            let (total, target) = (200.0, 140.0);
            let scaling = its(it);
            *scaling = Scaling { metric: Metric::Rps, total, target, ..scaling.clone() };
        }),
        ("autoscaling.knative.dev/target", "10", |it| {
            (its(it).total, its(it).target) = (10.0, 7.0);
        }),
        ("autoscaling.knative.dev/target-utilization-percentage", "50", |it| {
            its(it).target = 50.0;
        }),
        ("autoscaling.knative.dev/target-burst-capacity", "-1", |it| {
            its(it).target_burst_capacity = -1.0;
        }),
        ("autoscaling.knative.dev/window", "1m30s", |it| {
            (its(it).stable_window_s, its(it).panic_window_s) = (90, 9);
        }),
        ("autoscaling.knative.dev/metric-aggregation-algorithm", "weightedExponential", |it| {
            its(it).aggregation = Aggregation::WeightedExponential;
        }),
        ("autoscaling.knative.dev/panic-window-percentage", "20", |it| {
            its(it).panic_window_s = 12;
        }),
        ("autoscaling.knative.dev/panic-threshold-percentage", "150", |it| {
            its(it).panic_threshold = 1.5;
        }),
        ("autoscaling.knative.dev/min-scale", "2", |it| its(it).min_scale = 2),
        ("autoscaling.knative.dev/max-scale", "9", |it| its(it).max_scale = 9),
        ("autoscaling.knative.dev/initial-scale", "3", |it| its(it).initial_scale = Some(3)),
        ("autoscaling.knative.dev/activation-scale", "4", |it| its(it).activation_scale = 4),
        ("autoscaling.knative.dev/scale-down-delay", "1m", |it| {
            its(it).scale_down_delay_s = 60;
        }),
        ("autoscaling.knative.dev/scale-to-zero-pod-retention-period", "1500us", |it| {
            its(it).scale_to_zero_retention_us = 1500;
        }),
        ("dormouse.dev/burst", "queue", |it| its(it).burst = Burst::Queue),
        ("dormouse.dev/burst", "start-up", |it| its(it).burst = Burst::StartUp),
        ("dormouse.dev/idle-cost", "300", |it| its(it).idle_cost = Some(300.0)),
        ("dormouse.dev/paused", "true", |it| its(it).paused = Paused::Yes),
        ("dormouse.dev/hosts", "B.example, a.example,b.example", |it| {
            it.hosts = vec!["b.example".to_owned(), "a.example".to_owned()];
        }),
        ("dormouse.dev/container-concurrency", "10", |it| {
            it.admission.container_concurrency = 10;
            (its(it).total, its(it).target) = (10.0, 7.0);
        }),
        ("dormouse.dev/queue-depth", "7", |it| it.admission.queue_depth = 7),
        ("dormouse.dev/queue-timeout", "2.5s", |it| it.admission.queue_timeout_ms = 2500),
        ("dormouse.dev/request-timeout", "1m", |it| it.timeouts.request_ms = 60_000),
        ("dormouse.dev/local-command", "exec ./server", |it| {
            it.local_command = Some("exec ./server".to_owned());
        }),
        ("dormouse.dev/enabled", "true", |_| {}),
        // It is said of a Service.
        ("dormouse.dev/target", "hello", |_| {}),
    ];
    // The class has but one value, its default, and a burst has two that are not.
    let honoured = ANNOTATIONS.keys.iter().filter(|key| key.standing == Standing::Honoured);
    assert_eq!(honoured.count(), cases.len());
    for (key, value, change) in cases {
        let mut want = read(&[]).unwrap().settings;
        change(&mut want);
        assert_eq!(read(&[(key, value)]).unwrap().settings, want, "{key}");
    }
}

#[test]
fn target_and_total() {
    let cases: [(Pairs<'_>, f64, f64); 10] = [
        (&[], 70.0, 100.0),
        (&[("metric", "rps")], 140.0, 200.0),
        (&[("target", "10")], 7.0, 10.0),
        (&[("target", "10"), ("target-utilization-percentage", "100")], 10.0, 10.0),
        (&[("metric", "rps"), ("target-utilization-percentage", "50")], 100.0, 200.0),
        (&[("target", "0.01")], 0.01, 0.01),
        (&[("/container-concurrency", "10")], 7.0, 10.0),
        (&[("/container-concurrency", "10"), ("target", "4")], 2.8, 4.0),
        (&[("/container-concurrency", "10"), ("target", "40")], 7.0, 10.0),
        // A limit on what a pod has at once says nothing of what it has in a second.
        (&[("/container-concurrency", "10"), ("metric", "rps")], 140.0, 200.0),
    ];
    for (pairs, target, total) in cases {
        let key = |name: &str| match name.strip_prefix('/') {
            Some(ours) => format!("{}{ours}", keys::DORMOUSE),
            None => knative(name),
        };
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (key(name), *value)).collect();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let scaling = scaling(&pairs);
        assert!((scaling.target - target).abs() < 1e-12, "{pairs:?}: {}", scaling.target);
        assert!((scaling.total - total).abs() < 1e-12, "{pairs:?}: {}", scaling.total);
    }
}

#[test]
fn the_panic_window_is_whole_seconds() {
    for (window, percent, want) in [
        ("10s", "10", 1),
        ("6s", "1", 1),
        ("15s", "10", 2),
        ("60s", "100", 60),
        ("125s", "16.4", 20),
    ] {
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
        assert_eq!(ANNOTATIONS.nearest(written), want, "{written}");
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
    let activation = knative("activation-scale");
    let cases: [(Pairs<'_>, Option<(&str, &str)>); 12] = [
        (&[(&activation, "2")], None),
        (&[(&activation, "4")], None),
        (
            &[(&activation, "5")],
            Some((&activation, "must not be above max-scale, which is 4 by the cluster's default")),
        ),
        (
            &[(&activation, "2"), (&min, "3")],
            Some((&activation, "must not be below min-scale, which is 3")),
        ),
        (
            &[(&activation, "7"), (&max, "6")],
            Some((&activation, "must not be above max-scale, which is 6")),
        ),
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
fn bursts_are_of_requests() {
    let rps = knative("metric");
    let fault = fault(&[(&rps, "rps"), ("dormouse.dev/burst", "queue")]);
    assert_eq!(fault.rule, "must be kpa where the metric is rps: waiting requests are no rate");
    assert!(read(&[(&rps, "rps"), ("dormouse.dev/burst", "kpa")]).is_ok());
}

#[test]
fn known_keys_without_effect_are_named_once() {
    let workload = annotations(&[("dormouse.dev/mode", "full"), ("dormouse.dev/service", "a")]);
    let template = annotations(&[("dormouse.dev/mode", "zero-only")]);
    let parsed = parse(&workload, &template, &ClusterDefaults::default()).unwrap();
    assert_eq!(parsed.not_yet, ["dormouse.dev/mode", "dormouse.dev/service"]);
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
