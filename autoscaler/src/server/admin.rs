//! The admin port: liveness, readiness, what every function does and why.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use dormouse_policy::function::FunctionName;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::core::Event;
use crate::status::Statuses;

/// Whether the autoscaler can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It knows nothing of the world yet.
    Starting,
    /// It does.
    Ready,
    /// It is going.
    Ending,
}

/// Where answers come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) status: watch::Receiver<Statuses>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) ready: watch::Receiver<Readiness>,
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

/// Answers until `end` is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    sources: Sources,
    end: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/api/v1/functions", get(functions))
        .route("/api/v1/functions/{namespace}/{name}", get(function))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page".to_owned()) })
        .with_state(sources);
    axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await
}

async fn readiness(State(sources): State<Sources>) -> Response {
    let readiness = *sources.ready.borrow();
    let missing = match readiness {
        Readiness::Ready => return "ok\n".into_response(),
        Readiness::Starting => "no facts yet",
        Readiness::Ending => "shutting down",
    };
    problem(StatusCode::SERVICE_UNAVAILABLE, missing.to_owned())
}

async fn functions(State(sources): State<Sources>) -> Json<Statuses> {
    Json(Arc::clone(&sources.status.borrow()))
}

async fn function(
    State(sources): State<Sources>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let function = FunctionName::new(&namespace, &name);
    let (answer, answered) = oneshot::channel();
    let question = Event::Explain(function.clone(), answer);
    if sources.events.send(question).await.is_err() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "shutting down".to_owned());
    }
    match answered.await {
        Ok(Some(explanation)) => Json(explanation).into_response(),
        Ok(None) => {
            let detail = format!("no function is named {function}");
            problem(StatusCode::NOT_FOUND, detail)
        }
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "shutting down".to_owned()),
    }
}

fn problem(status: StatusCode, detail: String) -> Response {
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
    };
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, Json(problem)).into_response()
}
