//! The admin port: liveness, readiness, what is counted. It has a thread of its own, because
//! putting ten thousand functions into words takes longer than a wake may wait.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Whether the activator can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It was told no table yet, and would answer 404 to everything.
    Starting,
    /// It serves.
    Ready,
    /// It is going: whoever sends it requests should look elsewhere.
    Draining,
}

/// Where answers come from.
#[derive(Clone)]
pub(crate) struct Sources {
    exporter: Arc<Mutex<Exporter>>,
    clock: Clock,
    readiness: watch::Receiver<Readiness>,
}

impl Sources {
    /// What `registry` counts, on `clock`.
    pub(crate) fn new(
        registry: Arc<Registry>,
        clock: Clock,
        readiness: watch::Receiver<Readiness>,
    ) -> Self {
        Self { exporter: Arc::new(Mutex::new(Exporter::new(registry))), clock, readiness }
    }
}

/// Answers until `end` is cancelled.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    sources: Sources,
    end: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .with_state(sources);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let serving = axum::serve(listener, router);
    tokio::select! {
        // A scraper keeps its connection open, and nothing on it is worth waiting for.
        () = end.cancelled() => Ok(()),
        served = async { serving.await } => served,
    }
}

async fn readiness(State(sources): State<Sources>) -> Response {
    let readiness = *sources.readiness.borrow();
    let missing = match readiness {
        Readiness::Ready => return "ok\n".into_response(),
        Readiness::Starting => "no table yet\n",
        Readiness::Draining => "draining\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, missing).into_response()
}

async fn metrics(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = wanted(accept.unwrap_or_default());
    // What a panic left behind is last figures, each whole.
    let mut exporter = sources.exporter.lock().unwrap_or_else(PoisonError::into_inner);
    let text = exporter.expose(format, sources.clock.now_us());
    ([(header::CONTENT_TYPE, format.media_type())], text).into_response()
}

/// The format a scraper prefers; Prometheus' own where it has no preference that we know.
fn wanted(accept: &str) -> Format {
    let mut best = (Format::Prometheus, 0);
    for part in accept.split(',') {
        let mut words = part.split(';').map(str::trim);
        let format = match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Format::OpenMetrics,
            "text/plain" => Format::Prometheus,
            _ => continue,
        };
        let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(1_000, permille);
        if weight > best.1 {
            best = (format, weight);
        }
    }
    best.0
}

/// A weight of RFC 9110 §12.4.2, 0 to 1 with up to three digits, in thousandths; 0 for anything
/// else, which is then not wanted.
fn permille(weight: &str) -> u32 {
    let (whole, digits) = weight.split_once('.').unwrap_or((weight, ""));
    match (whole, format!("{digits:0<3}").parse()) {
        ("1", _) => 1_000,
        ("0", Ok(permille)) if digits.len() <= 3 => permille,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html, text/plain", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; version=1.0.0; q=1", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.25", Format::Prometheus),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=nonsense", Format::Prometheus),
            ("application/openmetrics-text;q=0.0001", Format::Prometheus),
        ] {
            assert_eq!(wanted(accept), format, "{accept}");
        }
    }
}
