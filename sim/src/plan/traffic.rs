//! The functions of a scenario's key, and what arrives at each.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::fingerprint::fnv1a;
use dormouse_policy::function::FunctionName;

use super::{Files, Function};
use crate::draw::Distribution;
use crate::load::{Counts, Recorded, Source, Traffic, Trigger};
use crate::scenario::{self, ArrivalTrace, Fault, Format, Scenario, Time, Trace};
use crate::trace::indexed::{Indexed, Times};
use crate::trace::{self, COUNTS_COLUMNS, Filter, INDEXED_COLUMNS};

/// Where names without a namespace are.
const NAMESPACE: &str = "default";

/// Names of a trace that a fault shows.
const NAMES_SHOWN_MAX: usize = 8;

const MINUTE: Time = Time(60_000_000_000);

/// The functions of one key; `file` names the scenario.
pub(super) fn functions(
    file: &str,
    spec: &scenario::Function,
    scenario: &Scenario,
    files: &mut Files<'_>,
) -> Result<Vec<Function>, Fault> {
    let (namespace, _) = spec.name.split_once('/').unwrap_or((NAMESPACE, &spec.name));
    let service = spec.service.map(scenario::Spread::distribution);
    let key = Key { file, spec, scenario, namespace, service };
    match &spec.traffic {
        scenario::Traffic::Load(loads) => key.one(Source::Loads(loads.clone())),
        scenario::Traffic::Trace(trace) if trace.format == Format::Periods => {
            let per_minute =
                files.read(&trace.counts, |name, input| trace::periods(name, input))?;
            let per_minute = cut(trace, per_minute, scenario.end())?;
            let counts = Counts { per_minute, placing: trace.place, trigger: Trigger::Other };
            key.one(Source::Counts(counts))
        }
        scenario::Traffic::Trace(trace) => key.rows(trace, files),
        scenario::Traffic::Arrivals(trace) => key.recorded(trace, files),
    }
}

/// A key of the scenario.
struct Key<'a> {
    file: &'a str,
    spec: &'a scenario::Function,
    scenario: &'a Scenario,
    namespace: &'a str,
    /// What it says of how long requests take.
    service: Option<Distribution>,
}

impl Key<'_> {
    /// The only function of the key.
    fn one(&self, source: Source) -> Result<Vec<Function>, Fault> {
        let service = self.service.clone().ok_or_else(|| self.fault("service is missing"))?;
        Ok(vec![self.function(self.own_name(), source, service)])
    }

    /// A function for each row of a trace.
    fn rows(&self, trace: &Trace, files: &mut Files<'_>) -> Result<Vec<Function>, Fault> {
        let filter = self.filter(trace.filter.as_deref(), COUNTS_COLUMNS)?;
        let counts = &trace.counts;
        let rows = files.read(counts, |name, input| trace::counts(name, input, &filter))?;
        let durations = match &trace.durations {
            Some(file) => files.read(file, |name, input| trace::durations(name, input))?,
            None => BTreeMap::new(),
        };
        if rows.is_empty() {
            let rule = match &trace.filter {
                Some(filter) => format!("has no row where {filter}"),
                None => "has no row but the header".to_owned(),
            };
            return Err(Fault::whole(&counts.name, rule));
        }
        let row = |row: trace::Row| {
            let service = durations.get(&row.function).or(self.service.as_ref());
            let service = service.cloned().ok_or_else(|| no_durations(trace, &row))?;
            let trigger = match row.trigger.as_str() {
                "timer" => Trigger::Timer,
                _ => Trigger::Other,
            };
            let per_minute = cut(trace, row.per_minute, self.scenario.end())?;
            let name = FunctionName::new(self.namespace, &row.function);
            let counts = Counts { per_minute, placing: trace.place, trigger };
            Ok(self.function(name, Source::Counts(counts), service))
        };
        rows.into_iter().map(row).collect()
    }

    /// The functions of a trace with an index: one, or each that is chosen.
    fn recorded(&self, spec: &ArrivalTrace, files: &mut Files<'_>) -> Result<Vec<Function>, Fault> {
        let trace = files.trace(&spec.file)?;
        let wrong = |rule: String| Fault::whole(&spec.file.name, rule);
        let resolution_ns = trace.head().resolution_ns;
        if !spec.skip.0.is_multiple_of(resolution_ns) {
            let rule = format!("trace.skip must be a multiple of {}", Time(resolution_ns));
            return Err(self.fault(&rule));
        }
        let skip = spec.skip.0 / resolution_ns;
        if skip >= trace.ticks() {
            let length = Time(trace.ticks().saturating_mul(resolution_ns));
            return Err(wrong(format!("is {length} long, and trace.skip is {}", spec.skip)));
        }
        // What takes no time is never drawn from: its own times are read.
        let service = match trace.head().times {
            Times::Known => Distribution::Constant(0),
            Times::Unknown => self.service.clone().ok_or_else(|| {
                self.fault("service is missing, for the trace has no service times")
            })?,
        };
        let places: Vec<usize> = match self.spec.each_row() {
            Some(_) => {
                let filter = self.filter(spec.filter.as_deref(), INDEXED_COLUMNS)?;
                let entries = trace.entries().iter().enumerate();
                let chosen = entries.filter(|(_, entry)| {
                    filter.takes(|column| match column {
                        "source" => &entry.source,
                        _ => &entry.name,
                    })
                });
                chosen.map(|(place, _)| place).collect()
            }
            None => vec![self.place(spec, &trace).map_err(wrong)?],
        };
        if places.is_empty() {
            let filter = spec.filter.as_deref().unwrap_or("there is any");
            return Err(wrong(format!("has no function where {filter}")));
        }
        let function = |place: usize| {
            let name = match self.spec.each_row() {
                Some(_) => FunctionName::new(self.namespace, &trace.entries()[place].name),
                None => self.own_name(),
            };
            let (trace, placing) = (Arc::clone(&trace), spec.place);
            let recorded = Recorded { trace, place, skip, placing };
            self.function(name, Source::Recorded(recorded), service.clone())
        };
        Ok(places.into_iter().map(function).collect())
    }

    /// The function of a trace that the key stands for.
    fn place(&self, spec: &ArrivalTrace, trace: &Indexed) -> Result<usize, String> {
        let entries = trace.entries();
        let own = self.own_name();
        let wanted = spec.function.as_deref().unwrap_or(own.name());
        match entries.iter().position(|entry| entry.name == wanted) {
            Some(place) => Ok(place),
            None if spec.function.is_none() && entries.len() == 1 => Ok(0),
            None => {
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
                let more = if names.len() > NAMES_SHOWN_MAX { " …" } else { "" };
                Err(format!("has no function {wanted:?}; it has {shown}{more}"))
            }
        }
    }

    fn own_name(&self) -> FunctionName {
        let name = self.spec.name.rsplit('/').next().unwrap_or(&self.spec.name);
        FunctionName::new(self.namespace, name)
    }

    fn filter(&self, text: Option<&str>, columns: &[&'static str]) -> Result<Filter, Fault> {
        let read = |text| Filter::parse(text, columns).map_err(|rule| self.fault(&rule));
        text.map_or(Ok(Filter::default()), read)
    }

    fn function(&self, name: FunctionName, source: Source, service: Distribution) -> Function {
        let Scenario { start, .. } = *self.scenario;
        let entity = fnv1a(name.as_str());
        let load = Traffic { entity, start, end_ns: self.scenario.end().0, source };
        Function {
            key: self.spec.name.clone(),
            name,
            replicas: Vec::new(),
            load: Arc::new(load),
            service,
            spec: self.spec.clone(),
        }
    }

    fn fault(&self, rule: &str) -> Fault {
        let rule = format!("function.{}: {rule}", self.spec.name);
        Fault { file: self.file.to_owned(), place: self.spec.place, rule }
    }
}

fn no_durations(trace: &Trace, row: &trace::Row) -> Fault {
    Fault {
        file: trace.counts.name.clone(),
        place: scenario::Place { line: row.line, column: 0 },
        rule: format!(
            "function {} has no durations in {}; a service in the scenario would stand for them",
            row.function,
            trace.durations.as_ref().map_or("any file", |file| &file.name),
        ),
    }
}

/// The minutes of a trace that the run takes.
fn cut(trace: &Trace, mut per_minute: Vec<u32>, end: Time) -> Result<Vec<u32>, Fault> {
    let minutes = |time: Time| usize::try_from(time.0.div_ceil(MINUTE.0)).unwrap_or(usize::MAX);
    let (skip, length) = (minutes(trace.skip), minutes(end));
    let left = per_minute.len().saturating_sub(skip);
    if left < length {
        let rule = format!("has {left} minutes after {}, the run has {length}", trace.skip);
        return Err(Fault::whole(&trace.counts.name, rule));
    }
    per_minute.drain(..skip);
    per_minute.truncate(length);
    per_minute.shrink_to_fit();
    Ok(per_minute)
}
