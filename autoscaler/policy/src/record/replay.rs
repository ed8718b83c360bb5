//! Deciding again what was decided, from what was heard alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::read::{self, Fault, join};
use super::{Decided, Gone, Line, Report, Snapshot, Taken};
use crate::decision::Scaler;
use crate::function::FunctionName;
use crate::readings::{Meter, Reporters};

/// Goes through a record line by line.
///
/// From the start, everything is made anew: reporters, meters and scalers come from the reports,
/// the settings and the pods that are written down, and every snapshot is compared with them.
/// Later, or after a gap, each function is taken up at its next snapshot.
#[derive(Debug)]
pub struct Replayer {
    from_us: u64,
    header: Option<u32>,
    last_us: u64,
    /// None before the first snapshot that is taken up.
    reporters: Option<Reporters>,
    functions: BTreeMap<FunctionName, Remembered>,
    summary: Summary,
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub lines: u64,
    /// Decisions made again, all equal.
    pub decisions: u64,
    /// Decisions that no snapshot leads up to: before the start asked for, or after a gap.
    pub skipped: u64,
    /// Snapshots that were come to by replaying, all equal.
    pub snapshots: u64,
    /// Gaps.
    pub gaps: u64,
}

/// Why a replay ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The record cannot be read.
    #[error("line {line}: {fault}")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
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
}

/// Why a line was not taken.
enum Refusal {
    Fault(Fault),
    Difference(Difference),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Replays a whole record, from its first snapshots at `from_us` or later; 0 = from the start. A
/// last line without an end, which a writer that was killed leaves behind, is left out.
///
/// # Errors
/// [`ReplayError`]: the first line that cannot be read or that differs.
pub fn replay(record: &[u8], from_us: u64) -> Result<Summary, ReplayError> {
    let mut replayer = Replayer::new(from_us);
    for line in record.split_inclusive(|&byte| byte == b'\n') {
        if let Some(line) = line.strip_suffix(b"\n") {
            replayer.take(line)?;
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
            header: None,
            last_us: 0,
            reporters: None,
            functions: BTreeMap::new(),
            summary: Summary::default(),
        }
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

    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// [`ReplayError`]; what follows it would differ for that alone.
    pub fn take(&mut self, line: &[u8]) -> Result<(), ReplayError> {
        self.summary.lines += 1;
        self.follow(line).map_err(|refusal| {
            let line = self.summary.lines;
            match refusal {
                Refusal::Fault(fault) => ReplayError::Unreadable { line, fault },
                Refusal::Difference(difference) => {
                    ReplayError::Differs { line, difference: Box::new(difference) }
                }
            }
        })
    }

    fn follow(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let line = read::read(line)?;
        if (self.header.is_none()) != matches!(line, Line::Header(_)) {
            return Err(Fault::new("header", "must be the first line, and only that").into());
        }
        match line {
            Line::Header(header) => {
                read::check(&header)?;
                self.header = Some(header.policy);
                self.reporters = (self.from_us == 0).then(Reporters::new);
                Ok(())
            }
            Line::Heard(reports) => self.hear("heard", &reports),
            Line::Snapshot(snapshot) => self.compare_state(*snapshot),
            Line::Gone(Gone { reporter, at_us, departure }) => {
                self.pass("gone.at_us", at_us)?;
                if let Some(reporters) = &mut self.reporters {
                    reporters.forget(&reporter, departure, at_us);
                }
                Ok(())
            }
            Line::Decided(decided) => self.decide(*decided),
            Line::Gap { .. } => {
                self.summary.gaps += 1;
                self.reporters = None;
                self.functions.clear();
                Ok(())
            }
        }
    }

    fn pass(&mut self, field: &str, us: u64) -> Result<(), Refusal> {
        read::check_time(field, us, self.last_us)?;
        self.last_us = us;
        Ok(())
    }

    fn hear(&mut self, field: &str, reports: &[Report]) -> Result<(), Refusal> {
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

    fn compare_state(&mut self, want: Snapshot) -> Result<(), Refusal> {
        self.pass("snapshot.at_us", want.at_us)?;
        let contradiction = want.scaler.contradiction().or(want.meter.contradiction());
        if let Some(field) = contradiction {
            return Err(Fault::new(join("snapshot", field), "contradicts the rest").into());
        }
        if want.at_us < self.from_us {
            return Ok(());
        }
        let Some(got) = self.state(&want) else {
            let Snapshot { function, reporters, meter, scaler, .. } = want;
            self.reporters.get_or_insert(reporters);
            self.functions.insert(function, Remembered { meter, scaler });
            return Ok(());
        };
        if got != want {
            return Err(difference("snapshot", &want.function, want.at_us, &want, &got));
        }
        let Snapshot { function, meter, scaler, .. } = got;
        self.functions.insert(function, Remembered { meter, scaler });
        self.summary.snapshots += 1;
        Ok(())
    }

    /// The snapshot as replaying comes to it; none if nothing led up to it.
    fn state(&mut self, want: &Snapshot) -> Option<Snapshot> {
        let reporters = self.reporters.clone()?;
        let Remembered { meter, mut scaler } = match want.taken {
            Taken::Begin { ready, replicas } => Remembered {
                meter: Meter::new(want.at_us),
                scaler: want.scaler.anew(ready, replicas, want.at_us),
            },
            Taken::Settings | Taken::Redeploy { .. } | Taken::Periodic => {
                self.functions.remove(&want.function)?
            }
        };
        match want.taken {
            Taken::Settings => scaler.configure(want.scaler.settings()),
            Taken::Redeploy { ready, replicas } => scaler.redeploy(ready, replicas, want.at_us),
            Taken::Begin { .. } | Taken::Periodic => {}
        }
        Some(Snapshot { reporters, meter, scaler, ..want.clone() })
    }

    fn decide(&mut self, decided: Decided) -> Result<(), Refusal> {
        self.hear("decided.heard", &decided.heard)?;
        let Decided { function, decision: want, .. } = decided;
        let now_us = want.inputs.now_us;
        self.pass("decided.decision.inputs.now_us", now_us)?;
        if let Some(reporters) = &mut self.reporters {
            reporters.advance(now_us);
            if let Some(known) = self.functions.get_mut(&function) {
                let load = known.scaler.settle(&mut known.meter, reporters);
                let got = known.scaler.decide(&want.inputs.observation(load));
                // Inputs first: other results follow from them.
                const PATH: &str = "decided.decision";
                if got.inputs != want.inputs {
                    let path = join(PATH, "inputs");
                    let (want, got) = (&want.inputs, &got.inputs);
                    return Err(difference(&path, &function, now_us, want, got));
                }
                if got != *want {
                    return Err(difference(PATH, &function, now_us, &*want, &got));
                }
                self.summary.decisions += 1;
                return Ok(());
            }
        }
        self.summary.skipped += 1;
        Ok(())
    }
}

fn difference<T: Serialize>(
    path: &str,
    function: &FunctionName,
    at_us: u64,
    want: &T,
    got: &T,
) -> Refusal {
    let (want, got) = (serde_json::to_value(want), serde_json::to_value(got));
    let (Ok(want), Ok(got)) = (want, got) else {
        return Fault::new(path, "cannot be written as JSON").into();
    };
    let (field, want, got) = first_difference(path, &want, &got).unwrap_or_else(|| {
        // Unequal values whose JSON is equal: a figure that is no number.
        (path.to_owned(), want.to_string(), got.to_string())
    });
    Refusal::Difference(Difference { function: function.clone(), at_us, field, want, got })
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
