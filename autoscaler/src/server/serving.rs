//! All of the loop but facts and hands, whose types are the caller's: what it waits for, and what
//! it does then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_admin::Readiness;
use dormouse_link::Connection;
use dormouse_link::frame::Down;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::passing::Way;
use super::peer::PeerError;
use super::recorder::Recorder;
use super::{Bound, Certificate, Clock, Gate, RunError, admin, peer};
use crate::cluster::{Activators, Fact, ListComplaints, Note, Scale};
use crate::core::{Action, Core, Event, Record, Surroundings};
use crate::status::Statuses;

/// Most connections at once, greeted or not: far more than there are activators.
const CONNECTIONS_MAX: usize = 256;

/// Frames read and not yet applied; beyond it peers wait, and TCP makes their senders wait.
const EVENTS_MAX: usize = 256;

/// Frames for one peer not yet written: one for each of ten thousand functions at once, and room.
const QUEUE_FRAMES_MAX: usize = 16 * 1024;

/// Shortest time between two statuses: people read no faster, and a burst of events costs one.
const STATUS_PAUSE: Duration = Duration::from_millis(50);

/// How much longer than a status took to make it has to be until the next is made. Ten thousand
/// functions take longer than the pause, and events that come in the meantime must not each cost
/// one.
const STATUS_COSTS: u32 = 10;

/// Pause after a failed accept: what fails it (descriptors used up) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the loop waits for.
pub(super) enum Happening {
    Event(Event),
    Accepted(io::Result<(TcpStream, SocketAddr)>),
    PeerEnded(Result<(SocketAddr, Result<(), PeerError>), JoinError>),
    AdminEnded(io::Result<()>),
    Due,
}

/// The loop's own state.
pub(super) struct Server {
    core: Core,
    link: TcpListener,
    certificate: Option<Certificate>,
    gate: Gate,
    accept_again: Instant,
    /// Before, an activator would be given a table that lacks what it serves.
    is_complete: bool,
    connections: u64,
    peers: BTreeMap<Connection, Peer>,
    peer_tasks: JoinSet<(SocketAddr, Result<(), PeerError>)>,
    admin_task: JoinSet<io::Result<()>>,
    admin_end: CancellationToken,
    events_in: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    status: watch::Sender<Statuses>,
    status_due: Option<Instant>,
    /// The earliest time for the next status.
    status_next: Instant,
    ready: watch::Sender<Readiness>,
    /// How many connections there are, for who asks.
    connected: watch::Sender<usize>,
    /// Whether this replica leads, for who asks.
    leads: watch::Sender<bool>,
    clock: Clock,
    recorder: Option<Recorder>,
    /// To be told to the hands.
    activators: Option<Arc<Activators>>,
    /// To be said by the hands.
    notes: Vec<Note>,
    /// Activators that the hands are to look for.
    to_look_for: Vec<String>,
    /// These, and those they are looking for.
    looked_for: BTreeSet<String>,
}

/// Our end of a connection. Dropping it makes its task write what is queued and close.
struct Peer {
    address: SocketAddr,
    frames: mpsc::Sender<Down>,
    task: AbortHandle,
}

impl Server {
    pub(super) fn new(bound: Bound, complaints: Arc<dyn ListComplaints>) -> Self {
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let ready = watch::Sender::new(Readiness::Starting);
        let connected = watch::Sender::new(0);
        let leads = watch::Sender::new(false);
        let way = bound.config.leaders.map(|leaders| Way {
            leaders,
            leads: leads.subscribe(),
            port: bound.admin_address.port(),
        });
        let admin_end = CancellationToken::new();
        let mut admin_task = JoinSet::new();
        admin_task.spawn(admin::serve(
            bound.admin,
            admin::Sources {
                events: events_in.clone(),
                connected: connected.subscribe(),
                calls: bound.config.calls,
                complaints,
            },
            way,
            ready.subscribe(),
            admin_end.clone(),
        ));
        let clock = bound.clock;
        Self {
            core: Core::new(Surroundings {
                endpoint_listen: bound.config.endpoint_listen,
                victims: bound.config.victims,
                leadership: bound.config.leadership,
                wall_us: clock.wall_us,
                // Without chance retries of several processes coincide, and no more.
                seed: getrandom::u64().unwrap_or_default(),
                record: match bound.recorder {
                    Some(_) => Record::Kept,
                    None => Record::None,
                },
            }),
            link: bound.link,
            certificate: bound.config.certificate,
            gate: bound.config.gate,
            accept_again: clock.start,
            is_complete: false,
            connections: 0,
            peers: BTreeMap::new(),
            peer_tasks: JoinSet::new(),
            admin_task,
            admin_end,
            events_in,
            events,
            status: bound.status,
            status_due: None,
            status_next: clock.start + STATUS_PAUSE,
            ready,
            connected,
            leads,
            clock,
            recorder: bound.recorder,
            activators: None,
            notes: Vec::new(),
            to_look_for: Vec::new(),
            looked_for: BTreeSet::new(),
        }
    }

    /// The activators through which traffic can be led from now on, if that is news.
    pub(super) fn take_activators(&mut self) -> Option<Arc<Activators>> {
        self.activators.take()
    }

    /// Waits for one thing and changes nothing. Cancel safe.
    pub(super) async fn select(&mut self) -> Happening {
        let due_us = self.core.due_us();
        let due = due_us.map(|due_us| self.clock.start + Duration::from_micros(due_us));
        let due = due.into_iter().chain(self.status_due).min();
        let may_join = self.is_complete && self.peer_tasks.len() < CONNECTIONS_MAX;
        tokio::select! {
            biased;
            () = at(due) => Happening::Due,
            Some(ended) = self.admin_task.join_next() => {
                Happening::AdminEnded(ended.unwrap_or_else(|error| resume(error)))
            }
            Some(ended) = self.peer_tasks.join_next() => Happening::PeerEnded(ended),
            Some(event) = self.events.recv() => Happening::Event(event),
            accepted = accept(&self.link, self.accept_again), if may_join => {
                Happening::Accepted(accepted)
            }
        }
    }

    /// Does what `happening` demands and returns the orders to place, with their numbers.
    pub(super) fn apply(&mut self, happening: Happening) -> Result<Vec<(u64, Scale)>, RunError> {
        let mut orders = Vec::new();
        match happening {
            Happening::Event(event) => {
                if matches!(event, Event::Fact(Fact::Complete)) {
                    self.is_complete = true;
                    self.ready.send_replace(Readiness::Ready);
                }
                orders = self.tell(event);
            }
            Happening::Accepted(Ok((stream, address))) => self.admit(stream, address),
            Happening::Accepted(Err(error)) => {
                warn!(%error, "link connection not accepted");
                self.accept_again = Instant::now() + ACCEPT_PAUSE;
            }
            Happening::PeerEnded(Ok((_, Ok(())))) => {}
            Happening::PeerEnded(Ok((address, Err(fault)))) => {
                warn!(peer = %address, %fault, "link connection cut");
            }
            Happening::PeerEnded(Err(error)) if error.is_cancelled() => {}
            Happening::PeerEnded(Err(error)) => resume(error),
            Happening::AdminEnded(ended) => {
                let silent = || io::Error::other("it stopped serving");
                return Err(RunError::Admin(ended.err().unwrap_or_else(silent)));
            }
            Happening::Due => {
                let now = Instant::now();
                if self.core.due_us().is_some_and(|due_us| due_us <= self.clock.now_us()) {
                    orders = self.tell(Event::Due);
                }
                if self.status_due.is_some_and(|due| due <= now) {
                    self.publish();
                }
            }
        }
        self.connected.send_replace(self.peers.len());
        self.leads.send_replace(self.core.leads());
        let is_followed = self.status.receiver_count() > 0;
        if is_followed && self.core.has_news() && self.status_due.is_none() {
            self.status_due = Some(self.status_next);
        }
        Ok(orders)
    }

    /// Activators that the hands are to look for from now on.
    pub(super) fn take_to_look_for(&mut self) -> Vec<String> {
        std::mem::take(&mut self.to_look_for)
    }

    /// The hands found this activator gone.
    pub(super) fn found_gone(&mut self, activator: String) -> Event {
        self.looked_for.remove(&activator);
        Event::ActivatorGone(activator)
    }

    /// What the hands are to say.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Applies an event to the core and does what comes out, which may be an event again.
    fn tell(&mut self, event: Event) -> Vec<(u64, Scale)> {
        let now_us = self.clock.now_us();
        if self.recorder.as_mut().is_some_and(Recorder::take_lost) {
            self.core.record_lost();
        }
        let mut orders = Vec::new();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.core.apply(event, now_us) {
                match action {
                    Action::Send(connection, frame) => {
                        events.extend(self.send(connection, frame));
                    }
                    Action::Close(connection, fault) => {
                        if let Some(peer) = self.peers.remove(&connection) {
                            warn!(peer = %peer.address, %fault, "link connection closed");
                        }
                    }
                    Action::Scale { order, scale } => orders.push((order, scale)),
                    Action::LeadThrough(activators) => self.activators = Some(activators),
                    Action::Note(note) => self.notes.push(note),
                    Action::LookFor { activator } => {
                        if self.looked_for.insert(activator.clone()) {
                            self.to_look_for.push(activator);
                        }
                    }
                    Action::Record(line) => {
                        if let Some(recorder) = &mut self.recorder {
                            recorder.write(line);
                        }
                    }
                }
            }
        }
        orders
    }

    /// Queues a frame. A peer whose queue is full does not read: it is cut, and its end is told.
    fn send(&mut self, connection: Connection, frame: Down) -> Option<Event> {
        let peer = self.peers.get(&connection)?;
        match peer.frames.try_send(frame) {
            Ok(()) => None,
            // Its task has ended; that event is on its way.
            Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(_)) => {
                let fault = PeerError::Unread(QUEUE_FRAMES_MAX);
                warn!(peer = %peer.address, %fault, "link connection cut");
                peer.task.abort();
                self.peers.remove(&connection);
                Some(Event::Disconnected(connection))
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        self.connections += 1;
        let connection = Connection(self.connections);
        let (frames, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let events = self.events_in.clone();
        let (certificate, gate) = (self.certificate.clone(), self.gate.clone());
        let task = self.peer_tasks.spawn(async move {
            let certificate = certificate.as_ref();
            let end = peer::converse(stream, certificate, connection, &gate, queue, &events).await;
            // The loop holds the other end of the channel for as long as it runs.
            events.send(Event::Disconnected(connection)).await.ok();
            (address, end)
        });
        let peer = Peer { address, frames, task };
        self.peers.insert(connection, peer);
    }

    fn publish(&mut self) {
        let start = Instant::now();
        self.status_due = None;
        let statuses = self.core.news(self.clock.now_us());
        self.status.send_if_modified(|told| {
            let is_news = *told != statuses;
            *told = statuses;
            is_news
        });
        let end = Instant::now();
        self.status_next = end + STATUS_PAUSE.max((end - start) * STATUS_COSTS);
    }

    /// Closes what is open and waits for its tasks.
    pub(super) async fn part(&mut self) {
        self.ready.send_replace(Readiness::Ending);
        self.peers.clear();
        self.events.close();
        // Whoever waits for an answer learns that none will come.
        while self.events.try_recv().is_ok() {}
        self.admin_end.cancel();
        while let Some(ended) = self.peer_tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                resume(error)
            }
        }
        while self.admin_task.join_next().await.is_some() {}
        if let Some(mut recorder) = self.recorder.take() {
            for line in self.core.end_record() {
                recorder.write(line);
            }
            recorder.close().await;
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn accept(link: &TcpListener, not_before: Instant) -> io::Result<(TcpStream, SocketAddr)> {
    sleep_until(not_before).await;
    link.accept().await
}

/// A task is never cancelled where this is called, so that it can only have panicked; so do we.
fn resume(error: JoinError) -> ! {
    std::panic::resume_unwind(error.into_panic())
}

#[cfg(test)]
mod tests {
    use dormouse_link::frame::VERSION;
    use tokio::io::AsyncReadExt;

    use super::super::tests::function;
    use super::*;
    use crate::{Autoscaler, Config};

    #[tokio::test]
    async fn a_peer_whose_queue_is_full_is_cut_once_and_the_others_stay() {
        let bound = Autoscaler::bind(Config::default()).await.unwrap();
        let link = bound.link_address();
        let mut server = Server::new(bound, Arc::new(Vec::new()));
        let mut ends = Vec::new();
        for _ in 0..2 {
            ends.push(TcpStream::connect(link).await.unwrap());
            let (stream, address) = server.link.accept().await.unwrap();
            server.admit(stream, address);
        }
        let (deaf, other) = (Connection(1), Connection(2));
        let frame = || Down::Welcome { version: VERSION, leads: None };
        // Nothing is awaited here, so nothing is written meanwhile.
        for queued in 0..QUEUE_FRAMES_MAX {
            assert!(server.send(deaf, frame()).is_none(), "cut after {queued}");
        }
        let told = server.send(deaf, frame());
        assert!(matches!(told, Some(Event::Disconnected(connection)) if connection == deaf));
        assert!(server.send(deaf, frame()).is_none(), "told once");
        assert!(server.send(other, frame()).is_none());
        let mut rest = Vec::new();
        // The end, or a reset: what matters is that it comes.
        ends[0].read_to_end(&mut rest).await.unwrap_or_default();
        assert!(ends[1].read_u32().await.is_ok(), "the other one gets its frame");
        server.part().await;
    }

    #[tokio::test]
    async fn a_status_is_made_only_while_somebody_follows_it() {
        let bound = Autoscaler::bind(Config::default()).await.unwrap();
        let mut server = Server::new(bound, Arc::new(Vec::new()));
        let mut appear = || {
            server.apply(Happening::Event(Event::Fact(function()))).unwrap();
            (server.status_due.is_some(), server.status.subscribe())
        };
        assert!(!appear().0, "nobody does");
        let (is_due, _follower) = appear();
        assert!(!is_due, "nobody does any more");
        assert!(appear().0, "somebody does");
        server.part().await;
    }
}
