//! The activator as its owner sees it: started, drained, stopped.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use dormouse_admin::Readiness;
use dormouse_metrics::registry::Registry;
use dormouse_policy::admission::CommonBound;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::table::Table;
use crate::control::{self, Control};
use crate::crowd::{Crowd, Handed};
use crate::hold::limited::Limited;
use crate::link_client::LinkClient;
use crate::listen;
use crate::network::Tcp;
use crate::route::{Entrance, Routes};
use crate::worker::{self, Command, Signal, Worker};

/// Commands queued for a worker. A worker empties its inbox each turn; a whole table of functions
/// that appear at once waits here in part, and the control thread with it.
const COMMANDS_QUEUED_MAX: usize = 1_024;

/// Signals queued for the control thread: one at most per function, so this is ten thousand
/// functions waking in one turn.
const SIGNALS_QUEUED_MAX: usize = 16_384;

/// Link events queued for the control thread; beyond it the autoscaler's frames wait in the kernel.
const LINK_EVENTS_QUEUED_MAX: usize = 64;

/// A running activator.
#[derive(Debug)]
pub struct Activator {
    gateway_address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    drain: CancellationToken,
    stop: CancellationToken,
    workers: Vec<Thread>,
    control: Thread,
    admin: Option<Thread>,
}

/// Why an activator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway's address cannot be bound.
    #[error("cannot listen on {address} for the gateway")]
    Gateway {
        /// The wanted address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin port's address cannot be bound.
    #[error("cannot listen on {address} for the admin port")]
    Admin {
        /// The wanted address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No thread, or no runtime for it.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
}

/// An activator ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the activator's thread {thread} ended by itself")]
pub struct Died {
    /// The thread's name.
    thread: String,
}

#[derive(Debug)]
struct Thread {
    name: String,
    /// Resolves when the thread ends, however it does.
    ended: oneshot::Receiver<()>,
    handle: JoinHandle<()>,
}

impl Activator {
    /// Binds the gateway and the admin port, and starts every thread.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let workers = config.workers.max(1);
        let gateway = match config.gateway {
            None => None,
            Some(gateway) => {
                let address = gateway.address;
                let bound = listen::bind(address, gateway.if_taken, workers)
                    .map_err(|source| StartError::Gateway { address, source })?;
                Some(bound)
            }
        };
        let (gateway_address, sockets) = match gateway {
            Some((address, sockets)) => (Some(address), sockets),
            None => (None, Vec::new()),
        };
        let admin = config.admin.map(bind_admin).transpose()?;
        let start = Start::new(config, workers)?;
        start.threads(gateway_address, sockets, admin)
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn gateway_address(&self) -> Option<SocketAddr> {
        self.gateway_address
    }

    /// Where the admin port listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Begins the drain: held and open requests are answered, new ones for as long as the
    /// configuration says, then listeners close.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Cancelled, it begins the drain too: for those who already wait in [`Activator::stopped`].
    #[must_use]
    pub fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Waits until the drain is complete and every thread has ended.
    ///
    /// # Errors
    /// A thread ended that nobody told to.
    pub async fn stopped(self) -> Result<(), Died> {
        let Self { drain, stop, workers, mut control, mut admin, .. } = self;
        let mut running: FuturesUnordered<_> = workers
            .into_iter()
            .map(|Thread { name, ended, handle }| async {
                // Dropped, not sent: it resolves however the thread ends.
                ended.await.unwrap_or_default();
                (name, handle)
            })
            .collect();
        loop {
            let worker = tokio::select! {
                worker = running.next() => worker,
                // It lives until it is stopped below.
                _ = &mut control.ended => return Err(Died { thread: control.name }),
                name = ended(admin.as_mut()) => return Err(Died { thread: name }),
            };
            match worker {
                None => break,
                Some((name, handle)) => {
                    if handle.join().is_err() || !drain.is_cancelled() {
                        return Err(Died { thread: name });
                    }
                }
            }
        }
        stop.cancel();
        for Thread { name, ended, handle } in [Some(control), admin].into_iter().flatten() {
            ended.await.unwrap_or_default();
            handle.join().map_err(|_| Died { thread: name })?;
        }
        Ok(())
    }
}

/// Waits for a thread's end; for ever if there is no such thread.
async fn ended(thread: Option<&mut Thread>) -> String {
    match thread {
        Some(thread) => {
            (&mut thread.ended).await.unwrap_or_default();
            thread.name.clone()
        }
        None => std::future::pending().await,
    }
}

/// The admin port's socket and its address.
fn bind_admin(address: SocketAddr) -> Result<(SocketAddr, TcpListener), StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    bind().map_err(|source| StartError::Admin { address, source })
}

/// What all threads share, before they start.
struct Start {
    config: Arc<Config>,
    workers: usize,
    clock: Clock,
    registry: Arc<Registry>,
    routes: Arc<ArcSwap<Routes>>,
    common: Arc<CommonBound>,
    limited: Arc<Limited>,
    seed: u64,
}

impl Start {
    fn new(config: Arc<Config>, workers: usize) -> Result<Self, StartError> {
        let seed = getrandom::u64().map_err(StartError::Random)?;
        tracing::info!(workers, seed, "activator starts");
        let common = Arc::new(CommonBound::new(config.held_max));
        Ok(Self {
            workers,
            clock: Clock::start(),
            // One more writer than workers: the control thread counts wakes.
            registry: Arc::new(Registry::new(workers + 1)),
            routes: Arc::default(),
            limited: Arc::new(Limited::new(Arc::clone(&common))),
            common,
            config,
            seed,
        })
    }

    fn threads(
        self,
        gateway_address: Option<SocketAddr>,
        sockets: Vec<TcpListener>,
        admin: Option<(SocketAddr, TcpListener)>,
    ) -> Result<Activator, StartError> {
        let (signals, signalled) = mpsc::channel(SIGNALS_QUEUED_MAX);
        let mut inboxes = Vec::new();
        let mut workers = Vec::new();
        let mut sockets = sockets.into_iter();
        let (crowd, handed) = Crowd::new(self.workers);
        for (number, handed) in handed.into_iter().enumerate() {
            let (inbox, commands) = mpsc::channel(COMMANDS_QUEUED_MAX);
            if let Some(socket) = sockets.next() {
                let listen = Command::Listen(Entrance::Gateway, socket);
                inbox.try_send(listen).expect("a new inbox has room");
            }
            let crowd = Arc::clone(&crowd);
            workers.push(self.worker(number, signals.clone(), crowd, (commands, handed))?);
            inboxes.push(inbox);
        }
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let (readiness, ready) = watch::channel(Readiness::Starting);
        let admin_address = admin.as_ref().map(|(address, _)| *address);
        let admin = admin.map(|(_, socket)| self.admin(socket, ready, stop.clone())).transpose()?;
        let control = self.control(inboxes, signalled, readiness, (drain.clone(), stop.clone()))?;
        Ok(Activator { gateway_address, admin_address, drain, stop, workers, control, admin })
    }

    fn admin(
        &self,
        socket: TcpListener,
        readiness: watch::Receiver<Readiness>,
        stop: CancellationToken,
    ) -> Result<Thread, StartError> {
        let (registry, clock) = (Arc::clone(&self.registry), self.clock);
        thread("admin".to_owned(), Builder::new_current_thread(), move || async move {
            if let Err(error) = admin::serve(socket, registry, clock, readiness, stop).await {
                tracing::error!(%error, "admin port failed");
            }
        })
    }

    fn parts(&self, signals: mpsc::Sender<Signal>, crowd: Arc<Crowd>) -> worker::Parts {
        worker::Parts {
            config: Arc::clone(&self.config),
            clock: self.clock,
            routes: Arc::clone(&self.routes),
            common: Arc::clone(&self.common),
            limited: Arc::clone(&self.limited),
            crowd,
            signals,
        }
    }

    fn worker(
        &self,
        number: usize,
        signals: mpsc::Sender<Signal>,
        crowd: Arc<Crowd>,
        (commands, handed): (mpsc::Receiver<Command>, mpsc::Receiver<Handed>),
    ) -> Result<Thread, StartError> {
        let parts = self.parts(signals, crowd);
        let registry = Arc::clone(&self.registry);
        let seed = self.seed.wrapping_add(number as u64);
        let (parks, unparks) = (registry.parking(number), registry.parking(number));
        let mut runtime = Builder::new_current_thread();
        runtime.on_thread_park(move || parks.park()).on_thread_unpark(move || unparks.unpark());
        thread(format!("worker-{number}"), runtime, move || async move {
            let writer = registry.writer(number).expect("one writer a worker");
            Worker::new(parts, writer, Tcp, seed).run(commands, handed).await;
        })
    }

    fn control(
        &self,
        workers: Vec<mpsc::Sender<Command>>,
        signals: mpsc::Receiver<Signal>,
        readiness: watch::Sender<Readiness>,
        (drain, stop): (CancellationToken, CancellationToken),
    ) -> Result<Thread, StartError> {
        let (events, link) = mpsc::channel(LINK_EVENTS_QUEUED_MAX);
        let link_client = LinkClient {
            places: self.config.link.clone(),
            authorities: self.config.link_authorities.clone(),
            token: self.config.token.clone(),
            events,
            rng: fastrand::Rng::with_seed(self.seed.wrapping_sub(1)),
        };
        let (config, clock) = (Arc::clone(&self.config), self.clock);
        let (registry, routes) = (Arc::clone(&self.registry), Arc::clone(&self.routes));
        let common = Arc::clone(&self.common);
        thread("control".to_owned(), Builder::new_current_thread(), move || async move {
            let writer = registry.writer(workers.len()).expect("one more writer than workers");
            let table = Table::new(routes, common, workers.len());
            let parts = control::Parts {
                config,
                clock,
                table,
                registry,
                writer,
                workers,
                signals,
                link,
                readiness,
                drain,
                stop,
            };
            tokio::select! {
                () = Control::new(parts, Tcp).run() => {}
                () = link_client.run() => {}
            }
        })
    }
}

/// Runs `main` on a thread and single-threaded runtime of its own.
fn thread<F: Future<Output = ()>>(
    name: String,
    mut runtime: Builder,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<Thread, StartError> {
    let runtime = runtime.enable_all().build().map_err(StartError::Thread)?;
    let (end, ended) = oneshot::channel::<()>();
    let handle = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _end = end;
            LocalSet::new().block_on(&runtime, main());
        })
        .map_err(StartError::Thread)?;
    Ok(Thread { name, ended, handle })
}

#[cfg(test)]
mod tests;
