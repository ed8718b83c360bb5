//! What a world is made of.

use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Settings;

use super::hpa::Hpa;
use crate::draw::{Distribution, Stream};

/// A second, in nanoseconds.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A world and what happens in it. All times are in nanoseconds since its beginning.
#[derive(Clone)]
pub struct Setup {
    /// The functions; no name twice.
    pub functions: Vec<Function>,
    /// What is around them.
    pub world: World,
    /// When the world ends.
    pub end_ns: u64,
    /// Where the score is cut, ascending, the first cut where scoring begins: a part of the score
    /// is of the requests that arrived, and the time that passed, from one cut to the next, the
    /// last to the end. What is before the first cut is lived through and not scored.
    pub cuts_ns: Vec<u64>,
    /// A request has waited if it was dispatched later than this after its arrival.
    pub waited_over_ns: u64,
    /// The most events; a world that has more is cut short ([`super::Ended::Events`]).
    pub events_max: u64,
    /// Which decisions the scorecard keeps.
    pub log: Log,
    /// When functions are decided on.
    pub ticking: Ticking,
}

/// Which decisions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// None.
    None,
    /// Those that changed replicas.
    Changes,
    /// All.
    All,
}

/// When functions are decided on. It makes no difference to anything but speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticking {
    /// At every tick while they are awake, as the live autoscaler does.
    Awake,
    /// At every tick.
    Always,
}

/// A function.
#[derive(Clone)]
pub struct Function {
    /// Its name, from which its draws and the phase of its ticks follow.
    pub name: FunctionName,
    /// Its annotations, as the live system reads them.
    pub settings: Arc<Settings>,
    /// Who decides on its replicas.
    pub policy: Policy,
    /// Replicas that it has, ready, when the world begins.
    pub replicas: u32,
    /// When its requests arrive.
    pub load: Arc<dyn Load>,
    /// How long a request takes in a pod that it has to itself.
    pub service: Distribution,
    /// How many a pod serves at once.
    pub capacity: Capacity,
    /// How long its pods take to come and to go.
    pub start_up: StartUp,
    /// Bounds, in nanoseconds, over which waits are counted exactly: [`super::Times::over`].
    pub wait_bounds_ns: Vec<u64>,
    /// The same for latencies, from arrival to the end of the answer.
    pub latency_bounds_ns: Vec<u64>,
}

/// Who decides on replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// The live policy.
    Kpa,
    /// The live policy but for the way to zero: a function goes there at the first tick at which
    /// its last request ended so long ago, in nanoseconds, and not before.
    FixedIdle {
        /// The least idleness, in nanoseconds.
        keep_ns: u64,
    },
    /// Kubernetes' own autoscaler, on mean concurrency per pod: never below one.
    Hpa(Hpa),
    /// The live policy but for the way to zero and back, which go by how long the function was idle
    /// before: "Serverless in the Wild". What that cannot tell is the live policy's.
    HybridHistogram,
    /// The least pod-seconds of any schedule in which no request waits: pods appear and vanish by
    /// foresight. Activators, reports, the API and faults play no part.
    Floor,
}

/// When requests of a function arrive.
pub trait Load: Send + Sync {
    /// The arrivals under `seed`: the same for every policy.
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_>;

    /// How long each of them takes in a pod that it has to itself; none = as the function says.
    fn services(&self) -> Option<Box<dyn Services + '_>> {
        None
    }
}

/// Service times in the order of arrival, read as they are asked for.
pub trait Services {
    /// The next arrival's, in nanoseconds.
    fn next_ns(&mut self) -> u64;
}

/// Arrivals in order of time, worked out as they are asked for.
pub trait Arrivals {
    /// The next arrival, in nanoseconds since the beginning, never before the last one; none if no
    /// more come.
    fn next(&mut self) -> Option<u64>;
}

/// How many requests a pod serves at once. What the activators send it is bounded by the
/// function's `container-concurrency` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many at full speed; those sent beyond wait inside the pod, first in first out.
    Slots(NonZeroU32),
    /// All of them, n at once at min(1, k ÷ n) of full speed each.
    Share(NonZeroU32),
    /// All of them at full speed.
    Unlimited,
}

/// The phases of a pod's life without requests.
#[derive(Clone, Debug, PartialEq)]
pub struct StartUp {
    /// From its place on a node to its image being there.
    pub image: Distribution,
    /// From there until it accepts connections.
    pub boot: Distribution,
    /// From the order to stop until its containers are gone; with requests in flight not before
    /// those are answered or the grace period is over.
    pub stop: Distribution,
}

/// What is around the functions.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// How many activators share the arrivals.
    pub activators: NonZeroU32,
    /// What they tell the autoscaler.
    pub report: Report,
    /// The API server.
    pub api: Api,
    /// How pods are found to take requests.
    pub readiness: Readiness,
    /// Where pods run; none = there is always room at once.
    pub nodes: Option<Nodes>,
    /// What breaks, in order of time.
    pub faults: Vec<Fault>,
}

impl World {
    /// One activator, reports once a second, and nothing that delays, loses or breaks.
    #[must_use]
    pub fn ideal() -> Self {
        Self {
            activators: NonZeroU32::MIN,
            report: Report { every_ns: SECOND_NS, delay_ns: 0, loss: 0.0 },
            api: Api { latency_ns: 0, rate: None },
            readiness: Readiness { shortcut_ns: Some(0), probe_ns: 0 },
            nodes: None,
            faults: Vec::new(),
        }
    }
}

/// Reports of load, and the link they take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Pause between two reports of an activator, in nanoseconds, at least a millisecond.
    pub every_ns: u64,
    /// How long anything said takes from an activator to the autoscaler or back, in nanoseconds.
    pub delay_ns: u64,
    /// The share of reports that do not arrive, 0–1. Nothing else said is lost.
    pub loss: f64,
}

impl Report {
    /// How long after an activator of that number began, in its life `boot`, it reports first, in
    /// nanoseconds: activators do not report all at once.
    #[must_use]
    pub fn phase_ns(&self, seed: u64, activator: usize, boot: u32) -> u64 {
        Stream::new(seed, "report phase", activator as u64).below(boot.into(), self.pause_ns())
    }

    pub(super) fn pause_ns(&self) -> u64 {
        self.every_ns.max(1_000_000)
    }
}

/// The API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// How long a call takes, and how long news of pods does, in nanoseconds.
    pub latency_ns: u64,
    /// How many calls are let through; none = all. Wakes are not counted, as in the live system.
    pub rate: Option<Rate>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one call to the next once the burst is used up, at least 1.
    pub every_ns: u64,
    /// Calls that may be made at once, at least 1.
    pub burst: u32,
}

/// How pods are found to take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Pause between two tries of an activator that holds requests, in nanoseconds; none = the
    /// activators wait for the kubelet's word.
    pub shortcut_ns: Option<u64>,
    /// Pause between two probes of the kubelet, in nanoseconds.
    pub probe_ns: u64,
}

/// Where pods run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// How many there are.
    pub count: NonZeroU32,
    /// How many pods each takes.
    pub pods: NonZeroU32,
    /// How long a pod that there is room for waits for its place, in nanoseconds.
    pub schedule_ns: u64,
}

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at_ns: u64,
    /// What.
    pub kill: Kill,
    /// How long it is away, in nanoseconds. A pod does not come back, another takes its place.
    pub for_ns: u64,
}

/// What breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The activator of that number, counted from 0. What it holds and has in flight is lost; it
    /// comes back with counters at zero.
    Activator(u32),
    /// The autoscaler that decides. Another one begins without what this one knew.
    Leader,
    /// A ready pod of the function of that place in [`Setup::functions`], with what it serves.
    Pod(usize),
    /// The node of that number, counted from 0, with its pods.
    Node(u32),
}
