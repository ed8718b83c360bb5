//! The loop around the core: it waits for one event, applies it, and does what comes out. Sockets,
//! the clock and calls to the hands are here and nowhere further in.

mod admin;
mod figures;
mod gate;
mod passing;
mod peer;
mod recorder;
mod serving;
mod tls;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_policy::function::FunctionName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::{Calls, Facts, Hands, Scale, ScaleError};
use crate::core::Event;
use crate::status::Statuses;
pub use gate::{Gate, NotAdmitted, Vouch};
pub use passing::FindLeader;
use recorder::Recorder;
use serving::{Happening, Server};
pub use tls::{Certificate, TlsError};

/// Longest wait for the hands: a call that takes longer than two rounds of decisions is not going
/// to succeed, and the order can be given again.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Longest wait for tasks at the end; then they are cut off.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// What an autoscaler is told at start.
#[derive(Clone)]
pub struct Config {
    /// Where activators dial; port 0 = any free one.
    pub link_listen: SocketAddr,
    /// Where people and programs ask; port 0 = any free one. Not for strangers: it needs no token.
    pub admin_listen: SocketAddr,
    /// What activators know it by; none = the link is not encrypted.
    pub certificate: Option<Certificate>,
    /// Which activators are let in.
    pub gate: Gate,
    /// The address on which endpoints have listeners of their own: each at its Service port's
    /// number where that is at least 1024, free and not claimed by an older function, else at a
    /// free one. None = the gateway is the only way in.
    pub endpoint_listen: Option<IpAddr>,
    /// A file that does not exist yet, for the record of decisions; none = no record. Its format is
    /// `dormouse_policy::record`'s.
    pub record: Option<PathBuf>,
    /// Who chooses which pods of a Deployment go when there are to be fewer.
    pub victims: Victims,
    /// Whether there may be other autoscalers for the same cluster.
    pub leadership: Leadership,
    /// Who knows which of them leads, so that what is asked here is passed on to it; none = all is
    /// answered here.
    pub leaders: Option<Arc<dyn FindLeader>>,
    /// Where calls of the cluster's API are counted, for who asks here.
    pub calls: Calls,
}

/// Who carries decisions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process, for there is no other.
    Alone,
    /// The one of several that the facts name.
    Elected,
}

/// Who chooses which pods of a Deployment go when there are to be fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    /// We do: those named in the order, which are taken out of use before.
    Ours,
    /// Their manager does, and nobody knows before: each pod finishes what it began.
    Unknown,
}

impl Default for Config {
    /// Loopback, free ports, endpoints on loopback, no record, and no secret: nothing but an empty
    /// one fits.
    fn default() -> Self {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        Self {
            link_listen: SocketAddr::new(loopback, 0),
            admin_listen: SocketAddr::new(loopback, 0),
            certificate: None,
            gate: Gate::Secret(String::new()),
            endpoint_listen: Some(loopback),
            record: None,
            victims: Victims::Ours,
            leadership: Leadership::Alone,
            leaders: None,
            calls: Calls::default(),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Without the gate, whose secret must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("link_listen", &self.link_listen)
            .field("admin_listen", &self.admin_listen)
            .field("endpoint_listen", &self.endpoint_listen)
            .field("record", &self.record)
            .field("victims", &self.victims)
            .field("leadership", &self.leadership)
            .finish_non_exhaustive()
    }
}

/// The autoscaler.
#[derive(Debug)]
pub struct Autoscaler;

/// An autoscaler whose ports are bound.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    clock: Clock,
    recorder: Option<Recorder>,
    link: TcpListener,
    link_address: SocketAddr,
    admin: TcpListener,
    admin_address: SocketAddr,
    status: watch::Sender<Statuses>,
}

/// Why an autoscaler could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A port is taken or not ours to bind.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What for: `link` or `admin`.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The record's file exists already or cannot be made.
    #[error("cannot begin a record in {}", path.display())]
    Record {
        /// The file asked for.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The autoscaler's two clocks, read together.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    /// Unix time at `start`, in microseconds.
    wall_us: u64,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { start: Instant::now(), wall_us: micros(wall.unwrap_or_default()) }
    }

    /// Microseconds since the start.
    fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Why a running autoscaler ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody could ask any more.
    #[error("the admin server ended")]
    Admin(#[source] io::Error),
}

impl Autoscaler {
    /// Begins the record, if there is to be one, and binds the ports; nothing is answered before
    /// [`Bound::run`].
    ///
    /// # Errors
    /// [`BindError`]: the record's file exists, or a port is taken or not ours to bind.
    pub async fn bind(config: Config) -> Result<Bound, BindError> {
        let clock = Clock::start();
        let recorder = match &config.record {
            Some(path) => Some(
                Recorder::create(path, clock.wall_us)
                    .map_err(|source| BindError::Record { path: path.clone(), source })?,
            ),
            None => None,
        };
        let (link, link_address) = listen(config.link_listen, "link").await?;
        let (admin, admin_address) = listen(config.admin_listen, "admin").await?;
        Ok(Bound {
            config,
            clock,
            recorder,
            link,
            link_address,
            admin,
            admin_address,
            status: watch::Sender::default(),
        })
    }
}

async fn listen(
    address: SocketAddr,
    what: &'static str,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError::Listen { address, what, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

impl Bound {
    /// Where activators dial.
    #[must_use]
    pub fn link_address(&self) -> SocketAddr {
        self.link_address
    }

    /// Where people and programs ask.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Every function's status, sorted by name: new on change, and each second while something is
    /// in flight. They are made only while somebody follows them, or asks at the admin port.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Statuses> {
        self.status.subscribe()
    }

    /// Runs until `shutdown` is cancelled or the facts end; both are a good end. Orders under way
    /// are waited for.
    ///
    /// # Errors
    /// [`RunError`]: a part it cannot do without ended.
    ///
    /// # Panics
    /// If one of its tasks panicked.
    pub async fn run<F: Facts, H: Hands>(
        self,
        mut facts: F,
        hands: H,
        shutdown: CancellationToken,
    ) -> Result<(), RunError> {
        info!(config = ?self.config, link = %self.link_address, admin = %self.admin_address,
            "autoscaler runs");
        let mut server = Server::new(self, hands.complaints());
        let mut calls = FuturesUnordered::new();
        let mut absences = FuturesUnordered::new();
        loop {
            let happening = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some((function, order, result)) = calls.next() => {
                    Happening::Event(Event::Scaled { function, order, result })
                }
                Some(activator) = absences.next() => {
                    Happening::Event(server.found_gone(activator))
                }
                fact = facts.next() => match fact {
                    Some(fact) => Happening::Event(Event::Fact(fact)),
                    None => break,
                },
                happening = server.select() => happening,
            };
            for (order, scale) in server.apply(happening)? {
                calls.push(call(&hands, order, scale));
            }
            if let Some(activators) = server.take_activators() {
                hands.lead_through(activators);
            }
            for activator in server.take_to_look_for() {
                absences.push(gone(&hands, activator));
            }
            for note in server.take_notes() {
                hands.note(note);
            }
        }
        let farewell = async {
            while calls.next().await.is_some() {}
            // The last word: nobody writes in our name any more.
            hands.release().await;
            server.part().await;
        };
        if timeout(FAREWELL_MAX, farewell).await.is_err() {
            warn!("tasks were cut off at the end");
        }
        info!("autoscaler ended");
        Ok(())
    }
}

/// Returns the activator's name once it is gone.
async fn gone<H: Hands>(hands: &H, activator: String) -> String {
    hands.activator_gone(&activator).await;
    activator
}

async fn call<H: Hands>(
    hands: &H,
    order: u64,
    scale: Scale,
) -> (FunctionName, u64, Result<(), ScaleError>) {
    let function = scale.function.clone();
    let result = timeout(CALL_MAX, hands.scale(scale)).await;
    let late = || Err(ScaleError::Unknown(format!("nothing within {CALL_MAX:?}")));
    (function, order, result.unwrap_or_else(|_| late()))
}
