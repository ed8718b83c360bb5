//! A Kubernetes API server in the test's own process: list, watch with bookmarks and 410, patches
//! with their preconditions, Leases, tokens, Events, objects deleted; no schemas, hardly any
//! rights, no controllers but one that gives workloads their pods and one that deletes what goes
//! with its owner. Faults and latency are set by the test, every request is on record.

mod answer;
mod callers;
mod people;
mod state;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::wait;
use state::Shared;

pub use state::{Fault, Request, Trouble};

/// The server. Dropped, it closes every connection.
pub struct FakeApi {
    address: SocketAddr,
    shared: Shared,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeApi {
    /// An empty cluster behind a free loopback port.
    ///
    /// # Panics
    /// If there is none, or no thread.
    #[must_use]
    pub fn start() -> Self {
        let shared = Shared::default();
        let (end, ended) = oneshot::channel();
        let (bound, listens) = mpsc::channel();
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a loopback port is free");
                let address = listener.local_addr().expect("a bound socket has one");
                bound.send(address).expect("the starter waits");
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = ended => {}
                }
            });
        });
        let address = listens.recv().expect("the server listens");
        Self { address, shared, end: Some(end), thread: Some(thread) }
    }

    /// Writes a kubeconfig that leads here.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake",
                "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        });
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("the scratch folder is writable");
        path
    }

    /// Creates or replaces an object. `resource` is its plural, as in `deployments`.
    pub fn put(&self, resource: &str, object: Value) {
        self.shared.change(|state| state.put(resource, object));
    }

    /// Makes a token known as that of a pod of this service account of the default namespace.
    pub fn give_token(&self, token: &str, account: &str, pod: &str) {
        let user = json!({
            "username": format!("system:serviceaccount:default:{account}"),
            "extra": {"authentication.kubernetes.io/pod-name": [pod]},
        });
        self.put("tokens", json!({"metadata": {"name": pod}, "token": token, "user": user}));
    }

    /// Changes an object that is there.
    ///
    /// # Panics
    /// If it is not.
    pub fn edit(&self, resource: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        self.shared.change(|state| {
            let mut object = state.get(resource, "default", name).expect("it is there");
            edit(&mut object);
            state.put(resource, object);
        });
    }

    /// Scales a Deployment as `kubectl scale` does, after which nobody is named for it.
    ///
    /// # Panics
    /// If it is not there.
    pub fn scale(&self, name: &str, replicas: u32) {
        self.edit("deployments", name, |deployment| {
            deployment["spec"]["replicas"] = json!(replicas);
            deployment["metadata"]["managedFields"] = json!([]);
        });
    }

    /// Deletes an object of the default namespace.
    pub fn delete(&self, resource: &str, name: &str) {
        self.shared.change(|state| state.delete(resource, "default", name));
    }

    /// An object of the default namespace.
    #[must_use]
    pub fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.shared.look(|state| state.get(resource, "default", name))
    }

    /// Every object of a resource.
    #[must_use]
    pub fn all(&self, resource: &str) -> Vec<Value> {
        self.shared.look(|state| state.all(resource))
    }

    /// Waits until an object of the default namespace is as wanted.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait(&self, resource: &str, name: &str, what: &str, is: impl Fn(&Value) -> bool) {
        wait::until(&format!("{resource} {name} {what}"), || self.get(resource, name).filter(&is));
    }

    /// Waits until an Event on an object holds that text.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_event(&self, regarding: &str, text: &str) {
        wait::until(&format!("an Event on {regarding} with {text:?}"), || {
            let events = self.all("events");
            let is = |event: &&Value| {
                event["regarding"]["name"] == regarding
                    && event["note"].as_str().is_some_and(|note| note.contains(text))
            };
            events.iter().find(is).map(|_| ())
        });
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.look(|state| state.requests.clone())
    }

    /// Lets requests run into trouble.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared.change(|state| state.troubles.push(trouble));
    }

    /// Cuts every watch; with [`History::Forgotten`] nobody can go on from where it was.
    pub fn cut(&self, history: History) {
        self.shared.change(|state| state.cut(history == History::Forgotten));
    }

    /// From now on it takes so long until a request is carried out.
    pub fn slow(&self, latency: Duration) {
        self.shared.change(|state| state.latency = latency);
    }

    /// From now on whoever asks for a pod or a Service through its proxy is led to `admin`.
    pub fn proxy(&self, admin: SocketAddr) {
        self.shared.change(|state| state.proxied = Some(admin));
    }

    /// From now on lists cannot be streamed, as before Kubernetes 1.34.
    pub fn without_streamed_lists(&self) {
        self.shared.change(|state| state.streams_lists = false);
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            assert!(std::thread::panicking(), "the fake API server panicked");
        }
    }
}

/// Whether what happened can still be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It can.
    Kept,
    /// It cannot: 410 for all who ask.
    Forgotten,
}

async fn serve(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = stream else {
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer::answer(&shared, request).await) }
            });
            // A client that goes away in the middle is no fault of the server's.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}
