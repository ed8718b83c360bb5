//! Formats that have a request a line.

use std::io::Read;

use super::order::Order;
use super::{Found, Import, ImportError};
use crate::lines::{Fault, Line, Lines, text};

/// What a format makes of a line.
pub(super) trait Layout {
    /// The request in a line that is not empty.
    fn found<'t>(&self, text: &'t str) -> Result<Found<'t>, Fault>;
}

/// Reads a file line by line.
pub(super) fn read(
    import: &mut Import<'_>,
    file: &str,
    input: impl Read,
    layout: &impl Layout,
) -> Result<(), ImportError> {
    let mut lines = Lines::new(file, input)?;
    let mut order = import.order();
    while let Some(line) = lines.read()? {
        let taken = take(import, &mut order, &line, layout)?;
        taken.map_err(|fault| lines.unreadable(fault))?;
    }
    Ok(())
}

fn take(
    import: &mut Import<'_>,
    order: &mut Order,
    line: &Line<'_>,
    layout: &impl Layout,
) -> Result<Result<(), Fault>, ImportError> {
    let found = text(line.bytes).and_then(|text| {
        // A byte-order mark is no part of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        let found = (!text.is_empty()).then(|| layout.found(text)).transpose()?;
        if let Some(found) = &found {
            order.check(found.at_ns, line.number)?;
        }
        Ok(found)
    });
    match found {
        Ok(Some(found)) => import.take(&found),
        Ok(None) => Ok(Ok(())),
        Err(fault) => Ok(Err(fault)),
    }
}

/// What is wrong with a field.
pub(super) fn wrong(field: &str, rule: impl Into<String>) -> Fault {
    Fault::Field { field: field.to_owned(), rule: rule.into() }
}
