//! Annotations to settings, or all faults at once.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{self, Grammar, Key, Standing, Unit};
use super::{
    Admission, Aggregation, Annotations, ClusterDefaults, Fault, Metric, OptIn, Parsed, Scaling,
    Settings, Timeouts, ZeroInitialScale, duration, hosts,
};

/// Wanted requests per pod and second, as a fraction of what a pod can take; not configurable.
const RPS_UTILIZATION: f64 = 0.7;

/// The least wanted value per pod; below it a single request would ask for a hundred pods.
const TARGET_MIN: f64 = 0.01;

const QUEUE_DEPTH_DEFAULT: u32 = 1000;

/// Below the 60 s at which an ingress usually gives up, so that the client hears from us.
const QUEUE_TIMEOUT_MS_DEFAULT: u64 = 55_000;

const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 300_000;

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// Reads the annotations of a workload and of its pod template.
///
/// A key on the workload wins over the same key on the template, and the spelling of today over the
/// older one; what does not count is not looked at. Keys outside our two prefixes are not ours.
///
/// # Errors
/// Every fault there is, in the order of the table of keys, unknown keys last.
pub fn parse(
    workload: &Annotations,
    template: &Annotations,
    defaults: &ClusterDefaults,
) -> Result<Parsed, Vec<Fault>> {
    let mut reader = Reader { workload, template, faults: Vec::new() };
    let settings = Settings {
        scaling: reader.scaling(defaults),
        admission: Admission {
            queue_depth: reader.integer(&keys::QUEUE_DEPTH).unwrap_or(QUEUE_DEPTH_DEFAULT),
            queue_timeout_ms: reader
                .duration_ms(&keys::QUEUE_TIMEOUT)
                .unwrap_or(QUEUE_TIMEOUT_MS_DEFAULT),
        },
        timeouts: Timeouts {
            request_ms: reader
                .duration_ms(&keys::REQUEST_TIMEOUT)
                .unwrap_or(REQUEST_TIMEOUT_MS_DEFAULT),
        },
        hosts: reader.hosts(),
        local_command: reader.text(&keys::LOCAL_COMMAND),
    };
    reader.read(&keys::ENABLED, switch);
    let not_yet = reader.survey();
    if reader.faults.is_empty() { Ok(Parsed { settings, not_yet }) } else { Err(reader.faults) }
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
    switch(value).ok_or_else(|| fault(name, value, must_be(key)))
}

/// Takes values from the annotations and keeps the faults it meets.
struct Reader<'a> {
    workload: &'a Annotations,
    template: &'a Annotations,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn scaling(&mut self, defaults: &ClusterDefaults) -> Scaling {
        let metric = match self.word(&keys::METRIC) {
            Some("rps") => Metric::Rps,
            _ => Metric::Concurrency,
        };
        let (total, utilization) = match metric {
            Metric::Concurrency => (
                defaults.container_concurrency_target_default,
                defaults.container_concurrency_target_fraction,
            ),
            Metric::Rps => (defaults.requests_per_second_target_default, RPS_UTILIZATION),
        };
        let total = self.number(&keys::TARGET).unwrap_or(total);
        let utilization =
            self.number(&keys::TARGET_UTILIZATION).map_or(utilization, |percent| percent / 100.0);
        let stable_window_s = self.duration_s(&keys::WINDOW).unwrap_or(defaults.stable_window_s);
        let panic_percent =
            self.number(&keys::PANIC_WINDOW).unwrap_or(defaults.panic_window_percentage);
        let threshold_percent =
            self.number(&keys::PANIC_THRESHOLD).unwrap_or(defaults.panic_threshold_percentage);
        let (min_scale, max_scale) = self.bounds(defaults);
        Scaling {
            metric,
            target: TARGET_MIN.max(total * utilization),
            total,
            // Dormouse stays in the path: nothing else could hold a request.
            target_burst_capacity: -1.0,
            stable_window_s,
            panic_window_s: panic_window_s(stable_window_s, panic_percent),
            panic_threshold: threshold_percent / 100.0,
            max_scale_up_rate: defaults.max_scale_up_rate,
            max_scale_down_rate: defaults.max_scale_down_rate,
            min_scale,
            max_scale,
            initial_scale: self.initial_scale(defaults),
            activation_scale: 0,
            scale_down_delay_s: defaults.scale_down_delay_s,
            aggregation: Aggregation::Linear,
        }
    }

    fn bounds(&mut self, defaults: &ClusterDefaults) -> (u32, u32) {
        let min = self.integer(&keys::MIN_SCALE);
        let max = self.integer(&keys::MAX_SCALE);
        let limit = defaults.max_scale_limit;
        if limit > 0 && max.is_some_and(|max| max == 0 || max > limit) {
            let rule = format!("must be from 1 to {limit}, the cluster's max-scale-limit");
            self.object(&keys::MAX_SCALE, rule);
        }
        let bounds = (min.unwrap_or(defaults.min_scale), max.unwrap_or(defaults.max_scale));
        let origin = |own: Option<u32>| match own {
            Some(_) => "",
            None => " by the cluster's default",
        };
        if bounds.1 > 0 && bounds.0 > bounds.1 {
            if min.is_some() {
                let rule =
                    format!("must not be above max-scale, which is {}{}", bounds.1, origin(max));
                self.object(&keys::MIN_SCALE, rule);
            } else if max.is_some() {
                let rule =
                    format!("must not be below min-scale, which is {}{}", bounds.0, origin(min));
                self.object(&keys::MAX_SCALE, rule);
            }
        }
        bounds
    }

    fn initial_scale(&mut self, defaults: &ClusterDefaults) -> Option<u32> {
        let initial = self.integer(&keys::INITIAL_SCALE);
        if initial == Some(0) && defaults.zero_initial_scale == ZeroInitialScale::Refused {
            let rule = "must be at least 1 unless the cluster sets allow-zero-initial-scale; \
                        spec.replicas: 0 starts a function asleep";
            self.object(&keys::INITIAL_SCALE, rule.to_owned());
        }
        initial
    }

    fn hosts(&mut self) -> Vec<String> {
        let Some((name, value)) = self.find(&keys::HOSTS) else {
            return Vec::new();
        };
        hosts::parse(value).unwrap_or_else(|rule| {
            self.faults.push(fault(name, value, rule));
            Vec::new()
        })
    }

    fn integer(&mut self, key: &Key) -> Option<u32> {
        let Grammar::Integer(from, to) = key.grammar else {
            return None;
        };
        self.read(key, |text| {
            let number = text.parse::<i64>().ok()?;
            let number = u32::try_from(number).ok()?;
            (from..=to).contains(&number).then_some(number)
        })
    }

    fn number(&mut self, key: &Key) -> Option<f64> {
        let Grammar::Number(from, to) = key.grammar else {
            return None;
        };
        self.read(key, |text| {
            let number = text.parse::<f64>().ok()?;
            let within = number.is_finite() && (from..=to).contains(&number);
            within.then_some(number)
        })
    }

    fn duration_s(&mut self, key: &Key) -> Option<u32> {
        let ns = self.duration_ns(key)?;
        u32::try_from(ns / NS_PER_S).ok()
    }

    fn duration_ms(&mut self, key: &Key) -> Option<u64> {
        let ns = self.duration_ns(key)?;
        u64::try_from(ns / NS_PER_MS).ok()
    }

    fn duration_ns(&mut self, key: &Key) -> Option<i64> {
        let Grammar::Duration(from_s, to_s, unit) = key.grammar else {
            return None;
        };
        let unit_ns = match unit {
            Unit::Second => NS_PER_S,
            Unit::Millisecond => NS_PER_MS,
        };
        let range_ns = i64::from(from_s) * NS_PER_S..=i64::from(to_s) * NS_PER_S;
        self.read(key, |text| {
            let ns = duration::parse_ns(text)?;
            (range_ns.contains(&ns) && ns % unit_ns == 0).then_some(ns)
        })
    }

    fn word(&mut self, key: &Key) -> Option<&'static str> {
        let Grammar::Word(words) = key.grammar else {
            return None;
        };
        self.read(key, |text| words.iter().find(|word| **word == text).copied())
    }

    fn text(&mut self, key: &Key) -> Option<String> {
        self.read(key, |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    /// The value that counts, if there is one and `take` finds it in order.
    fn read<T>(&mut self, key: &Key, take: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (name, value) = self.find(key)?;
        let taken = take(value);
        if taken.is_none() {
            self.faults.push(fault(name, value, must_be(key)));
        }
        taken
    }

    /// Adds a fault of the value that counts for `key`.
    fn object(&mut self, key: &Key, rule: String) {
        if let Some((name, value)) = self.find(key) {
            self.faults.push(fault(name, value, rule));
        }
    }

    fn find(&self, key: &Key) -> Option<(&'a str, &'a str)> {
        key.find(self.workload).or_else(|| key.find(self.template))
    }

    /// Objects to unknown keys under our prefixes; returns the known ones without effect.
    fn survey(&mut self) -> Vec<String> {
        let mut not_yet = BTreeSet::new();
        let mut unknown = BTreeMap::new();
        for (name, value) in self.template.iter().chain(self.workload) {
            if ![keys::KNATIVE, keys::DORMOUSE].iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            match keys::lookup(name) {
                Some(key) if key.standing == Standing::NotYet => {
                    not_yet.insert(key.name.to_owned());
                }
                Some(_) => {}
                None => {
                    unknown.insert(name, value);
                }
            }
        }
        for (name, value) in unknown {
            let rule = match keys::nearest(name) {
                Some(near) => format!("there is no such annotation; did you mean {near}?"),
                None => "there is no such annotation".to_owned(),
            };
            self.faults.push(fault(name, value, rule));
        }
        not_yet.into_iter().collect()
    }
}

fn switch(text: &str) -> Option<OptIn> {
    match text {
        "true" => Some(OptIn::Yes),
        "false" => Some(OptIn::No),
        _ => None,
    }
}

/// That share of the stable window, to the nearest second and at least 1 s.
fn panic_window_s(stable_s: u32, percent: f64) -> u32 {
    let seconds = libm::round(f64::from(stable_s) * percent / 100.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a percentage of the window is within it"
    )]
    let seconds = seconds as u32;
    seconds.clamp(1, stable_s)
}

fn must_be(key: &Key) -> String {
    format!("must be {}", key.grammar)
}

fn fault(key: &str, value: &str, rule: String) -> Fault {
    Fault { key: key.to_owned(), value: value.to_owned(), rule }
}
