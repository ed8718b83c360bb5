//! Traces from what others recorded: read in any order, sorted outside of memory, written with an
//! index ([`crate::trace::indexed`]).
//!
//! Each format says whether its times are those at which requests began or ended, and to which
//! resolution; flags say otherwise. A request that ended at t and took d began at t − d. Where no
//! durations are known, requests are taken to begin at the time that is written.

mod order;
mod names;
mod sort;
mod time;
mod by_line;
mod access_log;
mod azure;
mod json_lines;
mod prometheus;
mod record;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::input::ReadAt;
use crate::lines::{Fault, Unreadable};
use crate::trace::indexed::{Head, RESOLUTION_NS_MAX, Row, SERVICE_US_MAX, Summary, Times};
use crate::trace::indexed::{Unwritable, Writer};

use access_log::AccessLog;
use json_lines::JsonLines;
use names::Names;
use order::Order;
use sort::Sorter;

pub use names::Rule;
pub use sort::MEMORY_BYTES_MIN;
pub use time::{Unit, zone_s};

const SECOND_NS: u64 = 1_000_000_000;

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Azure Functions 2021: `app,func,end_timestamp,duration`, in seconds.
    Azure2021,
    /// Access logs, common or combined.
    AccessLog,
    /// An object a line, fields by name.
    JsonLines,
    /// The answer to a range query of Prometheus: counts by the step.
    Prometheus,
    /// A record of decisions (`--record`), made load again.
    Record,
}

/// What a time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request's begin.
    Start,
    /// Its end.
    End,
}

/// How it is to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is.
    pub format: Format,
    /// What its times are of; none = as the format has it.
    pub moment: Option<Moment>,
    /// To what they are exact, in nanoseconds; none = as the format has it.
    pub resolution_ns: Option<u64>,
    /// How far a line may lie before the latest one, in nanoseconds; none = as the format has it.
    pub disorder_ns: Option<u64>,
    /// The unit of times that are numbers.
    pub time_unit: Unit,
    /// The unit of durations.
    pub duration_unit: Unit,
    /// The offset from UTC of times that state none, in seconds; none = they are refused.
    pub zone_s: Option<i32>,
    /// Where `time`, `duration` and `function` stand.
    pub fields: BTreeMap<String, String>,
    /// Which functions requests are of; empty = as they are called.
    pub rules: Vec<Rule>,
    /// What sorting may take, in bytes, at least [`MEMORY_BYTES_MIN`].
    pub memory_bytes: usize,
}

/// A file to put aside what does not fit memory.
pub trait Spill: ReadAt {
    /// Writes at its end.
    ///
    /// # Errors
    /// It cannot be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Spill for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::End(0))?;
        self.write_all(bytes)
    }
}

/// Where such files come from; they are gone when they are dropped.
pub trait Scratch {
    /// A new one.
    ///
    /// # Errors
    /// It cannot be had.
    fn file(&self) -> io::Result<Box<dyn Spill>>;
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// What does not fit memory cannot be put aside, or not be had back.
    #[error("a temporary file fails: {0}")]
    Scratch(io::Error),
    /// The trace cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// There is nothing to write.
    #[error("there is not one request in it")]
    Empty,
}

/// What was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What was written.
    pub summary: Summary,
    /// To what arrivals are exact, in nanoseconds.
    pub resolution_ns: u64,
    /// Whether it is known how long they took.
    pub times: Times,
    /// Requests that a rule leaves out.
    pub left_out: u64,
}

/// Requests being imported.
pub struct Import<'a> {
    options: Options,
    names: Names,
    sorter: Sorter<'a>,
    resolution_ns: Option<u64>,
    times: Option<Times>,
    /// None before a request that is not left out.
    first_tick: Option<u64>,
    left_out: u64,
}

/// Requests that were found in a file.
struct Found<'t> {
    /// What they are of, as the file calls it.
    function: Cow<'t, str>,
    /// The time that is written, in nanoseconds since the source's zero.
    at_ns: u64,
    /// How long each took, in nanoseconds.
    duration_ns: Option<u64>,
    /// How many there are.
    requests: u64,
}

/// What requests are of where nothing says it.
const ALL: &str = "all";

impl Format {
    /// What its times are of, and to what they are exact, in nanoseconds; none = its step.
    #[must_use]
    pub fn times(self) -> (Moment, Option<u64>) {
        match self {
            Self::Azure2021 | Self::JsonLines => (Moment::End, Some(1_000_000)),
            Self::AccessLog => (Moment::End, Some(SECOND_NS)),
            Self::Prometheus => (Moment::End, None),
            Self::Record => (Moment::Start, Some(SECOND_NS)),
        }
    }

    /// How far a line may lie before the latest one, in nanoseconds. Logs are written as requests
    /// end, so that lines are out of order by what a request takes; Azure's have no order.
    #[must_use]
    pub fn disorder_ns(self) -> u64 {
        match self {
            Self::Azure2021 => u64::MAX,
            Self::AccessLog | Self::JsonLines => 3_600 * SECOND_NS,
            Self::Prometheus | Self::Record => 0,
        }
    }
}

impl<'a> Import<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(options: Options, scratch: &'a dyn Scratch) -> Self {
        Self {
            names: Names::new(options.rules.clone()),
            sorter: Sorter::new(scratch, options.memory_bytes),
            resolution_ns: options.resolution_ns.or(options.format.times().1),
            options,
            times: None,
            first_tick: None,
            left_out: 0,
        }
    }

    /// Reads a file, packed or not; it takes part in full or the import fails.
    ///
    /// # Errors
    /// [`ImportError`]
    pub fn read(&mut self, file: &str, input: impl Read) -> Result<(), ImportError> {
        match self.options.format {
            Format::Azure2021 => azure::read(self, file, input),
            Format::AccessLog => {
                let layout = AccessLog::new(&self.options).map_err(|fault| Unreadable {
                    file: file.to_owned(),
                    line: 0,
                    fault,
                })?;
                by_line::read(self, file, input, &layout)
            }
            Format::JsonLines => {
                let layout = JsonLines::new(&self.options);
                by_line::read(self, file, input, &layout)
            }
            Format::Prometheus => prometheus::read(self, file, input),
            Format::Record => record::read(self, file, input),
        }
    }

    /// Sorts all that was read, and writes it.
    ///
    /// # Errors
    /// [`ImportError`]
    pub fn finish<W: Write>(self, output: W) -> Result<(W, Imported), ImportError> {
        let (Some(times), Some(resolution_ns), Some(first_tick)) =
            (self.times, self.resolution_ns, self.first_tick)
        else {
            return Err(ImportError::Empty);
        };
        let head = Head { times, resolution_ns, first_tick };
        let mut writer = Writer::new(output, head, self.names.into_table())?;
        self.sorter.finish(|row| writer.row(row).map_err(ImportError::from))?;
        let (output, summary) = writer.finish()?;
        let left_out = self.left_out;
        Ok((output, Imported { summary, resolution_ns, times, left_out }))
    }

    /// The order that lines of one file must have.
    fn order(&self) -> Order {
        Order::new(self.options.disorder_ns.unwrap_or(self.options.format.disorder_ns()))
    }

    fn moment(&self) -> Moment {
        self.options.moment.unwrap_or(self.options.format.times().0)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.options.fields.get(name).map(String::as_str)
    }

    /// Takes requests; where that fails for what they are, the rule that they break.
    fn take(&mut self, found: &Found<'_>) -> Result<Result<(), Fault>, ImportError> {
        match self.row(found) {
            Ok(Some(row)) => self.sorter.push(row).map(Ok),
            Ok(None) => Ok(Ok(())),
            Err(fault) => Ok(Err(fault)),
        }
    }

    fn row(&mut self, found: &Found<'_>) -> Result<Option<Row>, Fault> {
        let wrong = |field: &str, rule: &str| Fault::Field {
            field: field.to_owned(),
            rule: rule.to_owned(),
        };
        let times = match found.duration_ns {
            Some(_) => Times::Known,
            None => Times::Unknown,
        };
        match (*self.times.get_or_insert(times), times) {
            (Times::Known, Times::Unknown) => {
                return Err(wrong("duration", "is missing, and was there before"));
            }
            (Times::Unknown, Times::Known) => {
                return Err(wrong("duration", "is there, and was missing before"));
            }
            _ => {}
        }
        let service_us = found.duration_ns.unwrap_or(0) / 1_000;
        if service_us > SERVICE_US_MAX {
            return Err(wrong("duration", "must be at most a day"));
        }
        let start_ns = match self.moment() {
            Moment::Start => Some(found.at_ns),
            Moment::End => found.at_ns.checked_sub(found.duration_ns.unwrap_or(0)),
        };
        let start_ns = start_ns.ok_or_else(|| {
            wrong("duration", "must not be longer than the time since the source's zero")
        })?;
        let Some(function) = self.names.place(&found.function)? else {
            self.left_out += found.requests;
            return Ok(None);
        };
        let resolution_ns = self.resolution_ns.unwrap_or(RESOLUTION_NS_MAX);
        let tick = start_ns / resolution_ns;
        self.first_tick = Some(self.first_tick.map_or(tick, |first| first.min(tick)));
        Ok(Some(Row { function, tick, service_us, requests: found.requests }))
    }
}

#[cfg(test)]
mod tests;
