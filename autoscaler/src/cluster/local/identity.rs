//! What tells one replica from another: its name and the loopback ports that are its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use dormouse_policy::function::{Function, WorkloadKind};

/// Letters and digits of a Deployment's pod names: no vowels, so that no words appear.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of the part of a Deployment's pod name that tells it from its siblings.
const SUFFIX_LENGTH: u32 = 5;

/// Number of suffixes there are.
const SUFFIXES: u32 = 27_u32.pow(SUFFIX_LENGTH);

/// Added to get from one suffix to the next: it shares no divisor with [`SUFFIXES`], so that every
/// suffix comes once before any comes again, and is large enough for neighbours to look unlike.
const SUFFIX_STEP: u32 = 8_872_111;

/// Lowest port given to a replica; below it are the numbers that people choose for services.
const PORT_MIN: u16 = 20_000;

/// Fewest ports between [`PORT_MIN`] and the ephemeral range for which it is worth staying below.
const PORTS_MIN: u16 = 2_000;

/// How far apart processes of neighbouring numbers begin to hand out ports.
const PORTS_APART: u32 = 97;

/// Where the kernel tells its ephemeral range.
const EPHEMERAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A new replica's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Never given to another replica.
    pub(super) name: String,
    /// The name the replica knows itself by: for a StatefulSet, it stays over restarts.
    pub(super) hostname: String,
    /// One loopback port per pod port of the function.
    pub(super) ports: Vec<u16>,
}

impl Identity {
    /// Where it listens, once it does.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |&port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.ports.iter().map(address).collect()
    }
}

/// Gives new replicas their identities.
pub(super) trait Draw {
    /// A new identity, of this ordinal for a StatefulSet; the error is one sentence for people.
    fn draw(&mut self, function: &Function, ordinal: Option<u32>) -> Result<Identity, String>;

    /// The replica that had these ports is gone.
    fn give_back(&mut self, ports: &[u16]);
}

/// Identities on this machine.
pub(super) struct Identities {
    suffix: u32,
    incarnation: u64,
    ports: Ports,
}

impl Identities {
    /// `seed` varies the names between runs.
    pub(super) fn new(seed: u32, process: u32) -> Self {
        Self { suffix: seed % SUFFIXES, incarnation: 0, ports: Ports::new(process) }
    }

    fn next_suffix(&mut self) -> String {
        self.suffix = (self.suffix + SUFFIX_STEP) % SUFFIXES;
        let mut rest = self.suffix as usize;
        let mut suffix = String::new();
        for _ in 0..SUFFIX_LENGTH {
            suffix.push(char::from(ALPHABET[rest % ALPHABET.len()]));
            rest /= ALPHABET.len();
        }
        suffix
    }
}

impl Draw for Identities {
    fn draw(&mut self, function: &Function, ordinal: Option<u32>) -> Result<Identity, String> {
        let ports = self.ports.take(function.pod_ports.len())?;
        let workload = function.name.name();
        let (name, hostname) = match (function.kind, ordinal) {
            (WorkloadKind::StatefulSet, Some(ordinal)) => {
                self.incarnation += 1;
                let hostname = format!("{workload}-{ordinal}");
                (format!("{hostname}.{}", self.incarnation), hostname)
            }
            _ => {
                let name = format!("{workload}-{}", self.next_suffix());
                (name.clone(), name)
            }
        };
        Ok(Identity { name, hostname, ports })
    }

    fn give_back(&mut self, ports: &[u16]) {
        for port in ports {
            self.ports.taken.remove(port);
        }
    }
}

/// Free loopback ports, in turn.
///
/// They lie outside the ephemeral range: a replica binds its port some time after it was chosen,
/// and in between neither an outgoing connection nor anyone's port 0 can land there.
struct Ports {
    /// First port and number of ports; none if the ephemeral range leaves too few.
    range: Option<(u16, u16)>,
    next: u16,
    /// Of replicas that are not gone: theirs even while they do not listen yet.
    taken: BTreeSet<u16>,
}

impl Ports {
    fn new(process: u32) -> Self {
        let ephemeral_min = fs::read_to_string(EPHEMERAL_RANGE)
            .ok()
            .and_then(|range| range.split_ascii_whitespace().next()?.parse::<u16>().ok());
        let count = ephemeral_min.map_or(0, |min| min.saturating_sub(PORT_MIN));
        let range = (count >= PORTS_MIN).then_some((PORT_MIN, count));
        let next = process.wrapping_mul(PORTS_APART) % u32::from(count.max(1));
        Self { range, next: u16::try_from(next).unwrap_or(0), taken: BTreeSet::new() }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u16>, String> {
        let mut ports = Vec::new();
        while ports.len() < count {
            match self.find() {
                Some(port) => {
                    self.taken.insert(port);
                    ports.push(port);
                }
                None => {
                    for port in &ports {
                        self.taken.remove(port);
                    }
                    return Err("no free loopback port is left".to_owned());
                }
            }
        }
        Ok(ports)
    }

    fn find(&mut self) -> Option<u16> {
        let Some((min, count)) = self.range else {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            return Some(listener.local_addr().ok()?.port());
        };
        for _ in 0..count {
            let port = min + self.next;
            self.next = (self.next + 1) % count;
            if !self.taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_do_not_repeat() {
        let mut identities = Identities::new(7, 0);
        let suffixes: BTreeSet<_> = (0..100_000).map(|_| identities.next_suffix()).collect();
        assert_eq!(suffixes.len(), 100_000);
    }

    #[test]
    fn a_port_in_use_or_handed_out_is_passed_over() {
        let mut ports = Ports::new(1);
        let first = ports.take(2).unwrap();
        ports.next = ports.range.map_or(0, |(min, _)| first[0] - min);
        let second = ports.take(2).unwrap();
        assert!(first.iter().all(|port| !second.contains(port)));
    }
}
