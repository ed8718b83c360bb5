//! From bytes to a line, or to what is wrong with it.

use serde_json::Value;

use super::{FORMAT, Header, Line, VERSION};

/// Integers of a snapshot beyond this are wrong: ten years of microseconds, more than any process
/// lasts, and far from where adding two of them overflows.
const FIGURE_MAX: u64 = 10 * 365 * 86_400 * 1_000_000;

/// Fields that may be any number: counters wrap, and what a reporter drew or its clock shows is its
/// own affair.
const ANY: [&str; 5] = ["area_us", "at_us", "boot", "offset_us", "started"];

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct Fault {
    /// The field, by path from the line's start; `.` = the line itself.
    pub field: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, fault: impl ToString) -> Self {
        Self { field: field.into(), fault: fault.to_string() }
    }
}

/// Reads one line, without its end.
///
/// # Errors
/// What is wrong with it: a header of another format or version cannot be read, either.
pub fn read(bytes: &[u8]) -> Result<Line, Fault> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let line = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Fault::new(error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| Fault::new(".", error))?;
    if let Line::Header(header) = &line {
        check(header)?;
    }
    if matches!(line, Line::Snapshot(_)) {
        let value = serde_json::from_slice(bytes).map_err(|error| Fault::new(".", error))?;
        match excess(&value, "") {
            Some(field) => return Err(Fault::new(field, format!("must be at most {FIGURE_MAX}"))),
            None => return Ok(line),
        }
    }
    Ok(line)
}

/// Checks that the header is of a record that can be read here.
fn check(header: &Header) -> Result<(), Fault> {
    if header.format != FORMAT {
        return Err(Fault::new("header.format", format!("must be {FORMAT:?}")));
    }
    if header.version != VERSION {
        return Err(Fault::new("header.version", format!("must be {VERSION}")));
    }
    Ok(())
}

/// Checks a time of the decider's clock, which does not go back.
pub(super) fn check_time(field: &str, us: u64, last_us: u64) -> Result<(), Fault> {
    if us > FIGURE_MAX {
        return Err(Fault::new(field, format!("must be at most {FIGURE_MAX}")));
    }
    if us < last_us {
        return Err(Fault::new(field, format!("goes back from {last_us} to {us}")));
    }
    Ok(())
}

/// The first field with an integer that no run comes to.
fn excess(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Number(number) => {
            number.as_u64().is_some_and(|figure| figure > FIGURE_MAX).then(|| path.to_owned())
        }
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(at, value)| excess(value, &format!("{path}[{at}]")))
        }
        Value::Object(fields) => {
            let mut bounded = fields.iter().filter(|(name, _)| !ANY.contains(&name.as_str()));
            bounded.find_map(|(name, value)| excess(value, &join(path, name)))
        }
        _ => None,
    }
}

/// The path of a field within `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}
