//! One watch: what there is, then what changes, for as long as somebody listens. Whatever ends it
//! on the way (time-outs, 410, a lost connection, a server that says nothing) is survived here.

mod page;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::api::{Refusal, Right, bounded, refusal};
use super::objects::Watched;
use page::Page;

/// How long the server keeps one watch open, in seconds, from this to twice as long.
const OPEN_S: u64 = 240;

/// Longest silence: servers send a bookmark about each minute while something changes anywhere, so
/// that twice that is a connection that died without a word, or a cluster at rest.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Longest wait for the first byte of an answer.
const CALL_MAX: Duration = Duration::from_secs(15);

/// Objects per page of a list, as other clients ask for.
const PAGE: u32 = 500;

/// First and longest pause after a failure; it doubles in between.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Longest pause until a kind that is not there is looked for again.
const ABSENT: Duration = Duration::from_secs(60);

/// The annotation of the bookmark that ends what there was at the start.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change<T> {
    /// It starts anew: what is not told until [`Change::Synced`] is no more.
    Begin,
    /// An object is, or has become, this.
    Is(T),
    /// An object is gone; this was the last of it.
    Gone(T),
    /// All that there is has been told.
    Synced,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// `apps`, or empty for the core group.
    pub(super) group: &'static str,
    /// `v1`, …
    pub(super) version: &'static str,
    /// `deployments`, …
    pub(super) resource: &'static str,
    /// None for the whole cluster.
    pub(super) namespace: Option<String>,
    /// The one object; none for all.
    pub(super) name: Option<String>,
    /// Empty for all.
    pub(super) selector: String,
}

/// How far a watch has come.
enum Position {
    /// Nothing is known: to be streamed.
    Start,
    /// The same with a server that cannot stream what there is.
    List,
    /// Everything up to this version is known.
    At(String),
}

/// Why a stream ended.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The server closed it, as it does from time to time.
    Closed,
    Refused(Refusal),
}

/// A watch that runs.
pub(super) struct Watch<T, F> {
    client: Client,
    subject: Subject,
    tell: F,
    changes: mpsc::Sender<T>,
    rng: fastrand::Rng,
    position: Position,
    pause: Duration,
    /// The refusal last logged.
    complaint: Option<String>,
}

impl Subject {
    fn path(&self) -> String {
        let Self { group, version, resource, namespace, .. } = self;
        let root = match *group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{resource}"),
            None => format!("{root}/{resource}"),
        }
    }

    fn right(&self, verb: &'static str) -> Right {
        let Self { group, resource, namespace, .. } = self;
        Right { verb, group, resource, namespace: namespace.clone() }
    }

    fn request(&self, parameters: &[(&str, &str)]) -> Result<Request<Vec<u8>>, Refusal> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(name) = &self.name {
            query.append_pair("fieldSelector", &format!("metadata.name={name}"));
        }
        if !self.selector.is_empty() {
            query.append_pair("labelSelector", &self.selector);
        }
        let uri = format!("{}?{}", self.path(), query.finish());
        Request::get(uri).body(Vec::new()).map_err(|error| Refusal::Failed(error.to_string()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, namespace, name, selector, .. } = self;
        write!(f, "{resource}")?;
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        if let Some(namespace) = namespace {
            write!(f, " of namespace {namespace}")?;
        }
        if !selector.is_empty() {
            write!(f, " with {selector}")?;
        }
        Ok(())
    }
}

impl<T, F> Watch<T, F> {
    /// A watch on `subject` that sends what `tell` makes of each change.
    pub(super) fn new(
        client: Client,
        subject: Subject,
        tell: F,
        changes: mpsc::Sender<T>,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            client,
            subject,
            tell,
            changes,
            rng,
            position: Position::Start,
            pause: PAUSE_MIN,
            complaint: None,
        }
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run<O: Watched>(mut self)
    where
        F: Fn(Change<O>) -> T,
    {
        loop {
            let end = match &self.position {
                Position::Start => self.stream(None).await,
                Position::List => self.list().await,
                Position::At(version) => {
                    let version = version.clone();
                    self.stream(Some(version)).await
                }
            };
            match end {
                End::Unheard => return,
                End::Closed => {}
                End::Refused(Refusal::Absent) => {
                    if self.have_none().await.is_err() {
                        return;
                    }
                }
                End::Refused(refusal) => self.recover(refusal).await,
            }
        }
    }

    /// The server does not know the kind: its definition is not installed, and nothing is of it.
    async fn have_none<O: Watched>(&mut self) -> Result<(), End>
    where
        F: Fn(Change<O>) -> T,
    {
        debug!(what = %self.subject, "there is no such kind");
        self.position = Position::Start;
        self.send(Change::Begin).await?;
        self.send(Change::Synced).await?;
        sleep(ABSENT.mul_f64(0.5 + self.rng.f64() / 2.0)).await;
        Ok(())
    }

    /// Decides how to go on after a refusal, and when.
    async fn recover(&mut self, refusal: Refusal) {
        match (&refusal, &self.position) {
            (Refusal::Expired, _) => {
                info!(what = %self.subject, "starting anew, too far behind");
                self.position = Position::Start;
            }
            // Servers before 1.34, as they come, cannot stream what there is.
            (Refusal::Invalid(_), Position::Start) => {
                debug!(what = %self.subject, "listing, for the server does not stream lists");
                self.position = Position::List;
                return;
            }
            _ => {}
        }
        let text = refusal.to_string();
        if self.complaint.as_ref() != Some(&text) {
            warn!(what = %self.subject, why = text, "cannot watch");
            self.complaint = Some(text);
        }
        let pause = self.pause.mul_f64(0.5 + self.rng.f64() / 2.0);
        sleep(pause + refusal.pause()).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn works(&mut self) {
        self.pause = PAUSE_MIN;
        if self.complaint.take().is_some() {
            info!(what = %self.subject, "watching again");
        }
    }

    async fn send<O>(&self, change: Change<O>) -> Result<(), End>
    where
        F: Fn(Change<O>) -> T,
    {
        self.changes.send((self.tell)(change)).await.map_err(|_| End::Unheard)
    }

    /// Streams changes from `version` on; without one, what there is and then the changes.
    async fn stream<O: Watched>(&mut self, version: Option<String>) -> End
    where
        F: Fn(Change<O>) -> T,
    {
        self.streamed(version).await.unwrap_or_else(|end| end)
    }

    async fn streamed<O: Watched>(&mut self, version: Option<String>) -> Result<End, End>
    where
        F: Fn(Change<O>) -> T,
    {
        let right = self.subject.right("watch");
        let open_s = self.rng.u64(OPEN_S..=2 * OPEN_S).to_string();
        let mut parameters =
            vec![("watch", "1"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", &open_s)];
        match &version {
            Some(version) => parameters.push(("resourceVersion", version)),
            None => parameters
                .extend([("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]),
        }
        let request = self.subject.request(&parameters).map_err(End::Refused)?;
        let call = self.client.request_events::<O>(request);
        let events = bounded(CALL_MAX, &right, call).await.map_err(End::Refused)?;
        let mut events = pin!(events);
        let (mut is_synced, mut is_heard) = (version.is_some(), false);
        if !is_synced {
            self.send(Change::Begin).await?;
        }
        loop {
            let event = match timeout(SILENCE_MAX, events.try_next()).await {
                Err(_) if is_synced => {
                    debug!(what = %self.subject, "nothing was heard for long: watching anew");
                    return Ok(End::Closed);
                }
                Err(_) => {
                    let silent = format!("nothing was heard for {SILENCE_MAX:?}");
                    return Err(End::Refused(Refusal::Failed(silent)));
                }
                Ok(Ok(None)) if is_synced && is_heard => return Ok(End::Closed),
                Ok(Ok(None)) => {
                    let early = "the server closed the watch before it said anything".to_owned();
                    return Err(End::Refused(Refusal::Failed(early)));
                }
                Ok(Err(kube::Error::SerdeError(error))) => {
                    warn!(what = %self.subject, %error, "an object cannot be read; passed over");
                    continue;
                }
                Ok(Err(error)) => return Err(End::Refused(refusal(error, &right))),
                Ok(Ok(Some(event))) => event,
            };
            is_heard = true;
            self.works();
            let (version, ends_initial) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let version = object.metadata().resource_version.clone();
                    self.send(Change::Is(object)).await?;
                    (version, false)
                }
                WatchEvent::Deleted(object) => {
                    let version = object.metadata().resource_version.clone();
                    self.send(Change::Gone(object)).await?;
                    (version, false)
                }
                WatchEvent::Bookmark(bookmark) => {
                    let ends = bookmark.metadata.annotations.contains_key(INITIAL_END);
                    (bookmark.metadata.resource_version, ends)
                }
                WatchEvent::Error(status) => {
                    return Err(End::Refused(refusal(kube::Error::Api(status), &right)));
                }
            };
            if ends_initial && !is_synced {
                is_synced = true;
                self.send(Change::Synced).await?;
            }
            // Before everything was told once, there is no version to go on from.
            if is_synced {
                self.position = Position::At(version);
            }
        }
    }

    async fn list<O: Watched>(&mut self) -> End
    where
        F: Fn(Change<O>) -> T,
    {
        match self.listed().await {
            Ok(version) => {
                self.works();
                self.position = Position::At(version);
                End::Closed
            }
            Err(end) => end,
        }
    }

    /// Tells all there is, page by page, and returns its version.
    async fn listed<O: Watched>(&mut self) -> Result<String, End>
    where
        F: Fn(Change<O>) -> T,
    {
        let right = self.subject.right("list");
        let page_size = PAGE.to_string();
        let mut next = String::new();
        self.send(Change::Begin).await?;
        loop {
            let mut parameters = vec![("limit", page_size.as_str())];
            if !next.is_empty() {
                parameters.push(("continue", &next));
            }
            let request = self.subject.request(&parameters).map_err(End::Refused)?;
            let call = self.client.request_text(request);
            let text = bounded(CALL_MAX, &right, call).await.map_err(End::Refused)?;
            let page = Page::read(&text).map_err(kube::Error::SerdeError);
            let page = page.map_err(|error| End::Refused(refusal(error, &right)))?;
            for item in page.items() {
                match item.read() {
                    Ok(object) => self.send(Change::Is(object)).await?,
                    Err(error) => {
                        let (what, object) = (&self.subject, item.name());
                        warn!(%what, object, %error, "an object cannot be read; passed over");
                    }
                }
            }
            next = page.metadata.r#continue;
            if next.is_empty() {
                self.send(Change::Synced).await?;
                return Ok(page.metadata.resource_version);
            }
        }
    }
}

#[cfg(test)]
mod tests;
