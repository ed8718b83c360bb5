//! A worker's connections to pods: reused while fresh, looked at before, cut when an answer broke.
//!
//! What this module promises is the difference between "nothing was delivered" and "may have been":
//! a request comes back in [`Failed::NotDelivered`] only if not one byte of it was written.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::body::{ClientBody, Connection};
use crate::network::{Look, Network, Peer, Stream};

/// Longest idle time of a connection that is used again. Servers close idle connections after 2 s
/// at the earliest among the common ones (Node 5 s, gunicorn 2 s, Go none); a request sent into the
/// closing of one would be lost without anyone's fault.
const IDLE_MAX: Duration = Duration::from_millis(1_500);

/// Most idle connections kept to one pod by one worker: more than a pod's share of a burst only
/// holds sockets for nothing.
const IDLE_PER_POD_MAX: usize = 256;

/// A worker's connections to pods.
pub(crate) struct Upstream<N: Network> {
    network: N,
    connect_timeout: Duration,
    idle: RefCell<HashMap<SocketAddr, Vec<Idle<N>>>>,
    /// Told when a connection becomes idle, so that the sweep has a reason to run.
    has_idle: Notify,
    /// The tasks that drive connections; each is cut with its [`Link`] at the latest.
    tasks: TaskTracker,
}

struct Idle<N: Network> {
    link: Link<N>,
    since: Instant,
}

/// One connection.
struct Link<N: Network> {
    sender: SendRequest<ClientBody>,
    peer: <N::Stream as Stream>::Peer,
    /// Cuts the connection. hyper keeps one open for ever whose answer came before its request's
    /// body was sent (hyperium/hyper#4176).
    task: AbortHandle,
}

impl<N: Network> Drop for Link<N> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Not one byte was written: the request is as it was.
    NotDelivered(Box<Request<ClientBody>>, io::Error),
    /// It may have been delivered.
    Ambiguous(hyper::Error),
}

/// An answer and the connection it comes over.
pub(crate) struct Answered<N: Network> {
    /// Head and body.
    pub(crate) response: Response<Incoming>,
    /// The connection; dropping it cuts it.
    pub(crate) connection: Checkout<N>,
}

/// A connection in use for one request.
pub(crate) struct Checkout<N: Network> {
    link: Option<Link<N>>,
    address: SocketAddr,
    upstream: Rc<Upstream<N>>,
}

impl<N: Network> fmt::Debug for Checkout<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<N: Network> Connection for Checkout<N> {
    fn whole(&mut self) {
        if let Some(link) = self.link.take() {
            self.upstream.give_back(self.address, link);
        }
    }
}

impl<N: Network> Upstream<N> {
    /// No connections yet.
    pub(crate) fn new(network: N, connect_timeout: Duration) -> Self {
        Self {
            network,
            connect_timeout,
            idle: RefCell::default(),
            has_idle: Notify::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Sends `request` to the pod at `address` and waits for the head of its answer. Dropping the
    /// future cuts the connection.
    pub(crate) async fn send(
        self: &Rc<Self>,
        address: SocketAddr,
        mut request: Request<ClientBody>,
    ) -> Result<Answered<N>, Failed> {
        loop {
            let (link, fresh) = match self.take_idle(address) {
                Some(link) => (link, false),
                None => match self.connect(address).await {
                    Ok(link) => (link, true),
                    Err(error) => return Err(Failed::NotDelivered(Box::new(request), error)),
                },
            };
            let mut checkout = Checkout { link: Some(link), address, upstream: Rc::clone(self) };
            let link = checkout.link.as_mut().expect("it was just put there");
            match link.sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Answered { response, connection: checkout });
                }
                Err(mut error) => match error.take_message() {
                    // The pod closed an idle connection just before: try the next one.
                    Some(unsent) if !fresh => request = unsent,
                    Some(unsent) => {
                        let error = io::Error::other(error.into_error());
                        return Err(Failed::NotDelivered(Box::new(unsent), error));
                    }
                    None => return Err(Failed::Ambiguous(error.into_error())),
                },
            }
        }
    }

    /// Cuts idle connections as they grow too old, for as long as it is polled.
    pub(crate) async fn sweep(&self) {
        loop {
            if self.idle.borrow().is_empty() {
                self.has_idle.notified().await;
            }
            tokio::time::sleep(IDLE_MAX / 2).await;
            self.idle.borrow_mut().retain(|_, links| {
                links.retain(|idle| !idle.link.sender.is_closed() && !idle.is_too_old());
                !links.is_empty()
            });
        }
    }

    fn take_idle(&self, address: SocketAddr) -> Option<Link<N>> {
        let mut idle = self.idle.borrow_mut();
        let links = idle.get_mut(&address)?;
        // Latest first: it is the least likely to be closing, and the rest can grow old.
        let mut at = links.len();
        while at > 0 {
            at -= 1;
            let candidate = &links[at];
            if candidate.is_too_old() || candidate.link.sender.is_closed() {
                links.swap_remove(at);
            } else if candidate.link.sender.is_ready() {
                let link = links.swap_remove(at).link;
                // Bytes nobody asked for are as bad as an end: what they answer is unknowable.
                if link.peer.look() == Look::Quiet {
                    return Some(link);
                }
            }
        }
        None
    }

    fn give_back(&self, address: SocketAddr, link: Link<N>) {
        if link.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(address).or_default();
        if links.len() < IDLE_PER_POD_MAX {
            links.push(Idle { link, since: Instant::now() });
            self.has_idle.notify_one();
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Link<N>> {
        let stream = timeout(self.connect_timeout, self.network.connect(address)).await??;
        let peer = stream.peer();
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let task = self.tasks.spawn_local(async move {
            // Whoever waits for an answer on it is told by the sender; nobody else wants to know.
            drop(connection.with_upgrades().await);
        });
        Ok(Link { sender, peer, task: task.abort_handle() })
    }
}

impl<N: Network> Idle<N> {
    fn is_too_old(&self) -> bool {
        self.since.elapsed() >= IDLE_MAX
    }
}
