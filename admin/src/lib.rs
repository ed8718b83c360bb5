//! What every part answers on its admin port: whether it lives, whether it is ready, what it
//! counted.

pub mod client;

use std::future::Future;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use dormouse_metrics::exposition::Format;
use serde::Serialize;
use tokio::sync::watch;

/// Whether a part can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It was told too little yet to do its work.
    Starting,
    /// It does its work.
    Ready,
    /// It is going: whoever relies on it should look elsewhere.
    Ending,
}

/// An error as RFC 9457 has it.
#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

/// `/livez`, `/readyz` by `readiness`, and `/metrics` by `expose`: the text in that format, or none
/// if nobody is there any more to say. Every other path is a problem, until more are added.
pub fn router<E, F>(readiness: watch::Receiver<Readiness>, expose: E) -> Router
where
    E: Fn(Format) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<String>> + Send,
{
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || std::future::ready(ready(*readiness.borrow()))))
        .route("/metrics", get(async move |headers: HeaderMap| metrics(&headers, expose).await))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page") })
}

fn ready(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => "ok\n".into_response(),
        Readiness::Starting => problem(StatusCode::SERVICE_UNAVAILABLE, "not told enough yet"),
        Readiness::Ending => ending(),
    }
}

async fn metrics<F>(headers: &HeaderMap, expose: impl Fn(Format) -> F) -> Response
where
    F: Future<Output = Option<String>>,
{
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::preferred(accept.unwrap_or_default());
    match expose(format).await {
        Some(text) => ([(header::CONTENT_TYPE, format.media_type())], text).into_response(),
        None => ending(),
    }
}

/// The answer of a part that is going.
#[must_use]
pub fn ending() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "shutting down")
}

/// An answer that says what is wrong.
#[must_use]
pub fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: detail.into(),
    };
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, Json(problem)).into_response()
}
