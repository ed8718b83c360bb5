//! `dormouse up`: autoscaler, activator and local cluster in one process.
//!
//! The autoscaler and the local cluster live on the main thread, the activator on threads of its
//! own; the link's socket alone joins them. Whichever part ends by itself ends the process.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use dormouse_activator::activator::Activator;
use dormouse_activator::config::{Config as ActivatorConfig, Gateway, IfTaken, Token};
use dormouse_autoscaler::cluster::Calls;
use dormouse_autoscaler::cluster::local::{LocalCluster, LocalHands, NannyCommand, Options};
use dormouse_autoscaler::cluster::manifest::{self, Finding, Manifests, Programs};
use dormouse_autoscaler::{
    Autoscaler, BindError, Config as AutoscalerConfig, Gate, Leadership, Victims,
};
use dormouse_link::activator_side::Identity;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::account::Style;
use crate::cli::{LogArgs, UpArgs, UsageError, checked};
use crate::console::{self, Console, Statuses};
use crate::instance::{self, Instance, Registration};
use crate::logging::Log;
use crate::open_files;
use crate::signals::Signals;

mod config;
mod greeting;

use config::{Config, Output};
use greeting::greet;

/// What the activator may need beyond its own drain time-out to end its threads. One that takes
/// longer hangs, and replicas must be stopped all the same.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// How long people are left without a word while replicas stop.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Bytes of the secret that the activator shows the autoscaler: too many to guess.
const TOKEN_BYTES: usize = 32;

/// Runs until a signal, or until a part ends by itself.
///
/// # Errors
/// [`UsageError`] before any port is bound; later, what could not be started or ended by itself.
pub(crate) fn run(args: &UpArgs, log: &LogArgs) -> anyhow::Result<ExitCode> {
    let (config, log) = checked(Config::new(args), Log::new(log))?;
    let style = match (config.output, io::stderr().is_terminal()) {
        (Output::Json, _) => Style::Json,
        (Output::Human, true) => Style::Table,
        (Output::Human, false) => Style::Lines,
    };
    let (console, thread) = console::start(style).context("cannot start the console thread")?;
    log.start(console.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let result = up(&config, &console).await;
        thread.close().await;
        result
    })
}

async fn up(config: &Config, console: &Console) -> anyhow::Result<ExitCode> {
    open_files::raise_limit();
    let manifests = load(config, console)?;
    tracing::info!(config = %serde_json::to_string(config)?, "effective configuration");
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let parts = Parts::start(config, console, manifests).await?;
    parts.run(config, console, &mut signals).await
}

/// The functions of the manifests. Each remark on them is printed once.
fn load(config: &Config, console: &Console) -> Result<Manifests, UsageError> {
    let manifests = manifest::load(&config.files, &Programs::from_env());
    for fault in &manifests.faults {
        console.print(format!("fault: {fault}\n"));
    }
    for notice in &manifests.notices {
        console.print(format!("notice: {notice}\n"));
    }
    if manifests.functions.is_empty() {
        let files: Vec<_> = config.files.iter().map(|path| path.display().to_string()).collect();
        let nothing = format!("there is no function to run in {}", files.join(", "));
        return Err(UsageError(vec![nothing]));
    }
    Ok(manifests)
}

/// Everything that runs.
struct Parts {
    autoscaler: Part,
    activator: Part,
    /// Cancelled, it begins the activator's drain.
    drain: CancellationToken,
    hands: LocalHands,
    /// Where all this listens.
    instance: Instance,
    /// Every function's status.
    statuses: Statuses,
    /// How many there are to be.
    functions: usize,
    /// Cancelled, it ends the autoscaler.
    stop: CancellationToken,
}

impl Parts {
    async fn start(
        config: &Config,
        console: &Console,
        Manifests { functions, faults, .. }: Manifests,
    ) -> anyhow::Result<Self> {
        let token = token()?;
        let bound = Autoscaler::bind(autoscaler_config(config, &token)).await;
        let bound = bound.map_err(not_bound)?;
        let link = bound.link_address();
        let activator = Activator::start(activator_config(config, link, token)?)
            .context("the activator cannot start")?;
        let gateway = activator.gateway_address().context("the activator has no gateway")?;
        let instance = Instance {
            pid: std::process::id(),
            admin: bound.admin_address(),
            activator_admin: activator
                .admin_address()
                .context("the activator has no admin port")?,
            gateway,
            link,
            files: config.files.clone(),
        };
        tracing::info!(
            %gateway,
            admin = %instance.admin,
            activator_admin = %instance.activator_admin,
            %link,
            "listening"
        );
        let statuses = bound.status();
        console.follow(statuses.clone()).await;
        let output = console.clone();
        let options = Options {
            nanny: NannyCommand::default(),
            output: Arc::new(move |replica, line| output.print(replica_line(replica, line))),
            complaints: faults.iter().map(Finding::complaint).collect(),
        };
        let number = functions.len();
        let (facts, hands) = LocalCluster::start(functions, options);
        let stop = CancellationToken::new();
        let drain = activator.drain_token();
        let running = bound.run(facts, hands.clone(), stop.clone());
        Ok(Self {
            autoscaler: Part::new(async { running.await.context("the autoscaler failed") }),
            activator: Part::new(async {
                activator.stopped().await.context("the activator failed")
            }),
            drain,
            hands,
            instance,
            statuses,
            functions: number,
            stop,
        })
    }

    /// Serves, drains, stops.
    ///
    /// # Errors
    /// A part ended by itself, or failed.
    async fn run(
        mut self,
        config: &Config,
        console: &Console,
        signals: &mut Signals,
    ) -> anyhow::Result<ExitCode> {
        // Early: whoever is to forward the link, or waits for the functions, asks through it.
        let _registration = register(&self.instance, console);
        let greet = async {
            greet(console, self.instance.gateway, &mut self.statuses, self.functions).await;
            pending::<Infallible>().await
        };
        let by_itself = tokio::select! {
            () = signals.next() => None,
            never = greet => match never {},
            () = self.autoscaler.ended() => Some("the autoscaler ended by itself"),
            () = self.activator.ended() => Some("the activator ended by itself"),
        };
        let word = by_itself.unwrap_or("answering open requests, then stopping");
        console.print(format!("dormouse: {word}; interrupt to end at once\n"));
        tokio::select! {
            () = self.end(config, console) => {}
            () = signals.next() => {
                console.print("dormouse: ended at once\n");
                return Ok(ExitCode::FAILURE);
            }
        }
        self.autoscaler.result()?;
        self.activator.result()?;
        match by_itself {
            None => Ok(ExitCode::SUCCESS),
            Some(word) => Err(anyhow!(word)),
        }
    }

    /// Lets open requests be answered, then stops everything. The autoscaler goes on until then:
    /// held requests still need pods.
    async fn end(&mut self, config: &Config, console: &Console) {
        self.drain.cancel();
        let drained = async {
            tokio::select! {
                () = self.activator.ended() => {}
                () = self.autoscaler.ended() => {}
            }
        };
        if timeout(config.serving.drain_timeout + DRAIN_MARGIN, drained).await.is_err() {
            tracing::error!("the activator hangs; replicas are stopped all the same");
        }
        self.stop.cancel();
        self.hands.shutdown();
        let stopped = async {
            if timeout(SILENCE_MAX, self.hands.stopped()).await.is_err() {
                console.print(
                    "dormouse: waiting for replicas to stop; one that ignores SIGTERM is killed \
                     after its grace period\n",
                );
                self.hands.stopped().await;
            }
        };
        let (activator, (), ()) = tokio::join!(
            timeout(DRAIN_MARGIN, self.activator.ended()),
            self.autoscaler.ended(),
            stopped,
        );
        if activator.is_err() {
            tracing::error!("the activator's threads are left behind");
        }
    }
}

/// Something that runs until it is told to end, and how it ended.
struct Part {
    running: Pin<Box<dyn Future<Output = anyhow::Result<()>>>>,
    ended: Option<anyhow::Result<()>>,
}

impl Part {
    fn new(running: impl Future<Output = anyhow::Result<()>> + 'static) -> Self {
        Self { running: Box::pin(running), ended: None }
    }

    /// Runs it until it has ended; at once if it has. Cancel safe.
    async fn ended(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(self.running.as_mut().await);
        }
    }

    /// How it ended; well, if it has not.
    fn result(self) -> anyhow::Result<()> {
        self.ended.unwrap_or(Ok(()))
    }
}

fn autoscaler_config(config: &Config, token: &str) -> AutoscalerConfig {
    AutoscalerConfig {
        link_listen: config.link_listen,
        admin_listen: config.admin,
        certificate: None,
        gate: Gate::Secret(token.to_owned()),
        // Functions are for the people of this machine, wherever the gateway listens.
        endpoint_listen: Some(Ipv4Addr::LOCALHOST.into()),
        victims: Victims::Ours,
        leadership: Leadership::Alone,
        leaders: None,
        record: config.record.clone(),
        calls: Calls::default(),
    }
}

/// A file that cannot be had was typed; a port may be taken by chance.
fn not_bound(error: BindError) -> anyhow::Error {
    match &error {
        BindError::Record { path, source } => {
            let path = path.display();
            UsageError(vec![format!("--record {path} must be a file that can be made: {source}")])
                .into()
        }
        BindError::Listen { .. } => anyhow!(error).context("the autoscaler cannot start"),
    }
}

fn activator_config(
    config: &Config,
    link: SocketAddr,
    token: String,
) -> anyhow::Result<ActivatorConfig> {
    let identity = Identity {
        reporter: "local".to_owned(),
        boot: getrandom::u64().context("no random numbers")?,
    };
    let dial = config.link_dial.clone().unwrap_or_else(|| link.to_string());
    Ok(ActivatorConfig {
        workers: config.serving.workers,
        gateway: Some(Gateway { address: config.gateway, if_taken: IfTaken::Fail }),
        admin: Some(config.activator_admin),
        drain_timeout: config.serving.drain_timeout,
        held_max: config.serving.held(),
        ..ActivatorConfig::new(vec![dial], Token::Fixed(token), identity)
    })
}

/// The secret that only the two parts share, in hexadecimal.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Says where this runs. Without it `status` and `explain` need an address, and no more.
fn register(instance: &Instance, console: &Console) -> Option<Registration> {
    let registered = instance::folder()
        .and_then(|folder| Registration::new(&folder, instance).context("cannot write there"));
    registered
        .map_err(|error| {
            let admin = instance.admin;
            console
                .print(format!("dormouse: status and explain need --admin {admin}: {error:#}\n"));
        })
        .ok()
}

fn replica_line(replica: &str, line: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(replica.len() + line.len() + 3);
    text.extend_from_slice(replica.as_bytes());
    text.extend_from_slice(b"| ");
    text.extend_from_slice(line);
    text.push(b'\n');
    text
}
