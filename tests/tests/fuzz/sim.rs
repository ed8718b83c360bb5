//! What the simulator reads: scenarios, traces, and what is imported.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;

use dormouse_sim::import::{Format, Import, MEMORY_BYTES_MIN, Options, Scratch, Spill, Unit};
use dormouse_sim::input::{Inputs, Manifest, ReadAt};
use dormouse_sim::plan::{Checks, Function, Options as PlanOptions, Plan};
use dormouse_sim::run::{Broken, Job};
use dormouse_sim::trace::indexed::{Entry, Indexed};
use dormouse_sim::trace::{Filter, counts, durations, periods};
use dormouse_sim::world::Log;

use crate::engine::fuzz;

/// A folder in which there is nothing.
struct Empty;

impl Inputs for Empty {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Err(io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>> {
        Err(vec![format!("{name}: not found")])
    }
}

/// Requests and changes of a rate that a plan may come to: what looks for the next request at each
/// of them is soon done.
const PLANNED_MAX: u64 = 200_000;

/// Events of one world: each is looked at by every rule.
const EVENTS_MAX: u64 = 2_000;

/// Activators times functions and their first pods, of a world that is lived through: what knows
/// of each other is in memory.
const KNOWN_MAX: u64 = 1_000;

/// Lives through the beginning of each policy's world; it may be refused, and breaks no rule.
fn live(mut plan: Plan) {
    plan.events_max = EVENTS_MAX;
    let pods = |function: &Function| function.replicas.iter().max().map_or(0, |most| *most);
    let known = plan.functions.iter().map(|function| 1 + u64::from(pods(function)));
    if known.sum::<u64>() * u64::from(plan.scenario.world.activators) > KNOWN_MAX {
        return;
    }
    for policy in 0..plan.scenario.policies.len() {
        let job = Job { policy, seed: 1, cuts_ns: plan.cuts_ns.clone(), log: Log::None };
        if let Err(broken @ Broken::Invariant { .. }) = plan.run(&[job], NonZeroUsize::MIN, |_| {})
        {
            panic!("{broken}");
        }
    }
}

#[test]
fn scenarios() {
    let options = PlanOptions {
        events_max: PLANNED_MAX,
        checks: Checks::EveryEvent,
        ..PlanOptions::default()
    };
    let tokens = ["seeds", "load", "trace", "function", "policy", "set", "24h", "5..9/s", "[[x]]"];
    fuzz("scenarios", &tokens, move |input| {
        let text = String::from_utf8_lossy(input);
        match Plan::new("s.toml", &text, &options, &Empty) {
            Ok(plan) => live(plan),
            Err(faults) => {
                assert!(!faults.0.is_empty());
                assert!(faults.0.iter().all(|fault| !fault.rule.is_empty()), "{faults}");
            }
        }
    });
}

#[test]
fn azure_counts() {
    fuzz("azure_counts", &["HashFunction", "480", "timer", "\r\n", "\u{feff}"], |input| {
        if let Err(fault) = counts("fuzz", input, &Filter::default()) {
            assert!(fault.to_string().starts_with("fuzz"), "{fault}");
        }
    });
}

#[test]
fn azure_durations() {
    fuzz("azure_durations", &["HashFunction", "percentile_Average_50", "\r\n"], |input| {
        if let Err(fault) = durations("fuzz", input) {
            assert!(fault.to_string().starts_with("fuzz"), "{fault}");
        }
    });
}

#[test]
fn period_counts() {
    fuzz("period_counts", &["period", "1998-04-30 21:31:00", "9998", "\r\n"], |input| {
        if let Err(fault) = periods("fuzz", input) {
            assert!(fault.to_string().starts_with("fuzz"), "{fault}");
        }
    });
}

#[test]
fn traces() {
    fuzz("traces", &["dormtrc\n", "trc end\n"], |input| {
        if let Ok(trace) = Indexed::open(Arc::new(input.to_vec()), |_| ()) {
            check_trace(&trace);
        }
    });
}

/// Every arrival is where the table says, in order.
fn check_trace(trace: &Indexed) {
    for (place, Entry { requests, first, last, .. }) in trace.entries().iter().enumerate() {
        let mut sum = 0;
        let mut ticks = Vec::new();
        for (tick, requests) in trace.arrivals(place, 0) {
            assert!(ticks.last().is_none_or(|last| *last < tick));
            ticks.push(tick);
            sum += requests;
        }
        assert_eq!(trace.failure(), None);
        assert_eq!((sum, ticks.first(), ticks.last()), (*requests, Some(first), Some(last)));
    }
}

/// Temporary files in memory.
struct Memory;

struct Aside(Vec<u8>);

impl Scratch for Memory {
    fn file(&self) -> io::Result<Box<dyn Spill>> {
        Ok(Box::new(Aside(Vec::new())))
    }
}

impl ReadAt for Aside {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }
}

impl Spill for Aside {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }
}

/// Imports whatever comes; what is taken is a whole trace, what is not is named.
fn import(target: &'static str, format: Format, fields: &[(&str, &str)], tokens: &[&'static str]) {
    let owned = |&(name, field): &(&str, &str)| (name.to_owned(), field.to_owned());
    let fields: BTreeMap<_, _> = fields.iter().map(owned).collect();
    fuzz(target, tokens, move |input| {
        let options = Options {
            format,
            moment: None,
            resolution_ns: None,
            disorder_ns: None,
            time_unit: Unit::Seconds,
            duration_unit: Unit::Seconds,
            zone_s: Some(3600),
            fields: fields.clone(),
            rules: Vec::new(),
            memory_bytes: MEMORY_BYTES_MIN,
        };
        let mut import = Import::new(options, &Memory);
        match import.read("fuzz", input).and_then(|()| import.finish(Vec::new())) {
            Ok((bytes, imported)) => {
                let trace = Indexed::open(Arc::new(bytes), |_| ()).unwrap();
                check_trace(&trace);
                let sum: u64 = trace.entries().iter().map(|entry| entry.requests).sum();
                assert_eq!(sum, imported.summary.requests);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn import_azure() {
    import("import_azure", Format::Azure2021, &[], &["end_timestamp", "\r\n", "\"a,b\""]);
}

#[test]
fn import_log() {
    let fields = [("duration", "last"), ("function", "path")];
    let tokens = ["[", "]", "+0000", "/Mar/", "GET ", "://", "?"];
    import("import_log", Format::AccessLog, &fields, &tokens);
}

#[test]
fn import_json() {
    let fields = [("time", "ts"), ("duration", "dur"), ("function", "http.host")];
    let tokens = ["2026-03-03T08:00:00", "+01:00", "1e-3", "ts", "http"];
    import("import_json", Format::JsonLines, &fields, &tokens);
}

#[test]
fn import_prometheus() {
    let tokens = ["values", "metric", "matrix", "[0,\"1\"],", "1e12"];
    import("import_prometheus", Format::Prometheus, &[("function", "service")], &tokens);
}

#[test]
fn import_record() {
    import(
        "import_record",
        Format::Record,
        &[],
        &["header", "heard", "snapshot", "decision", "gap"],
    );
}
