//! Annotations on top of settings whose own annotations are not known.

use std::sync::Arc;

use super::{
    Aggregation, Annotations, Burst, ClusterDefaults, Fault, Metric, Paused, Scaling,
    ZeroInitialScale, keys, parse,
};

/// The settings as they are once `set` overrules what of it was annotated before.
///
/// What depends on an annotation goes along: with another window the panic window keeps its share.
/// Of `container-concurrency` settings tell the target that came of it, not the limit.
///
/// # Errors
/// Every fault there is, as of [`parse()`].
pub fn amend(scaling: &Scaling, set: &Annotations) -> Result<Scaling, Vec<Fault>> {
    let is_set = |keys: &[keys::Key]| keys.iter().any(|key| key.find(set).is_some());
    let kept = annotations(scaling).into_iter().filter(|(key, _)| !is_set(&[*key]));
    let kept = kept.map(|(key, text)| (key.name.to_owned(), text));
    let all = kept.chain(set.clone()).collect();
    let settings = parse(&all, &Annotations::new(), &defaults(scaling))?.settings;
    let mut amended = Arc::unwrap_or_clone(settings.scaling);
    // By way of percentages the last digit may be another.
    let of_target =
        [keys::METRIC, keys::TARGET, keys::TARGET_UTILIZATION, keys::CONTAINER_CONCURRENCY];
    if !is_set(&of_target) {
        (amended.total, amended.target) = (scaling.total, scaling.target);
    }
    if !is_set(&[keys::PANIC_THRESHOLD]) {
        amended.panic_threshold = scaling.panic_threshold;
    }
    Ok(amended)
}

/// What no default of a cluster stands for, and the scales, which faults name as annotated.
fn annotations(scaling: &Scaling) -> Vec<(keys::Key, String)> {
    let word = |key, word: &str| (key, word.to_owned());
    let number = |key, number: u32| (key, number.to_string());
    let metric = match scaling.metric {
        Metric::Concurrency => "concurrency",
        Metric::Rps => "rps",
    };
    let aggregation = match scaling.aggregation {
        Aggregation::Linear => "linear",
        Aggregation::WeightedExponential => "weighted-exponential",
    };
    let burst = match scaling.burst {
        Burst::Kpa => "kpa",
        Burst::Queue => "queue",
        Burst::StartUp => "start-up",
    };
    let paused = match scaling.paused {
        Paused::Yes => "true",
        Paused::No => "false",
    };
    let percent = scaling.target / scaling.total * 100.0;
    let activation = scaling.activation_scale;
    let mut annotations = vec![
        word(keys::METRIC, metric),
        word(keys::AGGREGATION, aggregation),
        word(keys::BURST, burst),
        word(keys::PAUSED, paused),
        word(keys::TARGET_UTILIZATION, &percent.clamp(1.0, 100.0).to_string()),
        number(keys::MIN_SCALE, scaling.min_scale),
        number(keys::MAX_SCALE, scaling.max_scale),
    ];
    if activation > 1 {
        annotations.push(number(keys::ACTIVATION_SCALE, activation));
    }
    if let Some(cost) = scaling.idle_cost {
        annotations.push((keys::IDLE_COST, cost.to_string()));
    }
    annotations
}

/// Everything else, as if the cluster had it so.
fn defaults(scaling: &Scaling) -> ClusterDefaults {
    let Scaling { total, stable_window_s, panic_window_s, .. } = *scaling;
    ClusterDefaults {
        container_concurrency_target_default: total,
        requests_per_second_target_default: total,
        target_burst_capacity: scaling.target_burst_capacity,
        stable_window_s,
        panic_window_percentage: f64::from(panic_window_s) / f64::from(stable_window_s) * 100.0,
        panic_threshold_percentage: scaling.panic_threshold * 100.0,
        max_scale_up_rate: scaling.max_scale_up_rate,
        max_scale_down_rate: scaling.max_scale_down_rate,
        scale_to_zero: scaling.scale_to_zero,
        scale_to_zero_grace_us: scaling.scale_to_zero_grace_us,
        scale_to_zero_retention_us: scaling.scale_to_zero_retention_us,
        scale_down_delay_s: scaling.scale_down_delay_s,
        initial_scale: scaling.initial_scale,
        zero_initial_scale: ZeroInitialScale::Allowed,
        ..ClusterDefaults::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Nothing in it is as by default.
    fn scaling() -> Scaling {
        let annotations = set(&[
            ("autoscaling.knative.dev/target", "7"),
            ("autoscaling.knative.dev/target-utilization-percentage", "37"),
            ("autoscaling.knative.dev/window", "45s"),
            ("autoscaling.knative.dev/panic-window-percentage", "33"),
            ("autoscaling.knative.dev/panic-threshold-percentage", "131.7"),
            ("autoscaling.knative.dev/target-burst-capacity", "-1"),
            ("autoscaling.knative.dev/min-scale", "2"),
            ("autoscaling.knative.dev/max-scale", "9"),
            ("autoscaling.knative.dev/initial-scale", "3"),
            ("autoscaling.knative.dev/activation-scale", "4"),
            ("autoscaling.knative.dev/scale-down-delay", "50s"),
            ("autoscaling.knative.dev/scale-to-zero-pod-retention-period", "70s"),
            ("autoscaling.knative.dev/metric-aggregation-algorithm", "weighted-exponential"),
            ("dormouse.dev/burst", "queue"),
            ("dormouse.dev/idle-cost", "300.7"),
            ("dormouse.dev/paused", "true"),
        ]);
        let none = Annotations::new();
        parse(&annotations, &none, &ClusterDefaults::default())
            .unwrap()
            .settings
            .scaling
            .as_ref()
            .clone()
    }

    #[test]
    fn what_is_not_set_stays_to_the_last_digit() {
        for recorded in [Scaling::default(), scaling()] {
            assert_eq!(amend(&recorded, &Annotations::new()).unwrap(), recorded);
        }
    }

    #[test]
    fn what_is_set_holds_even_if_it_is_the_default() {
        let recorded = scaling();
        let amended = |key: &str, value: &str| amend(&recorded, &set(&[(key, value)])).unwrap();
        let kpa = amended("dormouse.dev/burst", "kpa");
        assert_eq!(kpa, Scaling { burst: Burst::Kpa, ..recorded.clone() });
        let window = amended("autoscaling.knative.dev/window", "90s");
        let wanted = Scaling { stable_window_s: 90, panic_window_s: 30, ..recorded.clone() };
        assert_eq!(window, wanted, "the panic window keeps its share");
        let target = amended("autoscaling.knative.dev/target", "14");
        assert!((target.target - 2.0 * recorded.target).abs() < 1e-9, "{target:?}");
        let older = amended("autoscaling.knative.dev/minScale", "3");
        assert_eq!(older, Scaling { min_scale: 3, ..recorded.clone() });
    }

    #[test]
    fn what_cannot_hold_is_named() {
        let fault = |key: &str, value: &str| {
            amend(&scaling(), &set(&[(key, value)])).unwrap_err()[0].to_string()
        };
        let above = fault("autoscaling.knative.dev/min-scale", "10");
        assert!(above.ends_with("must not be above max-scale, which is 9"), "{above}");
        assert!(fault("autoscaling.knative.dev/window", "1s").contains("must be a duration"));
        assert!(fault("autoscaling.knative.dev/windw", "9s").contains("window"));
    }
}
