//! What is exposed, as its readers take it: the rules of Prometheus' linter, both formats, every
//! figure read back through `prometheus-parse`.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_metrics::counts::{CodeClass, Refusal, UpstreamError, WakePhase};
use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::{Clock, Writer};
use prometheus_parse::{Scrape, Value};
use proptest::prelude::*;

#[path = "exposition/lint.rs"]
mod lint;

/// A clock the test moves.
#[derive(Clone)]
struct At<'a>(&'a Cell<u64>);

impl Clock for At<'_> {
    fn now_us(&self) -> u64 {
        self.0.get()
    }
}

/// Everything that can be counted, so many times.
fn use_all(registry: &Registry, writer: &Writer, function: &str, times: u64) {
    let counters = registry.register(function).unwrap();
    let now_us = Cell::new(0);
    let at = At(&now_us);
    for _ in 0..times {
        now_us.set(0);
        for phase in WakePhase::ALL {
            writer.wake(&counters, phase);
        }
        for refusal in Refusal::ALL {
            let mut request = writer.begin(&counters, at.clone());
            request.refused(refusal, 503);
        }
        for code in [101, 200, 302, 404, 500] {
            let mut request = writer.begin(&counters, at.clone());
            let held = request.hold();
            UpstreamError::ALL.into_iter().for_each(|error| request.upstream_error(error));
            now_us.set(1_500_000);
            drop(held);
            request.answered(code);
        }
        drop(writer.begin(&counters, at.clone()));
    }
}

fn exposed(format: Format) -> String {
    let registry = Arc::new(Registry::new(1));
    let writer = registry.writer(0).unwrap();
    use_all(&registry, &writer, "default/hello", 1);
    use_all(&registry, &writer, "default/other", 2);
    Exporter::new(registry).expose(format, 9_000_000)
}

#[test]
fn the_text_breaks_no_rule_of_the_linter() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = exposed(format);
        assert_eq!(lint::check(&text, format), 15);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, labels) = lint::split(line);
            labels.split(',').filter(|label| !label.is_empty()).for_each(check_label);
        }
    }
}

/// Labels are those of a function, and closed sets.
fn check_label(label: &str) {
    let (name, value) = label.split_once('=').unwrap();
    let value = value.trim_matches('"');
    let known = match name {
        "namespace" => value == "default",
        "function" => ["hello", "other"].contains(&value),
        "code" => CodeClass::ALL.iter().any(|class| class.label() == value),
        "phase" => WakePhase::ALL.iter().any(|phase| phase.label() == value),
        "reason" => {
            Refusal::ALL.iter().any(|refusal| refusal.label() == value)
                || UpstreamError::ALL.iter().any(|error| error.label() == value)
        }
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    };
    assert!(known, "{label}");
}

fn parsed(text: &str) -> Scrape {
    let lines: Vec<_> = text.lines().map(|line| Ok(line.to_owned())).collect();
    Scrape::parse(lines.into_iter()).unwrap()
}

/// A sample's figure; a histogram's is how many it holds.
fn figure(value: &Value) -> f64 {
    match value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
        Value::Histogram(buckets) => buckets.last().unwrap().count,
        Value::Summary(_) => panic!("there are none"),
    }
}

/// Every figure of one function, by name and by the label beside the function's.
fn figures(scrape: &Scrape, function: &str) -> BTreeMap<(String, String), f64> {
    let of_function = |s: &&prometheus_parse::Sample| s.labels.get("function") == Some(function);
    scrape
        .samples
        .iter()
        .filter(of_function)
        .map(|sample| {
            let mut labels = sample.labels.iter();
            let own = labels.find(|(name, _)| !["namespace", "function"].contains(&name.as_str()));
            let label = own.map_or_else(String::new, |(_, value)| value.clone());
            let name = sample.metric.trim_start_matches("dormouse_").to_owned();
            ((name, label), figure(&sample.value))
        })
        .collect()
}

/// What [`use_all`] counts.
fn wanted(times: u64) -> BTreeMap<(String, String), f64> {
    let mut wanted = BTreeMap::new();
    let mut add = |name: &str, label: &str, each: f64| {
        wanted.insert((name.to_owned(), label.to_owned()), each * times as f64);
    };
    let (requests, answered) = (12.0, 5.0);
    add("requests_total", "", requests);
    // The first round's requests begin and end at 0 but for the first answered one.
    add("requests_in_flight", "", 0.0);
    add("requests_held", "", 0.0);
    add("holds_total", "", answered);
    add("open_streams", "", 0.0);
    add("abandoned_requests_total", "", 1.0);
    add("concurrency_seconds_total", "", 1.5);
    for code in ["1xx", "2xx", "3xx", "4xx"] {
        add("responses_total", code, 1.0);
    }
    add("responses_total", "5xx", 7.0);
    for refusal in Refusal::ALL {
        add("refused_requests_total", refusal.label(), 1.0);
    }
    for phase in WakePhase::ALL {
        add("wakes_total", phase.label(), 1.0);
    }
    for error in UpstreamError::ALL {
        add("upstream_errors_total", error.label(), answered);
    }
    add("held_seconds", "", answered);
    add("held_seconds_count", "", answered);
    add("held_seconds_sum", "", 1.5);
    add("response_seconds", "", answered);
    add("response_seconds_count", "", answered);
    add("response_seconds_sum", "", 1.5);
    wanted
}

#[test]
fn every_figure_is_read_back_from_either_format() {
    for (function, times) in [("hello", 1), ("other", 2)] {
        let text = exposed(Format::Prometheus);
        assert_eq!(figures(&parsed(&text), function), wanted(times));
        // The parser knows types by the samples' own names, which OpenMetrics does not give.
        let open = exposed(Format::OpenMetrics);
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&open), samples(&text));
    }
}

#[test]
fn a_histogram_counts_up_to_and_with_its_bounds() {
    let registry = Arc::new(Registry::new(1));
    let writer = registry.writer(0).unwrap();
    let counters = registry.register("a/b").unwrap();
    let now_us = Cell::new(0);
    for took_us in [1_024, 1_025, 67_108_864, 67_108_865] {
        now_us.set(0);
        let mut request = writer.begin(&counters, At(&now_us));
        now_us.set(took_us);
        request.answered(200);
    }
    let text = Exporter::new(registry).expose(Format::Prometheus, 0);
    let bucket = |le: &str| {
        let series = format!(
            "dormouse_response_seconds_bucket{{namespace=\"a\",function=\"b\",le=\"{le}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("{series} in {text}")).parse::<u64>().unwrap()
    };
    assert_eq!(bucket("0.001024"), 1);
    assert_eq!(bucket("0.002048"), 2);
    assert_eq!(bucket("33.554432"), 2);
    assert_eq!(bucket("67.108864"), 3);
    assert_eq!(bucket("+Inf"), 4);
}

#[test]
fn the_published_area_never_falls_and_goes_on_from_where_it_was() {
    let registry = Arc::new(Registry::new(1));
    let writer = registry.writer(0).unwrap();
    let counters = registry.register("a/b").unwrap();
    let mut exporter = Exporter::new(Arc::clone(&registry));
    let mut area = |now_us: u64| {
        let text = exporter.expose(Format::Prometheus, now_us);
        let name = "dormouse_concurrency_seconds_total{";
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    let now_us = Cell::new(2_000_000);
    let _request = writer.begin(&counters, At(&now_us));
    // Read at a time just before it began, as one that began during the reading is.
    assert_eq!(area(1_999_990), "0.000000");
    assert_eq!(area(3_000_000), "1.000000");
    assert_eq!(area(2_500_000), "1.000000", "a clock that jumps back");
    assert_eq!(area(3_000_001), "1.000001");
    drop(registry.remove("a/b"));
    let _new = registry.register("a/b").unwrap();
    assert_eq!(area(9_000_000), "0.000000", "another function of that name");
}

/// Names as Kubernetes would never allow them.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
        "[ -~]{0,12}",
        any::<String>(),
        prop::sample::select(vec!["\\", "\"", "\n", "\\n", "}", "{", ",", "=", "} 7\nx{a=\"", ""])
            .prop_map(str::to_owned),
    ]
}

/// The value of a label as a reader by the book has it, and what follows it.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => value.push(match rest.next()? {
                'n' => '\n',
                other => other,
            }),
            '\n' => return None,
            other => value.push(other),
        }
    }
}

proptest! {
    // Few: the parser takes its time, and most of what can go wrong is in the chosen names.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a function is called: it stays on its line, a reader by the book gets its name
    /// back, and its neighbour's figures are what they are alone, for `prometheus-parse` too, which
    /// loses values with commas, braces and equals signs.
    #[test]
    fn hostile_names_stay_in_their_place(namespace in hostile(), name in hostile()) {
        let namespace = namespace.replace('/', "");
        prop_assume!((namespace.as_str(), name.as_str()) != ("default", "hello"));
        let registry = Arc::new(Registry::new(1));
        let writer = registry.writer(0).unwrap();
        use_all(&registry, &writer, "default/hello", 1);
        use_all(&registry, &writer, &format!("{namespace}/{name}"), 3);
        let text = Exporter::new(registry).expose(Format::Prometheus, 9_000_000);
        let mut neighbour = figures(&parsed(&text), "hello");
        let tame = |value: &str| !value.chars().any(|c| ",{}=\\\"".contains(c) || c.is_control());
        if tame(&namespace) && tame(&name) {
            if name == "hello" {
                neighbour = wanted(1);
            } else {
                prop_assert_eq!(figures(&parsed(&text), &name), wanted(3));
            }
        }
        prop_assert_eq!(neighbour, wanted(1));
        let mut seen = 0;
        for line in text.split('\n') {
            if let Some(labels) = line.strip_prefix("dormouse_requests_total{namespace=\"") {
                let (read_namespace, rest) = unescape(labels).unwrap();
                let rest = rest.strip_prefix(",function=\"").unwrap();
                let (read_name, rest) = unescape(rest).unwrap();
                let own = (read_namespace.as_str(), read_name.as_str());
                if own == (namespace.as_str(), name.as_str()) {
                    prop_assert_eq!(rest, "} 36");
                    seen += 1;
                } else {
                    prop_assert_eq!(own, ("default", "hello"));
                }
            }
        }
        prop_assert_eq!(seen, 1);
    }
}
