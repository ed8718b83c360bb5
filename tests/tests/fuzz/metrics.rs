//! Names of functions, apart by a zero byte, through both formats of what is counted and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::Clock;
use prometheus_parse::{Scrape, Value};

use crate::engine::fuzz;

/// Most functions of one input; further names are left out.
const FUNCTIONS_MAX: usize = 16;

/// Requests that take no time.
struct Still;

impl Clock for Still {
    fn now_us(&self) -> u64 {
        0
    }
}

/// What the requests of a namespace's function are.
type Requests = BTreeMap<(String, String), u64>;

/// A sample's labels and their values.
type Labels<'a> = Vec<(&'a str, String)>;

/// Functions of these names, with a request more each, and what was counted of them.
fn count(names: &[&str]) -> (Arc<Registry>, Requests) {
    let registry = Arc::new(Registry::bounded(1, FUNCTIONS_MAX));
    let writer = registry.writer(0).unwrap();
    let mut requests = Requests::new();
    for (before, name) in names.iter().enumerate() {
        let Some((namespace, function)) = name.split_once('/') else { continue };
        let Ok(counters) = registry.register(name) else { break };
        for _ in 0..=before {
            writer.begin(&counters, Still).answered(200);
            *requests.entry((namespace.to_owned(), function.to_owned())).or_default() += 1;
        }
    }
    (registry, requests)
}

/// A sample's name, labels and figure, by the book: nothing else stands on its line.
fn sample(line: &str) -> Option<(&str, Labels<'_>, &str)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label, value));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => break rest = after.strip_prefix('}')?,
            }
        }
    }
    let figure = rest.strip_prefix(' ')?;
    figure.parse::<f64>().is_ok().then_some((name, labels, figure))
}

/// What stands before the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match (escaped, character) {
            (true, 'n') => value.push('\n'),
            (true, '\\' | '"') => value.push(character),
            (true, _) => return None,
            (false, '"') => return Some((value, &text[at + 1..])),
            (false, '\\') => {}
            (false, _) => value.push(character),
        }
        escaped = !escaped && character == '\\';
    }
    None
}

/// Every sample of `text` belongs to a known function; what its requests are.
fn read(text: &str, known: &Requests) -> Requests {
    let mut read = Requests::new();
    for line in text.split_terminator('\n').filter(|line| !line.starts_with("# ")) {
        let (name, labels, figure) = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
        let [(_, namespace), (_, function), ..] = labels.as_slice() else {
            assert!(labels.is_empty() && name.ends_with("_functions"), "{line}");
            continue;
        };
        let function = (namespace.clone(), function.clone());
        assert!(known.contains_key(&function), "nobody's: {line:?}");
        if name == "dormouse_requests_total" {
            assert_eq!(read.insert(function, figure.parse().unwrap()), None, "twice: {line:?}");
        }
    }
    read
}

/// The same as `prometheus-parse` has it, which does not know escapes, nor commas, braces and
/// equals signs inside of values: it may take part of a name for a figure, which is left out.
fn scraped(text: &str) -> Requests {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let samples = Scrape::parse(lines).unwrap().samples.into_iter();
    let requests = samples.filter(|sample| sample.metric == "dormouse_requests_total");
    requests
        .filter_map(|sample| {
            let label = |name| sample.labels.get(name).unwrap_or_default().to_owned();
            let Value::Counter(figure) = sample.value else { return None };
            Some(((label("namespace"), label("function")), figure.to_string().parse().ok()?))
        })
        .collect()
}

#[test]
fn metrics() {
    fuzz("metrics", &["/", "\\", "\"} 7\n", "namespace=\"", "# EOF\n", "{le=\"+Inf\"}"], |input| {
        let names = String::from_utf8_lossy(input);
        let names: Vec<&str> = names.split('\0').collect();
        let (registry, requests) = count(&names);
        let mut exporter = Exporter::new(registry);
        let text = exporter.expose(Format::Prometheus, 0);
        assert_eq!(read(&text, &requests), requests);
        let open = exporter.expose(Format::OpenMetrics, 0);
        let open = open.strip_suffix("# EOF\n").expect("the end is marked");
        assert_eq!(read(open, &requests), requests);
        let scraped = scraped(&text);
        let tame = |name: &&str| !name.contains([',', '{', '}', '=', '\\', '"']);
        if names.iter().all(tame) && !names.iter().any(|name| name.contains(char::is_control)) {
            assert_eq!(scraped, requests);
        }
    });
}
