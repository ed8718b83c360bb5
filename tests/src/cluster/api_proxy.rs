//! An API server that is slow, fails, or is away: a proxy in front of the real one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::background::Background;
use super::control_plane::{Identity, connect, write};
use super::{Cluster, HOST};

/// So many calls are remembered; a test that needs more counts in its rule.
const CALLS_MAX: usize = 100_000;

/// A call as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PATCH` …
    pub method: String,
    /// Path and query.
    pub path: String,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It is passed on after so long.
    Delay(Duration),
    /// It is answered with this status and, if given, `Retry-After` in seconds.
    Fail(u16, Option<u32>),
    /// Its connection is closed without an answer.
    Hang,
}

/// Whether anybody reaches the API server through the proxy at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Open,
    Cut,
}

type Rule = Box<dyn Fn(&Call) -> Fate + Send>;
type Body = Either<Full<Bytes>, kube::client::Body>;

struct Shared {
    upstream: Client,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
}

/// A running proxy; its callers keep their own identity. It ends with the value.
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    line: watch::Sender<Line>,
    _task: Background,
}

impl ApiProxy {
    /// Starts one in the cluster's network; all calls pass.
    ///
    /// # Panics
    /// If it cannot listen there.
    #[must_use]
    pub fn start(cluster: &Cluster) -> Self {
        let (line, on_line) = watch::channel(Line::Open);
        let kubeconfig = cluster.control_plane.kubeconfig("admin");
        let (task, (address, shared)) =
            Background::start(cluster.namespaces(), |started| async move {
                let listener = TcpListener::bind((HOST, 0)).await.expect("a port is free");
                let address = listener.local_addr().expect("it is bound");
                let shared = Arc::new(Shared {
                    upstream: connect(&kubeconfig, Identity::OfTheRequest).await,
                    rule: Mutex::new(Box::new(|_| Fate::Pass)),
                    calls: Mutex::new(Vec::new()),
                });
                started.send((address, Arc::clone(&shared))).expect("the test waits for it");
                accept(listener, shared, on_line).await;
            });
        Self { address, shared, line, _task: task }
    }

    /// Where it listens, without TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on every call meets the fate that `rule` gives it.
    pub fn rule(&self, rule: impl Fn(&Call) -> Fate + Send + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// Closes all connections and every new one, until [`ApiProxy::mend`].
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Ends [`ApiProxy::cut`].
    pub fn mend(&self) {
        self.line.send_replace(Line::Open);
    }

    /// The calls so far, those that failed included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// Writes a kubeconfig that leads here, with that user's token.
    ///
    /// # Panics
    /// If the run's folder is not writable.
    #[must_use]
    pub fn kubeconfig(&self, cluster: &Cluster, user: &str) -> PathBuf {
        let path = cluster.folder().join(format!("proxy-{}.kubeconfig", self.address.port()));
        let server = format!("http://{}", self.address);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": user}}],
            "current-context": "proxy",
        });
        write(&path, config.to_string());
        path
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, line: watch::Receiver<Line>) {
    let connections = TaskTracker::new();
    loop {
        // Out of descriptors is the one error, and a test that has none left fails anyway.
        let Ok((stream, _)) = listener.accept().await else { return };
        if *line.borrow() == Line::Open {
            connections.spawn(serve(stream, Arc::clone(&shared), line.clone()));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut line: watch::Receiver<Line>) {
    let service = service_fn(|request| answer(request, &shared));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // However it ends, the caller sees it and the test asks the caller.
        _ = connection => {}
        _ = line.wait_for(|&line| line == Line::Cut) => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<Response<Body>, kube::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let call = Call { method: request.method().to_string(), path };
    let fate = (lock(&shared.rule))(&call);
    remember(shared, call);
    match fate {
        Fate::Pass => {}
        Fate::Delay(delay) => tokio::time::sleep(delay).await,
        Fate::Fail(status, retry_after) => return Ok(failure(status, retry_after)),
        Fate::Hang => return Err(kube::Error::Service("the line is cut".into())),
    }
    let (mut head, body) = request.into_parts();
    head.headers.remove(http::header::HOST);
    let body = body.collect().await.map_err(kube::Error::HyperError)?.to_bytes();
    let answer = shared.upstream.send(Request::from_parts(head, body.into())).await?;
    Ok(answer.map(Either::Right))
}

fn remember(shared: &Shared, call: Call) {
    let mut calls = lock(&shared.calls);
    if calls.len() < CALLS_MAX {
        calls.push(call);
    }
}

fn failure(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": status,
        "message": "the test says so",
    });
    let mut response = Response::new(Either::Left(Full::new(body.to_string().into())));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status has three digits");
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", seconds.into());
    }
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A rule that panicked fails its own test; the next one has a proxy of its own.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
