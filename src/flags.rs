//! What several commands take on their command line, each with the rule it has to keep. Rules are
//! worded to follow "must be".

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::Args;
use dormouse_policy::admission::Amount;
use serde::Serialize;

use crate::cli::UsageError;

/// More held requests than any machine has connections for.
const HELD_MAX_MAX: u64 = 10_000_000;

/// Less would not take one request of the longest head that is served.
const HELD_BYTES_MAX_MIN: u64 = 256 * 1024;

/// One worker would hide every mistake that needs two, and two is what the smallest machine has.
const WORKERS_MIN: usize = 2;

/// More threads than any machine of today has cores.
const WORKERS_MAX: usize = 256;

/// Nobody waits longer at a terminal; an orchestrator kills long before.
const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// How requests are served, as typed.
#[derive(Debug, Args)]
pub(crate) struct ServingArgs {
    /// Threads that forward requests, 2 to 256 [default: one per core, at least 2]
    #[arg(long, value_name = "N", env = "DORMOUSE_WORKERS")]
    workers: Option<String>,
    /// Most requests held at once over all functions
    #[arg(long, value_name = "N", env = "DORMOUSE_HELD_MAX", default_value = "10000")]
    held_max: String,
    /// Most memory that held requests may keep, as in 64Mi
    #[arg(long, value_name = "BYTES", env = "DORMOUSE_HELD_BYTES_MAX", default_value = "64Mi")]
    held_bytes_max: String,
    /// Longest wait at the end for requests that are held or open
    #[arg(long, value_name = "DURATION", env = "DORMOUSE_DRAIN_TIMEOUT", default_value = "30s")]
    drain_timeout: String,
}

/// How requests are served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Serving {
    /// Threads that forward requests.
    pub(crate) workers: usize,
    /// Most requests held at once over all functions.
    pub(crate) held_max: u64,
    /// Most memory they may keep, in bytes.
    pub(crate) held_bytes_max: u64,
    /// Longest wait for open requests at the end.
    pub(crate) drain_timeout: Duration,
}

impl Serving {
    /// Checks every value; if one breaks its rule, none and the faults.
    pub(crate) fn new(args: &ServingArgs, faults: &mut Vec<String>) -> Option<Self> {
        let workers = match &args.workers {
            Some(typed) => check("--workers", typed, workers, faults),
            None => Some(workers_default()),
        };
        let held_max = check("--held-max", &args.held_max, held_max, faults);
        let held_bytes_max =
            check("--held-bytes-max", &args.held_bytes_max, held_bytes_max, faults);
        let drain_timeout = check("--drain-timeout", &args.drain_timeout, drain_timeout, faults);
        Some(Self {
            workers: workers?,
            held_max: held_max?,
            held_bytes_max: held_bytes_max?,
            drain_timeout: drain_timeout?,
        })
    }

    /// The most that may be held at once over all functions.
    pub(crate) fn held(&self) -> Amount {
        Amount { requests: self.held_max, bytes: self.held_bytes_max }
    }
}

/// The value typed for `flag`; if it breaks its rule, none and one more fault.
pub(crate) fn check<T>(
    flag: &str,
    typed: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    faults: &mut Vec<String>,
) -> Option<T> {
    parse(typed).map_err(|rule| faults.push(format!("{flag} {typed:?} must be {rule}"))).ok()
}

/// The same for the only flag there is.
pub(crate) fn check_one<T>(
    flag: &str,
    typed: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, UsageError> {
    let mut faults = Vec::new();
    check(flag, typed, parse, &mut faults).ok_or(UsageError(faults))
}

pub(crate) fn address(typed: &str) -> Result<SocketAddr, String> {
    typed.parse().map_err(|_| "an IP address and a port, as in 127.0.0.1:8080".to_owned())
}

/// A name is looked up when it is dialled, each time again.
pub(crate) fn host_and_port(typed: &str) -> Result<String, String> {
    match typed.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(typed.to_owned())
        }
        _ => Err("a host and a port, as in 127.0.0.1:9000".to_owned()),
    }
}

fn workers(typed: &str) -> Result<usize, String> {
    typed
        .parse()
        .ok()
        .filter(|number| (WORKERS_MIN..=WORKERS_MAX).contains(number))
        .ok_or_else(|| format!("a whole number from {WORKERS_MIN} to {WORKERS_MAX}"))
}

fn held_max(typed: &str) -> Result<u64, String> {
    let number = typed.parse().ok().filter(|number| (1..=HELD_MAX_MAX).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {HELD_MAX_MAX}"))
}

/// A number of bytes in Kubernetes' grammar, binary suffixes only.
fn held_bytes_max(typed: &str) -> Result<u64, String> {
    let suffixes = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
    let suffixed = suffixes
        .into_iter()
        .find_map(|(suffix, unit)| typed.strip_suffix(suffix).map(|number| (number, unit)));
    let (number, unit) = suffixed.unwrap_or((typed, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let bytes = bytes.filter(|bytes| *bytes >= HELD_BYTES_MAX_MIN);
    bytes.ok_or_else(|| "a number of bytes of at least 256Ki, as in 64Mi or 1Gi".to_owned())
}

pub(crate) fn duration(typed: &str) -> Result<Duration, String> {
    humantime::parse_duration(typed).map_err(|_| "a duration with units, as in 30s".to_owned())
}

pub(crate) fn drain_timeout(typed: &str) -> Result<Duration, String> {
    let rule = || "a duration with units, at most 1h (as in 30s)".to_owned();
    humantime::parse_duration(typed)
        .ok()
        .filter(|timeout| *timeout <= DRAIN_TIMEOUT_MAX)
        .ok_or_else(rule)
}

/// One per core; one where the machine does not say, if that were enough.
fn workers_default() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.clamp(WORKERS_MIN, WORKERS_MAX)
}
