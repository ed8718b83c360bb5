//! Who claimed a host, an endpoint or a port first.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_policy::function::{Function, FunctionName};

/// The lowest Service port that becomes a listener of the same number; those below need rights.
const OWN_PORT_MIN: u16 = 1024;

/// Something only one function can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A host name at the gateway.
    Host(String),
    /// A Service port: two workloads selected by one Service.
    Endpoint(String),
}

/// Age order of the claimants.
type Claimant = (u64, FunctionName);

/// All claims. The oldest claimant of each has it, also while it is itself set aside for another:
/// what a function has then depends on its elders alone, not on theirs.
#[derive(Debug, Default)]
pub(super) struct Claims {
    things: BTreeMap<Claim, Claimants<Claimant>>,
    ports: BTreeMap<u16, Claimants<(Claimant, usize)>>,
}

/// Who claims one thing, the oldest first. Mostly one, who takes no more room than that.
type Claimants<C> = Vec<C>;

impl Claims {
    /// Enters what a function claims and returns the other functions concerned.
    pub(super) fn add(&mut self, function: &Function) -> BTreeSet<FunctionName> {
        let claimant = claimant(function);
        for claim in claims(function) {
            enter(&mut self.things, claim, claimant.clone());
        }
        for (index, port) in ports(function) {
            enter(&mut self.ports, port, (claimant.clone(), index));
        }
        self.concerned(function)
    }

    /// Strikes what a function claimed and returns the other functions concerned.
    pub(super) fn remove(&mut self, function: &Function) -> BTreeSet<FunctionName> {
        let concerned = self.concerned(function);
        let claimant = claimant(function);
        for claim in claims(function) {
            strike(&mut self.things, &claim, &claimant);
        }
        for (index, port) in ports(function) {
            strike(&mut self.ports, &port, &(claimant.clone(), index));
        }
        concerned
    }

    /// The first thing the function claims that an older one has, and that one's name.
    pub(super) fn conflict(&self, function: &Function) -> Option<(Claim, FunctionName)> {
        claims(function).find_map(|claim| {
            let (_, holder) = self.things.get(&claim)?.first()?;
            (*holder != function.name).then(|| (claim, holder.clone()))
        })
    }

    /// The functions that claim an endpoint.
    pub(super) fn claimants(&self, endpoint: &str) -> impl Iterator<Item = &FunctionName> {
        let claimants = self.things.get(&Claim::Endpoint(endpoint.to_owned()));
        claimants.into_iter().flatten().map(|(_, name)| name)
    }

    /// Whether the endpoint of that index has its Service port's own number for its listener.
    pub(super) fn has_port(&self, function: &Function, index: usize) -> bool {
        let port = function.endpoints.get(index).map(|it| it.service_port);
        let claimants = port.and_then(|port| self.ports.get(&port));
        let first = claimants.and_then(|claimants| claimants.first());
        first.is_some_and(|((_, name), first)| *name == function.name && *first == index)
    }

    fn concerned(&self, function: &Function) -> BTreeSet<FunctionName> {
        let things = claims(function).filter_map(|claim| self.things.get(&claim));
        let others = things.flatten().map(|(_, name)| name).filter(|name| **name != function.name);
        // Of a port, which ten thousand may claim, it is the next in line alone.
        let next = ports(function).filter_map(|(_, port)| {
            let mut claimants = self.ports.get(&port)?.iter().map(|((_, name), _)| name);
            claimants.find(|name| **name != function.name)
        });
        others.chain(next).cloned().collect()
    }
}

/// Enters a claimant of a thing.
fn enter<K: Ord, C: Ord>(claimed: &mut BTreeMap<K, Claimants<C>>, thing: K, claimant: C) {
    let claimants = claimed.entry(thing).or_insert_with(|| Vec::with_capacity(1));
    if let Err(at) = claimants.binary_search(&claimant) {
        claimants.insert(at, claimant);
    }
}

/// Strikes one claimant of a thing, and the thing with the last.
fn strike<K: Ord, C: Ord>(claimed: &mut BTreeMap<K, Claimants<C>>, thing: &K, claimant: &C) {
    if let Some(claimants) = claimed.get_mut(thing) {
        if let Ok(at) = claimants.binary_search(claimant) {
            claimants.remove(at);
        }
        if claimants.is_empty() {
            claimed.remove(thing);
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Endpoint(endpoint) => write!(f, "Service port {endpoint}"),
        }
    }
}

fn claimant(function: &Function) -> Claimant {
    (function.created, function.name.clone())
}

fn claims(function: &Function) -> impl Iterator<Item = Claim> {
    function.endpoints.iter().flat_map(|endpoint| {
        let hosts = endpoint.hosts.iter().cloned().map(Claim::Host);
        hosts.chain([Claim::Endpoint(endpoint.name.clone())])
    })
}

fn ports(function: &Function) -> impl Iterator<Item = (usize, u16)> {
    let ports = function.endpoints.iter().map(|it| it.service_port);
    ports.enumerate().filter(|(_, port)| *port >= OWN_PORT_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::world::function;

    #[test]
    fn of_many_that_claim_one_port_few_are_concerned() {
        let mut claims = Claims::default();
        let all: Vec<Function> = (0..1_000).map(|n| function(&format!("f{n:04}"), &[])).collect();
        let concerned = all.iter().map(|function| claims.add(function).len());
        assert_eq!(concerned.max(), Some(1));
        assert!(claims.has_port(&all[0], 0) && !claims.has_port(&all[1], 0));
        let next = claims.remove(&all[0]);
        assert_eq!(next.into_iter().collect::<Vec<_>>(), [all[1].name.clone()]);
        assert!(claims.has_port(&all[1], 0));
        for function in &all[1..] {
            claims.remove(function);
        }
        assert!(claims.things.is_empty() && claims.ports.is_empty());
    }
}
