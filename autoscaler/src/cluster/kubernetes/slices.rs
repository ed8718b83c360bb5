//! EndpointSlices of ours: they lead from a Service that names its target to the activators, on
//! ports that are that Service's own. Synchronous, without I/O: Services, activators and slices as
//! they are in, one write after another out.
//!
//! What must stay true: a slice names only ports on which the activators named there say that they
//! listen; it is not emptied while an activator lives; no two Services have the same port; a port
//! is kept as long as a slice names it, over restarts of every part, for the slices are the store.

mod ports;
mod slice;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_link::frame::Standing;
use dormouse_policy::function::FunctionName;
use tokio::time::Instant;

use crate::cluster::workload::{Families, Family, Key};
use crate::cluster::{Activator, Activators};
use ports::Ports;
use slice::{Slice, family, read_name};
use write::Kind;

pub(super) use ports::PORTS;
pub(super) use slice::{EndpointSlices, selector};
pub(super) use write::Write;

/// How long an activator whose connection ended stays named: one that lives dials again within a
/// tenth of that, and one that died takes no more requests.
const LEFT: Duration = Duration::from_millis(500);

/// How long one stays named that was named before we began: an activator without an autoscaler
/// dials at least every second and a half.
const UNHEARD: Duration = Duration::from_secs(5);

/// Pause after a write that was refused. Most are conflicts, and what changed is on its way here;
/// what is refused again and again has twice the pause each time, up to a minute.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_DOUBLINGS: u32 = 6;

/// Writes under way at once.
const WRITES_MAX: usize = 16;

/// What a Service asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) uid: String,
    pub(super) function: FunctionName,
    pub(super) families: Families,
    pub(super) ports: Vec<AskedPort>,
}

/// One of its ports.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedPort {
    pub(super) name: Box<str>,
    pub(super) endpoint: Arc<str>,
    pub(super) app_protocol: Option<Box<str>>,
}

/// Every port of [`PORTS`] is another Service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPort;

/// What a Service was given.
struct Front {
    uid: String,
    function: FunctionName,
    families: Families,
    ports: Vec<FrontPort>,
}

struct FrontPort {
    name: Box<str>,
    endpoint: Arc<str>,
    app_protocol: Option<Box<str>>,
    own: u16,
}

/// All that is known of slices.
#[derive(Default)]
pub(super) struct Slices {
    fronts: BTreeMap<Key, Front>,
    /// Those of ours that there are, and the round in which each was seen.
    seen: BTreeMap<Key, (Slice, u64)>,
    ports: Ports,
    /// How many slices name a port, or an address.
    ports_named: Count<u16>,
    addresses_named: Count<IpAddr>,
    activators: Arc<Activators>,
    /// Addresses that are named and of no activator that is connected; when they are given up, or
    /// none if they are.
    absent: BTreeMap<IpAddr, Option<Instant>>,
    /// Services to be looked at.
    dirty: BTreeSet<Key>,
    /// Services with a write under way, and whom it names.
    writing: BTreeMap<Key, Vec<IpAddr>>,
    /// Services whose last write was refused, until when they are left alone.
    resting: BTreeMap<Key, Instant>,
    /// How often in a row writes for a Service were refused.
    refusals: BTreeMap<Key, u32>,
}

/// How often each thing is there.
struct Count<T>(BTreeMap<T, usize>);

impl Slices {
    /// A Service asks for slices, or for others than before. Says whether its ports are others.
    ///
    /// # Errors
    /// [`NoPort`]; it has none of them then, and what slices it has go.
    pub(super) fn ask(&mut self, key: &Key, asked: Asked) -> Result<bool, NoPort> {
        self.dirty.insert(key.clone());
        let before = self.fronts.remove(key);
        let of = |front: &Front| -> Vec<(Arc<str>, u16)> {
            front.ports.iter().map(|port| (Arc::clone(&port.endpoint), port.own)).collect()
        };
        let before: Vec<_> = before.iter().flat_map(of).collect();
        let is_asked = |endpoint: &Arc<str>| asked.ports.iter().any(|it| it.endpoint == *endpoint);
        for (endpoint, _) in before.iter().filter(|(endpoint, _)| !is_asked(endpoint)) {
            self.ports.release(endpoint);
        }
        let mut ports = Vec::new();
        for AskedPort { name, endpoint, app_protocol } in asked.ports {
            let Some(own) = self.port(key, &name, &endpoint) else {
                let given = before.iter().map(|(endpoint, _)| endpoint);
                let given = given.chain(ports.iter().map(|it: &FrontPort| &it.endpoint));
                given.for_each(|endpoint| self.ports.release(endpoint));
                return Err(NoPort);
            };
            ports.push(FrontPort { name, endpoint, app_protocol, own });
        }
        let Asked { uid, function, families, .. } = asked;
        let front = Front { uid, function, families, ports };
        let is_changed = of(&front) != before;
        self.fronts.insert(key.clone(), front);
        Ok(is_changed)
    }

    /// A Service asks for none any more.
    pub(super) fn withdraw(&mut self, key: &Key) {
        if let Some(front) = self.fronts.remove(key) {
            front.ports.iter().for_each(|port| self.ports.release(&port.endpoint));
            self.dirty.insert(key.clone());
        }
        self.resting.remove(key);
        self.refusals.remove(key);
    }

    /// The port of the activators that is this endpoint's own.
    pub(super) fn port_of(&self, endpoint: &str) -> Option<u16> {
        self.ports.of(endpoint)
    }

    /// A slice is, or has become, this. The function is returned whose ports are others by that.
    pub(super) fn see(
        &mut self,
        object: EndpointSlices,
        round: u64,
        now: Instant,
    ) -> Option<FunctionName> {
        let (key, slice) = object.kept();
        let service = service_of(&key)?;
        self.dirty.insert(service.clone());
        let before = self.seen.remove(&key);
        before.iter().for_each(|(before, _)| self.count(before, Count::remove, Count::remove));
        self.count(&slice, Count::add, Count::add);
        self.seen.insert(key, (slice, round));
        self.review_absent(now);
        self.adopt(&service)
    }

    /// A slice is gone.
    pub(super) fn lose(&mut self, object: EndpointSlices, now: Instant) {
        self.lose_key(&object.kept().0, now);
    }

    /// Slices in a namespace so covered that were not seen in this round are gone.
    pub(super) fn lose_old(&mut self, round: u64, covers: impl Fn(&str) -> bool, now: Instant) {
        let is_old =
            |(key, (_, of)): &(&Key, &(Slice, u64))| *of != round && covers(key.namespace());
        let old: Vec<Key> = self.seen.iter().filter(is_old).map(|(key, _)| key.clone()).collect();
        for key in old {
            self.lose_key(&key, now);
        }
    }

    /// These are the activators from now on.
    pub(super) fn lead_through(&mut self, activators: Arc<Activators>, now: Instant) {
        let before = std::mem::replace(&mut self.activators, activators);
        if before.each != self.activators.each {
            // Given up, or about to be, were only those whose end nobody saw.
            for address in addresses(&before).filter(|it| self.addresses_named.has(it)) {
                self.absent.insert(address, Some(now + LEFT));
            }
            self.review_absent(now);
            self.dirty.extend(self.fronts.keys().cloned());
        }
    }

    /// When [`Slices::pass_time`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let absent = self.absent.values().flatten();
        absent.chain(self.resting.values()).min().copied()
    }

    /// Does what time alone demands.
    pub(super) fn pass_time(&mut self, now: Instant) {
        for until in self.absent.values_mut() {
            if until.is_some_and(|until| until <= now) {
                *until = None;
                self.dirty.extend(self.fronts.keys().cloned());
            }
        }
        let rested = self.resting.extract_if(.., |_, until| *until <= now);
        self.dirty.extend(rested.map(|(key, _)| key));
    }

    /// Whether [`Slices::next`] may have a write.
    pub(super) fn has_work(&self) -> bool {
        self.writing.len() < WRITES_MAX && self.dirty.iter().any(|key| self.is_free(key))
    }

    /// The next write, of the Service whose function holds most requests.
    pub(super) fn next(&mut self) -> Option<Write> {
        if !self.has_work() {
            return None;
        }
        let held = |key: &Key| {
            let front = self.fronts.get(key)?;
            self.activators.held.get(&front.function).copied()
        };
        // Sorted once: of ten thousand Services, most may turn out to need no write.
        let free = self.dirty.iter().filter(|key| self.is_free(key));
        let mut free: Vec<Key> = free.cloned().collect();
        free.sort_by_cached_key(held);
        while let Some(key) = free.pop() {
            self.dirty.remove(&key);
            if let Some(write) = self.plan(&key) {
                self.writing.insert(key, write.activators.clone());
                return Some(write);
            }
        }
        None
    }

    /// A write was carried out, and the slice is as answered; or it is gone.
    pub(super) fn written(
        &mut self,
        write: &Write,
        answer: Option<EndpointSlices>,
        round: u64,
        now: Instant,
    ) -> Option<FunctionName> {
        self.writing.remove(&write.service);
        self.refusals.remove(&write.service);
        self.dirty.insert(write.service.clone());
        match answer {
            Some(object) => self.see(object, round, now),
            None => {
                self.lose_key(&write.slice, now);
                None
            }
        }
    }

    /// A write was refused; after that pause, at least, everything is looked at again. Returns how
    /// often in a row that was so.
    pub(super) fn refused(&mut self, write: &Write, pause: Duration, now: Instant) -> u32 {
        self.writing.remove(&write.service);
        let times = self.refusals.entry(write.service.clone()).or_default();
        *times = times.saturating_add(1);
        let again = AGAIN * (1 << (*times - 1).min(AGAIN_DOUBLINGS));
        self.resting.insert(write.service.clone(), now + again.max(pause));
        *times
    }

    /// Every address that a slice leads to, or may lead to once a write under way is through; and
    /// the number of the activators by which that was decided.
    pub(super) fn named(&self) -> (u64, BTreeSet<IpAddr>) {
        let writing = self.writing.values().flatten();
        let named = self.addresses_named.0.keys().chain(writing).copied().collect();
        (self.activators.number, named)
    }

    /// Whether nothing keeps the Service from being looked at.
    fn is_free(&self, service: &Key) -> bool {
        !self.writing.contains_key(service) && !self.resting.contains_key(service)
    }

    fn lose_key(&mut self, key: &Key, now: Instant) {
        if let Some((slice, _)) = self.seen.remove(key) {
            self.count(&slice, Count::remove, Count::remove);
            self.review_absent(now);
            self.dirty.extend(service_of(key));
        }
    }

    fn count(
        &mut self,
        slice: &Slice,
        port: fn(&mut Count<u16>, u16),
        address: fn(&mut Count<IpAddr>, IpAddr),
    ) {
        slice.ports().for_each(|(_, number)| port(&mut self.ports_named, number));
        slice.addresses().for_each(|it| address(&mut self.addresses_named, it));
    }

    /// Named addresses that are of no activator are given some time; others need none.
    fn review_absent(&mut self, now: Instant) {
        let live: BTreeSet<IpAddr> = addresses(&self.activators).collect();
        let named = &self.addresses_named;
        self.absent.retain(|address, _| named.has(address) && !live.contains(address));
        for address in named.0.keys().filter(|address| !live.contains(address)) {
            self.absent.entry(*address).or_insert(Some(now + UNHEARD));
        }
    }

    /// The port for one of the Service's endpoints: that of the store, else a new one.
    fn port(&mut self, key: &Key, name: &str, endpoint: &Arc<str>) -> Option<u16> {
        if let Some(stored) = self.stored_port(key, name)
            && self.ports.of(endpoint).is_none()
        {
            self.ports.adopt(endpoint, stored);
        }
        let named = &self.ports_named;
        self.ports.give(endpoint, |port| named.has(&port))
    }

    /// The port that the Service's slices name for a port of that name.
    fn stored_port(&self, service: &Key, name: &str) -> Option<u16> {
        [Family::V4, Family::V6].into_iter().find_map(|family| {
            let (slice, _) = self.seen.get(&slice::key(service, family))?;
            slice.ports().find(|(its, _)| *its == name).map(|(_, number)| number)
        })
    }

    /// Another autoscaler gave a Service another port: what the slice says counts.
    fn adopt(&mut self, service: &Key) -> Option<FunctionName> {
        let front = self.fronts.get(service)?;
        let others = front.ports.iter().enumerate().filter_map(|(index, port)| {
            let stored = self.stored_port(service, &port.name)?;
            (stored != port.own).then_some((index, stored))
        });
        let others: Vec<_> = others.collect();
        let front = self.fronts.get_mut(service)?;
        let mut is_changed = false;
        for (index, stored) in others {
            let port = &mut front.ports[index];
            if self.ports.adopt(&port.endpoint, stored) {
                port.own = stored;
                is_changed = true;
            }
        }
        is_changed.then(|| front.function.clone())
    }

    /// The first write that the Service's slices need.
    fn plan(&self, service: &Key) -> Option<Write> {
        let front = self.fronts.get(service);
        let mut writes = [Family::V4, Family::V6].into_iter().filter_map(|family| {
            let key = slice::key(service, family);
            let seen = self.seen.get(&key).map(|(slice, _)| slice);
            let write = |kind, activators| {
                Some(Write { service: service.clone(), slice: key.clone(), kind, activators })
            };
            let front = front.filter(|front| front.families.have(family));
            let (Some(front), true) = (front, seen.is_none_or(|seen| seen.is_of(family))) else {
                let Slice { uid, resource_version, .. } = seen?.clone();
                return write(Kind::Delete { uid, resource_version }, Vec::new());
            };
            let activators = self.activators_for(front, family, seen)?;
            let wanted = Slice::of(front, service.name(), family, &activators);
            let kind = match seen {
                None => Kind::Create(wanted.body(&key)),
                Some(seen) if seen.is(&wanted) => return None,
                Some(seen) => Kind::Patch(wanted.patch(seen, &key)),
            };
            write(kind, activators.into_iter().collect())
        });
        writes.next()
    }

    /// Whom a Service's slice of that family is to name; none if there is nobody, and the slice, if
    /// there is one, is better left as it is.
    fn activators_for(
        &self,
        front: &Front,
        family_wanted: Family,
        seen: Option<&Slice>,
    ) -> Option<BTreeSet<IpAddr>> {
        let listens = |activator: &&Activator| {
            let mut ports = front.ports.iter();
            ports.all(|port| activator.listening.get(&port.endpoint) == Some(&port.own))
        };
        let able = |standing: Standing| {
            let each = self.activators.each.iter().filter(move |it| it.standing == standing);
            let addresses = each.filter(listens).flat_map(|it| &it.addresses);
            addresses.copied().filter(move |address| family(address) == family_wanted)
        };
        let named: BTreeSet<IpAddr> = seen.into_iter().flat_map(Slice::addresses).collect();
        let mut to_name: BTreeSet<IpAddr> = able(Standing::Stays).collect();
        // Of those not heard of only this is known: where they listened when they were named.
        if seen.is_some_and(|seen| seen.names_ports_of(front)) {
            let is_doubted = |address: &&IpAddr| matches!(self.absent.get(*address), Some(Some(_)));
            to_name.extend(named.iter().filter(is_doubted));
        }
        if to_name.is_empty() {
            // The last one stays: it serves until it is gone.
            to_name.extend(able(Standing::Leaves).filter(|address| named.contains(address)));
        }
        (!to_name.is_empty()).then_some(to_name)
    }
}

impl<T> Default for Count<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Count<T> {
    fn add(&mut self, thing: T) {
        *self.0.entry(thing).or_default() += 1;
    }

    fn remove(&mut self, thing: T) {
        if let Some(count) = self.0.get_mut(&thing) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&thing);
            }
        }
    }

    fn has(&self, thing: &T) -> bool {
        self.0.contains_key(thing)
    }
}

fn addresses(activators: &Activators) -> impl Iterator<Item = IpAddr> {
    activators.each.iter().flat_map(|activator| activator.addresses.iter().copied())
}

/// The Service that a slice of ours is of.
fn service_of(slice: &Key) -> Option<Key> {
    let (service, _) = read_name(slice.name())?;
    Some(Key::new(slice.namespace(), service))
}

#[cfg(test)]
mod tests;
