//! The two small traits between deciding and the world: [`Facts`] tells what is, [`Hands`] changes
//! it. `cluster/local` implements them with child processes, `cluster/kubernetes` with an API
//! server.

mod calls;
mod workload;
pub mod manifest;
pub mod local;
pub mod kubernetes;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_link::frame::Standing;
use dormouse_policy::function::{Function, FunctionName};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::status::Complaint;
pub use calls::{Call, Calls};

/// What an Event is called about an object that is set aside.
const SET_ASIDE: &str = "SetAside";

/// What another writer is called whom nobody names.
pub(crate) const UNNAMED: &str = "somebody else";

/// Tells what is, as a stream of changes.
pub trait Facts {
    /// Waits for the next change; none when the world has ended (shutdown complete). Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Fact>>;
}

/// The facts that a cluster's own task tells; they end with the task.
#[derive(Debug)]
pub struct TaskFacts {
    facts: mpsc::Receiver<Fact>,
    task: Option<JoinHandle<()>>,
}

impl TaskFacts {
    /// What `task` sends by the other end of `facts`.
    fn new(facts: mpsc::Receiver<Fact>, task: JoinHandle<()>) -> Self {
        Self { facts, task: Some(task) }
    }
}

impl Facts for TaskFacts {
    /// # Panics
    /// If the task panicked.
    async fn next(&mut self) -> Option<Fact> {
        if let Some(fact) = self.facts.recv().await {
            return Some(fact);
        }
        if let Some(task) = &mut self.task {
            let result = task.await;
            self.task = None;
            joined(result);
        }
        None
    }
}

/// What a task returned that is never cancelled: its only other end is a panic, which goes on.
fn joined<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// One change of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A function appeared or its description changed.
    Function(Arc<Function>),
    /// A function is gone.
    Gone(FunctionName),
    /// The pods of a function, whole, whenever one changed.
    Pods(FunctionName, Pods),
    /// The activators' addresses to which Services lead, whole, whenever one came or went, and
    /// whenever it was decided anew.
    Named {
        /// The [`Activators::number`] by which that was decided.
        number: u64,
        /// The addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// Everything there was at the start has been told, once. Before that, what is missing may
    /// exist.
    Complete,
    /// Whether this autoscaler is the one of several whose decisions are carried out.
    Leading(Leading),
}

/// Whether an autoscaler is the one of several whose decisions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leading {
    /// It is, in this term: each leader's is higher than those before. At most 2³¹.
    Yes {
        /// The term.
        term: u64,
    },
    /// Another one is, or none.
    No,
}

/// Somebody who writes `replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setter {
    /// As it calls itself.
    pub name: Arc<str>,
    /// How it came to be written.
    pub means: Means,
}

/// How `replicas` came to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// With a manifest that was applied, of which it is a line among others.
    Manifest,
    /// By itself.
    Figure,
}

/// The pods of one function as their manager sees them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// Replicas asked for (`spec.replicas`).
    pub replicas: u32,
    /// Who else wrote that; none = we did, or nobody says.
    pub set_by: Option<Arc<Setter>>,
    /// Which template new pods are made from; another text is another template. Empty = nobody
    /// says.
    pub revision: Arc<str>,
    /// Whether pods of an older template are being replaced.
    pub rollout: Rollout,
    /// Pods that exist, terminating ones included, oldest first.
    pub pods: Vec<PodFact>,
    /// Set while pods cannot be started.
    pub failure: Option<Box<FailureFact>>,
}

/// Whether pods of an older template are being replaced by those of the present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollout {
    /// They are.
    UnderWay,
    /// They are not, or not any more.
    #[default]
    Done,
}

/// One pod as its manager sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFact {
    /// Its name, never used again by another pod.
    pub name: String,
    /// Its addresses, one per pod port of the function.
    pub addresses: Vec<SocketAddr>,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// What a starting pod is seen to lack, one sentence for people: the port it should listen on,
    /// the answer its probe gets. None while there is nothing to complain of.
    pub waiting_for: Option<String>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Started or about to, not ready.
    Starting,
    /// Ready to take requests.
    Ready,
    /// Asked to stop.
    Terminating,
}

/// Why pods cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureFact {
    /// A stable code: `crash-loop`, …
    pub code: String,
    /// One sentence for people, e.g. the last exit status.
    pub message: String,
    /// When the next start is due, from the moment of this fact, in milliseconds.
    pub retry_ms: u64,
    /// How long it has to have stood until requests are refused for it, in milliseconds; 0 = it is
    /// known to last.
    pub patience_ms: u64,
}

/// Changes the world.
pub trait Hands {
    /// Asks for `scale.replicas` replicas. Returns when the order is placed, not when pods are up.
    ///
    /// # Errors
    /// [`ScaleError`]: the order was not placed, or may not have been.
    fn scale(&self, scale: Scale) -> impl Future<Output = Result<(), ScaleError>>;

    /// From now on traffic can be led through these activators, and no others.
    fn lead_through(&self, activators: Arc<Activators>);

    /// Tells whoever looks at a function's workload what is to be said of it from now on. Does not
    /// wait.
    fn note(&self, note: Note);

    /// Returns once this activator, of which nothing was heard for long, is known to be gone with
    /// all that it had in flight; never if that cannot be known.
    fn activator_gone(&self, _name: &str) -> impl Future<Output = ()> {
        std::future::pending()
    }

    /// Knows what is wrong with objects.
    fn complaints(&self) -> Arc<dyn ListComplaints> {
        Arc::new(Vec::new())
    }

    /// Gives up the lead, if there is one to give up: called once, after the last order.
    fn release(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// Knows what is wrong with the objects of a cluster, as people are told there.
pub trait ListComplaints: Send + Sync {
    /// All that stands now, by object.
    fn complaints(&self) -> Pin<Box<dyn Future<Output = Vec<Complaint>> + Send + '_>>;
}

impl ListComplaints for Vec<Complaint> {
    fn complaints(&self) -> Pin<Box<dyn Future<Output = Self> + Send + '_>> {
        Box::pin(std::future::ready(self.clone()))
    }
}

/// The activators through which traffic can be led.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activators {
    /// Grows with each change.
    pub number: u64,
    /// Each of them.
    pub each: Vec<Activator>,
    /// Requests held, by function; what holds none is left out.
    pub held: BTreeMap<FunctionName, u64>,
}

/// An activator through which traffic can be led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activator {
    /// Its name.
    pub name: String,
    /// The addresses at which it is reached.
    pub addresses: Vec<IpAddr>,
    /// Whether traffic may go on being led there.
    pub standing: Standing,
    /// On which port it listens for an endpoint, by the endpoint's name.
    pub listening: BTreeMap<Arc<str>, u16>,
}

/// Something to be said of a function to whoever looks at its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The function.
    pub function: FunctionName,
    /// What it is about.
    pub topic: Topic,
    /// One sentence or several; none = it is so no longer.
    pub text: Option<String>,
}

/// What a note is about; one note stands for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Something it claims belongs to an older function, so it is not served.
    Claimed,
    /// Another writer took it to 0, where it stays.
    ScaledToZero,
    /// Another writer undoes what we write, again and again.
    Reapplied,
    /// Its pods cannot be started, or not be reached.
    CannotStart,
    /// An activator cannot listen where one of its Services is to lead.
    CannotListen,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Claimed, Self::ScaledToZero, Self::Reapplied, Self::CannotStart, Self::CannotListen];

    /// Its word in Events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "Claimed",
            Self::ScaledToZero => "ScaledToZero",
            Self::Reapplied => "Reapplied",
            Self::CannotStart => "CannotStart",
            Self::CannotListen => "CannotListen",
        }
    }
}

/// An order to scale one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The function.
    pub function: FunctionName,
    /// Replicas wanted.
    pub replicas: u32,
    /// Pods to stop first when there are fewer wanted; where the manager lets us choose.
    pub victims: Vec<String>,
}

/// Why a scale order failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// The function does not exist any more.
    #[error("{0} does not exist")]
    Gone(FunctionName),
    /// Somebody changed the function since it was looked at; the order was not placed.
    #[error("{0} was changed meanwhile")]
    Changed(FunctionName),
    /// Another autoscaler may be leading; the order was not placed.
    #[error("this replica does not lead")]
    NotLeading,
    /// The manager has too much to do; the order was not placed, and is to come again later.
    #[error("too much is asked of it: it wants a pause of {0:?}")]
    Busy(Duration),
    /// The manager did not answer; the order may or may not have been placed.
    #[error("no answer: {0}")]
    Unknown(String),
}
