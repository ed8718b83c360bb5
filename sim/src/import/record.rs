//! Records of decisions, made load again from what activators reported in them.
//!
//! A report says how many requests had begun, and the area under the concurrency curve. Begun since
//! the report before is spread evenly over the time between; how long requests took is the area
//! that grew ÷ the requests that ended, both since requests last ended: the time in the activator,
//! waiting included, as a mean. Arrivals are exact to the distance of two reports, a second as a
//! rule. What a process reports first counts from nowhere and is not load.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::Counters;
use dormouse_policy::record::{self, Line, Report};

use super::by_line::wrong;
use super::{Found, Import, ImportError, SECOND_NS};
use crate::lines::{End, Fault, Lines};
use crate::replay::unreadable;

const SECOND_US: u64 = 1_000_000;

/// A longer silence of a reporter is no distance of two reports: what began in it is taken to have
/// begun in its end.
const SPREAD_US_MAX: u64 = 3_600 * SECOND_US;

/// Begun requests of which none has ended yet are kept by the second, and so many seconds of them;
/// those after are taken to have begun in the last.
const PENDING_MAX: usize = 4096;

/// What reporters have said.
#[derive(Default)]
struct Heard {
    /// Unix time at 0 of the record's clock, in microseconds.
    wall_us: u64,
    /// Of each reporter its process life, and when it was last heard, on the record's clock.
    reporters: BTreeMap<String, (u64, u64)>,
    functions: BTreeMap<FunctionName, Load>,
}

/// What is known of one function.
#[derive(Default)]
struct Load {
    /// By reporter, the counters of its process life.
    last: BTreeMap<String, (u64, Counters)>,
    /// Grown since requests last ended.
    area_us: u64,
    ended: u64,
    /// Unix seconds, and how many requests began in them.
    pending: Vec<(u64, u64)>,
}

pub(super) fn read(
    import: &mut Import<'_>,
    file: &str,
    input: impl Read,
) -> Result<(), ImportError> {
    let mut lines = Lines::new(file, input)?;
    let mut heard = Heard::default();
    let mut has_header = false;
    while let Some(line) = lines.read()? {
        if line.end == End::Cut {
            // Its writer was killed.
            break;
        }
        let read = record::read(line.bytes);
        let read = read.map_err(|fault| unreadable(&lines, fault))?;
        if has_header == matches!(read, Line::Header(_)) {
            let rule = "must be the first line, and only that";
            return Err(lines.unreadable(wrong("header", rule)).into());
        }
        has_header = true;
        let reports = match read {
            Line::Header(header) => {
                heard.wall_us = header.wall_us;
                continue;
            }
            Line::Heard(reports) => reports,
            Line::Decided(decided) => decided.heard,
            Line::Snapshot(_) | Line::Gone(_) | Line::Gap { .. } => continue,
        };
        for report in &reports {
            let taken = heard.take(import, report)?;
            taken.map_err(|fault| lines.unreadable(fault))?;
        }
    }
    if !has_header {
        return Err(lines.unreadable(wrong("header", "must be the first line")).into());
    }
    let rest = heard.rest(import)?;
    rest.map_err(|fault| lines.unreadable(fault))?;
    Ok(())
}

impl Heard {
    fn take(
        &mut self,
        import: &mut Import<'_>,
        report: &Report,
    ) -> Result<Result<(), Fault>, ImportError> {
        let Report { reporter, boot, heard_us, readings, .. } = report;
        let Some(end_us) = self.wall_us.checked_add(*heard_us) else {
            return Ok(Err(wrong("heard_us", "must be a time")));
        };
        let before = self.reporters.insert(reporter.clone(), (*boot, end_us));
        let start_us = match before {
            Some((life, start_us)) if life == *boot && start_us < end_us => Some(start_us),
            _ => None,
        };
        for reading in readings {
            let load = self.functions.entry(reading.function.clone()).or_default();
            let last = load.last.insert(reporter.clone(), (*boot, reading.counters));
            let Some(start_us) = start_us else {
                continue;
            };
            // A function that this life of the reporter never named had no request in it.
            let last = last.filter(|(life, _)| life == boot).map(|(_, last)| last);
            load.grow(last.unwrap_or_default(), reading.counters, start_us, end_us);
            if let Err(fault) = load.give(import, &reading.function)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// What began and did not end by the last line took as long as there is to see.
    fn rest(&mut self, import: &mut Import<'_>) -> Result<Result<(), Fault>, ImportError> {
        for (function, load) in &mut self.functions {
            load.ended = load.ended.max(load.pending.iter().map(|(_, began)| began).sum());
            if let Err(fault) = load.give(import, function)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }
}

impl Load {
    fn grow(&mut self, last: Counters, now: Counters, start_us: u64, end_us: u64) {
        let began = now.started.wrapping_sub(last.started);
        let area_us = now.area_us.wrapping_sub(last.area_us);
        if began.cast_signed() < 0 || area_us.cast_signed() < 0 {
            // Counters do not fall: it is not this life's reading.
            return;
        }
        self.area_us = self.area_us.saturating_add(area_us);
        let open = last.in_flight.saturating_add(began);
        self.ended = self.ended.saturating_add(open.saturating_sub(now.in_flight));
        let start_us = start_us.max(end_us.saturating_sub(SPREAD_US_MAX));
        let mut given = 0;
        for second in start_us / SECOND_US..end_us.div_ceil(SECOND_US) {
            let to_us = end_us.min((second + 1) * SECOND_US);
            let share = u128::from(began) * u128::from(to_us - start_us);
            let share = u64::try_from(share / u128::from(end_us - start_us)).unwrap_or(began);
            if share > given {
                let is_full = self.pending.len() >= PENDING_MAX;
                match self.pending.last_mut().filter(|_| is_full) {
                    Some((_, began)) => *began += share - given,
                    None => self.pending.push((second, share - given)),
                }
            }
            given = share;
        }
    }

    /// Gives away what began, if it is known how long it took.
    fn give(
        &mut self,
        import: &mut Import<'_>,
        function: &FunctionName,
    ) -> Result<Result<(), Fault>, ImportError> {
        if self.ended == 0 {
            return Ok(Ok(()));
        }
        let duration_ns = (self.area_us / self.ended).saturating_mul(1_000);
        (self.area_us, self.ended) = (0, 0);
        for (second, requests) in self.pending.drain(..) {
            let found = Found {
                function: Cow::Borrowed(function.name()),
                at_ns: second.saturating_mul(SECOND_NS),
                duration_ns: Some(duration_ns),
                requests,
            };
            if let Err(fault) = import.take(&found)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }
}
