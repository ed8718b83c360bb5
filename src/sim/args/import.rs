//! What can be typed after `dormouse sim import`.

use std::path::PathBuf;

use clap::Args;
use dormouse_sim::import::{Format, MEMORY_BYTES_MIN, Moment, Options, Rule, Unit, zone_s};
use dormouse_sim::scenario::Time;
use dormouse_sim::trace::indexed::RESOLUTION_NS_MAX;

use super::pair;

pub(super) const EXAMPLES: &str = "\
Examples:
  dormouse sim import access-log access.log* -o shop.trace --function '/api/*=api' \\
      --function '*=web'
  dormouse sim import json-lines log.gz -o shop.trace --field time=ts --field duration=dur \\
      --field function=host
  dormouse sim import prometheus answer.json -o shop.trace --field function=service
  dormouse sim import record day.jsonl -o shop.trace

What each format's times are of, and to what they are exact, unless --time and --resolution say
otherwise: azure-2021 the end, 1ms; access-log the end, 1s; json-lines the end, 1ms; prometheus the
end of each step, the step; record the begin, 1s. Requests begin by their duration before their end.
A scenario takes it by trace = { format = \"dormouse\", file = \"shop.trace\" }.

Exit 0: it is written, 2: what was typed or read cannot be used, 3: there is no request in it,
74: it could not be written, 130: interrupted; then nothing is left behind.";

/// Arguments of `dormouse sim import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What is read
    #[arg(value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Format,
    /// Files, in any order, packed or not; - is standard input
    #[arg(value_name = "IN", required = true)]
    pub(crate) inputs: Vec<String>,
    /// The trace to be written
    #[arg(short, long, value_name = "OUT.trace")]
    pub(crate) output: PathBuf,
    /// Which function requests are of, by path or name: `PATTERN=NAME`, * is any text, the first
    /// that fits counts, no name leaves them out; may be given several times
    #[arg(long, value_name = "PATTERN=NAME")]
    pub(crate) function: Vec<Rule>,
    /// Where time, duration or function stands, as in time=ts; may be given several times
    #[arg(long, value_name = "NAME=FIELD", value_parser = field)]
    pub(crate) field: Vec<(String, String)>,
    /// What times are of: start or end [default: by format]
    #[arg(long, value_name = "WORD", value_parser = moment)]
    pub(crate) time: Option<Moment>,
    /// To what times are exact [default: by format]
    #[arg(long, value_name = "TIME")]
    pub(crate) resolution: Option<Time>,
    /// Unit of times that are numbers, since 1970: s, ms, us or ns
    #[arg(long, value_name = "UNIT", default_value = "s", value_parser = Unit::parse)]
    pub(crate) time_unit: Unit,
    /// Unit of durations: s, ms, us or ns
    #[arg(long, value_name = "UNIT", default_value = "s", value_parser = Unit::parse)]
    pub(crate) duration_unit: Unit,
    /// Offset from UTC of dates that state none: Z, or as in +02:00
    #[arg(long, value_name = "OFFSET", value_parser = zone_s, allow_hyphen_values = true)]
    pub(crate) zone: Option<i32>,
    /// How far before the latest line of a file one may lie [default: 1h, azure-2021 any]
    #[arg(long, value_name = "TIME")]
    pub(crate) disorder: Option<Time>,
    /// Memory to sort in, as in 256MiB; the rest is put aside beside the output
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: usize,
    /// Say nothing but what is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl ImportArgs {
    /// The same for the simulator; the error is what contradicts the format.
    pub(crate) fn options(&self) -> Result<Options, &'static str> {
        if !self.field.is_empty() && matches!(self.format, Format::Azure2021 | Format::Record) {
            return Err("--field: this format has its own");
        }
        let resolution_ns = self.resolution.map(|time| time.0);
        if resolution_ns.is_some_and(|ns| !(1..=RESOLUTION_NS_MAX).contains(&ns)) {
            return Err("--resolution: must be from 1ns to a day");
        }
        Ok(Options {
            format: self.format,
            moment: self.time,
            resolution_ns,
            disorder_ns: self.disorder.map(|time| time.0),
            time_unit: self.time_unit,
            duration_unit: self.duration_unit,
            zone_s: self.zone,
            fields: self.field.iter().cloned().collect(),
            rules: self.function.clone(),
            memory_bytes: self.memory,
        })
    }
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "azure-2021" => Ok(Format::Azure2021),
        "access-log" => Ok(Format::AccessLog),
        "json-lines" => Ok(Format::JsonLines),
        "prometheus" => Ok(Format::Prometheus),
        "record" => Ok(Format::Record),
        _ => Err("must be azure-2021, access-log, json-lines, prometheus or record".to_owned()),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    match pair(text)? {
        (name, field) if ["time", "duration", "function"].contains(&name.as_str()) => {
            Ok((name, field))
        }
        _ => Err("must be time=, duration= or function= and a field".to_owned()),
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    match text {
        "start" => Ok(Moment::Start),
        "end" => Ok(Moment::End),
        _ => Err("must be start or end".to_owned()),
    }
}

fn memory(text: &str) -> Result<usize, String> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let bytes = units.into_iter().find_map(|(unit, shift)| {
        let number: usize = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    bytes.filter(|bytes| *bytes >= MEMORY_BYTES_MIN).ok_or_else(|| {
        format!("must be a size such as 256MiB, at least {}MiB", MEMORY_BYTES_MIN >> 20)
    })
}
