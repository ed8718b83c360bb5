//! The world of a Kubernetes cluster: watches tell what is, patches of `/scale` change it.
//!
//! One task holds the state: it waits for one event, applies it to the [`world`], and does what
//! comes out. Beside it run one task per [`watch`], one per call under way; it joins them all, and
//! [`TaskFacts`] joins it. Nothing of Kubernetes leaves this module but the two handles.

mod api;
mod counting;
mod objects;
mod watch;
mod watching;
mod failure;
mod pods;
mod complaints;
mod world;
mod scale;
mod lease;
mod leading;
mod reviews;
mod absence;
mod event;
mod pace;
mod pausing;
mod slices;
mod leader;
mod ask;
mod hands;
pub mod doctor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::function::FunctionName;
use kube::Client;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::{Semaphore, oneshot, watch as latest};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::api::Refusal;
use self::complaints::Complaint;
use self::lease::Standing;
use self::objects::{ConfigMaps, Pod, Scalers, Services, Workloads};
use self::pace::Pace;
use self::scale::{Placed, Target};
use self::slices::{EndpointSlices, Write};
use self::watch::Change;
use self::world::{Ordered, Output, Source, World};
use super::{Activators, Fact, Leading, Note, Scale, ScaleError, TaskFacts, joined};
use crate::status;

pub use self::api::{ApiServer, ConnectError, chain};
pub use self::ask::{Answer, AskError, Installed};
pub use self::hands::KubernetesHands;
pub use self::leader::Leader;
pub use self::reviews::TokenReviews;

/// Orders and notes waiting to be taken in; the loop takes them at once.
const ERRANDS_MAX: usize = 1024;

/// Changes told and not yet taken in; beyond it the watches wait, and TCP makes the server wait.
const CHANGES_MAX: usize = 256;

/// Facts sent and not yet read. Few, because a fact that waits here may be out of date; what
/// changes meanwhile is sent once, as it is then.
const FACTS_MAX: usize = 4;

/// Wakes under way at once: each needs a connection of its own, and a hundred that need 5 ms each
/// are through in 20 ms.
const WAKES_MAX: usize = 32;

/// Orders that wake nobody: this many at once, beyond that one in this time. A rush of them can
/// wait, and must not take the API server from others.
const ORDERS_BURST: u32 = 100;
const ORDER_EACH: Duration = Duration::from_millis(20);

/// Slices: a thousand Services follow a change of activators within 20 s, and no API server minds.
const SLICES_BURST: u32 = 50;
const SLICE_EACH: Duration = Duration::from_millis(20);

/// Events: the same. A broken chart may hold hundreds of faults.
const EVENTS_BURST: u32 = 25;
const EVENT_EACH: Duration = Duration::from_millis(200);

/// What of a cluster is looked at, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The namespaces looked at; empty = all, which needs a ClusterRole.
    pub namespaces: Vec<String>,
    /// The Lease that says who leads, in our own namespace.
    pub lease: String,
    /// What this process calls itself there: unlike any other process, ever.
    pub identity: String,
}

/// A cluster that is watched.
pub struct KubernetesCluster {
    client: Client,
    world: World,
    errands: mpsc::Receiver<Errand>,
    changes_in: mpsc::Sender<Told>,
    changes: mpsc::Receiver<Told>,
    facts: mpsc::Sender<Fact>,
    rng: fastrand::Rng,
    watches: JoinSet<()>,
    /// The watches on pods, by number.
    pods: BTreeMap<u64, AbortHandle>,
    standing: latest::Receiver<Standing>,
    /// What was last told of it.
    leading: Leading,
    /// Tells the candidate that it knows the world; taken when that is so.
    eligible: Option<oneshot::Sender<()>>,
    candidate: JoinSet<()>,
    calls: JoinSet<Called>,
    wakes: Arc<Semaphore>,
    orders_pace: Pace,
    posts: JoinSet<(Complaint, Result<(), Refusal>)>,
    events_pace: Pace,
    activators: latest::Receiver<Arc<Activators>>,
    writes: JoinSet<Wrote>,
    slices_pace: Pace,
    /// When the next slice may be written.
    slices_next: Instant,
}

/// A write of a slice that has ended.
type Wrote = (Write, Result<Option<EndpointSlices>, Refusal>);

/// What the hands ask for.
enum Errand {
    Order(Order),
    Note(Note),
    /// Whoever asks is told what is wrong.
    Complaints(oneshot::Sender<Vec<status::Complaint>>),
}

struct Order {
    scale: Scale,
    answer: oneshot::Sender<Result<(), ScaleError>>,
}

/// What a watch told, and which.
enum Told {
    Workload(Source, Change<Workloads>),
    Service(Source, Change<Services>),
    Slice(Source, Change<EndpointSlices>),
    Scaler(Source, Change<Scalers>),
    Config(Source, Change<ConfigMaps>),
    Pod(FunctionName, u64, Change<Pod>),
}

/// A call that has ended.
struct Called {
    function: FunctionName,
    /// None if nobody waited for it any more, and it was not made.
    result: Option<Result<Placed, Refusal>>,
    answer: oneshot::Sender<Result<(), ScaleError>>,
}

enum Happening {
    Errand(Errand),
    Told(Box<Told>),
    Room(OwnedPermit<Fact>),
    Called(Result<Called, JoinError>),
    Posted(Result<(Complaint, Result<(), Refusal>), JoinError>),
    Activators,
    Wrote(Box<Result<Wrote, JoinError>>),
    WatchEnded(Result<(), JoinError>),
    /// The standing changed, be it only to last longer.
    Stands,
    Resigned(Result<(), JoinError>),
    Due,
    /// Nobody reads facts, or gives orders, any more.
    Left,
}

impl KubernetesCluster {
    /// Begins to watch. Needs a tokio runtime. That the server answers is not waited for: until it
    /// has told everything there is no [`Fact::Complete`].
    #[must_use]
    pub fn start(api: &ApiServer, options: &Options) -> (TaskFacts, KubernetesHands) {
        let client = api.client.clone();
        let (errands_in, errands) = mpsc::channel(ERRANDS_MAX);
        let (facts, facts_out) = mpsc::channel(FACTS_MAX);
        let (changes_in, changes) = mpsc::channel(CHANGES_MAX);
        let (activators_in, activators) = latest::channel(Arc::default());
        let now = Instant::now();
        let sources = watching::sources(&options.namespaces, client.default_namespace());
        let (standing_in, standing) = latest::channel(Standing::Follows);
        let (eligible, is_eligible) = oneshot::channel();
        let mut cluster = Self {
            client,
            standing: standing.clone(),
            leading: Leading::No,
            eligible: Some(eligible),
            candidate: JoinSet::new(),
            world: World::new(sources.iter().cloned()),
            errands,
            changes_in,
            changes,
            facts,
            // Without chance the pauses of several processes coincide, and no more.
            rng: fastrand::Rng::with_seed(getrandom::u64().unwrap_or_default()),
            watches: JoinSet::new(),
            pods: BTreeMap::new(),
            calls: JoinSet::new(),
            wakes: Arc::new(Semaphore::new(WAKES_MAX)),
            orders_pace: Pace::new(ORDER_EACH, ORDERS_BURST, now),
            posts: JoinSet::new(),
            events_pace: Pace::new(EVENT_EACH, EVENTS_BURST, now),
            activators,
            writes: JoinSet::new(),
            slices_pace: Pace::new(SLICE_EACH, SLICES_BURST, now),
            slices_next: now,
        };
        for source in sources {
            cluster.watch_source(source);
        }
        let resign = CancellationToken::new();
        cluster.stand(options, standing_in, is_eligible, resign.clone());
        let task = tokio::spawn(cluster.run());
        let facts = TaskFacts::new(facts_out, task);
        let hands = KubernetesHands {
            client: api.client.clone(),
            errands: errands_in,
            activators: activators_in.into(),
            standing,
            resign,
        };
        (facts, hands)
    }

    async fn run(mut self) {
        loop {
            let happening = self.select().await;
            if matches!(happening, Happening::Left) {
                return;
            }
            self.apply(happening);
        }
    }

    /// Waits for one event and changes nothing.
    async fn select(&mut self) -> Happening {
        let slices = self.world.is_synced() && self.world.slices.has_work();
        let slices = slices.then_some(self.slices_next);
        let due = [self.world.complaints.due(), self.world.slices.due(), slices];
        // One replica's complaints and slices are enough.
        let due = due.into_iter().flatten().min().filter(|_| self.leading() != Leading::No);
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            errand = self.errands.recv() => errand.map_or(Happening::Left, Happening::Errand),
            Some(called) = self.calls.join_next() => Happening::Called(called),
            room = self.facts.clone().reserve_owned(), if self.has_news() => {
                room.map_or(Happening::Left, Happening::Room)
            }
            () = self.facts.closed() => Happening::Left,
            Some(told) = self.changes.recv() => Happening::Told(Box::new(told)),
            Ok(()) = self.activators.changed() => Happening::Activators,
            Some(posted) = self.posts.join_next() => Happening::Posted(posted),
            Some(wrote) = self.writes.join_next() => Happening::Wrote(Box::new(wrote)),
            Some(ended) = self.watches.join_next() => Happening::WatchEnded(ended),
            Ok(()) = self.standing.changed() => Happening::Stands,
            Some(ended) = self.candidate.join_next() => Happening::Resigned(ended),
            () = due => Happening::Due,
        }
    }

    fn apply(&mut self, happening: Happening) {
        let now = Instant::now();
        match happening {
            Happening::Errand(Errand::Order(order)) => self.place(order, now),
            Happening::Errand(Errand::Note(note)) => self.world.note(note, now),
            Happening::Errand(Errand::Complaints(answer)) => {
                // One who does not wait for the answer does not miss it.
                drop(answer.send(self.world.complaints.all()));
            }
            Happening::Told(told) => match *told {
                Told::Workload(source, change) => self.world.workload(&source, change, now),
                Told::Service(source, change) => self.world.service(&source, change, now),
                Told::Slice(source, change) => self.world.slice(&source, change, now),
                Told::Scaler(source, change) => self.world.scaler(&source, change, now),
                Told::Config(source, change) => self.world.config(&source, change, now),
                Told::Pod(name, watch, change) => self.world.pods(&name, watch, change),
            },
            Happening::Room(room) => {
                if let Some(fact) = self.tell() {
                    room.send(fact);
                }
            }
            // Told when there is room.
            Happening::Stands => {}
            Happening::Resigned(ended) => joined(ended),
            Happening::Called(called) => self.called(joined(called)),
            Happening::Posted(posted) => {
                let (complaint, result) = joined(posted);
                if let Err(refusal) = result {
                    warn!(regarding = ?complaint.regarding, why = %refusal, "no Event posted");
                    self.world.complaints.failed(&complaint, now);
                }
            }
            Happening::Activators => {
                let activators = Arc::clone(&self.activators.borrow_and_update());
                self.world.slices.lead_through(activators, now);
            }
            Happening::Wrote(wrote) => self.wrote(joined(*wrote), now),
            Happening::WatchEnded(Ok(())) => {}
            Happening::WatchEnded(Err(error)) if error.is_cancelled() => {}
            Happening::WatchEnded(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Happening::Due => {
                self.complain(now);
                self.world.slices.pass_time(now);
                self.write_slices(now);
            }
            Happening::Left => {}
        }
        for output in self.world.drain() {
            match output {
                Output::OpenPods { watch, function, selector } => {
                    self.watch_pods(watch, function, selector.into());
                }
                Output::ClosePods { watch } => {
                    if let Some(watch) = self.pods.remove(&watch) {
                        watch.abort();
                    }
                }
            }
        }
    }

    fn place(&mut self, order: Order, now: Instant) {
        let Order { scale: Scale { function, replicas, .. }, answer } = order;
        let (target, is_wake) = match self.world.order(&function, replicas) {
            // One who does not wait for the answer does not miss it.
            Ordered::Nothing => return drop(answer.send(Ok(()))),
            Ordered::Gone => return drop(answer.send(Err(ScaleError::Gone(function)))),
            Ordered::Call { target, is_wake } => (target, is_wake),
        };
        debug!(%function, replicas, "patching");
        let client = self.client.clone();
        if is_wake {
            let wakes = Arc::clone(&self.wakes);
            self.calls.spawn(async move {
                let permit = wakes.acquire_owned().await;
                // It needs no leader: the versions it names make a second one harmless.
                let called = call(client, target, replicas, answer).await;
                drop(permit);
                called
            });
        } else {
            let start = self.orders_pace.take(now);
            let standing = self.standing.clone();
            self.calls.spawn(async move {
                sleep_until(start).await;
                if !standing.borrow().covers(scale::CALL_MAX) {
                    let result = Some(Err(Refusal::NotLeading));
                    return Called { function: target.name, result, answer };
                }
                call(client, target, replicas, answer).await
            });
        }
    }

    fn called(&mut self, called: Called) {
        let Called { function, result, answer } = called;
        let result = match result {
            None => return,
            Some(Ok(placed)) => {
                self.world.placed(&function, placed);
                Ok(())
            }
            Some(Err(Refusal::Absent)) => Err(ScaleError::Gone(function)),
            Some(Err(Refusal::Conflict)) => Err(ScaleError::Changed(function)),
            Some(Err(Refusal::NotLeading)) => Err(ScaleError::NotLeading),
            Some(Err(Refusal::Busy(pause))) => Err(ScaleError::Busy(pause)),
            Some(Err(refusal)) => Err(ScaleError::Unknown(refusal.to_string())),
        };
        // One who does not wait for the answer does not miss it.
        drop(answer.send(result));
    }

    /// Writes the slices that need it, as many as may be now.
    fn write_slices(&mut self, now: Instant) {
        let is_covered = self.standing.borrow().covers(scale::CALL_MAX);
        while is_covered && self.world.is_synced() && self.slices_next <= now {
            let Some(write) = self.world.slices.next() else {
                return;
            };
            self.slices_next = self.slices_pace.take(now);
            let client = self.client.clone();
            self.writes.spawn(async move {
                let result = write.call(&client).await;
                (write, result)
            });
        }
    }

    fn wrote(&mut self, (write, result): Wrote, now: Instant) {
        match result {
            Ok(slice) => self.world.slice_written(&write, slice, now),
            Err(refusal) => {
                let times = self.world.slice_refused(&write, &refusal, now);
                if times.is_power_of_two() {
                    warn!(slice = %write, why = %refusal, times, "EndpointSlice not written");
                }
            }
        }
    }

    fn complain(&mut self, now: Instant) {
        while let Some(complaint) = self.world.complaints.take_due(now) {
            let Complaint { regarding, reason, note, .. } = &complaint;
            warn!(object = %regarding, reason, note, "complaint");
            let start = self.events_pace.take(now);
            let client = self.client.clone();
            self.posts.spawn(async move {
                sleep_until(start).await;
                let result = event::post(&client, &complaint).await;
                (complaint, result)
            });
        }
    }
}

async fn call(
    client: Client,
    target: Target,
    replicas: u32,
    answer: oneshot::Sender<Result<(), ScaleError>>,
) -> Called {
    // The order may have been given again since: this one must not be carried out beside it.
    let result = match answer.is_closed() {
        true => None,
        false => Some(scale::scale(&client, &target, replicas).await),
    };
    Called { function: target.name, result, answer }
}
