//! Deciding again what was decided, from what was heard alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::read::{self, Fault, join};
use super::{Decided, Gone, Line, Report, Snapshot, Taken};
use crate::decision::{Decision, Scaler};
use crate::function::FunctionName;
use crate::readings::{Meter, Reporters};
use crate::settings::{Annotations, Scaling, amend};

/// Goes through a record line by line.
///
/// From the start, everything is made anew: reporters, meters and scalers come from the reports,
/// the settings and the pods that are written down, and every snapshot is compared with them.
/// Later, or after a gap, each function is taken up at its next snapshot.
///
/// Where a decision differs, the function goes on from what was decided now, and its snapshots are
/// compared no more: they hold what the other decision led to.
#[derive(Debug)]
pub struct Replayer {
    from_us: u64,
    /// In place of recorded settings; empty = as recorded.
    set: Annotations,
    header: Option<u32>,
    last_us: u64,
    /// None before the first snapshot that is taken up.
    reporters: Option<Reporters>,
    functions: BTreeMap<FunctionName, Remembered>,
    names: BTreeSet<FunctionName>,
    summary: Summary,
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub lines: u64,
    /// Decisions made again, equal or not.
    pub decisions: u64,
    /// Decisions that no snapshot leads up to: before the start asked for, or after a gap.
    pub skipped: u64,
    /// Snapshots that replaying came to, and that were equal.
    pub snapshots: u64,
    /// Gaps.
    pub gaps: u64,
}

/// A line that cannot be replayed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Unreadable {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Why a replay ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The record cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The policy decides otherwise, or remembers something else.
    #[error("line {line}: {difference}")]
    Differs {
        /// The line, from 1.
        line: u64,
        /// The first difference.
        difference: Box<Difference>,
    },
}

/// The first field in which what was made again differs from what is recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function} at {at_us} µs: {field}: want {want}, got {got}")]
pub struct Difference {
    /// The function.
    pub function: FunctionName,
    /// When, on the decider's monotonic clock, in microseconds.
    pub at_us: u64,
    /// The field, by path from the line's start.
    pub field: String,
    /// What is recorded, as JSON.
    pub want: String,
    /// What was made again, as JSON.
    pub got: String,
}

#[derive(Debug)]
struct Remembered {
    meter: Meter,
    scaler: Scaler,
    course: Course,
}

/// Whether a function is where it was when it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// By all that was compared.
    AsRecorded,
    /// Something was decided otherwise, or other settings hold.
    Parted,
}

/// Replays a whole record, from its first snapshots at `from_us` or later; 0 = from the start. A
/// last line without an end, which a writer that was killed leaves behind, is left out.
///
/// # Errors
/// [`ReplayError`]: the first line that cannot be read or that differs.
pub fn replay(record: &[u8], from_us: u64) -> Result<Summary, ReplayError> {
    let mut replayer = Replayer::new(from_us);
    for line in record.split_inclusive(|&byte| byte == b'\n') {
        if let Some(line) = line.strip_suffix(b"\n")
            && let Some(difference) = replayer.take(line)?
        {
            let (line, difference) = (replayer.summary.lines, Box::new(difference));
            return Err(ReplayError::Differs { line, difference });
        }
    }
    Ok(replayer.summary())
}

impl Replayer {
    /// A replayer that takes up functions at their first snapshots at `from_us` or later; 0 = from
    /// the start of the record.
    #[must_use]
    pub fn new(from_us: u64) -> Self {
        Self {
            from_us,
            set: Annotations::new(),
            header: None,
            last_us: 0,
            reporters: None,
            functions: BTreeMap::new(),
            names: BTreeSet::new(),
            summary: Summary::default(),
        }
    }

    /// The same with these annotations in place of what was recorded of them: what they would have
    /// decided on the same readings and pods. Pods are as they were, whatever is decided.
    #[must_use]
    pub fn with(mut self, set: Annotations) -> Self {
        self.set = set;
        self
    }

    /// The functions that were replayed.
    #[must_use]
    pub fn functions(&self) -> &BTreeSet<FunctionName> {
        &self.names
    }

    /// What was replayed so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// The version of the policy that decided; none before the header.
    #[must_use]
    pub fn policy(&self) -> Option<u32> {
        self.header
    }

    /// Takes the next line, without its end. The first field that differs, if any does: of the
    /// replicas and the outcome alone where other settings hold.
    ///
    /// # Errors
    /// [`Unreadable`]; nothing can be said of what follows.
    pub fn take(&mut self, line: &[u8]) -> Result<Option<Difference>, Unreadable> {
        self.summary.lines += 1;
        self.follow(line).map_err(|fault| Unreadable { line: self.summary.lines, fault })
    }

    fn follow(&mut self, line: &[u8]) -> Result<Option<Difference>, Fault> {
        let line = read::read(line)?;
        if (self.header.is_none()) != matches!(line, Line::Header(_)) {
            return Err(Fault::new("header", "must be the first line, and only that"));
        }
        match line {
            Line::Header(header) => {
                self.header = Some(header.policy);
                self.reporters = (self.from_us == 0).then(Reporters::new);
                Ok(None)
            }
            Line::Heard(reports) => self.hear("heard", &reports).map(|()| None),
            Line::Snapshot(snapshot) => self.compare_state(*snapshot),
            Line::Gone(Gone { reporter, at_us, departure }) => {
                self.pass("gone.at_us", at_us)?;
                if let Some(reporters) = &mut self.reporters {
                    reporters.forget(&reporter, departure, at_us);
                }
                Ok(None)
            }
            Line::Decided(decided) => self.decide(*decided),
            Line::Gap { .. } => {
                self.summary.gaps += 1;
                self.reporters = None;
                self.functions.clear();
                Ok(None)
            }
        }
    }

    fn pass(&mut self, field: &str, us: u64) -> Result<(), Fault> {
        read::check_time(field, us, self.last_us)?;
        self.last_us = us;
        Ok(())
    }

    fn hear(&mut self, field: &str, reports: &[Report]) -> Result<(), Fault> {
        for (at, report) in reports.iter().enumerate() {
            self.pass(&format!("{field}[{at}].heard_us"), report.heard_us)?;
            let Some(reporters) = &mut self.reporters else {
                continue;
            };
            let Report { reporter, boot, at_us, heard_us, readings } = report;
            let Some(span) = reporters.report(reporter, *boot, *at_us, *heard_us) else {
                continue;
            };
            for reading in readings {
                if let Some(known) = self.functions.get_mut(&reading.function) {
                    known.meter.read(span, reading.counters);
                }
            }
        }
        Ok(())
    }

    fn compare_state(&mut self, want: Snapshot) -> Result<Option<Difference>, Fault> {
        self.pass("snapshot.at_us", want.at_us)?;
        let contradiction = want.scaler.contradiction().or(want.meter.contradiction());
        if let Some(field) = contradiction {
            return Err(Fault::new(join("snapshot", field), "contradicts the rest"));
        }
        if want.at_us < self.from_us {
            return Ok(None);
        }
        let settings = self.settings(&want)?;
        self.names.insert(want.function.clone());
        let Some(got) = self.state(&want, settings.as_ref()) else {
            let Snapshot { function, reporters, meter, mut scaler, .. } = want;
            self.reporters.get_or_insert(reporters);
            let course = match settings {
                Some(settings) => {
                    scaler.configure(settings);
                    Course::Parted
                }
                None => Course::AsRecorded,
            };
            self.functions.insert(function, Remembered { meter, scaler, course });
            return Ok(None);
        };
        let mut difference = None;
        let Remembered { meter, scaler, mut course } = got;
        if course == Course::AsRecorded {
            let reporters = self.reporters.clone().unwrap_or_default();
            let got = Snapshot { reporters, meter, scaler, ..want.clone() };
            if got == want {
                self.summary.snapshots += 1;
            } else {
                course = Course::Parted;
                difference =
                    Some(self::difference("snapshot", &want.function, want.at_us, &want, &got)?);
            }
            let Snapshot { function, meter, scaler, .. } = got;
            self.functions.insert(function, Remembered { meter, scaler, course });
        } else {
            self.functions.insert(want.function, Remembered { meter, scaler, course });
        }
        Ok(difference)
    }

    /// The settings in place of a snapshot's; none if it is to be as recorded.
    fn settings(&self, want: &Snapshot) -> Result<Option<Arc<Scaling>>, Fault> {
        if self.set.is_empty() {
            return Ok(None);
        }
        let amended = amend(&want.scaler.settings(), &self.set).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Fault::new("snapshot.scaler.scaling", faults.join("; "))
        })?;
        Ok(Some(Arc::new(amended)))
    }

    /// What replaying comes to where a snapshot is; none if nothing led up to it.
    fn state(&mut self, want: &Snapshot, settings: Option<&Arc<Scaling>>) -> Option<Remembered> {
        self.reporters.as_ref()?;
        let scaling = settings.map_or_else(|| want.scaler.settings(), Arc::clone);
        let mut known = match want.taken {
            Taken::Begin { ready, replicas } => Remembered {
                meter: Meter::new(want.at_us),
                scaler: want.scaler.anew(Arc::clone(&scaling), ready, replicas, want.at_us),
                course: match settings {
                    Some(_) => Course::Parted,
                    None => Course::AsRecorded,
                },
            },
            Taken::Settings | Taken::Redeploy { .. } | Taken::Learnt | Taken::Periodic => {
                self.functions.remove(&want.function)?
            }
        };
        match want.taken {
            Taken::Settings => known.scaler.configure(scaling),
            Taken::Redeploy { ready, replicas } => {
                known.scaler.redeploy(ready, replicas, want.at_us);
            }
            Taken::Learnt => {
                want.scaler.gaps().into_iter().for_each(|gaps| known.scaler.learn(gaps));
            }
            Taken::Begin { .. } | Taken::Periodic => {}
        }
        Some(known)
    }

    fn decide(&mut self, decided: Decided) -> Result<Option<Difference>, Fault> {
        self.hear("decided.heard", &decided.heard)?;
        let Decided { function, decision: want, .. } = decided;
        let now_us = want.inputs.now_us;
        self.pass("decided.decision.inputs.now_us", now_us)?;
        if let Some(reporters) = &mut self.reporters {
            reporters.advance(now_us);
            if let Some(known) = self.functions.get_mut(&function) {
                let load = known.scaler.settle(&mut known.meter, reporters);
                let got = known.scaler.decide(&want.inputs.observation(load));
                self.summary.decisions += 1;
                let difference = match self.set.is_empty() {
                    true => compare(&function, &want, &got)?,
                    false => compare_outcome(&function, &want, &got)?,
                };
                if difference.is_some() {
                    known.course = Course::Parted;
                }
                return Ok(difference);
            }
        }
        self.summary.skipped += 1;
        Ok(None)
    }
}

const DECISION: &str = "decided.decision";

/// Compares all of a decision.
fn compare(
    function: &FunctionName,
    want: &Decision,
    got: &Decision,
) -> Result<Option<Difference>, Fault> {
    let now_us = want.inputs.now_us;
    // Inputs first: other results follow from them.
    if got.inputs != want.inputs {
        let path = join(DECISION, "inputs");
        return difference(&path, function, now_us, &want.inputs, &got.inputs).map(Some);
    }
    let differs = got != want;
    differs.then(|| difference(DECISION, function, now_us, want, got)).transpose()
}

/// Compares what a decision asks for.
fn compare_outcome(
    function: &FunctionName,
    want: &Decision,
    got: &Decision,
) -> Result<Option<Difference>, Fault> {
    let asked =
        |decision: &Decision| json!({ "desired": decision.desired, "outcome": decision.outcome });
    let (now_us, asked_want, asked_got) = (want.inputs.now_us, asked(want), asked(got));
    let differs = asked_want != asked_got;
    differs.then(|| difference(DECISION, function, now_us, &asked_want, &asked_got)).transpose()
}

fn difference<T: Serialize>(
    path: &str,
    function: &FunctionName,
    at_us: u64,
    want: &T,
    got: &T,
) -> Result<Difference, Fault> {
    let (want, got) = (serde_json::to_value(want), serde_json::to_value(got));
    let (Ok(want), Ok(got)) = (want, got) else {
        return Err(Fault::new(path, "cannot be written as JSON"));
    };
    let (field, want, got) = first_difference(path, &want, &got).unwrap_or_else(|| {
        // Unequal values whose JSON is equal: a figure that is no number.
        (path.to_owned(), want.to_string(), got.to_string())
    });
    Ok(Difference { function: function.clone(), at_us, field, want, got })
}

/// Path and values of the first place in which two values differ.
fn first_difference(path: &str, want: &Value, got: &Value) -> Option<(String, String, String)> {
    match (want, got) {
        (Value::Object(wanted), Value::Object(gotten)) => {
            let names = wanted.keys().chain(gotten.keys().filter(|key| !wanted.contains_key(*key)));
            let mut fields = names.map(|name| {
                let of = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or(Value::Null)
                };
                (join(path, name), of(wanted), of(gotten))
            });
            fields.find_map(|(path, want, got)| first_difference(&path, &want, &got))
        }
        (Value::Array(wanted), Value::Array(gotten)) if wanted.len() == gotten.len() => {
            let mut pairs = wanted.iter().zip(gotten).enumerate();
            pairs
                .find_map(|(at, (want, got))| first_difference(&format!("{path}[{at}]"), want, got))
        }
        _ => (want != got).then(|| (path.to_owned(), want.to_string(), got.to_string())),
    }
}
