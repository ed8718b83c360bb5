//! The admin port: beside what every part answers there, what every function does and why.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use dormouse_admin::{Readiness, ending, problem};
use dormouse_metrics::exposition::Format;
use dormouse_policy::function::FunctionName;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::passing::{Way, by_leader};
use crate::cluster::{Calls, ListComplaints};
use crate::core::Event;

/// Where answers come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) connected: watch::Receiver<usize>,
    pub(super) calls: Calls,
    pub(super) complaints: Arc<dyn ListComplaints>,
}

/// Answers until `end` is cancelled, what functions do by `way` if there is one.
pub(super) async fn serve(
    listener: TcpListener,
    sources: Sources,
    way: Option<Way>,
    readiness: watch::Receiver<Readiness>,
    end: CancellationToken,
) -> io::Result<()> {
    let counting = sources.clone();
    let expose = move |format| expose(counting.clone(), format);
    let functions = Router::new()
        .route("/api/v1/functions", get(functions))
        .route("/api/v1/functions/{namespace}/{name}", get(function))
        .route("/api/v1/complaints", get(complaints))
        .route_layer(from_fn_with_state(way, by_leader))
        .with_state(sources);
    let router = dormouse_admin::router(readiness, expose).merge(functions);
    axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await
}

/// Everything counted; none once nobody is there any more to say.
async fn expose(sources: Sources, format: Format) -> Option<String> {
    let events_waiting = sources.events.max_capacity() - sources.events.capacity();
    let tally = ask(&sources, Event::Count).await?;
    let statuses = ask(&sources, Event::List).await?;
    let connections = *sources.connected.borrow();
    let Sources { calls, .. } = &sources;
    let figures = Figures { tally, statuses: &statuses, events_waiting, connections, calls };
    Some(figures.expose(format))
}

/// The loop's answer to a question; none once it has ended.
async fn ask<T>(
    sources: &Sources,
    question: impl FnOnce(oneshot::Sender<T>) -> Event,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    sources.events.send(question(answer)).await.ok()?;
    answered.await.ok()
}

async fn functions(State(sources): State<Sources>) -> Response {
    match ask(&sources, Event::List).await {
        Some(statuses) => Json(statuses).into_response(),
        None => ending(),
    }
}

async fn complaints(State(sources): State<Sources>) -> Response {
    Json(sources.complaints.complaints().await).into_response()
}

async fn function(
    State(sources): State<Sources>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let function = FunctionName::new(&namespace, &name);
    match ask(&sources, |answer| Event::Explain(function.clone(), answer)).await {
        Some(Some(explanation)) => Json(explanation).into_response(),
        Some(None) => problem(StatusCode::NOT_FOUND, format!("no function is named {function}")),
        None => ending(),
    }
}
