//! Which endpoint has which port of the activators.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use dormouse_policy::fingerprint::fnv1a;

/// Below them are the ports that programs usually listen on, above them those that node ports and
/// outgoing connections take.
pub(in crate::cluster::kubernetes) const PORTS: RangeInclusive<u16> = 10_000..=29_999;

/// The ports given out; no two endpoints have the same.
#[derive(Debug, Default)]
pub(super) struct Ports {
    by_endpoint: BTreeMap<Arc<str>, u16>,
    /// All of them.
    given: BTreeSet<u16>,
}

impl Ports {
    /// The endpoint's port.
    pub(super) fn of(&self, endpoint: &str) -> Option<u16> {
        self.by_endpoint.get(endpoint).copied()
    }

    /// The endpoint's port, given to it if it has none; where to begin is a hash of its name, so
    /// that several autoscalers give it the same unless that is taken. None if all are, or are
    /// `avoided`.
    pub(super) fn give(
        &mut self,
        endpoint: &Arc<str>,
        avoided: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        if let Some(port) = self.of(endpoint) {
            return Some(port);
        }
        let count = u64::from(PORTS.end() - PORTS.start()) + 1;
        let offset = u16::try_from(fnv1a(endpoint) % count).unwrap_or(0);
        let first = PORTS.start() + offset;
        let mut from_there = (first..=*PORTS.end()).chain(*PORTS.start()..first);
        let port = from_there.find(|port| !self.given.contains(port) && !avoided(*port))?;
        self.put(endpoint, port);
        Some(port)
    }

    /// Gives the endpoint this port if that is possible, and says whether it is another than
    /// before.
    pub(super) fn adopt(&mut self, endpoint: &Arc<str>, port: u16) -> bool {
        let is_free = PORTS.contains(&port) && !self.given.contains(&port);
        if is_free {
            self.release(endpoint);
            self.put(endpoint, port);
        }
        is_free
    }

    /// The endpoint needs none any more.
    pub(super) fn release(&mut self, endpoint: &str) {
        if let Some(port) = self.by_endpoint.remove(endpoint) {
            self.given.remove(&port);
        }
    }

    fn put(&mut self, endpoint: &Arc<str>, port: u16) {
        self.by_endpoint.insert(Arc::clone(endpoint), port);
        self.given.insert(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_own_port_and_keeps_it_until_all_are_used_up() {
        let mut ports = Ports::default();
        for number in PORTS {
            let endpoint = Arc::from(format!("shop/{number}:80"));
            let port = ports.give(&endpoint, |_| false).unwrap();
            assert!(PORTS.contains(&port));
            assert_eq!(ports.give(&endpoint, |_| false), Some(port));
        }
        assert_eq!(ports.given.len(), PORTS.count());
        assert_eq!(ports.give(&"shop/late:80".into(), |_| false), None);
        let freed = ports.of("shop/10000:80");
        ports.release("shop/10000:80");
        assert_eq!(ports.give(&"shop/late:80".into(), |_| false), freed);
    }

    #[test]
    fn the_same_name_begins_at_the_same_port_and_passes_by_what_is_avoided() {
        let give =
            |avoided: u16| Ports::default().give(&"shop/cart:80".into(), |port| port == avoided);
        let first = give(0).unwrap();
        assert_eq!(give(0), Some(first));
        assert_ne!(give(first), Some(first));
    }

    #[test]
    fn a_port_is_adopted_only_if_it_is_free_and_one_of_ours() {
        let mut ports = Ports::default();
        let other = ports.give(&"shop/other:80".into(), |_| false).unwrap();
        let before = ports.give(&"shop/cart:80".into(), |_| false).unwrap();
        for port in [other, before, 80, 30_000] {
            assert!(!ports.adopt(&"shop/cart:80".into(), port), "{port}");
        }
        let free = PORTS.into_iter().find(|port| *port != other && *port != before).unwrap();
        assert!(ports.adopt(&"shop/cart:80".into(), free));
        assert_eq!(ports.of("shop/cart:80"), Some(free));
        assert!(ports.adopt(&"shop/cart:80".into(), before), "it was given back");
    }
}
