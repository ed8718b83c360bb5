//! `dormouse activator`: the part in the requests' way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dormouse_activator::activator::Activator;
use dormouse_activator::config::{Config as ActivatorConfig, Gateway, IfTaken, Token};
use dormouse_activator::link_tls;
use dormouse_link::activator_side::Identity;
use serde::Serialize;

use crate::cli::{LogArgs, UsageError, checked};
use crate::flags::{Serving, ServingArgs, address, check, drain_timeout, host_and_port};
use crate::logging::Log;
use crate::open_files;
use crate::secret;
use crate::signals::Signals;

/// Longest name: a DNS name.
const NAME_BYTES_MAX: usize = 253;

/// Arguments of `dormouse activator`.
#[derive(Debug, Args)]
pub(crate) struct ActivatorArgs {
    /// Where every function answers by its Host name; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_GATEWAY", default_value = "0.0.0.0:8080")]
    gateway: String,
    /// Where `/metrics`, `/livez` and `/readyz` are answered; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_ADMIN", default_value = "0.0.0.0:9002")]
    admin: String,
    /// Where autoscalers listen, separated by commas; each address of a name is dialled, and names
    /// are looked up again every two seconds
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DORMOUSE_LINK_DIAL",
        value_delimiter = ',',
        required = true
    )]
    link_dial: Vec<String>,
    /// The file of the token to show there, read anew for each connection
    #[arg(long, value_name = "PATH", env = "DORMOUSE_TOKEN_FILE")]
    token_file: PathBuf,
    /// The file, in PEM, of the authorities that autoscalers' certificates are of, each for the
    /// host that is dialled [default: the link is not encrypted]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_LINK_AUTHORITIES")]
    link_authorities: Option<PathBuf>,
    /// The name of this activator, unlike any other's [default: the host's name]
    #[arg(long, value_name = "NAME", env = "DORMOUSE_NAME")]
    name: Option<String>,
    /// The addresses of its pod, separated by commas: Services that name a target lead there
    /// [default: none does]
    #[arg(long, value_name = "ADDRS", env = "DORMOUSE_POD_IPS", value_delimiter = ',')]
    pod_ips: Vec<String>,
    /// How long connections are still accepted after SIGTERM: what routers need to look elsewhere
    #[arg(long, value_name = "DURATION", env = "DORMOUSE_DRAIN_DELAY", default_value = "5s")]
    drain_delay: String,
    #[command(flatten)]
    serving: ServingArgs,
}

/// How `dormouse activator` runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Config {
    gateway: SocketAddr,
    admin: SocketAddr,
    link_dial: Vec<String>,
    token_file: PathBuf,
    link_authorities: Option<PathBuf>,
    name: String,
    pod_ips: Vec<IpAddr>,
    drain_delay: Duration,
    #[serde(flatten)]
    serving: Serving,
}

impl Config {
    fn new(args: &ActivatorArgs) -> Result<Self, UsageError> {
        let mut faults = Vec::new();
        let gateway = check("--gateway", &args.gateway, address, &mut faults);
        let admin = check("--admin", &args.admin, address, &mut faults);
        let dials = args.link_dial.iter();
        let link_dial: Option<Vec<String>> =
            dials.map(|typed| check("--link-dial", typed, host_and_port, &mut faults)).collect();
        // Only looked at: it may be another one when it is shown.
        let token = secret::read(&args.token_file).map_err(|fault| faults.push(fault)).ok();
        // The same: each connection reads it anew.
        if let Some(Err(fault)) = args.link_authorities.as_deref().map(link_tls::check) {
            faults.push(format!("--link-authorities: {fault}"));
        }
        let host_name = || nix::unistd::gethostname().ok()?.into_string().ok();
        let typed = args.name.clone().or_else(host_name).unwrap_or_default();
        let name = check("--name", &typed, name, &mut faults);
        let pod_ips =
            args.pod_ips.iter().map(|typed| check("--pod-ips", typed, pod_ip, &mut faults));
        let pod_ips: Vec<IpAddr> = pod_ips.collect::<Vec<_>>().into_iter().flatten().collect();
        let delay = check("--drain-delay", &args.drain_delay, drain_timeout, &mut faults);
        let serving = Serving::new(&args.serving, &mut faults);
        match (gateway, admin, link_dial, token, name, delay, serving) {
            (
                Some(gateway),
                Some(admin),
                Some(link_dial),
                Some(_),
                Some(name),
                Some(drain_delay),
                Some(serving),
            ) if faults.is_empty() => Ok(Self {
                gateway,
                admin,
                link_dial,
                token_file: args.token_file.clone(),
                link_authorities: args.link_authorities.clone(),
                name,
                pod_ips,
                drain_delay,
                serving,
            }),
            _ => Err(UsageError(faults)),
        }
    }
}

fn name(typed: &str) -> Result<String, String> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_graphic());
    match is_name {
        true => Ok(typed.to_owned()),
        false => Err(format!("1 to {NAME_BYTES_MAX} visible ASCII characters")),
    }
}

/// An address that others can send to.
fn pod_ip(typed: &str) -> Result<IpAddr, String> {
    let address = typed.trim().parse::<IpAddr>().ok();
    address
        .filter(|address| !address.is_unspecified() && !address.is_multicast())
        .ok_or_else(|| "addresses of this pod, separated by commas".to_owned())
}

/// Runs until a signal and the drain after it, or until it ends by itself.
///
/// # Errors
/// [`UsageError`] before any port is bound; later, what could not be started or ended by itself.
pub(crate) fn run(args: &ActivatorArgs, log: &LogArgs) -> anyhow::Result<ExitCode> {
    let (config, log) = checked(Config::new(args), Log::new(log))?;
    log.start(io::stderr);
    crate::runtime().context("cannot start a runtime")?.block_on(serve(&config))
}

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    open_files::raise_limit();
    tracing::info!(config = %serde_json::to_string(config)?, "effective configuration");
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let identity = Identity {
        reporter: config.name.clone(),
        boot: getrandom::u64().context("no random numbers")?,
    };
    let activator = Activator::start(ActivatorConfig {
        workers: config.serving.workers,
        admin: Some(config.admin),
        reached_at: config.pod_ips.clone(),
        link_authorities: config.link_authorities.clone(),
        gateway: Some(Gateway { address: config.gateway, if_taken: IfTaken::Fail }),
        held_max: config.serving.held(),
        drain_delay: config.drain_delay,
        drain_timeout: config.serving.drain_timeout,
        ..ActivatorConfig::new(
            config.link_dial.clone(),
            Token::File(config.token_file.clone()),
            identity,
        )
    })
    .context("the activator cannot start")?;
    let gateway = activator.gateway_address().context("the activator has no gateway")?;
    let admin = activator.admin_address().map(tracing::field::display);
    tracing::info!(%gateway, admin, "listening");
    let drain = activator.drain_token();
    let mut running = Box::pin(activator.stopped());
    tokio::select! {
        ended = &mut running => {
            ended.context("the activator failed")?;
            bail!("the activator ended by itself");
        }
        () = signals.next() => {
            tracing::info!("draining");
            drain.cancel();
        }
    }
    tokio::select! {
        ended = running => ended.context("the activator failed")?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    }
    tracing::info!("drained");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn every_fault_is_named_with_its_flag() {
        let line = [
            "dormouse",
            "activator",
            "--gateway=here",
            "--admin=there",
            "--link-dial=nowhere",
            "--token-file=/nowhere/token",
            "--link-authorities=/nowhere/authorities",
            "--name=two words",
            "--pod-ips=0.0.0.0",
            "--drain-delay=5",
            "--workers=1",
            "--held-max=0",
            "--held-bytes-max=1Ki",
            "--drain-timeout=2h",
        ];
        let Command::Activator(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        let faults = Config::new(&args).unwrap_err().0;
        assert_eq!(faults.len(), line.len() - 2, "{faults:?}");
        for (fault, typed) in faults.iter().zip(&line[2..]) {
            let flag = typed.split_once('=').unwrap().0;
            assert!(fault.starts_with(flag), "{fault}");
        }
    }
    #[test]
    fn a_file_without_certificates_is_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        let config = |authorities: &std::path::Path| {
            let line = ["dormouse", "activator", "--link-dial=a:1", "--name=a"].map(str::to_owned);
            let token = format!("--token-file={}", token.display());
            let authorities = format!("--link-authorities={}", authorities.display());
            let line = line.into_iter().chain([token, authorities]);
            match Cli::try_parse_from(line).unwrap().command {
                Command::Activator(args) => Config::new(&args),
                other => panic!("{other:?}"),
            }
        };
        let faults = config(&token).unwrap_err().0;
        assert!(faults.len() == 1 && faults[0].contains("holds no certificate"), "{faults:?}");
        let authorities =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/link/one.authorities");
        config(authorities.as_ref()).unwrap();
    }
}
