//! How fast an access log becomes a trace, and in how much memory: combined lines of 200 functions
//! with durations, a little out of order, made in a temporary folder (`DORMOUSE_LOG_MB`, 128 unless
//! it says otherwise), sorted in 16 MiB.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_sim::import::{Format, Import, Options, Scratch, Spill, Unit};
use dormouse_sim::scenario::Start;

const MEMORY_BYTES: usize = 16 << 20;

const MB: f64 = 1e6;

/// Requests in a second of the log.
const PER_S: u64 = 400;

/// The begin of the log, in seconds since 1970: a midnight.
const BEGIN_S: u64 = 1_772_496_000;

struct Folder<'a>(&'a Path);

impl Scratch for Folder<'_> {
    fn file(&self) -> io::Result<Box<dyn Spill>> {
        Ok(Box::new(tempfile::tempfile_in(self.0)?))
    }
}

/// Writes a log of that size; how many lines it has.
fn write_log(path: &Path, bytes: u64) -> io::Result<u64> {
    let mut log = BufWriter::new(File::create(path)?);
    let (mut written, mut lines) = (0, 0_u64);
    while written < bytes {
        // Any numbers that are spread evenly.
        let drawn = lines.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let unix_s = BEGIN_S + lines / PER_S + drawn % 3;
        let date = Start { unix_s }.to_string();
        let (day, time) = (&date[8..10], &date[11..19]);
        let line = format!(
            "svc-{}.example 10.0.{}.{} - [{day}/Mar/2026:{time} +0000] \"GET /api/items/{lines} \
             HTTP/1.1\" 200 {} \"https://shop.example/front?page=2\" \"Mozilla/5.0 (X11; Linux \
             x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\" 0.{:03}\n",
            drawn % 200,
            drawn % 256,
            lines % 256,
            drawn % 9_000,
            drawn % 1_000,
        );
        log.write_all(line.as_bytes())?;
        written += line.len() as u64;
        lines += 1;
    }
    log.flush()?;
    Ok(lines)
}

/// The most memory that this process had, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("Linux keeps account of memory") * 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes = std::env::var("DORMOUSE_LOG_MB").map_or(Ok(128), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let lines = write_log(&log, megabytes * 1_000_000)?;
    let bytes = fs::metadata(&log)?.len() as f64;
    let fields = [("function", "first"), ("duration", "last")];
    let options = Options {
        format: Format::AccessLog,
        moment: None,
        resolution_ns: None,
        disorder_ns: None,
        time_unit: Unit::Seconds,
        duration_unit: Unit::Seconds,
        zone_s: None,
        fields: BTreeMap::from(fields.map(|(name, field)| (name.to_owned(), field.to_owned()))),
        rules: Vec::new(),
        memory_bytes: MEMORY_BYTES,
    };
    let aside = Folder(folder.path());
    let began = Instant::now();
    let mut import = Import::new(options, &aside);
    import.read("log", File::open(&log)?)?;
    let trace = folder.path().join("trace");
    let (_, imported) = import.finish(BufWriter::new(File::create(&trace)?))?;
    let took_s = began.elapsed().as_secs_f64();
    assert_eq!(imported.summary.requests, lines, "every line is a request");
    heading(&format!("Importing an access log of {:.0} MB, {lines} requests", bytes / MB));
    let line =
        |what: &str, figure: f64, unit| row(what, Figure::of(vec![figure]), unit, Goal::None);
    line("read and sorted", bytes / MB / took_s, "MB/s");
    line("the same in requests", lines as f64 / took_s, "/s");
    line("the trace", fs::metadata(&trace)?.len() as f64 / MB, "MB");
    line("memory at most", peak_bytes() as f64 / MB, "MB");
    line("of it to sort in", MEMORY_BYTES as f64 / MB, "MB");
    Ok(())
}
