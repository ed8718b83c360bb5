//! What a run keeps in memory does not depend on how long it is.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "what this process takes is in a file of the kernel's"
)]

use std::fs;
use std::io::{self, Read};

use dormouse_sim::input::{Inputs, Manifest};
use dormouse_sim::plan::{Options, Plan};
use dormouse_sim::world::{Log, run};

struct NoFiles;

impl Inputs for NoFiles {
    fn open(&self, _: &str) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn manifest(&self, _: &str) -> Result<Manifest, Vec<String>> {
        Ok(Manifest::default())
    }
}

/// Requests answered in so many hours of a function that comes and goes.
fn answered(hours: u32) -> u64 {
    let text = format!(
        "schema = 1\nlength = \"{hours}h\"\n[function.api]\n\
         load = {{ on-off = \"20/s\", on = \"5m\", off = \"5m\" }}\n\
         service = {{ lognormal = [\"40ms\", \"900ms\"] }}\n"
    );
    let plan = Plan::new("memory.toml", &text, &Options::default(), &NoFiles).unwrap();
    let card = run(&plan.setup(0, plan.cuts_ns.clone(), Log::None), 1).unwrap();
    card.functions[0].from(0).answered
}

/// The most memory that this process had at once, in KiB.
fn most_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The only test of this program, for the peak is the process'.
#[test]
fn a_day_takes_no_more_than_an_hour() {
    let hour = answered(1);
    let before_kib = most_kib();
    let day = answered(24);
    let more_kib = most_kib() - before_kib;
    assert!(day > 15 * hour, "{day} requests and {hour}");
    // Eight bytes for each of the other requests would be five times as much.
    assert!(more_kib < 1_024, "{more_kib} KiB more for {day} requests than for {hour}");
}
