//! Counts of one service, a row per minute: `period,count`.

use std::io::Read;

use toml::value::Datetime;

use super::CELLS_MAX;
use super::azure::count;
use super::table::{Fault, Table};
use crate::scenario::minute_of;

/// Most minutes that are left out in a row, a leap year: a date that is mistyped must not be a
/// gigabyte of minutes.
const GAP_MINUTES_MAX: usize = 366 * 1440;

/// Reads them, from the first minute of the file to the last; a minute that is left out has none.
///
/// # Errors
/// The first thing that is wrong with the file.
pub fn periods(file: &str, input: impl Read) -> Result<Vec<u32>, Fault> {
    let mut table = Table::new(file, input)?;
    let (period, counted) = (table.column("period")?, table.column("count")?);
    let mut per_minute: Vec<u32> = Vec::new();
    let mut first = None;
    while let Some(line) = table.next()? {
        let rule = "a full minute such as 1998-04-30 21:30:00";
        let minute = line.read(period, rule, |text| minute_of(&text.parse::<Datetime>().ok()?))?;
        let place = minute - *first.get_or_insert(minute);
        let place = usize::try_from(place).ok().filter(|place| *place >= per_minute.len());
        let Some(place) = place else {
            return Err(line.fault(period, "must be later than the period before it"));
        };
        if place - per_minute.len() > GAP_MINUTES_MAX {
            let rule = format!("is more than {GAP_MINUTES_MAX} minutes after the one before it");
            return Err(line.fault(period, rule));
        }
        if place >= CELLS_MAX {
            return Err(line.fault(period, format!("is more than {CELLS_MAX} minutes on")));
        }
        per_minute.resize(place, 0);
        per_minute.push(count(&line, counted)?);
    }
    Ok(per_minute)
}
