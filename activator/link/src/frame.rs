//! The frames of the link: one JSON object each, behind a four-byte big-endian length.
//!
//! JSON, because a reader of version N skips fields that only N + 1 knows, and because a person can
//! read a capture. Frames of a kind that only N + 1 knows are `Unknown` to it, and passed over.
//! Frames are few: a table at connect, its changes after, one report a second.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dormouse_policy::burst::StartUps;
use dormouse_policy::function::{FunctionName, Probe};
use dormouse_policy::idle::Gaps;
use dormouse_policy::readings::Counters;
use serde::{Deserialize, Serialize};

/// The version spoken here. A peer of another version is refused at Hello unless it is one apart.
/// 1: one autoscaler. 2: several, of which one says that it leads.
pub const VERSION: u32 = 2;

/// Longest frame accepted, in bytes: a table of 10 000 functions with ten pods each is under 8 MiB.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an activator says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub enum Up {
    /// First frame of a connection.
    Hello {
        /// The version spoken.
        version: u32,
        /// Proof that this activator belongs here.
        token: String,
        /// The activator's name: its pod's name, or `local`.
        reporter: String,
        /// Drawn at process start; a new one means counters began again at zero.
        boot: u64,
    },
    /// Once a second: every function that began, ended or held a request in flight since the last
    /// report; the first report of a connection names every function that ever began one. A
    /// function not named had no load since the last report, and none since boot if it was never
    /// named.
    Report {
        /// The activator's own monotonic time, in microseconds.
        at_us: u64,
        /// The readings.
        readings: Vec<Reading>,
        /// What was learnt of functions: in the first report of a connection everything, then what
        /// changed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learnt: Vec<Learnt>,
    },
    /// After a report that came for its sake: functions with more open requests than their
    /// entries' `pressure`.
    Pressure {
        /// Those functions, sorted.
        functions: Vec<FunctionName>,
    },
    /// The whole set of functions with held requests and no usable pod: on connect and each second
    /// while it is not empty, and once when it empties.
    Wakes {
        /// Those functions, sorted.
        functions: Vec<FunctionName>,
    },
    /// What joined and left that set since the last frame about it.
    WakesChanged {
        /// Functions that now need waking.
        added: Vec<FunctionName>,
        /// Functions that no longer do: a pod is usable or nothing is held.
        removed: Vec<FunctionName>,
    },
    /// PREPARE done: nothing is in flight on the retiring pods and nothing will be sent to them.
    Prepared {
        /// The function.
        function: FunctionName,
        /// The retirement acknowledged.
        epoch: u64,
    },
    /// A request for a retiring function arrived and is held: take the retirement back if it can
    /// still be.
    Recall {
        /// The function.
        function: FunctionName,
        /// The retirement meant.
        epoch: u64,
    },
    /// Where the endpoints of the table listen, whole, whenever it changed.
    Listening {
        /// One per endpoint with a listener.
        listeners: Vec<Listening>,
        /// The addresses at which this activator is reached by whoever can reach a pod; none = no
        /// Service is to lead here.
        #[serde(default)]
        reached_at: Vec<IpAddr>,
        /// Whether Services may go on leading here.
        #[serde(default)]
        standing: Standing,
    },
    /// The last frame, after a last report: all is answered, and the process ends.
    Goodbye,
    /// Read, never written: a kind that a later version has.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The counters of one function at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The function.
    pub function: FunctionName,
    /// The area under its concurrency curve since boot, in request-microseconds, wrapping.
    pub area_us: u64,
    /// Requests begun since boot, wrapping.
    pub started: u64,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
    /// Of these, the held ones.
    pub held: u64,
    /// Requests refused for want of room since boot, wrapping; they count as begun, too.
    #[serde(default)]
    pub refused: u64,
}

impl Reading {
    /// The counters in it, as the policy's meters take them.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Self { area_us, started, in_flight, held, refused, .. } = *self;
        Counters { area_us, started, in_flight, held, refused }
    }
}

/// What was learnt of one function, kept by activators for autoscalers to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// The function.
    pub function: FunctionName,
    /// How long its pods took to start.
    pub start_ups: StartUps,
    /// How long it was idle between requests.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Where one endpoint listens, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// The bound address; none if binding failed.
    pub address: Option<SocketAddr>,
    /// Why binding failed.
    pub error: Option<String>,
}

/// Whether Services may lead to an activator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// They may.
    #[default]
    Stays,
    /// It is about to go, and still serves: they are to lead elsewhere, if there is somewhere.
    Leaves,
}

impl Entry {
    /// Whether anything in it was learnt.
    #[must_use]
    pub fn has_learnt(&self) -> bool {
        !self.start_ups.is_empty() || !self.gaps.is_empty()
    }

    /// What was learnt, for who is to keep it.
    #[must_use]
    pub fn learnt(&self) -> Learnt {
        let (start_ups, gaps) = (self.start_ups.clone(), self.gaps.clone());
        Learnt { function: self.function.clone(), start_ups, gaps }
    }

    /// Keeps what `known` has, where that is more.
    pub fn keep_learnt(&mut self, known: &Self) {
        self.start_ups.merge(&known.start_ups);
        self.gaps.merge(&known.gaps);
    }
}

/// What an autoscaler says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub enum Down {
    /// Answer to Hello.
    Welcome {
        /// The version spoken.
        version: u32,
        /// The term it leads in; none if it does not.
        #[serde(default)]
        leads: Option<u64>,
    },
    /// It began or ceased to lead. Since version 2.
    Leads {
        /// The term it leads in; none if it does not.
        term: Option<u64>,
    },
    /// The Hello was not accepted; the connection closes after this frame.
    Refused {
        /// Why, for the log.
        reason: String,
    },
    /// The table, whole on connect (`whole` true), else what changed.
    Table {
        /// Forget every function not named in `functions`.
        whole: bool,
        /// Functions new or changed, each complete.
        functions: Vec<Entry>,
        /// Functions gone.
        removed: Vec<FunctionName>,
    },
    /// Retirement, first phase: stop using these pods, acknowledge when nothing is in flight there.
    /// Sent again, it renews the hold.
    Prepare {
        /// The function.
        function: FunctionName,
        /// Grows with every retirement an autoscaler starts.
        epoch: u64,
        /// Which pods go.
        pods: Retiring,
        /// How long the activator keeps to it unrenewed, in milliseconds.
        hold_ms: u64,
    },
    /// Second phase: the pods are gone.
    Commit {
        /// The function.
        function: FunctionName,
        /// The retirement meant.
        epoch: u64,
    },
    /// Second phase: the pods stay and may be used again.
    Abort {
        /// The function.
        function: FunctionName,
        /// The retirement meant.
        epoch: u64,
    },
    /// To an activator that leaves: no Service leads to it any more.
    Unnamed,
    /// Read, never written: a kind that a later version has.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The pods a retirement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retiring {
    /// Every pod, present or yet to appear: the function goes to zero.
    All,
    /// The pods of these names.
    Named(Vec<String>),
}

/// One function in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub function: FunctionName,
    /// Where its requests arrive.
    pub endpoints: Vec<EndpointEntry>,
    /// The pods that exist and are not terminating.
    pub pods: Vec<Pod>,
    /// How a pod is found ready.
    pub probe: Probe,
    /// This activator's share of the queue depth: the most it may hold at once, ≥ 1.
    pub queue_depth: u32,
    /// The most requests a pod is to be sent at once by this activator; 0 = no limit.
    #[serde(default)]
    pub container_concurrency: u32,
    /// Longest time a request is held, in milliseconds.
    pub queue_timeout_ms: u64,
    /// From arrival to the last byte of the answer, in milliseconds.
    pub request_timeout_ms: u64,
    /// Open requests above which this activator reports at once, ≥ 1; none = it does not.
    #[serde(default)]
    pub pressure: Option<u64>,
    /// How long its pods took to start. Who was told more by another keeps that.
    #[serde(default, skip_serializing_if = "StartUps::is_empty")]
    pub start_ups: StartUps,
    /// How long it was idle between requests; the same holds of it.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
    /// Set while the function cannot start: held and new requests are answered 503 with it.
    pub failure: Option<Failure>,
}

/// One Service port in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointEntry {
    /// `namespace/service:port`.
    pub name: Arc<str>,
    /// Index into each pod's `addresses`.
    pub pod_port: usize,
    /// Host names that lead here at the gateway, lower case, without port.
    pub hosts: Arc<[Arc<str>]>,
    /// The listener of its own, if it has one.
    pub listen: Option<Listen>,
}

/// Where an endpoint should listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The address wanted; port 0 = any free one. An unspecified one stands for every address at
    /// which the activator is reached.
    pub address: SocketAddr,
    /// If the port is taken or not ours to bind, take any free one instead of failing.
    pub else_free: bool,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name, unique in the namespace and never used again by another pod.
    pub name: String,
    /// Its addresses, one per pod port of the function.
    pub addresses: Vec<SocketAddr>,
    /// Ready as its manager (kubelet, or the local mode's) says.
    pub ready: bool,
}

/// Why a function cannot start, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code: `crash-loop`, …
    pub code: String,
    /// When another try is due, from now, in milliseconds; for Retry-After.
    /// [`Failure::UNTIL_TOLD`]: nobody knows.
    pub retry_ms: u64,
}

impl Failure {
    /// It lasts until another entry says otherwise.
    pub const UNTIL_TOLD: u64 = u64::MAX;
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::Entry;

    /// What an entry may take up beside its lists, in bytes: an autoscaler keeps one for each of
    /// ten thousand functions that sleep.
    const BYTES_MAX: usize = 200;

    #[test]
    fn an_entry_takes_little_room() {
        assert!(size_of::<Entry>() <= BYTES_MAX, "{}", size_of::<Entry>());
    }
}
