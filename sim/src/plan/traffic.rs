//! The functions of a scenario's key, and what arrives at each.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::fingerprint::fnv1a;
use dormouse_policy::function::FunctionName;

use super::{Files, Function};
use crate::draw::Distribution;
use crate::load::{Counts, Source, Traffic, Trigger};
use crate::scenario::{self, Fault, Format, Scenario, Time, Trace};
use crate::trace::{self, Filter};

/// Where names without a namespace are.
const NAMESPACE: &str = "default";

const MINUTE: Time = Time(60_000_000_000);

/// The functions of one key; `file` names the scenario.
pub(super) fn functions(
    file: &str,
    spec: &scenario::Function,
    scenario: &Scenario,
    files: &mut Files<'_>,
) -> Result<Vec<Function>, Fault> {
    let (namespace, name) = spec.name.split_once('/').unwrap_or((NAMESPACE, &spec.name));
    let service = spec.service.map(scenario::Spread::distribution);
    let key = Key { file, spec, scenario, namespace, service };
    let name = FunctionName::new(namespace, name);
    match &spec.traffic {
        scenario::Traffic::Load(loads) => key.one(name, Source::Loads(loads.clone())),
        scenario::Traffic::Trace(trace) if trace.format == Format::Periods => {
            let counts = &trace.counts;
            let per_minute = files.read(counts, |input| trace::periods(counts, input))?;
            let per_minute = cut(trace, per_minute, scenario.end())?;
            let counts = Counts { per_minute, placing: trace.place, trigger: Trigger::Other };
            key.one(name, Source::Counts(counts))
        }
        scenario::Traffic::Trace(trace) => key.rows(trace, files),
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
    fn one(&self, name: FunctionName, source: Source) -> Result<Vec<Function>, Fault> {
        let service = self.service.clone().ok_or_else(|| self.fault("service is missing"))?;
        Ok(vec![self.function(name, source, service)])
    }

    /// A function for each row of a trace.
    fn rows(&self, trace: &Trace, files: &mut Files<'_>) -> Result<Vec<Function>, Fault> {
        let filter = match &trace.filter {
            Some(text) => Filter::parse(text).map_err(|rule| self.fault(&rule))?,
            None => Filter::default(),
        };
        let counts = &trace.counts;
        let rows = files.read(counts, |input| trace::counts(counts, input, &filter))?;
        let durations = match &trace.durations {
            Some(name) => files.read(name, |input| trace::durations(name, input))?,
            None => BTreeMap::new(),
        };
        if rows.is_empty() {
            let rule = match &trace.filter {
                Some(filter) => format!("has no row where {filter}"),
                None => "has no row but the header".to_owned(),
            };
            return Err(Fault::whole(counts, rule));
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
        file: trace.counts.clone(),
        place: scenario::Place { line: row.line, column: 0 },
        rule: format!(
            "function {} has no durations in {}; a service in the scenario would stand for them",
            row.function,
            trace.durations.as_deref().unwrap_or("any file"),
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
        return Err(Fault::whole(&trace.counts, rule));
    }
    per_minute.drain(..skip);
    per_minute.truncate(length);
    per_minute.shrink_to_fit();
    Ok(per_minute)
}
