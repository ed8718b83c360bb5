//! `dormouse autoscaler`: the part that watches a cluster, decides and scales.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use dormouse_autoscaler::cluster::Calls;
use dormouse_autoscaler::cluster::kubernetes::{
    ApiServer, KubernetesCluster, Leader, Options, TokenReviews,
};
use dormouse_autoscaler::{
    Autoscaler, Certificate, Config as AutoscalerConfig, Gate, Leadership, Victims,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::{LogArgs, UsageError, checked};
use crate::flags::{address, check};
use crate::logging::Log;
use crate::secret;
use crate::signals::Signals;

/// Longest name of a namespace: a DNS label.
const NAMESPACE_BYTES_MAX: usize = 63;

/// Longest name of other objects: a DNS subdomain.
const OBJECT_BYTES_MAX: usize = 253;

/// Arguments of `dormouse autoscaler`.
#[derive(Debug, Args)]
pub(crate) struct AutoscalerArgs {
    /// The namespaces to look at, separated by commas [default: all, which needs a ClusterRole]
    #[arg(long, value_name = "NAMES", env = "DORMOUSE_NAMESPACE", value_delimiter = ',')]
    namespace: Vec<String>,
    /// How to find the API server [default: $KUBECONFIG, ~/.kube/config, the pod's own account]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Where activators dial; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_LINK_LISTEN", default_value = "0.0.0.0:9001")]
    link_listen: String,
    /// Where health, status and decisions are asked for; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_ADMIN", default_value = "0.0.0.0:9002")]
    admin: String,
    /// The file of a secret that activators have to show [default: each shows its pod's own token
    /// for the audience `dormouse`, and the API server is asked whose it is]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The file, in PEM, of the certificate by which activators know it, read anew for each of them
    /// [default: the link is not encrypted]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_LINK_CERTIFICATE", requires = "link_key")]
    link_certificate: Option<PathBuf>,
    /// The file, in PEM, of its private key
    #[arg(long, value_name = "PATH", env = "DORMOUSE_LINK_KEY", requires = "link_certificate")]
    link_key: Option<PathBuf>,
    /// The Lease, in the autoscaler's own namespace, by which several agree on who leads
    #[arg(
        long,
        value_name = "NAME",
        env = "DORMOUSE_LEASE",
        default_value = "dormouse-autoscaler"
    )]
    lease: String,
    /// The service account, in the autoscaler's own namespace, whose pods may show such a token
    #[arg(
        long,
        value_name = "NAME",
        env = "DORMOUSE_ACTIVATOR_ACCOUNT",
        default_value = "dormouse-activator"
    )]
    activator_account: String,
    /// Record every decision, with all that led to it, in a new file of one JSON object a line
    #[arg(long, value_name = "FILE", env = "DORMOUSE_RECORD")]
    record: Option<PathBuf>,
}

/// How `dormouse autoscaler` runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Config {
    /// Empty = all.
    namespaces: Vec<String>,
    kubeconfig: Option<PathBuf>,
    link_listen: SocketAddr,
    admin: SocketAddr,
    token_file: Option<PathBuf>,
    /// None = tokens are reviewed.
    #[serde(skip)]
    secret: Option<String>,
    certificate: Option<Certificate>,
    activator_account: String,
    lease: String,
    record: Option<PathBuf>,
}

impl AutoscalerArgs {
    fn certificate(&self) -> Option<Certificate> {
        let (chain, key) = (self.link_certificate.clone()?, self.link_key.clone()?);
        Some(Certificate { chain, key })
    }
}

impl Config {
    fn new(args: &AutoscalerArgs) -> Result<Self, UsageError> {
        let mut faults = Vec::new();
        let link_listen = check("--link-listen", &args.link_listen, address, &mut faults);
        let admin = check("--admin", &args.admin, address, &mut faults);
        let secret = args.token_file.as_deref().map(secret::read).transpose();
        let secret = secret.map_err(|fault| faults.push(fault)).ok();
        let account = check("--activator-account", &args.activator_account, object, &mut faults);
        let lease = check("--lease", &args.lease, object, &mut faults);
        // Only looked at: it may be another one for the next activator.
        let fit = args.certificate().map_or(Ok(()), |certificate| certificate.acceptor().map(drop));
        if let Err(error) = fit {
            faults.push(format!("--link-certificate: {:#}", anyhow::Error::from(error)));
        }
        let mut namespaces = Vec::new();
        for typed in &args.namespace {
            let name = check("--namespace", typed, namespace, &mut faults);
            namespaces.extend(name.filter(|name| !namespaces.contains(name)));
        }
        match (link_listen, admin, secret, account, lease) {
            (
                Some(link_listen),
                Some(admin),
                Some(secret),
                Some(activator_account),
                Some(lease),
            ) if faults.is_empty() => Ok(Self {
                namespaces,
                kubeconfig: args.kubeconfig.clone(),
                link_listen,
                admin,
                token_file: args.token_file.clone(),
                secret,
                certificate: args.certificate(),
                activator_account,
                lease,
                record: args.record.clone(),
            }),
            _ => Err(UsageError(faults)),
        }
    }
}

fn namespace(typed: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = typed.len() <= NAMESPACE_BYTES_MAX
        && typed.bytes().all(|byte| inner(byte) || byte == b'-')
        && typed.bytes().next().is_some_and(inner)
        && typed.bytes().last().is_some_and(inner);
    match is_name {
        true => Ok(typed.to_owned()),
        false => Err("names of namespaces, separated by commas".to_owned()),
    }
}

/// The name of an object: a DNS subdomain.
fn object(typed: &str) -> Result<String, String> {
    let is_name = (1..=OBJECT_BYTES_MAX).contains(&typed.len())
        && typed.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    match is_name {
        true => Ok(typed.to_owned()),
        false => Err("the name of an object of the cluster".to_owned()),
    }
}

/// Runs until a signal, or until it ends by itself.
///
/// # Errors
/// [`UsageError`] before any port is bound; later, what could not be started or ended by itself.
pub(crate) fn run(args: &AutoscalerArgs, log: &LogArgs) -> anyhow::Result<ExitCode> {
    let (config, log) = checked(Config::new(args), Log::new(log))?;
    log.start(io::stderr);
    crate::runtime().context("cannot start a runtime")?.block_on(serve(&config))
}

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    tracing::info!(config = %serde_json::to_string(config)?, "effective configuration");
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let calls = Calls::default();
    let api = ApiServer::connect(config.kubeconfig.as_deref(), None, &calls).await;
    let api = api.context("the cluster cannot be reached")?;
    tracing::info!(url = api.url(), "API server");
    let gate = match &config.secret {
        Some(secret) => Gate::Secret(secret.clone()),
        None => Gate::Vouched(Arc::new(TokenReviews::new(&api, &config.activator_account))),
    };
    let bound = Autoscaler::bind(AutoscalerConfig {
        link_listen: config.link_listen,
        admin_listen: config.admin,
        certificate: config.certificate.clone(),
        gate,
        // Services have addresses of their own here; the way in is the gateway.
        endpoint_listen: None,
        victims: Victims::Unknown,
        leadership: Leadership::Elected,
        leaders: Some(Arc::new(Leader::new(&api, &config.lease))),
        record: config.record.clone(),
        calls,
    })
    .await
    .context("the autoscaler cannot start")?;
    let options = Options {
        namespaces: config.namespaces.clone(),
        lease: config.lease.clone(),
        identity: identity()?,
    };
    let (facts, hands) = KubernetesCluster::start(&api, &options);
    let stop = CancellationToken::new();
    let mut running = Box::pin(bound.run(facts, hands, stop.clone()));
    tokio::select! {
        ended = &mut running => {
            ended.context("the autoscaler failed")?;
            bail!("the autoscaler ended by itself");
        }
        () = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = running => ended.context("the autoscaler failed")?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// The host's name, for people, and a number by which processes on one host differ.
fn identity() -> anyhow::Result<String> {
    let host = nix::unistd::gethostname().context("this host has no name")?;
    let number = getrandom::u64().context("no random numbers")?;
    Ok(format!("{}_{number:016x}", host.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(typed: &[&str]) -> Result<Config, UsageError> {
        let line = ["dormouse", "autoscaler"].iter().chain(typed);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Autoscaler(args) => Config::new(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_named_with_its_flag() {
        let typed = [
            "--link-listen=here",
            "--admin=127.0.0.1",
            "--token-file=/nowhere/token",
            "--namespace=shop,Shop,-",
            "--activator-account=A",
            "--lease=",
        ];
        let faults = config(&typed).unwrap_err().0;
        let flags = [
            "--link-listen",
            "--admin",
            "--token-file",
            "--activator-account",
            "--lease",
            "--namespace",
            "--namespace",
        ];
        assert_eq!(faults.len(), flags.len(), "{faults:?}");
        for (fault, flag) in faults.iter().zip(flags) {
            assert!(fault.starts_with(flag), "{fault}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        let flag = format!("--token-file={}", path.display());
        let config = config(&[&flag, "--namespace=shop,shop,cart"]).unwrap();
        assert_eq!(config.namespaces, ["shop", "cart"]);
        assert!(!serde_json::to_string(&config).unwrap().contains("0123456789abcdef"));
    }
}
