//! Tries pods that might take requests: connect, then the workload's own probe.
//!
//! While something is held a pod is tried every few milliseconds, so that its readiness is known at
//! once rather than at its manager's next look; else at leisure. One try at a time per pod, and
//! none for a pod whose readiness cannot be tried from outside.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dormouse_policy::function::{FunctionName, HttpGet, Probe};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::network::Network;
use crate::pod::Pod;

/// Pause between tries while requests are held. A connect on one network costs some 50 µs, so this
/// is 1 % of a core for a pod in its start, and on the median half of it is added to a wake.
const PAUSE_HELD: Duration = Duration::from_millis(5);

/// Pause between tries while nothing is held.
const PAUSE_IDLE: Duration = Duration::from_millis(250);

/// Longest wait for a plain connect: a SYN lost once is sent again after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How hastily the pods of one function are tried.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    held: Cell<bool>,
    hurry: Notify,
}

impl Pace {
    /// Requests are held, or none are any more.
    pub(crate) fn set_held(&self, held: bool) {
        if held && !self.held.replace(held) {
            self.hurry.notify_waiters();
        }
        self.held.set(held);
    }

    async fn pause(&self) {
        if self.held.get() {
            return sleep(PAUSE_HELD).await;
        }
        tokio::select! {
            () = sleep(PAUSE_IDLE) => {}
            () = self.hurry.notified() => {}
        }
    }
}

/// The pods being tried.
pub(crate) struct Prober<N> {
    network: N,
    tries: JoinSet<Found>,
    /// The try of each pod, to end it when the pod goes. In another namespace another pod may have
    /// its name.
    handles: HashMap<(FunctionName, String), AbortHandle>,
}

/// A pod that was tried with success.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its function.
    pub(crate) function: FunctionName,
    /// The pod.
    pub(crate) pod: Arc<Pod>,
}

impl<N: Network> Prober<N> {
    /// Nothing being tried.
    pub(crate) fn new(network: N) -> Self {
        Self { network, tries: JoinSet::new(), handles: HashMap::new() }
    }

    /// Tries `pod` until it takes requests, unless it is being tried already.
    pub(crate) fn start(
        &mut self,
        function: &FunctionName,
        pod: &Arc<Pod>,
        probe: &Probe,
        pace: &Rc<Pace>,
    ) {
        let key = (function.clone(), pod.name.clone());
        if self.handles.contains_key(&key) {
            return;
        }
        let (network, probe) = (self.network.clone(), probe.clone());
        let (function, pod, pace) = (function.clone(), Arc::clone(pod), Rc::clone(pace));
        let handle = self.tries.spawn_local(async move {
            while try_once(&network, &pod.addresses, &probe).await.is_err() {
                pace.pause().await;
            }
            Found { function, pod }
        });
        self.handles.insert(key, handle);
    }

    /// Ends the tries of a function's pod.
    pub(crate) fn stop(&mut self, function: &FunctionName, pod: &Pod) {
        if let Some(handle) = self.handles.remove(&(function.clone(), pod.name.clone())) {
            handle.abort();
        }
    }

    /// Waits for the next pod that takes requests. Cancel safe.
    pub(crate) async fn next(&mut self) -> Found {
        loop {
            match self.tries.join_next().await {
                Some(Ok(found)) => {
                    self.handles.remove(&(found.function.clone(), found.pod.name.clone()));
                    return found;
                }
                // Ended with its pod.
                Some(Err(_)) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }
}

async fn try_once(
    network: &impl Network,
    addresses: &[SocketAddr],
    probe: &Probe,
) -> io::Result<()> {
    // Every port has to accept: a request may come for any.
    for &address in addresses {
        within(CONNECT_TIMEOUT, network.connect(address)).await?;
    }
    let address = |pod_port: usize| {
        addresses.get(pod_port).copied().ok_or_else(|| io::Error::other("no such pod port"))
    };
    match probe {
        Probe::Connect | Probe::Reported => Ok(()),
        Probe::Tcp { pod_port, timeout_ms } => {
            let connected = network.connect(address(*pod_port)?);
            within(Duration::from_millis(*timeout_ms), connected).await.map(drop)
        }
        Probe::Http(probe) => {
            let got = get(network, address(probe.pod_port)?, probe);
            within(Duration::from_millis(probe.timeout_ms), got).await
        }
    }
}

async fn within<T>(bound: Duration, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(bound, doing).await?
}

/// One HTTP probe, as kubelet makes it: any status from 200 to 399 is readiness.
async fn get(network: &impl Network, address: SocketAddr, probe: &HttpGet) -> io::Result<()> {
    let request = probe_request(address, probe).map_err(io::Error::other)?;
    let stream = network.connect(address).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(io::Error::other(format!("the probe answered {status}")))
        }
    };
    tokio::select! {
        biased;
        answered = answered => answered,
        ended = connection => match ended {
            Ok(()) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

fn probe_request(address: SocketAddr, probe: &HttpGet) -> http::Result<Request<Empty<Bytes>>> {
    let HttpGet { path, host, headers, .. } = probe;
    let host = host.clone().unwrap_or_else(|| address.to_string());
    let mut request = Request::get(path.parse::<Uri>()?)
        .header(HOST, HeaderValue::try_from(host)?)
        .header(USER_AGENT, HeaderValue::from_static("kube-probe/dormouse"))
        .header(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in headers {
        request = request.header(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    request.body(Empty::new())
}
