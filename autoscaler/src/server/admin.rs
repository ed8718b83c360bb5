//! The admin port: beside what every part answers there, what every function does and why.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
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
use crate::cluster::Calls;
use crate::core::Event;
use crate::status::Statuses;

/// Where answers come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) status: watch::Receiver<Statuses>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) connected: watch::Receiver<usize>,
    pub(super) calls: Calls,
}

/// Answers until `end` is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    sources: Sources,
    readiness: watch::Receiver<Readiness>,
    end: CancellationToken,
) -> io::Result<()> {
    let counting = sources.clone();
    let expose = move |format| expose(counting.clone(), format);
    let functions = Router::new()
        .route("/api/v1/functions", get(functions))
        .route("/api/v1/functions/{namespace}/{name}", get(function))
        .with_state(sources);
    let router = dormouse_admin::router(readiness, expose).merge(functions);
    axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await
}

/// Everything counted; none once nobody is there any more to say.
async fn expose(sources: Sources, format: Format) -> Option<String> {
    let events_waiting = sources.events.max_capacity() - sources.events.capacity();
    let (answer, answered) = oneshot::channel();
    sources.events.send(Event::Count(answer)).await.ok()?;
    let tally = answered.await.ok()?;
    let statuses = Arc::clone(&sources.status.borrow());
    let connections = *sources.connected.borrow();
    let Sources { calls, .. } = &sources;
    let figures = Figures { tally, statuses: &statuses, events_waiting, connections, calls };
    Some(figures.expose(format))
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
        return ending();
    }
    match answered.await {
        Ok(Some(explanation)) => Json(explanation).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, format!("no function is named {function}")),
        Err(_) => ending(),
    }
}
