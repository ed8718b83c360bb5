//! Requests at a rate, whatever becomes of those before, each with an id of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use super::background::Background;
use super::bundle::Namespaces;
use crate::wait::{self, DEADLINE};

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The activators' address, or that of one of them.
    pub gateway: SocketAddr,
    /// The function's host.
    pub host: String,
    /// Distinguishes the ids from those of other loads.
    pub name: String,
    /// Requests a second.
    pub per_second: u32,
    /// How they get there.
    pub connections: Connections,
}

/// How requests get to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// By one that is free, else by a new one.
    Kept,
    /// By a new one each.
    Fresh,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came: its status and body.
    Answered(u16, String),
    /// None came, and why.
    Failed(String),
}

impl Outcome {
    /// Whether the function answered.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Answered(200, _))
    }
}

type Sender = SendRequest<Empty<Bytes>>;

struct Shared {
    plan: Plan,
    is_over: AtomicBool,
    begun: AtomicU64,
    free: Mutex<Vec<Sender>>,
    outcomes: Mutex<BTreeMap<String, Outcome>>,
}

/// A load under way. Dropped, it breaks off.
pub struct Load {
    shared: Arc<Shared>,
    task: Background,
}

impl Load {
    /// Begins.
    #[must_use]
    pub fn start(network: Namespaces, plan: Plan) -> Self {
        let (task, shared) = Background::start(network, |started| async move {
            let shared = Arc::new(Shared {
                plan,
                is_over: AtomicBool::new(false),
                begun: AtomicU64::new(0),
                free: Mutex::default(),
                outcomes: Mutex::default(),
            });
            started.send(Arc::clone(&shared)).expect("the starter waits");
            send_all(shared).await;
        });
        Self { shared, task }
    }

    /// Waits until so many more requests have had their outcome.
    ///
    /// # Panics
    /// If they have not within [`DEADLINE`] beyond the time that sending them takes.
    #[track_caller]
    pub fn pass(&self, requests: u32) {
        Self::pass_all(std::slice::from_ref(self), requests);
    }

    /// [`Load::pass`] of several loads at the same time.
    ///
    /// # Panics
    /// The same.
    #[track_caller]
    pub fn pass_all(loads: &[Self], requests: u32) {
        let wanted = loads.iter().map(|load| load.outcomes().len() + requests as usize);
        let wanted: Vec<usize> = wanted.collect();
        loads.iter().zip(wanted).for_each(|(load, wanted)| load.reach(wanted, requests));
    }

    /// Waits until there are so many outcomes, `more` than before.
    #[track_caller]
    fn reach(&self, wanted: usize, more: u32) {
        let sending = Duration::from_secs(1) * more / self.shared.plan.per_second;
        let passed =
            wait::at_most(DEADLINE + sending, || (self.outcomes().len() >= wanted).then_some(()));
        assert!(passed.is_some(), "{more} requests have no outcome yet");
    }

    /// Sends no more, and returns what became of each request, by id.
    ///
    /// # Panics
    /// If one has no outcome by [`DEADLINE`].
    #[must_use]
    #[track_caller]
    pub fn finish(self) -> BTreeMap<String, Outcome> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        wait::until("an outcome for each request", || self.task.has_ended().then_some(()));
        std::mem::take(&mut *self.outcomes())
    }

    fn outcomes(&self) -> MutexGuard<'_, BTreeMap<String, Outcome>> {
        lock(&self.shared.outcomes)
    }
}

async fn send_all(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_secs(1) / shared.plan.per_second);
    // A machine that was busy elsewhere owes what was not sent meanwhile.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let requests = TaskTracker::new();
    while !shared.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let shared = Arc::clone(&shared);
        requests.spawn(async move {
            let number = shared.begun.fetch_add(1, Ordering::Relaxed);
            let id = format!("{}-{number}", shared.plan.name);
            let sent = timeout(DEADLINE, send(&shared, &id)).await;
            let outcome = match sent {
                Ok(Ok((status, body))) => Outcome::Answered(status, body),
                Ok(Err(error)) => Outcome::Failed(error),
                Err(_) => Outcome::Failed(format!("no answer in {DEADLINE:?}")),
            };
            lock(&shared.outcomes).insert(id, outcome);
        });
    }
    requests.close();
    requests.wait().await;
}

async fn send(shared: &Shared, id: &str) -> Result<(u16, String), String> {
    let mut sender = match free(shared) {
        Some(sender) => sender,
        None => connect(shared.plan.gateway).await?,
    };
    let request = Request::get(format!("/id/{id}"))
        .header("host", &shared.plan.host)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
    if shared.plan.connections == Connections::Kept {
        lock(&shared.free).push(sender);
    }
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// The last one given back that is good for another request.
fn free(shared: &Shared) -> Option<Sender> {
    let mut free = lock(&shared.free);
    free.retain(|sender| !sender.is_closed());
    let last = free.iter().rposition(SendRequest::is_ready)?;
    Some(free.swap_remove(last))
}

async fn connect(gateway: SocketAddr) -> Result<Sender, String> {
    let stream = TcpStream::connect(gateway).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| error.to_string())?;
    // It ends with its sender, and says there what failed.
    tokio::spawn(async { connection.await.ok() });
    Ok(sender)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
