//! Azure Functions 2021: one row per request, `app,func,end_timestamp,duration`, seconds since the
//! trace's begin. A function's name is its own within its app alone.

use std::borrow::Cow;
use std::io::Read;

use super::time::{Unit, decimal_ns};
use super::{Found, Import, ImportError};
use crate::lines::{Fault, Unreadable};
use crate::trace::Fault as TraceFault;
use crate::trace::table::Table;

pub(super) fn read(
    import: &mut Import<'_>,
    file: &str,
    input: impl Read,
) -> Result<(), ImportError> {
    let mut table = Table::new(file, input).map_err(unreadable)?;
    let mut columns = [0; 4];
    for (column, name) in columns.iter_mut().zip(["app", "func", "end_timestamp", "duration"]) {
        *column = table.column(name).map_err(unreadable)?;
    }
    let [app, func, end, duration] = columns;
    let mut order = import.order();
    let mut function = String::new();
    while let Some(line) = table.next().map_err(unreadable)? {
        let seconds = |column| {
            let rule = "seconds, 0 or more";
            line.read(column, rule, |text| decimal_ns(text, Unit::Seconds)).map_err(unreadable)
        };
        function.clear();
        function.push_str(line.text(app).map_err(unreadable)?);
        function.push('/');
        function.push_str(line.text(func).map_err(unreadable)?);
        let found = Found {
            function: Cow::Borrowed(&function),
            at_ns: seconds(end)?,
            duration_ns: Some(seconds(duration)?),
            requests: 1,
        };
        let at = |fault| Unreadable { file: file.to_owned(), line: line.number(), fault };
        order.check(found.at_ns, line.number()).map_err(at)?;
        import.take(&found)?.map_err(at)?;
    }
    Ok(())
}

fn unreadable(fault: TraceFault) -> ImportError {
    let TraceFault { file, line, column, rule } = fault;
    let field = match column.as_str() {
        "" => "row".to_owned(),
        column => format!("column {column}"),
    };
    Unreadable { file, line, fault: Fault::Field { field, rule } }.into()
}
