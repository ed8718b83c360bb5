//! Access logs, common and combined: `host ident user [time] "request" status bytes …`.

use std::borrow::Cow;

use super::by_line::{Layout, wrong};
use super::time::{Unit, decimal_ns, log_ns};
use super::{ALL, Found, Options};
use crate::lines::{Fault, shown};

/// How a line's parts are read.
pub(super) struct AccessLog {
    function: Function,
    duration: Option<Unit>,
}

/// What of a line says which function a request is of.
enum Function {
    /// Nothing.
    All,
    /// The path of its request.
    Path,
    /// The first word, where virtual hosts are logged.
    First,
}

impl AccessLog {
    /// By what was asked for.
    pub(super) fn new(options: &Options) -> Result<Self, Fault> {
        let field = |name: &str| options.fields.get(name).map(String::as_str);
        let function = match field("function") {
            None if options.rules.is_empty() => Function::All,
            None | Some("path") => Function::Path,
            Some("first") => Function::First,
            Some(_) => return Err(wrong("--field function", "must be path or first")),
        };
        let duration = match field("duration") {
            None => None,
            Some("last") => Some(options.duration_unit),
            Some(_) => return Err(wrong("--field duration", "must be last")),
        };
        if field("time").is_some() {
            return Err(wrong("--field time", "stands in brackets in every access log"));
        }
        Ok(Self { function, duration })
    }
}

impl Layout for AccessLog {
    fn found<'t>(&self, text: &'t str) -> Result<Found<'t>, Fault> {
        let parts = text.split_once('[').and_then(|(before, rest)| {
            let (time, rest) = rest.split_once(']')?;
            Some((before, time, quoted(rest.trim_start())?))
        });
        let Some((before, time, (request, after))) = parts else {
            let rule = "must be: host ident user [time] \"request\" status bytes";
            return Err(wrong("line", format!("{:?}: {rule}", shown(text))));
        };
        let at_ns = log_ns(time).ok_or_else(|| {
            let rule = "must be a time such as 03/Mar/2026:08:00:00 +0000";
            wrong("time", format!("{:?}: {rule}", shown(time)))
        })?;
        let status = after.split_whitespace().next().unwrap_or_default();
        if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("status", format!("{:?}: must be three digits", shown(status))));
        }
        let duration_ns = self.duration.map(|unit| {
            let last = after.rsplit(char::is_whitespace).next().unwrap_or_default();
            let last = last.trim_matches('"');
            decimal_ns(last, unit)
                .ok_or_else(|| wrong("duration", format!("{:?}: must be a time", shown(last))))
        });
        let function = match self.function {
            Function::All => ALL,
            Function::Path => path(request),
            Function::First => before.split_whitespace().next().unwrap_or(ALL),
        };
        let duration_ns = duration_ns.transpose()?;
        Ok(Found { function: Cow::Borrowed(function), at_ns, duration_ns, requests: 1 })
    }
}

/// What stands in the quotes that a text begins with, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// The path of a request line, without its query; of what is none, all of it.
fn path(request: &str) -> &str {
    let target = request.split_whitespace().nth(1).unwrap_or(request);
    // Towards a proxy the target is a whole URL.
    let target = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    match target.split(['?', '#']).next() {
        None | Some("") => "/",
        Some(path) => path,
    }
}
