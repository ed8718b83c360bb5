//! Annotations to settings, or all faults at once.

use super::given::Given;
use super::grammar::Value;
use super::keys::{self, ANNOTATIONS, Key};
use super::{
    Admission, Aggregation, Annotations, Burst, ClusterDefaults, Fault, Metric, OptIn, Parsed,
    Paused, Scaling, Settings, TARGET_MIN, Timeouts, ZeroInitialScale,
};

/// Wanted requests per pod and second, as a fraction of what a pod can take; not configurable.
const RPS_UTILIZATION: f64 = 0.7;

const QUEUE_DEPTH_DEFAULT: u32 = 1000;

/// Below the 60 s at which an ingress usually gives up, so that the client hears from us.
const QUEUE_TIMEOUT_MS_DEFAULT: u64 = 55_000;

const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 300_000;

/// Reads the annotations of a workload and of its pod template.
///
/// A key on the workload wins over the same key on the template, and the spelling of today over the
/// older one; what does not count is not looked at. Keys outside our two prefixes are not ours.
///
/// # Errors
/// Every fault there is: first the values by themselves in the order of the table of keys, then
/// what they must be together and with the cluster's defaults, then unknown keys.
pub fn parse(
    workload: &Annotations,
    template: &Annotations,
    defaults: &ClusterDefaults,
) -> Result<Parsed, Vec<Fault>> {
    let find = |key: &Key| key.find(workload).or_else(|| key.find(template));
    let mut given = Given::read(ANNOTATIONS, find);
    let duration_ms = |key| given.duration_us(key).map(|us| us / 1_000);
    let admission = Admission {
        queue_depth: given.integer(&keys::QUEUE_DEPTH).unwrap_or(QUEUE_DEPTH_DEFAULT),
        queue_timeout_ms: duration_ms(&keys::QUEUE_TIMEOUT).unwrap_or(QUEUE_TIMEOUT_MS_DEFAULT),
        container_concurrency: given.integer(&keys::CONTAINER_CONCURRENCY).unwrap_or(0),
    };
    let timeouts = Timeouts {
        request_ms: duration_ms(&keys::REQUEST_TIMEOUT).unwrap_or(REQUEST_TIMEOUT_MS_DEFAULT),
    };
    let settings = Settings {
        scaling: scaling(&given, admission.container_concurrency, defaults).into(),
        admission,
        timeouts,
        hosts: given.hosts(&keys::HOSTS).to_vec(),
        local_command: given.text(&keys::LOCAL_COMMAND).map(str::to_owned),
    };
    check(&mut given, &settings.scaling, defaults);
    let ours = |name: &str| name.starts_with(keys::KNATIVE) || name.starts_with(keys::DORMOUSE);
    let names = template.iter().chain(workload);
    let names = names.map(|(name, text)| (name.as_str(), text.as_str()));
    let not_yet = given.survey(names.filter(|(name, _)| ours(name)));
    given.conclude(Parsed { settings, not_yet })
}

/// Whether a workload asks for Dormouse: `dormouse.dev/enabled`, as annotation or else as label.
///
/// # Errors
/// The value is neither `true` nor `false`.
pub fn is_enabled(annotations: &Annotations, labels: &Annotations) -> Result<OptIn, Fault> {
    let key = &keys::ENABLED;
    let Some((name, value)) = key.find(annotations).or_else(|| key.find(labels)) else {
        return Ok(OptIn::No);
    };
    match key.grammar.read(value) {
        Ok(Value::Switch(true)) => Ok(OptIn::Yes),
        Ok(_) => Ok(OptIn::No),
        Err(rule) => Err(Fault {
            noun: ANNOTATIONS.noun,
            key: name.to_owned(),
            value: value.to_owned(),
            rule,
        }),
    }
}

/// How a function without annotations scales.
pub(super) fn unannotated(defaults: &ClusterDefaults) -> Scaling {
    scaling(&Given::read(ANNOTATIONS, |_| None), 0, defaults)
}

fn scaling(given: &Given<'_>, container_concurrency: u32, defaults: &ClusterDefaults) -> Scaling {
    let metric = match given.word(&keys::METRIC) {
        Some("rps") => Metric::Rps,
        _ => Metric::Concurrency,
    };
    let (total, target) = total_and_target(given, metric, container_concurrency, defaults);
    let stable_window_s = given.duration_s(&keys::WINDOW).unwrap_or(defaults.stable_window_s);
    let panic_percent =
        given.number(&keys::PANIC_WINDOW).unwrap_or(defaults.panic_window_percentage);
    let threshold_percent =
        given.number(&keys::PANIC_THRESHOLD).unwrap_or(defaults.panic_threshold_percentage);
    Scaling {
        metric,
        target,
        total,
        target_burst_capacity: given
            .number(&keys::TARGET_BURST_CAPACITY)
            .unwrap_or(defaults.target_burst_capacity),
        stable_window_s,
        panic_window_s: panic_window_s(stable_window_s, panic_percent),
        panic_threshold: threshold_percent / 100.0,
        max_scale_up_rate: defaults.max_scale_up_rate,
        max_scale_down_rate: defaults.max_scale_down_rate,
        min_scale: given.integer(&keys::MIN_SCALE).unwrap_or(defaults.min_scale),
        max_scale: given.integer(&keys::MAX_SCALE).unwrap_or(defaults.max_scale),
        initial_scale: given.integer(&keys::INITIAL_SCALE).or(defaults.initial_scale),
        activation_scale: given.integer(&keys::ACTIVATION_SCALE).unwrap_or(0),
        scale_down_delay_s: given
            .duration_s(&keys::SCALE_DOWN_DELAY)
            .unwrap_or(defaults.scale_down_delay_s),
        scale_to_zero: defaults.scale_to_zero,
        scale_to_zero_grace_us: defaults.scale_to_zero_grace_us,
        scale_to_zero_retention_us: given
            .duration_us(&keys::RETENTION)
            .unwrap_or(defaults.scale_to_zero_retention_us),
        aggregation: match given.word(&keys::AGGREGATION) {
            None | Some("linear" | "") => Aggregation::Linear,
            Some(_) => Aggregation::WeightedExponential,
        },
        burst: match given.word(&keys::BURST) {
            Some("queue") => Burst::Queue,
            Some("start-up") => Burst::StartUp,
            _ => Burst::Kpa,
        },
        idle_cost: given.number(&keys::IDLE_COST),
        paused: given.switch(&keys::PAUSED, Paused::Yes, Paused::No).unwrap_or(Paused::No),
    }
}

/// The most one pod can take, and the share of it that is wanted: `utilisation × total`.
///
/// Worked: `container-concurrency: 10` and 70 % give 10 and 7; with `target: 4` beside it 4 and
/// 2.8; with `target: 40`, which no pod is ever given, 10 and 7 again.
fn total_and_target(
    given: &Given<'_>,
    metric: Metric,
    container_concurrency: u32,
    defaults: &ClusterDefaults,
) -> (f64, f64) {
    let target = given.number(&keys::TARGET);
    let limit = (container_concurrency > 0).then_some(f64::from(container_concurrency));
    let (total, utilization) = match metric {
        Metric::Concurrency => (
            match (target, limit) {
                (Some(target), Some(limit)) => target.min(limit),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => defaults.container_concurrency_target_default,
            },
            defaults.container_concurrency_target_fraction,
        ),
        Metric::Rps => {
            (target.unwrap_or(defaults.requests_per_second_target_default), RPS_UTILIZATION)
        }
    };
    let utilization =
        given.number(&keys::TARGET_UTILIZATION).map_or(utilization, |percent| percent / 100.0);
    (total, TARGET_MIN.max(total * utilization))
}

/// What the scales must be together and with the cluster's defaults.
fn check(given: &mut Given<'_>, scaling: &Scaling, defaults: &ClusterDefaults) {
    let own_max = given.integer(&keys::MAX_SCALE);
    let limit = defaults.max_scale_limit;
    if limit > 0 && own_max.is_some_and(|max| max == 0 || max > limit) {
        let rule = format!("must be from 1 to {limit}, the cluster's max-scale-limit");
        given.fault(&keys::MAX_SCALE, rule);
    }
    let origin = |key: &Key| match given.integer(key) {
        Some(_) => "",
        None => " by the cluster's default",
    };
    let &Scaling { min_scale: min, max_scale: max, activation_scale, .. } = scaling;
    let not_above_max =
        format!("must not be above max-scale, which is {max}{}", origin(&keys::MAX_SCALE));
    let not_below_min =
        format!("must not be below min-scale, which is {min}{}", origin(&keys::MIN_SCALE));
    if max > 0 && min > max && !given.fault(&keys::MIN_SCALE, not_above_max.clone()) {
        given.fault(&keys::MAX_SCALE, not_below_min.clone());
    }
    if activation_scale > 0 && activation_scale < min {
        given.fault(&keys::ACTIVATION_SCALE, not_below_min);
    } else if max > 0 && activation_scale > max {
        given.fault(&keys::ACTIVATION_SCALE, not_above_max);
    }
    if scaling.metric == Metric::Rps && scaling.burst != Burst::Kpa {
        let rule = "must be kpa where the metric is rps: waiting requests are no rate";
        given.fault(&keys::BURST, rule.to_owned());
    }
    if given.integer(&keys::INITIAL_SCALE) == Some(0)
        && defaults.zero_initial_scale == ZeroInitialScale::Refused
    {
        let rule = "must be at least 1 unless the cluster sets allow-zero-initial-scale; \
                    spec.replicas: 0 starts a function asleep";
        given.fault(&keys::INITIAL_SCALE, rule.to_owned());
    }
}

/// That share of the stable window, to the nearest second and at least 1 s. As Knative has it: in
/// nanoseconds, what is below one cut off, half a second rounded up; worked, 16.4 % of 125 s is
/// 20.499 999 999 s there, and so 20 s.
fn panic_window_s(stable_s: u32, percent: f64) -> u32 {
    const SECOND_NS: u64 = 1_000_000_000;
    let stable_ns = f64::from(stable_s) * SECOND_NS as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` cuts off, which is meant, and saturates"
    )]
    let share_ns = (stable_ns * percent / 100.0) as u64;
    let seconds = (share_ns + SECOND_NS / 2) / SECOND_NS;
    u32::try_from(seconds).unwrap_or(stable_s).clamp(1, stable_s)
}
