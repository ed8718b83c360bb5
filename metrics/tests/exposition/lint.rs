//! The rules of `promtool check metrics`, and what both formats demand of any text.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_metrics::exposition::Format;

/// Asserts that the text breaks none of them; the number of its families.
pub(crate) fn check(text: &str, format: Format) -> usize {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let (mut helped, mut family) = ("", "");
    let mut body = text;
    if format == Format::OpenMetrics {
        body = text.strip_suffix("# EOF\n").expect("the end is marked");
    }
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and its help");
            assert!(words.ends_with('.') && !words.contains('\\'), "{line}");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and its kind");
            assert_eq!(name, helped, "its help stands before");
            assert_eq!(families.insert(name, kind), None, "a family stands together");
            check_name(name, kind, format);
            family = name;
        } else {
            let (name, labels) = split(line);
            let endings: &[&str] = match (families[family], format) {
                ("counter", Format::OpenMetrics) => &["_total"],
                ("histogram", _) => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            let ending = name.strip_prefix(family).expect("it is of the family");
            assert!(endings.contains(&ending), "{line}");
            assert!(series.insert((name, labels)), "twice: {line}");
        }
    }
    families.len()
}

fn check_name(name: &str, kind: &str, format: Format) {
    let total = name.ends_with("_total");
    assert_eq!(total, kind == "counter" && format == Format::Prometheus, "{name}");
    let allowed = |c: char| c.is_ascii_lowercase() || c == '_';
    assert!(name.starts_with("dormouse_") && name.chars().all(allowed), "{name}");
    for word in name.split('_') {
        let types = ["counter", "gauge", "histogram", "summary", "untyped"];
        let reserved = ["bucket", "count", "sum", "info", "created"];
        let abbreviated = ["s", "ms", "us", "ns", "sec", "min", "h", "b", "kb", "mb"];
        let not_base = ["milliseconds", "microseconds", "minutes", "hours", "percent"];
        for wrong in [&types[..], &reserved, &abbreviated, &not_base].concat() {
            assert_ne!(word, wrong, "{name}");
        }
    }
    let base = name.strip_suffix("_total").unwrap_or(name);
    assert!(!base.contains("seconds") || base.ends_with("_seconds"), "{name}: unit last");
}

/// Name and labels of a sample line.
pub(crate) fn split(line: &str) -> (&str, &str) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    assert!(value.parse::<f64>().is_ok(), "{line}");
    match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
    }
}
