//! What the activator is told at its start.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
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
    /// Where autoscalers listen, `host:port`. A name leads to as many as it has addresses.
    pub link: Vec<String>,
    /// The file, in PEM, of the authorities of whose certificates autoscalers show one for the host
    /// that was dialled; none = the link is not encrypted.
    pub link_authorities: Option<PathBuf>,
    /// What is shown to autoscalers.
    pub token: Token,
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

/// What is shown to autoscalers.
#[derive(Clone)]
pub enum Token {
    /// This.
    Fixed(String),
    /// What the file holds whenever one is dialled: the kubelet writes a new one before the last
    /// one ends.
    File(PathBuf),
}

impl Token {
    /// Longer ones are no token but another file.
    const BYTES_MAX: u64 = 4096;

    /// The token as it is now.
    pub(crate) fn read(&self) -> Result<String, String> {
        let path = match self {
            Self::Fixed(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let failed = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(Self::BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Ok(text.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    /// Without the token, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
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
    /// The defaults, dialling the autoscalers at `link`.
    #[must_use]
    pub fn new(link: Vec<String>, token: Token, identity: Identity) -> Self {
        Self {
            workers: 2,
            gateway: None,
            admin: None,
            link,
            link_authorities: None,
            token,
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
