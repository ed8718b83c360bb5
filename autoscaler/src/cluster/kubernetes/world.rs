//! The cluster as the watches tell it, turned into facts. Synchronous, without I/O: changes in,
//! facts, watches to open or close, and complaints out.

mod defaults;
mod directory;
mod neighbours;
mod notes;
mod slot;
mod services;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_policy::function::{FunctionName, WorkloadKind};
use dormouse_policy::settings::{ClusterDefaults, OptIn};
use tokio::time::Instant;

use super::complaints::{Complaints, Regarding};
use super::objects::{Pod, Scalers, Seen, Watched, Workloads};
use super::pods::PodsSeen;
use super::scale::{Placed, Target};
use super::slices::Slices;
use super::watch::Change;
use crate::cluster::workload::Service;
use crate::cluster::{Fact, SET_ASIDE};
use crate::leader::is_older;
use defaults::Common;
use directory::Directory;
use neighbours::Neighbours;
use slot::Slot;

/// Gateway host names end with the namespace.
const DOMAIN: &str = "";

/// The reason of Events on objects of which something is not heeded.
const NO_EFFECT: &str = "NoEffect";

/// What is watched all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listing {
    Deployments,
    StatefulSets,
    Services,
    /// Those of ours.
    Slices,
    HorizontalPodAutoscalers,
    ScaledObjects,
    /// The one ConfigMap of cluster defaults.
    Defaults,
}

/// A listing, of one namespace or of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) listing: Listing,
    pub(super) namespace: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Watch the pods of a function.
    OpenPods { watch: u64, function: FunctionName, selector: Box<str> },
    /// Watch them no longer.
    ClosePods { watch: u64 },
}

/// What an order comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ordered {
    /// It is so already.
    Nothing,
    /// There is no such function.
    Gone,
    /// A call is needed; from zero it is a wake.
    Call { target: Target, is_wake: bool },
}

/// All that is known.
pub(super) struct World {
    sources: BTreeMap<Source, Round>,
    slots: BTreeMap<FunctionName, Box<Slot>>,
    services: Directory,
    pub(super) slices: Slices,
    /// What was last told of whom slices name.
    named_told: (u64, BTreeSet<IpAddr>),
    neighbours: Neighbours,
    /// Functions with something to tell, each once.
    outbox: VecDeque<FunctionName>,
    queued: BTreeSet<FunctionName>,
    pub(super) complaints: Complaints,
    /// What holds where an annotation is absent.
    defaults: ClusterDefaults,
    common: Common,
    /// Whether the source of them has one, since it began anew.
    is_configured: bool,
    outputs: Vec<Output>,
    watches: u64,
    is_complete_told: bool,
}

/// How often a source began anew, and whether it told all since.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    is_synced: bool,
}

impl World {
    /// Nothing is known yet; these sources are going to tell.
    pub(super) fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        Self {
            sources: sources.into_iter().map(|source| (source, Round::default())).collect(),
            slots: BTreeMap::new(),
            services: Directory::default(),
            slices: Slices::default(),
            named_told: (0, BTreeSet::new()),
            neighbours: Neighbours::default(),
            outbox: VecDeque::new(),
            queued: BTreeSet::new(),
            complaints: Complaints::default(),
            defaults: ClusterDefaults::default(),
            common: Common::default(),
            is_configured: false,
            outputs: Vec::new(),
            watches: 0,
            is_complete_told: false,
        }
    }

    /// Takes in what a source of workloads tells.
    pub(super) fn workload(&mut self, source: &Source, change: Change<Workloads>, now: Instant) {
        let kind = match source.listing {
            Listing::StatefulSets => WorkloadKind::StatefulSet,
            _ => WorkloadKind::Deployment,
        };
        match change {
            Change::Begin => self.begin(source),
            Change::Is(object) if object.metadata().deletion_timestamp.is_none() => {
                let round = self.round(source);
                self.see(object.seen(kind), round, now);
            }
            Change::Is(object) | Change::Gone(object) => {
                self.lose(&object.seen(kind).workload.name, kind, now);
            }
            Change::Synced => {
                let round = self.round(source);
                let is_old = |(seen, of): &(Seen, u64)| {
                    let name = &seen.workload.name;
                    seen.workload.kind == kind && *of != round && source.covers(name.namespace())
                };
                let old = self.slots.iter().filter(|(_, slot)| slot.workloads.iter().any(is_old));
                let old: Vec<_> = old.map(|(name, _)| name.clone()).collect();
                for name in old {
                    self.lose(&name, kind, now);
                }
                self.synced(source, now);
            }
        }
    }

    /// Takes in what a source of others that scale tells.
    pub(super) fn scaler(&mut self, source: &Source, change: Change<Scalers>, now: Instant) {
        match change {
            Change::Begin => self.begin(source),
            Change::Synced => self.synced(source, now),
            Change::Is(_) | Change::Gone(_) => {}
        }
        let round = self.round(source);
        for name in self.neighbours.apply(source, change, round) {
            self.judge(&name, now);
        }
    }

    /// Takes in what the watch of that number on a function's pods tells.
    pub(super) fn pods(&mut self, name: &FunctionName, watch: u64, change: Change<Pod>) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        // What a closed watch still had to say is of no interest.
        if let Some(pods) = slot.pods.as_mut().filter(|pods| pods.watch == watch) {
            pods.apply(change);
            slot.is_pods_news = true;
            self.attend(name);
        }
    }

    /// What an order for `replicas` comes to.
    pub(super) fn order(&self, name: &FunctionName, replicas: u32) -> Ordered {
        let Some(seen) = self.slots.get(name).and_then(|slot| slot.holder()) else {
            return Ordered::Gone;
        };
        if seen.replicas == replicas {
            return Ordered::Nothing;
        }
        let target = Target {
            name: name.clone(),
            kind: seen.workload.kind,
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
        };
        Ordered::Call { target, is_wake: seen.replicas == 0 }
    }

    /// An order was placed: the next one is decided on what it left, seen or not.
    pub(super) fn placed(&mut self, name: &FunctionName, placed: Placed) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let seen = slot.workloads.iter_mut().map(|(seen, _)| seen);
        if let Some(seen) = seen.into_iter().find(|seen| seen.uid == placed.uid)
            && !is_older(&placed.resource_version, &seen.resource_version)
        {
            seen.resource_version = placed.resource_version;
            seen.replicas = placed.replicas;
            seen.set_by = None;
            slot.is_pods_news = true;
            self.attend(name);
        }
    }

    /// What is to be done, in order.
    pub(super) fn drain(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Whether [`World::tell`] has something to tell.
    pub(super) fn has_news(&self) -> bool {
        self.is_synced() && (!self.outbox.is_empty() || self.is_complete() || self.is_named_news())
    }

    /// The next fact. None before every source has told all: until then what is missing may exist.
    pub(super) fn tell(&mut self) -> Option<Fact> {
        if !self.is_synced() {
            return None;
        }
        while let Some(name) = self.outbox.pop_front() {
            self.queued.remove(&name);
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            let fact = slot.tell(&name, &self.slices);
            let is_empty = slot.workloads.is_empty() && !slot.has_news();
            if slot.has_news() {
                self.queue(&name);
            }
            if is_empty {
                self.slots.remove(&name);
            }
            // With a function, whoever hears of it forgets what was noted of it.
            if let Some(Fact::Gone(name)) = &fact {
                self.take_back(name);
            }
            if fact.is_some() {
                return fact;
            }
        }
        if self.is_complete() {
            self.is_complete_told = true;
            return Some(Fact::Complete);
        }
        if self.is_named_news() {
            let (number, addresses) = self.slices.named();
            self.named_told = (number, addresses.clone());
            return Some(Fact::Named { number, addresses });
        }
        None
    }

    /// Complains of an object that breaks these rules, or ceases to if there are none.
    fn blame(&mut self, regarding: &Regarding, uid: &str, rules: &[String], now: Instant) {
        self.complaints.hold(regarding, SET_ASIDE, uid, rules, now);
    }

    fn begin(&mut self, source: &Source) {
        if let Some(round) = self.sources.get_mut(source) {
            round.number += 1;
        }
    }

    fn round(&self, source: &Source) -> u64 {
        self.sources.get(source).map_or(0, |round| round.number)
    }

    fn synced(&mut self, source: &Source, now: Instant) {
        let was_synced = self.is_synced();
        if let Some(round) = self.sources.get_mut(source) {
            round.is_synced = true;
        }
        if !self.is_synced() {
            return;
        }
        if !was_synced {
            let names: Vec<FunctionName> = self.slots.keys().cloned().collect();
            for name in names {
                self.judge(&name, now);
            }
        }
        self.judge_all_targeting(now);
    }

    /// Whether somebody has to be told whom slices name.
    fn is_named_news(&self) -> bool {
        self.is_complete_told && self.named_told != self.slices.named()
    }

    pub(super) fn is_synced(&self) -> bool {
        self.sources.values().all(|round| round.is_synced)
    }

    /// Whether all that there was at the start is told, and that is still to be said.
    fn is_complete(&self) -> bool {
        let mut watched = self.slots.values().filter_map(|slot| slot.pods.as_ref());
        !self.is_complete_told && self.outbox.is_empty() && watched.all(|pods| pods.is_synced())
    }

    fn see(&mut self, seen: Seen, round: u64, now: Instant) {
        let (name, kind) = (seen.workload.name.clone(), seen.workload.kind);
        if seen.workload.is_enabled() == Ok(OptIn::No) {
            return self.lose(&name, kind, now);
        }
        let slot = self.slots.entry(name.clone()).or_default();
        match slot.workloads.iter_mut().find(|(known, _)| known.workload.kind == kind) {
            Some((known, of)) => {
                *of = round;
                // Our own write was answered before the watch told of the one before it.
                if known.uid == seen.uid
                    && is_older(&seen.resource_version, &known.resource_version)
                {
                    return;
                }
                slot.is_pods_news |= known.tells_otherwise(&seen);
                let is_described = known.workload == seen.workload
                    && known.ruled_out == seen.ruled_out
                    && known.uid == seen.uid;
                *known = seen;
                if is_described {
                    return self.attend(&name);
                }
            }
            None => {
                // A second one is rare, and room for more is never used.
                slot.workloads.reserve_exact(1);
                slot.workloads.push((seen, round));
                slot.is_pods_news = true;
            }
        }
        self.judge(&name, now);
    }

    fn lose(&mut self, name: &FunctionName, kind: WorkloadKind, now: Instant) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let before = slot.workloads.len();
        slot.workloads.retain(|(seen, _)| seen.workload.kind != kind);
        if slot.workloads.len() != before {
            self.complaints.forget(&regarding(name, kind));
            self.judge(name, now);
        }
    }

    /// Works out what is to be served under a name, and what is wrong with what is not. Only once
    /// everything is known: of ten thousand, each would be judged anew for each Service to come.
    fn judge(&mut self, name: &FunctionName, now: Instant) {
        if !self.is_synced() {
            return;
        }
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        slot.workloads.sort_by_key(|(seen, _)| {
            (seen.workload.created, seen.workload.kind == WorkloadKind::StatefulSet)
        });
        let mut function = None;
        for (index, (seen, _)) in slot.workloads.iter().enumerate() {
            let workload = &seen.workload;
            let described = match workload.is_enabled() {
                _ if index > 0 => {
                    let first = slot.workloads[0].0.workload.kind;
                    Err(vec![format!("a {first} of this name, which is older, is a function")])
                }
                Err(fault) => Err(vec![fault]),
                Ok(_) if let Some(other) = &seen.ruled_out => {
                    Err(vec![format!("left alone: {other}")])
                }
                Ok(_) if let Some(other) = self.neighbours.scaler_of(workload) => {
                    Err(vec![format!("left alone: {other}")])
                }
                Ok(_) => {
                    // Whom a Service leads to is decided between all functions, by age.
                    let services = self.services.leading_to(workload).map(|it| (it, None));
                    let settings = workload.settings(&self.defaults);
                    workload.describe(settings, services, DOMAIN)
                }
            };
            let regarding = regarding(name, workload.kind);
            match described {
                Ok(mut described) => {
                    self.complaints.settle(&regarding, SET_ASIDE);
                    let mut rules = std::mem::take(&mut described.not_yet);
                    rules.iter_mut().for_each(|key| key.push_str(" is not supported yet"));
                    rules.extend(self.services.leading_to(workload).flat_map(Service::unspoken));
                    self.complaints.hold(&regarding, NO_EFFECT, &seen.uid, &rules, now);
                    self.common.share(&mut described.function.settings.scaling);
                    function = Some(Arc::new(described.function));
                }
                Err(faults) => {
                    self.complaints.settle(&regarding, NO_EFFECT);
                    if index > 0 {
                        // It may have been the function until now.
                        notes::take_back(&mut self.complaints, &regarding);
                    }
                    self.complaints.hold(&regarding, SET_ASIDE, &seen.uid, &faults, now);
                }
            }
        }
        slot.describe(function, &self.slices);
        self.attend(name);
        self.judge_targeting(name, now);
    }

    /// Opens or closes the watch on a function's pods, and queues what it has to tell.
    fn attend(&mut self, name: &FunctionName) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let wanted = slot.wants_pods();
        let open = slot.pods.as_ref().map(|pods| pods.selector.clone());
        if open != wanted {
            if let Some(pods) = slot.pods.take() {
                self.outputs.push(Output::ClosePods { watch: pods.watch });
                slot.is_pods_news = true;
            }
            if let Some(selector) = wanted {
                self.watches += 1;
                let watch = self.watches;
                slot.pods = Some(Box::new(PodsSeen::new(watch, selector.clone())));
                let function = name.clone();
                self.outputs.push(Output::OpenPods { watch, function, selector });
            }
        }
        if slot.has_news() || slot.workloads.is_empty() {
            self.queue(name);
        }
    }

    fn queue(&mut self, name: &FunctionName) {
        if self.queued.insert(name.clone()) {
            self.outbox.push_back(name.clone());
        }
    }
}

impl Source {
    fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_ref().is_none_or(|ours| ours == namespace)
    }
}

fn regarding(name: &FunctionName, kind: WorkloadKind) -> Regarding {
    Regarding {
        namespace: name.namespace().to_owned(),
        name: name.name().to_owned(),
        kind: match kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
        },
        api_version: "apps/v1",
    }
}

#[cfg(test)]
mod tests;
