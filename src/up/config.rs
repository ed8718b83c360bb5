//! What was typed after `dormouse up`, checked as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::{UpArgs, UsageError};
use crate::flags::{Serving, address, check, host_and_port};

/// How `dormouse up` runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Config {
    /// Manifests, files and folders.
    pub(crate) files: Vec<PathBuf>,
    /// Where functions answer by Host.
    pub(crate) gateway: SocketAddr,
    /// How requests are served.
    #[serde(flatten)]
    pub(crate) serving: Serving,
    /// Where `status` and `explain` are answered.
    pub(crate) admin: SocketAddr,
    /// Where the activator answers `/metrics`.
    pub(crate) activator_admin: SocketAddr,
    /// Where the autoscaler listens for the activator.
    pub(crate) link_listen: SocketAddr,
    /// Where the activator dials it, if elsewhere.
    pub(crate) link_dial: Option<String>,
    /// The new file for the record of decisions; none = no record.
    pub(crate) record: Option<PathBuf>,
    /// What stdout is for.
    pub(crate) output: Output,
}

/// Who reads the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Output {
    /// A person, on stderr.
    Human,
    /// A program, on stdout.
    Json,
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// All that cannot hold, each with its flag, its value and the rule.
    pub(crate) fn new(args: &UpArgs) -> Result<Self, UsageError> {
        let mut faults = Vec::new();
        let gateway = check("--gateway", &args.gateway, address, &mut faults);
        let admin = check("--admin", &args.admin, address, &mut faults);
        let activator_admin =
            check("--activator-admin", &args.activator_admin, address, &mut faults);
        let link_listen = check("--link-listen", &args.link_listen, address, &mut faults);
        let link_dial = match &args.link_dial {
            Some(typed) => check("--link-dial", typed, host_and_port, &mut faults).map(Some),
            None => Some(None),
        };
        let serving = Serving::new(&args.serving, &mut faults);
        let (
            Some(gateway),
            Some(admin),
            Some(activator_admin),
            Some(link_listen),
            Some(link_dial),
            Some(serving),
        ) = (gateway, admin, activator_admin, link_listen, link_dial, serving)
        else {
            return Err(UsageError(faults));
        };
        Ok(Self {
            files: args.files.clone(),
            gateway,
            serving,
            admin,
            activator_admin,
            link_listen,
            link_dial,
            record: args.record.clone(),
            output: if args.json { Output::Json } else { Output::Human },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(typed: &[&str]) -> Result<Config, UsageError> {
        let line = ["dormouse", "up", "-f", "app.yaml"].iter().chain(typed);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Up(args) => Config::new(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_hold() {
        let config = config(&[]).unwrap();
        assert_eq!(config.gateway.to_string(), "127.0.0.1:8080");
        assert!(config.serving.workers >= 2);
        let held = config.serving.held();
        assert_eq!((held.requests, held.bytes), (10_000, 64 * 1024 * 1024));
        assert_eq!(config.link_dial, None);
        assert_eq!(config.serving.drain_timeout, Duration::from_secs(30));
    }

    #[test]
    fn every_fault_is_named_with_value_and_rule() {
        let typed = [
            "--gateway=here",
            "--admin=127.0.0.1",
            "--activator-admin=9090",
            "--link-listen=:1",
            "--link-dial=localhost",
            "--workers=1",
            "--held-max=0",
            "--held-bytes-max=64MB",
            "--drain-timeout=30",
        ];
        let faults = config(&typed).unwrap_err().0;
        assert_eq!(faults.len(), typed.len(), "{faults:?}");
        for (fault, typed) in faults.iter().zip(typed) {
            let (flag, value) = typed.split_once('=').unwrap();
            assert!(fault.starts_with(flag), "{fault}");
            assert!(fault.contains(&format!("{value:?} must be ")), "{fault}");
        }
    }

    #[test]
    fn bounds_hold_at_both_ends() {
        for (typed, valid) in [
            ("--workers=2", true),
            ("--workers=256", true),
            ("--workers=257", false),
            ("--workers=many", false),
            ("--link-dial=localhost:1", true),
            ("--link-dial=[::1]:1", true),
            ("--link-dial=:1", false),
            ("--link-dial=localhost:65536", false),
            ("--held-max=1", true),
            ("--held-max=10000000", true),
            ("--held-max=10000001", false),
            ("--held-bytes-max=256Ki", true),
            ("--held-bytes-max=262144", true),
            ("--held-bytes-max=262143", false),
            ("--held-bytes-max=255Ki", false),
            ("--held-bytes-max=1Gi", true),
            ("--held-bytes-max=-1Mi", false),
            ("--held-bytes-max=18446744073709551615Gi", false),
            ("--drain-timeout=0", true),
            ("--drain-timeout=1h", true),
            ("--drain-timeout=3601s", false),
        ] {
            assert_eq!(config(&[typed]).is_ok(), valid, "{typed}");
        }
    }
}
