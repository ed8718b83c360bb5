//! What came of it, in the words of `sim/README.md`.

use dormouse_policy::decision::Decision;
use dormouse_policy::function::FunctionName;

use super::times::Times;

/// What came of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorecard {
    /// The seed of its draws.
    pub seed: u64,
    /// Events that it took; they may be others where functions were lived through one by one.
    pub events: u64,
    /// How it ended.
    pub ended: Ended,
    /// The functions, in the order of the setup.
    pub functions: Vec<Row>,
    /// The decisions asked for, in order.
    pub log: Vec<Logged>,
}

/// How a world ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time was over.
    Time,
    /// It was cut short at this time, in nanoseconds, because it had as many events as allowed.
    Events(u64),
}

/// One function's score.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: FunctionName,
    /// Its score from cut to cut.
    pub parts: Vec<Score>,
}

/// A decision that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// The function's place in the setup.
    pub function: usize,
    /// The decision; its times are microseconds since the world's beginning.
    pub decision: Decision,
}

/// What came of some requests and some time. All of it adds up over functions and over parts, but
/// for extremes, of which the larger counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Requests that arrived.
    pub arrived: u64,
    /// Of these, answered by a pod.
    pub answered: u64,
    /// Refused for want of room.
    pub refused: u64,
    /// Their time in the queue, or their whole time, ran out.
    pub timed_out: u64,
    /// Lost with a pod or an activator that broke.
    pub lost: u64,
    /// Neither when the world ended.
    pub open: u64,
    /// From arrival to dispatch.
    pub wait: Times,
    /// From arrival to the end of the answer.
    pub latency: Times,
    /// Requests that waited, by why.
    pub waited: Waited,
    /// Scale-ups from zero because requests were held.
    pub cold_starts: u64,
    /// Scale-ups from zero for any other reason.
    pub pre_warms: u64,
    /// Of these, those whose pods went without having been sent a request.
    pub pre_warms_wasted: u64,
    /// Orders that raised the replicas.
    pub scale_ups: u64,
    /// Orders that lowered them.
    pub scale_downs: u64,
    /// Decreases that an increase beyond the earlier figure followed within a stable window.
    pub flaps: u64,
    /// The most that a scale-up overshot.
    pub overshoot: Overshoot,
    /// ∫ pods dt, from their place on a node until their containers are gone, in pod-nanoseconds.
    pub pod_ns: u128,
    /// ∫ ready pods dt, in pod-nanoseconds.
    pub ready_ns: u128,
    /// ∫ need dt, in pod-nanoseconds; need = ⌈(in service + held) ÷ what a pod serves at once⌉.
    pub need_ns: u128,
    /// ∫ max(0, need − ready) dt, in pod-nanoseconds.
    pub under_ns: u128,
    /// ∫ max(0, ready − need) dt, in pod-nanoseconds.
    pub over_ns: u128,
    /// ∫ requests that arrived and are not answered dt, in request-nanoseconds.
    pub inside_ns: u128,
    /// Time scored, in nanoseconds, over all functions.
    pub time_ns: u128,
    /// The most pods at once.
    pub pods_most: u32,
    /// The most requests held at once.
    pub held_most: u32,
}

/// Requests that waited longer than is no wait, or were never answered, by what there was when they
/// arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// No ready pod.
    pub at_zero: u64,
    /// Ready pods, and others on their way.
    pub scaling: u64,
    /// All pods were ready, and busy.
    pub saturated: u64,
}

/// How far the ready pods of one scale-up, from an increase to the next decrease, exceeded the
/// need: (most ready − most need) ÷ most need. The larger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overshoot {
    /// Scale-ups looked at: those with any need.
    pub count: u64,
    /// The most ready pods of the worst.
    pub ready: u32,
    /// The most need in the worst.
    pub need: u32,
}

impl Waited {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.at_zero + self.scaling + self.saturated
    }
}

impl Overshoot {
    /// The worst, as a share of the need; 0 if none exceeded it.
    #[must_use]
    pub fn share(self) -> f64 {
        match self.need {
            0 => 0.0,
            need => f64::from(self.ready.saturating_sub(need)) / f64::from(need),
        }
    }

    /// Takes one scale-up in.
    pub fn add(&mut self, ready: u32, need: u32) {
        if need > 0 {
            self.worst(Self { count: 1, ready, need });
        }
    }

    fn worst(&mut self, other: Self) {
        self.count += other.count;
        let excess = |it: Self| u64::from(it.ready.saturating_sub(it.need));
        if excess(other) * u64::from(self.need) > excess(*self) * u64::from(other.need)
            || self.need == 0
        {
            (self.ready, self.need) = (other.ready, other.need);
        }
    }
}

impl Score {
    /// Nothing yet, with so many bounds on waits and latencies.
    #[must_use]
    pub fn new(wait_bounds: usize, latency_bounds: usize) -> Self {
        Self {
            wait: Times::new(wait_bounds),
            latency: Times::new(latency_bounds),
            ..Self::default()
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.arrived += other.arrived;
        self.answered += other.answered;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.lost += other.lost;
        self.open += other.open;
        self.wait.merge(&other.wait);
        self.latency.merge(&other.latency);
        self.waited.at_zero += other.waited.at_zero;
        self.waited.scaling += other.waited.scaling;
        self.waited.saturated += other.waited.saturated;
        self.cold_starts += other.cold_starts;
        self.pre_warms += other.pre_warms;
        self.pre_warms_wasted += other.pre_warms_wasted;
        self.scale_ups += other.scale_ups;
        self.scale_downs += other.scale_downs;
        self.flaps += other.flaps;
        self.overshoot.worst(other.overshoot);
        self.pod_ns += other.pod_ns;
        self.ready_ns += other.ready_ns;
        self.need_ns += other.need_ns;
        self.under_ns += other.under_ns;
        self.over_ns += other.over_ns;
        self.inside_ns += other.inside_ns;
        self.time_ns += other.time_ns;
        self.pods_most = self.pods_most.max(other.pods_most);
        self.held_most = self.held_most.max(other.held_most);
    }
}

impl Row {
    /// The score from the cut of that place to the end; of 0, all that was scored.
    #[must_use]
    pub fn from(&self, cut: usize) -> Score {
        let mut parts = self.parts.iter().skip(cut);
        let mut sum = parts.next().cloned().unwrap_or_default();
        parts.for_each(|part| sum.merge(part));
        sum
    }
}
