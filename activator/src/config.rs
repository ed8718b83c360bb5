//! What the activator is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dormouse_link::activator_side::Identity;
use dormouse_policy::admission::Amount;

/// What the activator is told at its start. Defaults stand in [`Config::new`], each with its
/// reason.
#[derive(Clone, Debug)]
pub struct Config {
    /// Data-plane threads, at least 1.
    pub workers: usize,
    /// Where requests are routed by Host; none = no such listener.
    pub gateway: Option<Gateway>,
    /// Where `/metrics`, `/livez` and `/readyz` are answered; none = nowhere. Port 0 = any free
    /// one.
    pub admin: Option<SocketAddr>,
    /// Where the autoscaler listens, `host:port`.
    pub link: String,
    /// Who this activator says it is.
    pub identity: Identity,
    /// The addresses at which it is reached by whoever can reach a pod: Services of their own
    /// ports may lead there. None = none does.
    pub reached_at: Vec<IpAddr>,
    /// Longest request head, in bytes; beyond it a client gets 431. At least 8 192.
    pub header_bytes_max: usize,
    /// Longest wait for a whole request head, and for the next request of an idle connection.
    pub header_read_timeout: Duration,
    /// Longest wait for a TCP connection to a pod.
    pub connect_timeout: Duration,
    /// How long after the drain began connections are still accepted, each answer saying
    /// `Connection: close`: what routers in front need to look elsewhere.
    pub drain_delay: Duration,
    /// How long open requests may take to end once listeners are closed.
    pub drain_timeout: Duration,
    /// Most requests held at once over all functions, and the memory they may keep.
    pub held_max: Amount,
}

/// The gateway's listener.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    /// The wanted address; port 0 = any free one.
    pub address: SocketAddr,
    /// Whether another port will do if that one is taken.
    pub if_taken: IfTaken,
}

/// What to do when a wanted port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    /// Take any free one.
    AnyFree,
    /// Fail.
    Fail,
}

impl Config {
    /// The defaults, dialling the autoscaler at `link`.
    #[must_use]
    pub fn new(link: String, identity: Identity) -> Self {
        Self {
            workers: 2,
            gateway: None,
            admin: None,
            link,
            identity,
            reached_at: Vec::new(),
            // What common servers and clouds' balancers allow at most; larger heads are attacks.
            header_bytes_max: 64 * 1024,
            // Slower than any honest client; a slow one would hold a connection for ever. It also
            // bounds idle keep-alive, where it is the usual balancer's figure.
            header_read_timeout: Duration::from_secs(60),
            // A SYN lost once is sent again after one second; a pod that lost two is not there.
            connect_timeout: Duration::from_secs(2),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            // A busy minute of a large cluster's cold starts, and the memory a small pod has.
            held_max: Amount { requests: 10_000, bytes: 64 * 1024 * 1024 },
        }
    }
}
