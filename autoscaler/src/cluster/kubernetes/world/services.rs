//! Services: those that select pods, and those that name a target and are given slices.

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::keys::{ENABLED, SERVICE_TARGET};
use tokio::time::Instant;

use super::directory::ServiceSeen;
use super::{Source, World};
use crate::cluster::kubernetes::api::Refusal;
use crate::cluster::kubernetes::complaints::Regarding;
use crate::cluster::kubernetes::objects::Services;
use crate::cluster::kubernetes::slices::{Asked, AskedPort, EndpointSlices, NoPort, PORTS, Write};
use crate::cluster::kubernetes::watch::Change;
use crate::cluster::workload::{Key, Reading, Service};

/// An Event's reason: a slice of the Service cannot be written.
const NOT_WRITTEN: &str = "SliceNotWritten";

/// Refusals in a row until that is said: one or two are conflicts.
const REFUSALS_SAID: u32 = 3;

impl World {
    /// Takes in what a source of Services tells.
    pub(in crate::cluster::kubernetes) fn service(
        &mut self,
        source: &Source,
        change: Change<Services>,
        now: Instant,
    ) {
        match change {
            Change::Begin => self.begin(source),
            Change::Is(object) => {
                let round = self.round(source);
                let Services { metadata, spec } = object;
                let key = Key::new(&metadata.namespace, &metadata.name);
                let (service, broken) =
                    match Service::read(key.clone(), &metadata.annotations, spec) {
                        Ok(Reading::Leads(service, broken, _)) => (Some(service), broken),
                        Ok(Reading::Unfit(..)) => (None, Vec::new()),
                        Err(rules) => (None, rules),
                    };
                // Those that name a target are judged together with it.
                if service.as_ref().is_none_or(|service| service.target().is_none()) {
                    self.blame(&regarding(&key), &metadata.uid, &broken, now);
                }
                let (uid, broken) = (metadata.uid.into(), broken.into());
                let seen = service.map(|service| ServiceSeen { service, uid, broken, round });
                self.put_service(key, seen, now);
            }
            Change::Gone(Services { metadata, .. }) => {
                let key = Key::new(&metadata.namespace, &metadata.name);
                self.complaints.forget(&regarding(&key));
                self.put_service(key, None, now);
            }
            Change::Synced => {
                let round = self.round(source);
                let is_old = |(key, seen): &(&Key, &ServiceSeen)| {
                    seen.round != round && source.covers(key.namespace())
                };
                let old = self.services.iter().filter(is_old);
                let old: Vec<Key> = old.map(|(key, _)| key.clone()).collect();
                for key in old {
                    self.complaints.forget(&regarding(&key));
                    self.put_service(key, None, now);
                }
                self.synced(source, now);
            }
        }
    }

    /// Takes in what a source of slices tells.
    pub(in crate::cluster::kubernetes) fn slice(
        &mut self,
        source: &Source,
        change: Change<EndpointSlices>,
        now: Instant,
    ) {
        match change {
            Change::Begin => self.begin(source),
            Change::Is(object) => {
                let concerned = self.slices.see(object, self.round(source), now);
                self.tell_ports(concerned);
            }
            Change::Gone(object) => self.slices.lose(object, now),
            Change::Synced => {
                let round = self.round(source);
                self.slices.lose_old(round, |namespace| source.covers(namespace), now);
                self.synced(source, now);
            }
        }
    }

    /// A slice was written, and is as answered; or is gone.
    pub(in crate::cluster::kubernetes) fn slice_written(
        &mut self,
        write: &Write,
        answer: Option<EndpointSlices>,
        now: Instant,
    ) {
        let mut sources = self.sources.iter();
        let is_its = |(source, _): &(&Source, _)| {
            source.listing == super::Listing::Slices && source.covers(write.namespace())
        };
        let round = sources.find(is_its).map_or(0, |(_, round)| round.number);
        let concerned = self.slices.written(write, answer, round, now);
        self.complaints.settle(&regarding(write.service()), NOT_WRITTEN);
        self.tell_ports(concerned);
    }

    /// A slice could not be written. Returns how often in a row that was so for its Service.
    pub(in crate::cluster::kubernetes) fn slice_refused(
        &mut self,
        write: &Write,
        refusal: &Refusal,
        now: Instant,
    ) -> u32 {
        let times = self.slices.refused(write, refusal.pause(), now);
        if times >= REFUSALS_SAID
            && let Some(seen) = self.services.get(write.service())
        {
            let note = format!("nothing leads to its target yet: {write} is refused: {refusal}");
            self.complaints.raise(&regarding(write.service()), NOT_WRITTEN, &seen.uid, note, now);
        }
        times
    }

    /// Judges every Service that names this workload as its target.
    pub(super) fn judge_targeting(&mut self, name: &FunctionName, now: Instant) {
        let targeting: Vec<Key> = self.services.targeting(name).cloned().collect();
        for key in targeting {
            self.judge_service(&key, now);
        }
    }

    /// The same for all workloads. Only once everything is known: a target may be still to come,
    /// and so may the slices, which say what ports were given before.
    pub(super) fn judge_all_targeting(&mut self, now: Instant) {
        let targeting = self.services.iter().filter(|(_, seen)| seen.service.target().is_some());
        let targeting: Vec<Key> = targeting.map(|(key, _)| key.clone()).collect();
        for key in targeting {
            self.judge_service(&key, now);
        }
    }

    fn put_service(&mut self, key: Key, seen: Option<ServiceSeen>, now: Instant) {
        let service = |seen: &ServiceSeen| (seen.service.clone(), seen.uid.clone());
        let after = seen.as_ref().map(service);
        let before = self.services.put(&key, seen).as_ref().map(service);
        if before == after || !self.is_synced() {
            return;
        }
        let changed: Vec<_> = before.into_iter().chain(after).map(|(service, _)| service).collect();
        let first = FunctionName::new(key.namespace(), "");
        let of_namespace = self.slots.range(first..);
        let of_namespace = of_namespace.take_while(|(name, _)| name.namespace() == key.namespace());
        let concerned = of_namespace.filter(|(_, slot)| {
            let mut workloads = slot.workloads.iter().map(|(seen, _)| &seen.workload);
            workloads.any(|workload| changed.iter().any(|service| service.leads_to(workload)))
        });
        let concerned: Vec<_> = concerned.map(|(name, _)| name.clone()).collect();
        for name in concerned {
            self.judge(&name, now);
        }
        self.judge_service(&key, now);
    }

    /// Gives a Service that names its target what it asks for, or says what is wrong with it.
    fn judge_service(&mut self, key: &Key, now: Instant) {
        if !self.is_synced() {
            return;
        }
        let Some(seen) = self.services.get(key) else {
            return self.withdraw(key);
        };
        let Some(target) = seen.service.target().cloned() else {
            return self.withdraw(key);
        };
        let uid = seen.uid.clone();
        match self.asked(seen, &target) {
            Err(rules) => {
                self.withdraw(key);
                self.blame(&regarding(key), &uid, &rules, now);
            }
            Ok(asked) => match self.slices.ask(key, asked) {
                Err(NoPort) => {
                    self.complaints.settle(&regarding(key), NOT_WRITTEN);
                    let (first, last) = (PORTS.start(), PORTS.end());
                    let rule = format!("no port from {first} to {last} is left for it");
                    self.blame(&regarding(key), &uid, &[rule], now);
                    self.tell_ports(Some(target));
                }
                Ok(is_changed) => {
                    self.blame(&regarding(key), &uid, &[], now);
                    self.tell_ports(is_changed.then_some(target));
                }
            },
        }
    }

    /// A Service is to have no slices: that one could not be written is no fault of it any more.
    fn withdraw(&mut self, key: &Key) {
        self.slices.withdraw(key);
        self.complaints.settle(&regarding(key), NOT_WRITTEN);
    }

    /// What a Service that names its target asks for; the error is every rule it breaks.
    fn asked(&self, seen: &ServiceSeen, target: &FunctionName) -> Result<Asked, Vec<String>> {
        let ServiceSeen { service, uid, broken, .. } = seen;
        let rule = |rule: String| Err(vec![format!("{}: {rule}", SERVICE_TARGET.name)]);
        if !broken.is_empty() {
            return Err(broken.to_vec());
        }
        let slot = self.slots.get(target);
        let Some((workload, _)) = slot.and_then(|slot| slot.workloads.first()) else {
            let enabled = ENABLED.name;
            return rule(format!("there is no {target} that says {enabled}: \"true\""));
        };
        let ports = service.fits(&workload.workload)?;
        if slot.is_none_or(|slot| slot.function.is_none()) {
            return rule(format!("{target} is set aside itself; an Event there says why"));
        }
        let ports = ports.iter().map(|port| AskedPort {
            name: port.name.clone(),
            endpoint: service.endpoint_name(port.number),
            app_protocol: port.app_protocol.clone(),
        });
        Ok(Asked {
            uid: uid.to_string(),
            function: target.clone(),
            families: service.families(),
            ports: ports.collect(),
        })
    }

    /// The function's endpoints have other ports than were told.
    fn tell_ports(&mut self, name: Option<FunctionName>) {
        if let Some(name) = name
            && let Some(slot) = self.slots.get_mut(&name)
        {
            slot.is_function_news |= slot.function.is_some();
            self.attend(&name);
        }
    }
}

fn regarding(key: &Key) -> Regarding {
    Regarding {
        namespace: key.namespace().to_owned(),
        name: key.name().to_owned(),
        kind: "Service",
        api_version: "v1",
    }
}
