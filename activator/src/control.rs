//! The control thread: speaks with the autoscaler, keeps routes, pods and listeners up to date, and
//! says what must be woken. It decides nothing and is not in any request's way.

pub(crate) mod table;
mod leaving;
mod listeners;
mod reporting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_admin::Readiness;
use dormouse_link::Connection;
use dormouse_link::activator_side::{Action, ActivatorSide, PRESSURE_US_MIN, Wanted};
use dormouse_link::frame::{Down, Retiring, Up};
use dormouse_metrics::counts::WakePhase;
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::Writer;
use dormouse_policy::function::FunctionName;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::clock::Clock;
use crate::config::Config;
use crate::control::listeners::Listeners;
use crate::control::table::Table;
use crate::function::Function;
use crate::link_client::LinkEvent;
use crate::network::Network;
use crate::pod::State;
use crate::probe::{Found, Prober};
use crate::route::Extent;
use crate::worker::{Command, Signal};

/// How often readings are reported and everything level-triggered is looked at again.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How often open requests are looked at of functions with a threshold.
const PRESSURE_INTERVAL: Duration = Duration::from_micros(PRESSURE_US_MIN);

/// How often pods about to retire are looked at while requests are still in flight there.
const EMPTYING_INTERVAL: Duration = Duration::from_millis(5);

/// What the control thread is made of.
pub(crate) struct Parts {
    /// The configuration.
    pub(crate) config: Arc<Config>,
    /// Time.
    pub(crate) clock: Clock,
    /// The functions and the routes to them.
    pub(crate) table: Table,
    /// The counters of all functions.
    pub(crate) registry: Arc<Registry>,
    /// Counts what this thread sees happen.
    pub(crate) writer: Writer,
    /// Each worker's inbox. Workers never wait for this thread, so waiting for room in one ends.
    pub(crate) workers: Vec<mpsc::Sender<Command>>,
    /// What workers say.
    pub(crate) signals: mpsc::Receiver<Signal>,
    /// What happens on the link.
    pub(crate) link: mpsc::Receiver<LinkEvent>,
    /// Where the admin port learns whether this activator can be relied on.
    pub(crate) readiness: watch::Sender<Readiness>,
    /// Cancelled when the activator is to drain.
    pub(crate) drain: CancellationToken,
    /// Cancelled when every worker has ended.
    pub(crate) stop: CancellationToken,
}

/// The control thread's state.
pub(crate) struct Control<N: Network> {
    parts: Parts,
    side: ActivatorSide,
    /// Towards each autoscaler.
    outgoing: BTreeMap<Connection, mpsc::Sender<Up>>,
    listeners: Listeners,
    prober: Prober<N>,
    settling: JoinSet<Settled>,
    /// Retirements that wait for requests in flight.
    emptying: BTreeSet<FunctionName>,
    report: Interval,
    pressure: Interval,
    check: Interval,
    leaving: Leaving,
}

/// Every worker counts what it chose before the retirement of `epoch`.
#[derive(Debug)]
struct Settled {
    function: FunctionName,
    epoch: u64,
}

/// How far the leaving is.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    No,
    /// Answers say `Connection: close`; listeners close then.
    Until(Instant),
    Drained,
}

/// What the control thread waits for.
#[derive(Debug)]
enum Event {
    Link(LinkEvent),
    Signal(Signal),
    Found(Found),
    Settled(Settled),
    Report,
    CheckPressure,
    CheckEmptying,
    Leave,
    Drain,
    Stop,
}

impl<N: Network> Control<N> {
    /// A control thread that was told nothing yet.
    pub(crate) fn new(parts: Parts, network: N) -> Self {
        let config = &parts.config;
        let side = ActivatorSide::new(config.identity.clone(), config.reached_at.clone());
        let mut report = interval(REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pressure = interval(PRESSURE_INTERVAL);
        pressure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = interval(EMPTYING_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            parts,
            side,
            outgoing: BTreeMap::new(),
            listeners: Listeners::default(),
            prober: Prober::new(network),
            settling: JoinSet::new(),
            emptying: BTreeSet::new(),
            report,
            pressure,
            check,
            leaving: Leaving::No,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        loop {
            match self.select().await {
                Event::Stop => return self.part().await,
                event => self.apply(event).await,
            }
            // What the table does not list any more is not in this thread's hands either.
            self.parts.writer.quiescent();
        }
    }

    /// Waits for one event and changes nothing.
    async fn select(&mut self) -> Event {
        let drain_at = match self.leaving {
            Leaving::Until(instant) => Some(instant),
            Leaving::No | Leaving::Drained => None,
        };
        let leaves = matches!(self.leaving, Leaving::No);
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => Event::Stop,
            Some(signal) = self.parts.signals.recv() => Event::Signal(signal),
            Some(event) = self.parts.link.recv() => Event::Link(event),
            found = self.prober.next() => Event::Found(found),
            Some(Ok(settled)) = self.settling.join_next() => Event::Settled(settled),
            () = self.parts.drain.cancelled(), if leaves => Event::Leave,
            () = sleep_until(drain_at.unwrap_or_else(Instant::now)), if drain_at.is_some() => {
                Event::Drain
            }
            _ = self.check.tick(), if !self.emptying.is_empty() => Event::CheckEmptying,
            _ = self.report.tick() => Event::Report,
            _ = self.pressure.tick(), if self.side.watched().next().is_some() => {
                Event::CheckPressure
            }
        }
    }

    async fn apply(&mut self, event: Event) {
        match event {
            Event::Signal(Signal::Changed(function)) => {
                function.signalled.swap(false, Ordering::AcqRel);
                self.evaluate(&function.name);
            }
            Event::Link(LinkEvent::Connected(connection, token, outgoing)) => {
                self.outgoing.insert(connection, outgoing);
                let actions = self.side.connect(connection, token);
                self.act(actions).await;
            }
            Event::Link(LinkEvent::Frame(connection, frame)) => self.hear(connection, frame).await,
            Event::Link(LinkEvent::Disconnected(connection)) => {
                self.outgoing.remove(&connection);
                let actions = self.side.disconnect(connection);
                self.act(actions).await;
            }
            Event::Found(found) => self.found(&found).await,
            Event::Settled(settled) => self.settled(&settled).await,
            Event::CheckEmptying => {
                for function in self.emptying.clone() {
                    self.check_emptied(&function).await;
                }
            }
            Event::Report => self.report().await,
            Event::CheckPressure => self.check_pressure().await,
            Event::Leave => self.leave().await,
            Event::Drain => {
                self.leaving = Leaving::Drained;
                self.tell_workers(|| Command::Drain).await;
            }
            Event::Stop => {}
        }
    }

    async fn hear(&mut self, connection: Connection, frame: Down) {
        match &frame {
            Down::Welcome { version, leads } => {
                info!(connection = connection.0, version, leads, "autoscaler answered");
            }
            Down::Leads { term } => info!(connection = connection.0, term, "autoscaler leads"),
            _ => {}
        }
        let whole = matches!(frame, Down::Table { whole: true, .. });
        let actions = self.side.receive(connection, frame, self.parts.clock.now_us());
        self.act(actions).await;
        if whole && matches!(self.leaving, Leaving::No) {
            self.parts.readiness.send_replace(Readiness::Ready);
        }
    }

    /// Carries out what the link's state machine asks for, in order.
    async fn act(&mut self, actions: Vec<Action>) {
        let mut gone = Vec::new();
        for action in actions {
            match action {
                Action::Send(connection, frame) => self.send(connection, frame),
                Action::Update(function) => self.update(&function).await,
                Action::Remove(function) => gone.extend(self.remove(&function)),
                Action::Retire(function) => self.retire(&function).await,
                Action::Resume(function) => self.resume(&function, Trust::Full).await,
                Action::Doubt(function) => self.resume(&function, Trust::Probe).await,
                Action::Retired(function) => {
                    debug!(%function, "pods retired");
                    self.emptying.remove(&function);
                    self.evaluate(&function);
                }
                Action::Unnamed => self.unnamed(),
                Action::Close(connection, reason) => {
                    error!(connection = connection.0, reason, "link refused");
                    self.outgoing.remove(&connection);
                }
            }
        }
        self.parts.table.set_extent(match self.side.is_told() {
            true => Extent::Whole,
            false => Extent::Unknown,
        });
        if self.parts.table.publish_routes() {
            self.listen().await;
        }
        // Once the routes do not lead there: a worker that was told begins nothing there any more.
        for function in gone {
            self.tell_workers(|| Command::Look(Arc::clone(&function))).await;
        }
    }

    fn send(&mut self, connection: Connection, frame: Up) {
        let sent = self.outgoing.get(&connection).map(|outgoing| outgoing.try_send(frame));
        if let Some(Err(error)) = sent {
            debug!(connection = connection.0, %error, "frame not queued; the link starts over");
            self.outgoing.remove(&connection);
        }
    }

    fn send_all(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let Action::Send(connection, frame) = action {
                self.send(connection, frame);
            }
        }
    }

    async fn update(&mut self, name: &FunctionName) {
        let Some(entry) = self.side.table().get(name) else {
            return;
        };
        let now_us = self.parts.clock.now_us();
        let dropped = self.parts.table.update(entry, now_us, &self.parts.registry);
        for pod in dropped {
            self.prober.stop(name, &pod);
        }
        if self.side.retirement(name).is_some() {
            // Pods that appeared meanwhile may be among the retiring.
            self.mark_retiring(name);
        }
        self.evaluate(name);
        self.look(name).await;
    }

    fn remove(&mut self, name: &FunctionName) -> Option<Arc<Function>> {
        self.emptying.remove(name);
        let function = self.parts.table.remove(name, &self.parts.registry)?;
        for pod in &function.view.load().pods {
            self.prober.stop(name, pod);
        }
        Some(function)
    }

    async fn retire(&mut self, name: &FunctionName) {
        let Some(epoch) = self.side.retirement(name).map(|retirement| retirement.epoch) else {
            return;
        };
        debug!(function = %name, epoch, "pods retire");
        self.mark_retiring(name);
        let mut answers = Vec::new();
        for worker in &self.parts.workers {
            let (settled, answer) = oneshot::channel();
            // A worker that ended chooses no pods any more.
            if worker.send(Command::Settle(settled)).await.is_ok() {
                answers.push(answer);
            }
        }
        let function = name.clone();
        self.settling.spawn_local(async move {
            for answer in answers {
                answer.await.unwrap_or_default();
            }
            Settled { function, epoch }
        });
        self.evaluate(name);
    }

    fn mark_retiring(&self, name: &FunctionName) {
        let (Some(retirement), Some(function)) =
            (self.side.retirement(name), self.parts.table.function(name))
        else {
            return;
        };
        for pod in &function.view.load().pods {
            if goes(&retirement.pods, &pod.name) {
                pod.set_retiring(true);
            }
        }
    }

    async fn settled(&mut self, settled: &Settled) {
        let open = self.side.retirement(&settled.function);
        if open.is_some_and(|retirement| retirement.epoch == settled.epoch) {
            self.emptying.insert(settled.function.clone());
            self.check_emptied(&settled.function).await;
        }
    }

    async fn check_emptied(&mut self, name: &FunctionName) {
        let retirement = self.side.retirement(name);
        let (Some(retirement), Some(function)) = (retirement, self.parts.table.function(name))
        else {
            self.emptying.remove(name);
            return;
        };
        let view = function.view.load();
        let mut retiring = view.pods.iter().filter(|pod| goes(&retirement.pods, &pod.name));
        if retiring.all(|pod| pod.is_empty()) {
            self.emptying.remove(name);
            let actions = self.side.emptied(name);
            self.send_all(actions);
        }
    }

    async fn resume(&mut self, name: &FunctionName, trust: Trust) {
        self.emptying.remove(name);
        let Some(function) = self.parts.table.function(name) else {
            return;
        };
        debug!(function = %name, ?trust, "pods used again");
        for pod in &function.view.load().pods {
            if trust == Trust::Probe && pod.is_retiring() {
                pod.set_state(State::Trying);
            }
            pod.set_retiring(false);
        }
        self.evaluate(name);
        self.look(name).await;
    }

    /// Has pods in doubt tried, and says whether the function must be woken.
    fn evaluate(&mut self, name: &FunctionName) {
        let Some(tended) = self.parts.table.tended(name) else {
            return;
        };
        let function = &tended.function;
        let view = function.view.load();
        for pod in view.pods.iter().filter(|pod| pod.state() == State::Trying) {
            match tended.tries(pod) {
                true => self.prober.start(name, pod, &view.probe, &tended.pace),
                false => self.prober.stop(name, pod),
            }
        }
        let now_us = self.parts.clock.now_us();
        // Unreadable this time: the next report's round looks again.
        let Some(reading) = function.counters.read(now_us) else {
            return;
        };
        tended.pace.set_held(reading.held > 0);
        let usable = view.takes_requests();
        let wanted = if reading.held > 0 && !usable { Wanted::Yes } else { Wanted::No };
        let (phase, reached) = match wanted {
            Wanted::Yes => (WakePhase::Asked, function.wake_begins(now_us)),
            Wanted::No => {
                let phase = if usable { WakePhase::Usable } else { WakePhase::GivenUp };
                (phase, function.wake_ends())
            }
        };
        if reached {
            self.parts.writer.wake(&function.counters, phase);
        }
        let actions = self.side.wake(name, wanted);
        self.send_all(actions);
    }

    async fn found(&mut self, found: &Found) {
        let Found { function: name, pod } = found;
        // Its manager may have taken back meanwhile what it said.
        if self.parts.table.tended(name).is_some_and(|tended| tended.tries(pod)) {
            debug!(function = %name, pod = pod.name, "pod takes requests");
            pod.set_state(State::Usable);
        }
        self.evaluate(name);
        self.look(name).await;
    }

    async fn look(&self, name: &FunctionName) {
        if let Some(function) = self.parts.table.function(name).map(Arc::clone) {
            self.tell_workers(|| Command::Look(Arc::clone(&function))).await;
        }
    }

    async fn listen(&mut self) {
        let reached_at = &self.parts.config.reached_at;
        let workers = self.parts.workers.len();
        let changes = self.listeners.follow(self.side.table(), reached_at, workers);
        // An endpoint whose address changed is among both.
        for entrance in changes.closed {
            self.tell_workers(|| Command::Unlisten(entrance.clone())).await;
        }
        for (entrance, sockets) in changes.opened {
            for (worker, socket) in self.parts.workers.iter().zip(sockets) {
                let command = Command::Listen(entrance.clone(), socket);
                worker.send(command).await.unwrap_or_default();
            }
        }
        let actions = self.side.listening(self.listeners.listening());
        self.send_all(actions);
    }

    async fn tell_workers(&self, command: impl Fn() -> Command) {
        for worker in &self.parts.workers {
            // A worker that ended needs no telling.
            worker.send(command()).await.unwrap_or_default();
        }
    }
}

/// Whether pods that were to retire may be used as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// They may.
    Full,
    /// Only once they were tried.
    Probe,
}

fn goes(retiring: &Retiring, pod: &str) -> bool {
    match retiring {
        Retiring::All => true,
        Retiring::Named(names) => names.iter().any(|name| name == pod),
    }
}
