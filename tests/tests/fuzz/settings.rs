//! Annotations and cluster defaults, a line each as `key: value`.

use std::collections::BTreeMap;

use dormouse_policy::settings::keys::{ANNOTATIONS, Table};
use dormouse_policy::settings::{
    Annotations, CLUSTER, ClusterDefaults, Fault, Scaling, is_enabled, parse, parse_defaults,
};

use crate::engine::fuzz;

fn lines(input: &[u8]) -> Annotations {
    let text = String::from_utf8_lossy(input);
    let pairs = text.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn names(table: Table) -> Vec<&'static str> {
    let keys = table.keys.iter();
    keys.flat_map(|key| [Some(key.name), key.legacy]).flatten().collect()
}

/// Each fault names a pair that was given, and its rule.
fn check_faults(given: &BTreeMap<String, String>, faults: &[Fault]) {
    assert!(!faults.is_empty());
    for fault in faults {
        assert_eq!(given.get(&fault.key), Some(&fault.value));
        assert!(!fault.rule.is_empty());
    }
}

/// What the policy takes for granted.
fn check_scaling(scaling: &Scaling) {
    assert!(scaling.target >= 0.01 && scaling.target.is_finite(), "{scaling:?}");
    assert!(scaling.total > 0.0 && scaling.total.is_finite(), "{scaling:?}");
    assert!((6..=3600).contains(&scaling.stable_window_s), "{scaling:?}");
    assert!((1..=scaling.stable_window_s).contains(&scaling.panic_window_s), "{scaling:?}");
    assert!(scaling.max_scale_up_rate > 1.0 && scaling.max_scale_down_rate > 1.0);
    assert!(scaling.max_scale == 0 || scaling.min_scale <= scaling.max_scale, "{scaling:?}");
}

#[test]
fn annotations() {
    fuzz("annotations", &names(ANNOTATIONS), |input| {
        let given = lines(input);
        let none = Annotations::new();
        let on_workload = parse(&given, &none, &ClusterDefaults::default());
        assert_eq!(parse(&none, &given, &ClusterDefaults::default()), on_workload);
        match on_workload {
            Ok(parsed) => {
                check_scaling(&parsed.settings.scaling);
                assert!(is_enabled(&given, &none).is_ok());
            }
            Err(faults) => check_faults(&given, &faults),
        }
    });
}

#[test]
fn cluster_defaults() {
    fuzz("cluster_defaults", &names(CLUSTER), |input| {
        let given = lines(input);
        match parse_defaults(&given) {
            Ok(parsed) => {
                let none = Annotations::new();
                let plain = parse(&none, &none, &parsed.defaults).unwrap();
                check_scaling(&plain.settings.scaling);
            }
            Err(faults) => check_faults(&given, &faults),
        }
    });
}
