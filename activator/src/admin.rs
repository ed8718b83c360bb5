//! The admin port. It has a thread of its own, because putting ten thousand functions into words
//! takes longer than a wake may wait.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_admin::Readiness;
use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Answers what `registry` counts, on `clock`, until `end` is cancelled.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    clock: Clock,
    readiness: watch::Receiver<Readiness>,
    end: CancellationToken,
) -> io::Result<()> {
    let exporter = Arc::new(Mutex::new(Exporter::new(registry)));
    let expose = move |format: Format| {
        // What a panic left behind is last figures, each whole.
        let mut exporter = exporter.lock().unwrap_or_else(PoisonError::into_inner);
        std::future::ready(Some(exporter.expose(format, clock.now_us())))
    };
    let router = dormouse_admin::router(readiness, expose);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let serving = axum::serve(listener, router);
    tokio::select! {
        // A scraper keeps its connection open, and nothing on it is worth waiting for.
        () = end.cancelled() => Ok(()),
        served = async { serving.await } => served,
    }
}
