//! One function as the core keeps it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dormouse_link::frame::{EndpointEntry, Entry, Listen, Pod};
use dormouse_policy::burst::{self, StartUps};
use dormouse_policy::decision::{Decision, Keep, Scaler};
use dormouse_policy::function::{Function, FunctionName, WorkloadKind};
use dormouse_policy::idle::Shared;
use dormouse_policy::readings::Meter;
use dormouse_policy::settings::Paused;

use super::failing::Way;
use super::load::Load;
use super::order::{Order, Placed};
use super::others::Others;
use super::recording::SnapshotTaken;
use crate::cluster::{PodFact, PodPhase, Pods, Rollout, Scale, Topic};
use crate::server::Victims;

/// How long a pod that was stopped by our order is kept out of the table although its manager does
/// not call it terminating, in microseconds. A manager that took the order later than this has
/// changed its mind: an order up overtook it, and the pod stays.
const STOPPED_US_MAX: u64 = 30_000_000;

/// A function: what it is, what is seen of it, what is done about it. Most sleep: what only one has
/// that is awake, or in trouble, is boxed.
pub(super) struct FunctionState {
    pub(super) description: Arc<Function>,
    /// Why it is neither routed nor scaled, in one sentence.
    pub(super) set_aside: Option<String>,
    /// None until its manager has spoken.
    pub(super) seen: Option<Seen>,
    /// The way from activators to them.
    pub(super) way: Way,
    /// Where an activator that is to listen for it cannot, and why.
    pub(super) deaf: Option<String>,
    /// What others write into its replicas.
    pub(super) others: Others,
    /// What was said of it and still holds.
    pub(super) noted: BTreeMap<Topic, String>,
    pub(super) load: Load,
    pub(super) start_ups: StartUps,
    pub(super) shared: Shared,
    /// When the pods were decided on that are to be its first ready ones.
    expecting_us: Option<u64>,
    /// None until it is seen, and while it is set aside.
    pub(super) scaling: Option<Scaling>,
    /// When its timer is set for, in microseconds.
    pub(super) timer_us: Option<u64>,
}

/// Its pods, and since when they are known to be so.
pub(super) struct Seen {
    pub(super) pods: Pods,
    pub(super) at_us: u64,
    /// Since when they fail as they do now; of no meaning while they do not.
    pub(super) failing_us: u64,
}

/// What deciding and acting on decisions need.
pub(super) struct Scaling {
    pub(super) scaler: Scaler,
    pub(super) meter: Meter,
    /// Replicas wanted by the last decision.
    pub(super) wish: u32,
    pub(super) coverage: f64,
    pub(super) last: Option<Arc<Decision>>,
    /// The one order whose outcome is open.
    pub(super) order: Option<Box<Order>>,
    /// The last order that was placed, until its manager's word is certain to be newer.
    pub(super) placed: Option<Placed>,
    pub(super) retiring: Option<Box<Retiring>>,
    /// From when there may be fewer pods, after an order was refused.
    pub(super) lower_from_us: u64,
    /// Pods stopped by our orders, and when.
    pub(super) stopped: BTreeMap<String, u64>,
    /// When this was last written down.
    pub(super) snapshot: Option<SnapshotTaken>,
    /// When the next decision is due; none while nothing can change.
    pub(super) tick_us: Option<u64>,
}

/// A retirement under way, and the order it is for.
#[derive(Clone, Debug)]
pub(super) struct Retiring {
    pub(super) epoch: u64,
    pub(super) scale: Scale,
}

impl FunctionState {
    pub(super) fn new(description: Arc<Function>) -> Self {
        Self {
            description,
            set_aside: None,
            seen: None,
            way: Way::default(),
            deaf: None,
            others: Others::default(),
            noted: BTreeMap::new(),
            load: Load::default(),
            start_ups: StartUps::default(),
            shared: Shared::default(),
            expecting_us: None,
            scaling: None,
            timer_us: None,
        }
    }

    /// Its pods are now these; what was seen before.
    pub(super) fn see(&mut self, pods: Pods, now_us: u64) -> Option<Seen> {
        let code = |pods: &Pods| pods.failure.as_ref().map(|failure| failure.code.clone());
        let before = self.seen.take();
        let same = before.as_ref().filter(|before| code(&before.pods) == code(&pods));
        let failing_us = same.map_or(now_us, |before| before.failing_us);
        self.seen = Some(Seen { pods, at_us: now_us, failing_us });
        before
    }

    pub(super) fn name(&self) -> &FunctionName {
        &self.description.name
    }

    pub(super) fn pods(&self) -> &[PodFact] {
        self.seen.as_ref().map_or(&[], |seen| &seen.pods.pods)
    }

    pub(super) fn ready(&self) -> u32 {
        let ready = self.pods().iter().filter(|pod| pod.phase == PodPhase::Ready);
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }

    /// Replicas asked for as far as is known: by an order under way, else by the last one placed,
    /// else by what the manager says.
    pub(super) fn asked(&self, now_us: u64) -> u32 {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.pods.replicas);
        let Some(scaling) = &self.scaling else {
            return seen;
        };
        let order = scaling.order.as_ref().map(|order| order.scale.replicas);
        let placed = scaling.placed.filter(|placed| now_us < placed.until_us);
        order.or(placed.map(|placed| placed.replicas)).unwrap_or(seen)
    }

    /// An order for so many replicas goes out: from zero, how long it takes is learnt. The time
    /// runs from the decision, because that is what a decision can reckon with.
    pub(super) fn expect_start_up(&mut self, replicas: u32) {
        let decided_us = self.scaling.as_ref().and_then(|scaling| scaling.last.as_ref());
        let decided_us = decided_us.map(|decision| decision.inputs.now_us);
        self.expecting_us = match (replicas, self.ready()) {
            (1.., 0) => self.expecting_us.or(decided_us),
            _ => None,
        };
    }

    /// Learns from what is seen. A start that fails tells nothing: it lasts as its back-off does.
    pub(super) fn learn_start_up(&mut self, now_us: u64) {
        if self.seen.as_ref().is_some_and(|seen| seen.pods.failure.is_some()) {
            self.expecting_us = None;
        }
        if self.ready() > 0
            && let Some(since_us) = self.expecting_us.take()
        {
            self.start_ups.record(now_us.saturating_sub(since_us));
        }
    }

    /// What a decision is to respect beside the load.
    pub(super) fn keep(&self, now_us: u64) -> Option<Keep> {
        let pods = self.seen.as_ref().map(|seen| &seen.pods);
        let rollout = pods.filter(|pods| pods.rollout == Rollout::UnderWay);
        let rollout = rollout.map(|pods| pods.replicas);
        match (self.others.keep(now_us), rollout) {
            (Some(Keep::SetByOther(asked)), Some(rollout)) if rollout > asked => {
                Some(Keep::Rollout(rollout))
            }
            (None, Some(rollout)) => Some(Keep::Rollout(rollout)),
            (keep, _) => keep,
        }
    }

    /// Whether its replicas are to be left alone.
    pub(super) fn is_paused(&self) -> bool {
        self.description.settings.scaling.paused == Paused::Yes
    }

    /// Pods that can be used or will be: neither terminating nor stopped by our orders.
    pub(super) fn usable(&self) -> impl DoubleEndedIterator<Item = &PodFact> {
        let stopped = self.scaling.as_ref().map(|scaling| &scaling.stopped);
        let is_stopped = move |pod: &PodFact| stopped.is_some_and(|it| it.contains_key(&pod.name));
        let pods = self.pods().iter();
        pods.filter(move |pod| pod.phase != PodPhase::Terminating && !is_stopped(pod))
    }

    /// The pods to stop so that `replicas` are left, where that is ours to choose: first those not
    /// ready, then the newest. A StatefulSet lets none choose, its highest ordinals go. None if it
    /// cannot be known.
    pub(super) fn victims(&self, replicas: u32, whose: Victims) -> Vec<String> {
        let mut pods: Vec<&PodFact> = self.usable().collect();
        let keep = usize::try_from(replicas).unwrap_or(usize::MAX);
        let surplus = pods.len().saturating_sub(keep);
        pods.reverse();
        match self.description.kind {
            WorkloadKind::Deployment if whose == Victims::Unknown => return Vec::new(),
            WorkloadKind::Deployment => pods.sort_by_key(|pod| pod.phase == PodPhase::Ready),
            WorkloadKind::StatefulSet => {
                let workload = self.name().name();
                pods.sort_by_key(|pod| std::cmp::Reverse(ordinal(workload, &pod.name)));
            }
        }
        let victims = pods.into_iter().take(surplus);
        victims.map(|pod| pod.name.clone()).collect()
    }

    /// Forgets stopped pods that are gone, or that their manager evidently keeps. One that was
    /// terminating, as was seen `before`, and is not any more is another of its name, as a
    /// StatefulSet makes it.
    pub(super) fn forget_stopped(&mut self, before: Option<&Seen>, now_us: u64) {
        let Some(scaling) = &mut self.scaling else {
            return;
        };
        let phase = |seen: Option<&Seen>, name: &str| {
            let pods = seen.map_or(&[][..], |seen| &seen.pods.pods);
            pods.iter().find(|pod| pod.name == name).map(|pod| pod.phase)
        };
        let seen = self.seen.as_ref();
        scaling.stopped.retain(|name, since_us| match phase(seen, name) {
            None => false,
            Some(PodPhase::Terminating) => true,
            Some(_) if phase(before, name) == Some(PodPhase::Terminating) => false,
            Some(_) => now_us < *since_us + STOPPED_US_MAX,
        });
    }

    /// Whether something can change by the mere passing of time.
    pub(super) fn is_awake(&self, now_us: u64) -> bool {
        let Some(scaling) = &self.scaling else {
            return false;
        };
        self.asked(now_us) > 0
            || scaling.wish > 0
            || scaling.scaler.is_falling_asleep()
            || scaling.order.is_some()
            || scaling.placed.is_some()
            || scaling.retiring.is_some()
            || !scaling.stopped.is_empty()
            || self.usable().next().is_some()
            || self.load.figures().in_flight > 0
    }

    /// Its row of the table.
    pub(super) fn entry(&self, listen: impl Fn(usize) -> Option<Listen>, now_us: u64) -> Entry {
        let Function { name, settings, endpoints, probe, .. } = &*self.description;
        let endpoints = endpoints.iter().enumerate();
        let endpoints = endpoints.map(|(index, endpoint)| EndpointEntry {
            name: Arc::clone(&endpoint.name),
            pod_port: endpoint.pod_port,
            hosts: Arc::clone(&endpoint.hosts),
            listen: listen(index),
        });
        // One without an address can neither be tried nor used.
        let pods = self.usable().filter(|pod| !pod.addresses.is_empty());
        let pods = pods.map(|pod| Pod {
            name: pod.name.clone(),
            addresses: pod.addresses.clone(),
            ready: pod.phase == PodPhase::Ready,
        });
        Entry {
            function: name.clone(),
            endpoints: endpoints.collect(),
            pods: pods.collect(),
            probe: probe.clone(),
            queue_depth: settings.admission.queue_depth,
            container_concurrency: settings.admission.container_concurrency,
            queue_timeout_ms: settings.admission.queue_timeout_ms,
            request_timeout_ms: settings.timeouts.request_ms,
            pressure: burst::pressure_threshold(&settings.scaling, self.asked(now_us)),
            start_ups: self.start_ups.clone(),
            gaps: self.shared.gaps().clone(),
            failure: self.failure(now_us),
        }
    }
}

/// Where an endpoint should listen: at its Service port's number if that is its own, else anywhere.
pub(super) fn listen_at(ip: IpAddr, own_port: Option<u16>) -> Listen {
    Listen { address: SocketAddr::new(ip, own_port.unwrap_or(0)), else_free: true }
}

/// The ordinal in a StatefulSet pod's name, which follows the workload's.
fn ordinal(workload: &str, pod: &str) -> Option<u32> {
    let rest = pod.strip_prefix(workload)?.strip_prefix('-')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::FunctionState;

    /// What a function that sleeps may take up beside its description, in bytes: ten thousand of
    /// them are to leave room in 64 MiB for all else that is known of them.
    const BYTES_MAX: usize = 888;

    #[test]
    fn one_that_sleeps_takes_little_room() {
        assert!(size_of::<FunctionState>() <= BYTES_MAX, "{}", size_of::<FunctionState>());
    }
}
