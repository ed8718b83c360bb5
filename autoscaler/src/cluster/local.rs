//! The world without a cluster: every replica a child process on this machine.
//!
//! One task holds the state: it waits for one event, applies it to the [`replicas`] of the function
//! concerned, and does what comes out. Beside it run one task per replica, for its nanny's pipes,
//! and one per readiness try; it joins them all, and [`TaskFacts`] joins it.

pub mod nanny;
mod process;
mod identity;
mod launch;
mod attempt;
mod back_off;
mod replicas;

use std::collections::{BTreeMap, VecDeque};
use std::process as std_process;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use self::attempt::{Refusal, attempt};
use self::identity::Identities;
use self::nanny::Ending;
use self::process::Stop;
use self::replicas::{Action, Event, Replicas};
use super::manifest::LocalFunction;
use super::{
    Activators, Fact, Hands, ListComplaints, Note, Pods, Scale, ScaleError, TaskFacts, joined,
};
use crate::status::Complaint;

pub use self::process::{NannyCommand, Output};

/// Orders waiting to be taken in; the loop takes them at once, and a caller waits for its answer.
const ORDERS_MAX: usize = 64;

/// Facts sent and not yet read. Few, because a fact that waits here may be out of date; what
/// changes meanwhile is sent once, as it is then.
const FACTS_MAX: usize = 4;

/// Requests to stop one replica not yet passed on: one SIGTERM and one SIGKILL.
const STOPS_MAX: usize = 2;

/// How the local cluster is run.
pub struct Options {
    /// How the nanny of a replica is called.
    pub nanny: NannyCommand,
    /// Takes the replicas' output, both streams, line by line.
    pub output: Output,
    /// What is wrong with what is not run.
    pub complaints: Vec<Complaint>,
}

/// Functions run as child processes.
pub struct LocalCluster {
    options: Options,
    functions: Vec<Slot>,
    index: BTreeMap<FunctionName, usize>,
    identities: Identities,
    orders: mpsc::Receiver<Order>,
    facts: mpsc::Sender<Fact>,
    /// Functions with something to tell, each once.
    outbox: VecDeque<usize>,
    processes: JoinSet<(String, Ending)>,
    tries: JoinSet<(String, Result<(), Refusal>)>,
    /// Which function a replica is of, and the way to its task.
    replicas: BTreeMap<String, (usize, mpsc::Sender<Stop>)>,
    shutdown: CancellationToken,
    is_complete_told: bool,
    is_stopping: bool,
    /// Tells [`LocalHands::stopped`] when this is gone.
    _stopped: DropGuard,
}

/// One function and what was last told of it.
struct Slot {
    replicas: Replicas,
    is_announced: bool,
    told: Option<Pods>,
}

struct Order {
    scale: Scale,
    answer: oneshot::Sender<Result<(), ScaleError>>,
}

enum Happening {
    Order(Order),
    Shutdown,
    Room(OwnedPermit<Fact>),
    /// Nobody reads facts any more.
    Unread,
    Ended(Result<(String, Ending), JoinError>),
    Tried(Result<(String, Result<(), Refusal>), JoinError>),
    Due,
}

impl LocalCluster {
    /// Starts the functions' first replicas (`initial-scale`, else `spec.replicas`) and keeps to
    /// what the hands order from then on. Needs a tokio runtime. When the facts or all hands are
    /// dropped, or on [`LocalHands::shutdown`], every replica is stopped in its grace period.
    #[must_use]
    pub fn start(functions: Vec<LocalFunction>, mut options: Options) -> (TaskFacts, LocalHands) {
        let complaints = Arc::new(std::mem::take(&mut options.complaints));
        let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
        let (facts, facts_out) = mpsc::channel(FACTS_MAX);
        let shutdown = CancellationToken::new();
        let stopped = CancellationToken::new();
        let named = functions.iter().enumerate();
        let index = named.map(|(index, local)| (local.function.name.clone(), index));
        let index: BTreeMap<_, _> = index.collect();
        let slot =
            |function| Slot { replicas: Replicas::new(function), is_announced: false, told: None };
        // Names that repeat from run to run would be a nuisance, not a danger.
        let seed = getrandom::u32().unwrap_or_default();
        let mut cluster = Self {
            options,
            outbox: (0..functions.len()).collect(),
            functions: functions.into_iter().map(slot).collect(),
            index,
            identities: Identities::new(seed, std_process::id()),
            orders,
            facts,
            processes: JoinSet::new(),
            tries: JoinSet::new(),
            replicas: BTreeMap::new(),
            shutdown: shutdown.clone(),
            is_complete_told: false,
            is_stopping: false,
            _stopped: stopped.clone().drop_guard(),
        };
        let task = tokio::spawn(async move {
            cluster.start_first();
            cluster.run().await;
        });
        let facts = TaskFacts::new(facts_out, task);
        let hands = LocalHands { orders: orders_in, shutdown, stopped, complaints };
        (facts, hands)
    }

    /// What applying the manifests to a cluster would start.
    fn start_first(&mut self) {
        for index in 0..self.functions.len() {
            let function = &self.functions[index].replicas.function().function;
            let replicas = (function.settings.scaling.initial_scale).unwrap_or(function.replicas);
            let victims = Vec::new();
            self.apply_to(index, Event::Scale { replicas, victims });
        }
    }

    async fn run(mut self) {
        while !self.is_done() {
            let happening = self.select().await;
            self.apply(happening);
        }
    }

    /// Whether all is stopped and the last facts are told.
    fn is_done(&self) -> bool {
        let is_empty = |slot: &Slot| slot.replicas.is_empty();
        self.is_stopping && self.outbox.is_empty() && self.functions.iter().all(is_empty)
    }

    /// Waits for one event and changes nothing.
    async fn select(&mut self) -> Happening {
        let now = Instant::now();
        let has_news = !self.outbox.is_empty() || !self.is_complete_told;
        let due = self.functions.iter().filter_map(|slot| slot.replicas.due(now)).min();
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = self.orders.recv(), if !self.is_stopping => match order {
                Some(order) => Happening::Order(order),
                None => Happening::Shutdown,
            },
            () = self.shutdown.cancelled(), if !self.is_stopping => Happening::Shutdown,
            room = self.facts.clone().reserve_owned(), if has_news => {
                room.map_or(Happening::Unread, Happening::Room)
            }
            () = self.facts.closed(), if !self.is_stopping => Happening::Unread,
            Some(ended) = self.processes.join_next() => Happening::Ended(ended),
            Some(tried) = self.tries.join_next() => Happening::Tried(tried),
            () = due => Happening::Due,
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Order(order) => self.take(order),
            Happening::Shutdown => self.stop_all(),
            Happening::Room(room) => self.tell(room),
            Happening::Unread => {
                self.outbox.clear();
                self.stop_all();
            }
            Happening::Ended(ended) => {
                let (replica, ending) = joined(ended);
                if let Some((index, _)) = self.replicas.remove(&replica) {
                    info!(replica, %ending, "replica ended");
                    self.apply_to(index, Event::Ended { replica, ending });
                }
            }
            Happening::Tried(tried) => {
                let (replica, result) = joined(tried);
                if let Some(&(index, _)) = self.replicas.get(&replica) {
                    self.apply_to(index, Event::Tried { replica, result });
                }
            }
            Happening::Due => {
                for index in 0..self.functions.len() {
                    self.apply_to(index, Event::Due);
                }
            }
        }
    }

    fn take(&mut self, order: Order) {
        let Order { scale: Scale { function, replicas, victims }, answer } = order;
        let result = match self.index.get(&function) {
            Some(&index) => {
                debug!(%function, replicas, "scale");
                self.apply_to(index, Event::Scale { replicas, victims });
                Ok(())
            }
            None => Err(ScaleError::Gone(function)),
        };
        // One who no longer waits for the answer does not miss it.
        answer.send(result).ok();
    }

    fn stop_all(&mut self) {
        if self.is_stopping {
            return;
        }
        self.is_stopping = true;
        self.orders.close();
        for index in 0..self.functions.len() {
            self.apply_to(index, Event::Stop);
        }
    }

    /// Applies an event to one function, does what comes out, and notes whether there is something
    /// to tell.
    fn apply_to(&mut self, index: usize, event: Event) {
        let now = Instant::now();
        let slot = &mut self.functions[index];
        let actions = slot.replicas.apply(event, now, &mut self.identities);
        let is_news = slot.told.as_ref() != Some(&timeless(slot.replicas.pods(now)));
        for action in actions {
            self.act(index, action);
        }
        if is_news && !self.outbox.contains(&index) {
            self.outbox.push_back(index);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        let local = self.functions[index].replicas.function();
        match action {
            Action::Start(identity) => {
                let order = launch::order(local, &identity);
                let name = identity.name;
                info!(function = %local.function.name, replica = name, "replica starts");
                let (stop, stops) = mpsc::channel(STOPS_MAX);
                self.replicas.insert(name.clone(), (index, stop));
                let (nanny, output) = (self.options.nanny.clone(), self.options.output.clone());
                (self.processes).spawn(process::run(name, nanny, order, stops, output));
            }
            Action::Stop(replica, stop) => {
                debug!(replica, ?stop, "replica is stopped");
                if let Some((_, stops)) = self.replicas.get(&replica) {
                    // There is room for each word once; a replica that is gone hears none.
                    stops.try_send(stop).ok();
                }
            }
            Action::Try(replica, addresses) => {
                let probe = local.function.probe.clone();
                let timeout = local.readiness.timeout;
                self.tries.spawn(async move {
                    let result = attempt(&probe, &addresses, timeout).await;
                    (replica, result)
                });
            }
            Action::Complain(replica, reason) => {
                warn!(function = %local.function.name, replica, reason, "replica is not ready");
            }
        }
    }

    /// Sends the next fact, as it is now.
    fn tell(&mut self, room: OwnedPermit<Fact>) {
        let Some(&index) = self.outbox.front() else {
            self.is_complete_told = true;
            room.send(Fact::Complete);
            return;
        };
        let slot = &mut self.functions[index];
        let function = &slot.replicas.function().function;
        if !slot.is_announced {
            slot.is_announced = true;
            room.send(Fact::Function(Arc::new(function.clone())));
            return;
        }
        let pods = slot.replicas.pods(Instant::now());
        slot.told = Some(timeless(pods.clone()));
        room.send(Fact::Pods(function.name.clone(), pods));
        self.outbox.pop_front();
    }
}

/// Pods without what changes by the mere passing of time, to find out whether there is news.
fn timeless(mut pods: Pods) -> Pods {
    if let Some(failure) = &mut pods.failure {
        failure.retry_ms = 0;
    }
    pods
}

/// The hands of a local cluster; cheap to clone.
#[derive(Clone)]
pub struct LocalHands {
    orders: mpsc::Sender<Order>,
    shutdown: CancellationToken,
    stopped: CancellationToken,
    complaints: Arc<Vec<Complaint>>,
}

impl LocalHands {
    /// Asks every replica to stop and takes no orders from now on. The facts end when all are gone:
    /// after the longest termination grace period at the latest.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until every replica is gone, which only a shutdown brings about. Cancel safe.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

impl Hands for LocalHands {
    async fn scale(&self, scale: Scale) -> Result<(), ScaleError> {
        let shut_down = || ScaleError::Unknown("the local cluster is shutting down".to_owned());
        let (answer, answered) = oneshot::channel();
        let order = Order { scale, answer };
        self.orders.send(order).await.map_err(|_| shut_down())?;
        answered.await.unwrap_or_else(|_| Err(shut_down()))
    }

    /// Here a Service is a listener, and nothing has to be led to it.
    fn lead_through(&self, _: Arc<Activators>) {}

    /// There is no object to look at: the account has it.
    fn note(&self, _: Note) {}

    /// The manifests are read once.
    fn complaints(&self) -> Arc<dyn ListComplaints> {
        Arc::clone(&self.complaints) as Arc<dyn ListComplaints>
    }
}
