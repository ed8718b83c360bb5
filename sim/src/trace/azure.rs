//! The columns of Azure Functions 2019, whole or sampled (InVitro): counts of invocations, a row
//! per function and a column per minute, and the percentiles of how long they took.

use std::collections::BTreeMap;
use std::io::Read;

use super::indexed::FUNCTIONS_MAX;
use super::table::{Fault, Line, Table};
use super::{CELLS_MAX, COUNT_MAX, Filter};
use crate::draw::Distribution;
use crate::lines::shown;

/// The last minute of a day: minutes are counted from 1.
const MINUTE_MAX: u32 = 1440;

/// Longest name or trigger, in bytes: what names are in Kubernetes, four times a hash.
const TEXT_BYTES_MAX: usize = 253;

/// The percentiles given, as columns and as shares.
const PERCENTILES: [(&str, f64); 7] = [
    ("percentile_Average_0", 0.0),
    ("percentile_Average_1", 0.01),
    ("percentile_Average_25", 0.25),
    ("percentile_Average_50", 0.5),
    ("percentile_Average_75", 0.75),
    ("percentile_Average_99", 0.99),
    ("percentile_Average_100", 1.0),
];

/// The longest duration, in milliseconds: a day.
const DURATION_MS_MAX: f64 = 86_400_000.0;

/// One function's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// `HashOwner`.
    pub owner: String,
    /// `HashApp`.
    pub app: String,
    /// `HashFunction`.
    pub function: String,
    /// `Trigger`.
    pub trigger: String,
    /// Where it stands in the file.
    pub line: u64,
    /// Invocations of each minute, from the file's first minute on.
    pub per_minute: Vec<u32>,
}

impl Row {
    fn value(&self, column: &str) -> &str {
        match column {
            "owner" => &self.owner,
            "app" => &self.app,
            "function" => &self.function,
            _ => &self.trigger,
        }
    }
}

/// Reads the counts of the functions that `filter` takes, in the order of the file.
///
/// # Errors
/// The first thing that is wrong with the file.
pub fn counts(file: &str, input: impl Read, filter: &Filter) -> Result<Vec<Row>, Fault> {
    let mut table = Table::new(file, input)?;
    let named = ["HashOwner", "HashApp", "HashFunction", "Trigger"];
    let mut columns = [0; 4];
    for (column, name) in columns.iter_mut().zip(named) {
        *column = table.column(name)?;
    }
    let minutes = minutes(&table, &columns)?;
    let mut rows = Vec::new();
    let mut seen = BTreeMap::new();
    let mut cells = 0;
    while let Some(line) = table.next()? {
        let text = |place: usize| {
            let is_name = |text: &str| text.len() <= TEXT_BYTES_MAX;
            let rule = format_args!("at most {TEXT_BYTES_MAX} bytes");
            line.read(columns[place], rule, |text| is_name(text).then(|| text.to_owned()))
        };
        let mut row = Row {
            owner: text(0)?,
            app: text(1)?,
            function: text(2)?,
            trigger: text(3)?,
            line: line.number(),
            per_minute: Vec::new(),
        };
        check_hash(&line, columns[2], &row.function)?;
        if let Some(first) = seen.insert(row.function.clone(), row.line) {
            return Err(line.fault(columns[2], format!("stands in line {first} already")));
        }
        if seen.len() > FUNCTIONS_MAX {
            let rule = format!("is too much: at most {FUNCTIONS_MAX} functions are taken");
            return Err(line.fault(usize::MAX, rule));
        }
        // What is wrong with a row that is left out is told all the same.
        let per_minute = minutes.clone().map(|column| count(&line, column));
        let per_minute = per_minute.collect::<Result<_, _>>()?;
        if !filter.takes(|column| row.value(column)) {
            continue;
        }
        row.per_minute = per_minute;
        cells += row.per_minute.len();
        if cells > CELLS_MAX {
            let rule = format!("is too much: at most {CELLS_MAX} functions × minutes are taken");
            return Err(line.fault(usize::MAX, rule));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The columns of minutes: all that are not named, one after the other.
fn minutes(table: &Table<'_>, named: &[usize]) -> Result<std::ops::Range<usize>, Fault> {
    let others: Vec<_> = (0..table.header().len()).filter(|at| !named.contains(at)).collect();
    let mut last = None;
    for (place, &at) in others.iter().enumerate() {
        let name = table.header()[at].as_str();
        let minute = name.parse().ok().filter(|minute| (1..=MINUTE_MAX).contains(minute));
        let Some(minute) = minute else {
            let rule = format!("must be a minute of the day, 1 to {MINUTE_MAX}");
            return Err(table.header_fault(name, rule));
        };
        if at != others[0] + place || last.is_some_and(|last| minute != last + 1) {
            return Err(table.header_fault(name, "must follow the minute before it"));
        }
        last = Some(minute);
    }
    match (others.first(), others.last()) {
        (Some(&first), Some(&last)) => Ok(first..last + 1),
        _ => Err(table.header_fault("1", "is missing: there is no column of a minute")),
    }
}

fn check_hash(line: &Line<'_>, column: usize, hash: &str) -> Result<(), Fault> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if hash.is_empty() || !hash.bytes().all(is_name) {
        return Err(line.fault(column, format!("{:?}: must be of a-z, 0-9 and -", shown(hash))));
    }
    Ok(())
}

pub(super) fn count(line: &Line<'_>, column: usize) -> Result<u32, Fault> {
    let rule = format_args!("a whole number from 0 to {COUNT_MAX}");
    line.read(column, rule, |text| text.parse().ok().filter(|count| *count <= COUNT_MAX))
}

/// Reads how long the invocations of each function took: between the percentiles given, in straight
/// lines.
///
/// # Errors
/// The first thing that is wrong with the file.
pub fn durations(file: &str, input: impl Read) -> Result<BTreeMap<String, Distribution>, Fault> {
    let mut table = Table::new(file, input)?;
    let function = table.column("HashFunction")?;
    let mut columns = [0; PERCENTILES.len()];
    for (column, (name, _)) in columns.iter_mut().zip(PERCENTILES) {
        *column = table.column(name)?;
    }
    let mut durations = BTreeMap::new();
    let mut seen = BTreeMap::new();
    while let Some(line) = table.next()? {
        let hash = line.text(function)?;
        check_hash(&line, function, hash)?;
        let mut known = Vec::with_capacity(PERCENTILES.len());
        for (column, (_, share)) in columns.into_iter().zip(PERCENTILES) {
            let rule = format_args!("milliseconds, from 0 to {DURATION_MS_MAX}");
            let ms = line.read(column, rule, |text| {
                text.parse().ok().filter(|ms| (0.0..=DURATION_MS_MAX).contains(ms))
            })?;
            let ns = whole_ns(ms);
            if known.last().is_some_and(|(_, before)| ns < *before) {
                return Err(line.fault(column, "must not be below the percentile before it"));
            }
            known.push((share, ns));
        }
        if let Some(first) = seen.insert(hash.to_owned(), line.number()) {
            return Err(line.fault(function, format!("stands in line {first} already")));
        }
        let distribution = Distribution::percentiles(&known)
            .ok_or_else(|| line.fault(function, "has percentiles that do not ascend"))?;
        durations.insert(hash.to_owned(), distribution);
    }
    Ok(durations)
}

fn whole_ns(ms: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in its range by the check before"
    )]
    let ns = (ms * 1e6) as u64;
    ns
}
