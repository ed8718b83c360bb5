//! Who claimed a host, an endpoint or a port first.

use std::collections::BTreeSet;
use std::sync::Arc;

use dormouse_policy::function::{Function, FunctionName};

/// The lowest Service port that becomes a listener of the same number; those below need rights.
const OWN_PORT_MIN: u16 = 1024;

/// Something only one function can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A host name at the gateway.
    Host(Arc<str>),
    /// A Service port: two workloads selected by one Service.
    Endpoint(Arc<str>),
}

/// Age order of the claimants.
type Claimant = (u64, FunctionName);

/// All claims. The oldest claimant of each has it, also while it is itself set aside for another:
/// what a function has then depends on its elders alone, not on theirs.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Each thing with each of its claimants, the oldest of a thing first.
    things: BTreeSet<(Claim, Claimant)>,
    /// The same of Service ports, with the index of the endpoint.
    ports: BTreeSet<(u16, Claimant, usize)>,
}

impl Claims {
    /// Enters what a function claims and returns the other functions concerned.
    pub(super) fn add(&mut self, function: &Function) -> BTreeSet<FunctionName> {
        let claimant = claimant(function);
        self.things.extend(claims(function).map(|claim| (claim, claimant.clone())));
        self.ports.extend(ports(function).map(|(index, port)| (port, claimant.clone(), index)));
        self.concerned(function)
    }

    /// Strikes what a function claimed and returns the other functions concerned.
    pub(super) fn remove(&mut self, function: &Function) -> BTreeSet<FunctionName> {
        let concerned = self.concerned(function);
        let claimant = claimant(function);
        for claim in claims(function) {
            self.things.remove(&(claim, claimant.clone()));
        }
        for (index, port) in ports(function) {
            self.ports.remove(&(port, claimant.clone(), index));
        }
        concerned
    }

    /// The first thing the function claims that an older one has, and that one's name.
    pub(super) fn conflict(&self, function: &Function) -> Option<(Claim, FunctionName)> {
        claims(function).find_map(|claim| {
            let holder = self.claimants(claim.clone()).next()?.clone();
            (holder != function.name).then_some((claim, holder))
        })
    }

    /// The functions that claim a thing, the oldest first.
    pub(super) fn claimants(&self, claim: Claim) -> impl Iterator<Item = &FunctionName> {
        let claimants = self.things.range((claim.clone(), before_all())..);
        claimants.take_while(move |(it, _)| *it == claim).map(|(_, (_, name))| name)
    }

    /// Whether the endpoint of that index has its Service port's own number for its listener.
    pub(super) fn has_port(&self, function: &Function, index: usize) -> bool {
        let port = function.endpoints.get(index).map(|it| it.service_port);
        let first = port.and_then(|port| self.claimants_of_port(port).next());
        first == Some((&function.name, index))
    }

    fn claimants_of_port(&self, port: u16) -> impl Iterator<Item = (&FunctionName, usize)> {
        let claimants = self.ports.range((port, before_all(), 0)..);
        let claimants = claimants.take_while(move |(it, ..)| *it == port);
        claimants.map(|(_, (_, name), index)| (name, *index))
    }

    fn concerned(&self, function: &Function) -> BTreeSet<FunctionName> {
        let others = claims(function).flat_map(|claim| self.claimants(claim));
        let others = others.filter(|name| **name != function.name);
        // Of a port, which ten thousand may claim, it is the next in line alone.
        let next = ports(function).filter_map(|(_, port)| {
            let mut claimants = self.claimants_of_port(port).map(|(name, _)| name);
            claimants.find(|name| **name != function.name)
        });
        others.chain(next).cloned().collect()
    }
}

/// Sorts before every claimant, for no namespace begins with a slash or what is below it.
fn before_all() -> Claimant {
    (0, FunctionName::new("", ""))
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
