//! One data-plane thread: a single-threaded runtime with its own listeners, connections to pods and
//! held requests. Nothing of a request crosses to another thread but, under a concurrency limit,
//! the slot that it waits for.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use dormouse_metrics::writer::{self, InFlight, Writer};
use dormouse_policy::admission::{CommonBound, retry_after_s};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::crowd::{Crowd, Handed};
use crate::function::{Failing, Function, Presence, View};
use crate::hold::limited::Limited;
use crate::hold::{Held, Outcome, Parked};
use crate::intake::{Intake, Metered, WriteDeadline};
use crate::listen;
use crate::network::{Look, Network, Peer, Stream};
use crate::pod::{Pod, State};
use crate::problem::Problem;
use crate::request::{self, Client};
use crate::route::{Entrance, Routes};
use crate::upstream::Upstream;

/// How often a worker looks for functions that are idle: a fraction of how long that takes.
pub(crate) const IDLE_LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// The longest that a client is told to wait for a function that cannot start, in microseconds:
/// whoever mends it may do so at any time.
const RETRY_US_MAX: u64 = 60_000_000;

/// What the control thread asks of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept connections here.
    Listen(Entrance, TcpListener),
    /// Accept no more connections there, but those that already wait.
    Unlisten(Entrance),
    /// What is known of the function changed: release its held requests if a pod takes them, refuse
    /// them if none ever will.
    Look(Arc<Function>),
    /// Answer once every choice of a pod made before has been counted.
    Settle(oneshot::Sender<()>),
    /// Say `Connection: close` from now on.
    Leave,
    /// Close every listener, finish what is open, then end.
    Drain,
}

/// What a worker tells the control thread.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// Held requests of the function appeared or are no more, or one of its pods fell in doubt.
    Changed(Arc<Function>),
}

/// What a worker is made of; sent to its thread.
pub(crate) struct Parts {
    /// Its configuration.
    pub(crate) config: Arc<Config>,
    /// Time.
    pub(crate) clock: Clock,
    /// Where requests go.
    pub(crate) routes: Arc<ArcSwap<Routes>>,
    /// The bound on held requests over all functions.
    pub(crate) common: Arc<CommonBound>,
    /// Held requests of functions with a concurrency limit.
    pub(crate) limited: Arc<Limited>,
    /// The connections of all workers.
    pub(crate) crowd: Arc<Crowd>,
    /// Where to tell the control thread.
    pub(crate) signals: mpsc::Sender<Signal>,
}

/// One data-plane thread's state.
pub(crate) struct Worker<N: Network> {
    /// Counts requests.
    pub(crate) writer: Writer,
    /// Time.
    pub(crate) clock: Clock,
    /// Where requests go.
    pub(crate) routes: Arc<ArcSwap<Routes>>,
    /// Held requests.
    pub(crate) held: Held,
    /// Connections to pods.
    pub(crate) upstream: Rc<Upstream<N>>,
    /// Chance: which pods, and how much later to try again.
    pub(crate) rng: RefCell<fastrand::Rng>,
    /// Every task of this worker: connections, tunnels, discarded uploads.
    pub(crate) tasks: TaskTracker,
    /// The connections of all workers.
    pub(crate) crowd: Arc<Crowd>,
    config: Arc<Config>,
    signals: mpsc::Sender<Signal>,
    leaving: Cell<bool>,
    /// Cancelled when connections are to close as soon as nothing is open on them.
    closing: CancellationToken,
}

/// A held request in its worker's line; leaving it is told to the control thread if it was the
/// last.
pub(crate) struct Line<'a, N: Network> {
    worker: &'a Worker<N>,
    function: &'a Arc<Function>,
    parked: Option<(Parked<'a>, writer::Held<Clock>)>,
}

impl<N: Network> Line<'_, N> {
    /// Waits for the end of the waiting.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        match &mut self.parked {
            Some((parked, _)) => parked.outcome().await,
            None => Outcome::ClientGone,
        }
    }
}

impl<N: Network> Drop for Line<'_, N> {
    fn drop(&mut self) {
        // First out of the line and the count, then the signal that has them read.
        self.parked = None;
        if self.worker.held.count(self.function) == 0 {
            self.worker.signal(self.function);
        }
    }
}

impl<N: Network> Worker<N> {
    /// A worker without listeners.
    pub(crate) fn new(parts: Parts, writer: Writer, network: N, seed: u64) -> Rc<Self> {
        let connect_timeout = parts.config.connect_timeout;
        Rc::new(Self {
            writer,
            clock: parts.clock,
            routes: parts.routes,
            held: Held::new(parts.common, parts.limited, parts.clock),
            upstream: Rc::new(Upstream::new(network, connect_timeout)),
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            tasks: TaskTracker::new(),
            crowd: parts.crowd,
            config: parts.config,
            signals: parts.signals,
            leaving: Cell::new(false),
            closing: CancellationToken::new(),
        })
    }

    /// Whether answers say `Connection: close`.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Counts a held request while it is in line.
    pub(crate) fn stand_in_line<'a>(
        &'a self,
        function: &'a Arc<Function>,
        parked: Parked<'a>,
        in_flight: &InFlight<Clock>,
    ) -> Line<'a, N> {
        let counted = in_flight.hold();
        if parked.in_line == 1 {
            self.signal(function);
        }
        Line { worker: self, function, parked: Some((parked, counted)) }
    }

    /// A pod could not be reached: no more requests go there until it was tried with success.
    pub(crate) fn doubt(&self, function: &Arc<Function>, pod: &Pod) {
        if pod.set_state(State::Trying) {
            self.signal(function);
        }
    }

    /// The answer for requests of a function that cannot start, until its next start is due.
    pub(crate) fn cannot_start(&self, view: &View) -> Option<Problem> {
        let failing = view.failure.as_ref()?;
        (failing.retry_at_us >= self.clock.now_us()).then(|| self.failed(failing))
    }

    /// The same, whatever is due.
    pub(crate) fn failed(&self, failing: &Failing) -> Problem {
        let left_us = failing.retry_at_us.saturating_sub(self.clock.now_us());
        Problem::CannotStart {
            code: failing.failure.code.clone(),
            retry_after_s: self.retry_after_s(left_us.min(RETRY_US_MAX)),
        }
    }

    /// Retry-After for something expected in `wait_us` microseconds.
    pub(crate) fn retry_after_s(&self, wait_us: u64) -> u64 {
        retry_after_s(wait_us, self.rng.borrow_mut().u64(..))
    }

    /// Serves one client's connection to its end.
    pub(crate) async fn serve(
        self: Rc<Self>,
        stream: N::Stream,
        address: SocketAddr,
        entrance: Entrance,
    ) {
        let (peer, intake) = (Rc::new(stream.peer()), Arc::<Intake>::default());
        let write_deadline = Arc::<WriteDeadline>::default();
        let stream =
            Metered::new(stream, Arc::clone(&intake), Arc::clone(&write_deadline), self.clock);
        let unread = Rc::clone(&peer);
        let client = Rc::new(Client::<N> { address, peer, intake, write_deadline, entrance });
        let worker = Rc::clone(&self);
        let service = service_fn(move |request| {
            let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
            async move { request::answer(&worker, &client, request).await }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.header_read_timeout)
            .max_header_size(self.config.header_bytes_max);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.closing.cancelled() => {
                // What came already is answered, and its answer closes the connection.
                if unread.look() != Look::Unread {
                    connection.as_mut().graceful_shutdown();
                }
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(client = %address, %error, "connection ended");
        }
    }

    /// Runs until drained: commands, connections that others hand over, deadlines, looks at
    /// clients, old connections.
    pub(crate) async fn run(
        self: Rc<Self>,
        commands: mpsc::Receiver<Command>,
        handed: mpsc::Receiver<Handed>,
    ) where
        Self: listen::Accept,
    {
        tokio::select! {
            () = self.obey(commands) => {}
            () = listen::Accept::take_over(Rc::clone(&self), handed) => {}
            () = self.held.keep_deadlines() => {}
            () = self.held.keep_clients() => {}
            () = self.upstream.sweep() => {}
            () = self.give_up_idle() => {}
        }
    }

    /// Frees what only busy functions need, for as long as it is polled.
    async fn give_up_idle(&self) {
        loop {
            tokio::time::sleep(IDLE_LOOK_INTERVAL).await;
            self.writer.give_up_idle(self.clock.now_us());
        }
    }

    async fn obey(self: &Rc<Self>, mut commands: mpsc::Receiver<Command>)
    where
        Self: listen::Accept,
    {
        let mut listeners: Vec<(Entrance, CancellationToken)> = Vec::new();
        while let Some(command) = commands.recv().await {
            // Between two turns no request is between its route and its count. A busy worker may
            // never be parked, but it is told of every function that goes.
            self.writer.quiescent();
            match command {
                Command::Listen(entrance, listener) => {
                    let stop = CancellationToken::new();
                    let accepting = listen::Accept::accept(
                        Rc::clone(self),
                        listener,
                        entrance.clone(),
                        stop.clone(),
                    );
                    self.tasks.spawn_local(accepting);
                    listeners.push((entrance, stop));
                }
                Command::Unlisten(entrance) => listeners.retain(|(other, stop)| {
                    if *other == entrance {
                        stop.cancel();
                    }
                    *other != entrance
                }),
                Command::Look(function) => self.look(&function),
                Command::Settle(settled) => drop(settled.send(())),
                Command::Leave => self.leaving.set(true),
                Command::Drain => {
                    for (_, stop) in listeners.drain(..) {
                        stop.cancel();
                    }
                    self.close();
                    self.tasks.close();
                    self.finish(&mut commands).await;
                    return;
                }
            }
        }
    }

    /// Connections end, each after what is under way and what has come.
    pub(crate) fn close(&self) {
        self.leaving.set(true);
        self.closing.cancel();
    }

    /// Waits for what is open, still obeying what concerns held requests.
    async fn finish(&self, commands: &mut mpsc::Receiver<Command>) {
        let mut finished = pin!(tokio::time::timeout(self.config.drain_timeout, self.tasks.wait()));
        loop {
            let command = tokio::select! {
                finished = finished.as_mut() => {
                    if finished.is_err() {
                        warn!(
                            connections = self.tasks.len(),
                            held = self.held.count_all(),
                            "drain timeout passed; cutting what is open"
                        );
                    }
                    return;
                }
                Some(command) = commands.recv() => command,
            };
            match command {
                Command::Look(function) => self.look(&function),
                Command::Settle(settled) => drop(settled.send(())),
                Command::Listen(..) | Command::Unlisten(_) | Command::Leave | Command::Drain => {}
            }
        }
    }

    /// Releases or refuses the held requests of a function as its view now demands.
    pub(crate) fn look(&self, function: &Arc<Function>) {
        if self.held.count(function) == 0 {
            return;
        }
        let view = function.view.load();
        if view.presence == Presence::Gone {
            self.held.refuse(function, &Problem::FunctionGone);
        } else if view.takes_requests() {
            self.held.release(function);
        } else if let Some(problem) = self.cannot_start(&view) {
            self.held.refuse(function, &problem);
        }
    }

    fn signal(&self, function: &Arc<Function>) {
        // AcqRel: the control thread swaps the flag back before it reads the counters, so whatever
        // was counted before this swap is seen by that reading.
        if !function.signalled.swap(true, Ordering::AcqRel)
            && self.signals.try_send(Signal::Changed(Arc::clone(function))).is_err()
        {
            // Full: the control thread looks at every function each second anyway.
            function.signalled.store(false, Ordering::Release);
            debug!(function = %function.name, "signal dropped");
        }
    }
}
