//! An object a line, with fields by name; a field within another is written `outer.inner`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::by_line::{Layout, wrong};
use super::time::{Unit, date_ns, decimal_ns};
use super::{ALL, Found, Options};
use crate::lines::{Fault, shown};

/// Which fields are read.
pub(super) struct JsonLines {
    time: String,
    duration: Option<String>,
    function: Option<String>,
    time_unit: Unit,
    duration_unit: Unit,
    zone_s: Option<i32>,
}

impl JsonLines {
    /// By what was asked for; times are in `time` unless it is said otherwise.
    pub(super) fn new(options: &Options) -> Self {
        let field = |name: &str| options.fields.get(name).cloned();
        Self {
            time: field("time").unwrap_or_else(|| "time".to_owned()),
            duration: field("duration"),
            function: field("function"),
            time_unit: options.time_unit,
            duration_unit: options.duration_unit,
            zone_s: options.zone_s,
        }
    }
}

impl Layout for JsonLines {
    fn found<'t>(&self, text: &'t str) -> Result<Found<'t>, Fault> {
        let fields: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| wrong("line", format!("must be a JSON object: {error}")))?;
        let need = |name: &str| find(&fields, name).ok_or_else(|| wrong(name, "is missing"));
        let rule = |name: &str, value: &Value, rule: &str| {
            wrong(name, format!("{}: {rule}", shown(&value.to_string())))
        };
        let written = need(&self.time)?;
        let at_ns = match written {
            Value::Number(number) => decimal_ns(&number.to_string(), self.time_unit)
                .ok_or("must be a time from 1970 on, of the unit that --time-unit says"),
            Value::String(text) => match decimal_ns(text, self.time_unit) {
                Some(ns) => Ok(ns),
                None => date_ns(text, self.zone_s),
            },
            _ => Err("must be a number or a text"),
        };
        let at_ns = at_ns.map_err(|what| rule(&self.time, written, what))?;
        let duration_ns = match &self.duration {
            None => None,
            Some(name) => {
                let written = need(name)?;
                let ns = match written {
                    Value::Number(number) => decimal_ns(&number.to_string(), self.duration_unit),
                    Value::String(text) => decimal_ns(text, self.duration_unit),
                    _ => None,
                };
                Some(ns.ok_or_else(|| rule(name, written, "must be a number, 0 or more"))?)
            }
        };
        let function = match &self.function {
            None => Cow::Borrowed(ALL),
            Some(name) => match need(name)? {
                Value::String(text) => Cow::Owned(text.clone()),
                Value::Number(number) => Cow::Owned(number.to_string()),
                other => return Err(rule(name, other, "must be a text or a number")),
            },
        };
        Ok(Found { function, at_ns, duration_ns, requests: 1 })
    }
}

/// A field by its name, or by its way through others.
fn find<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        find(fields.get(outer)?.as_object()?, inner)
    })
}
