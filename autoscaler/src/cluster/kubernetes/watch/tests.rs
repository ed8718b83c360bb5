//! Watches before a server that says little.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use serde_json::{Value, json};
use tower::Service;

use super::super::objects::Services;
use super::*;

/// A server that tells watches how far it is and then nothing more, and lists two objects, one of
/// which nobody can read. What it was asked for is on record.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<Vec<String>>>);

impl Service<Request<Body>> for Silent {
    type Response = Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.lock().unwrap().push(request.uri().to_string());
        if !request.uri().to_string().contains("watch=1") {
            let page = Frame::data(Bytes::from(page().to_string()));
            let body = StreamBody::new(stream::iter([Ok(page)]));
            return ready(Ok(Response::new(UnsyncBoxBody::new(body))));
        }
        let metadata = json!({"resourceVersion": "7", "annotations": {INITIAL_END: "true"}});
        let object = json!({"apiVersion": "v1", "kind": "Any", "metadata": metadata});
        let bookmark = format!("{}\n", json!({"type": "BOOKMARK", "object": object}));
        let said = stream::iter([Ok(Frame::data(Bytes::from(bookmark)))]);
        let body = StreamBody::new(said.chain(stream::pending()));
        ready(Ok(Response::new(UnsyncBoxBody::new(body))))
    }
}

fn page() -> Value {
    let service = |name: &str, ports: Value| {
        let metadata = json!({"namespace": "shop", "name": name});
        json!({"metadata": metadata, "spec": {"ports": ports}})
    };
    json!({
        "metadata": {"resourceVersion": "7"},
        "items": [service("odd", json!("none")), service("cart", json!([]))],
    })
}

fn same(change: Change<Services>) -> Change<Services> {
    change
}

type ServicesWatch = Watch<Change<Services>, fn(Change<Services>) -> Change<Services>>;

/// A watch on Services, and what it tells.
fn services(server: &Silent) -> (ServicesWatch, mpsc::Receiver<Change<Services>>) {
    let subject = Subject {
        group: "",
        version: "v1",
        resource: "services",
        namespace: None,
        name: None,
        selector: String::new(),
    };
    let (changes, told) = mpsc::channel(8);
    let client = Client::new(server.clone(), "default");
    (Watch::new(client, subject, same, changes, fastrand::Rng::with_seed(1)), told)
}

#[tokio::test(start_paused = true)]
async fn one_object_that_cannot_be_read_stops_no_list() {
    let server = Silent::default();
    let (mut watch, mut told) = services(&server);
    watch.position = Position::List;
    let watching = tokio::spawn(watch.run());
    assert!(matches!(told.recv().await, Some(Change::Begin)));
    let Some(Change::Is(service)) = told.recv().await else { panic!("no Service") };
    assert_eq!(service.metadata.name, "cart");
    assert!(matches!(told.recv().await, Some(Change::Synced)));
    watching.abort();
}

#[test]
fn what_cannot_be_read_is_named_where_it_says_its_name() {
    for (item, name) in [
        (page()["items"][0].clone(), "shop/odd"),
        (json!({"metadata": {"name": "node"}}), "node"),
        (json!({"metadata": {"name": 7}}), ""),
        (json!(null), ""),
    ] {
        let text = json!({"metadata": {}, "items": [item]}).to_string();
        let page = Page::read(&text).unwrap();
        assert_eq!(page.items().map(|item| item.name()).collect::<Vec<_>>(), [name]);
    }
    for empty in [json!({"metadata": {}, "items": null}), json!({"metadata": {}})] {
        assert_eq!(Page::read(&empty.to_string()).unwrap().items().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_goes_on_from_where_it_was() {
    let server = Silent::default();
    let (watch, mut told) = services(&server);
    let watching = tokio::spawn(watch.run());
    assert!(matches!(told.recv().await, Some(Change::Begin)));
    assert!(matches!(told.recv().await, Some(Change::Synced)));
    sleep(SILENCE_MAX * 2 + SILENCE_MAX / 2).await;
    let asked = server.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].contains("sendInitialEvents=true"), "{asked:?}");
    assert!(asked[1..].iter().all(|uri| uri.contains("resourceVersion=7")), "{asked:?}");
    assert!(told.try_recv().is_err(), "nothing is told twice");
    watching.abort();
}

#[test]
fn a_subject_asks_for_what_it_names() {
    let subject = |namespace: Option<&str>, selector: &str| Subject {
        group: "apps",
        version: "v1",
        resource: "deployments",
        namespace: namespace.map(str::to_owned),
        name: None,
        selector: selector.to_owned(),
    };
    let request = subject(None, "").request(&[("watch", "1")]).unwrap();
    assert_eq!(request.uri().to_string(), "/apis/apps/v1/deployments?watch=1");
    let request = subject(Some("shop"), "app=cart,tier in (a,b)").request(&[]).unwrap();
    assert_eq!(
        request.uri().to_string(),
        "/apis/apps/v1/namespaces/shop/deployments?\
         labelSelector=app%3Dcart%2Ctier+in+%28a%2Cb%29"
    );
}
