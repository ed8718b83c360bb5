//! A connection that became a WebSocket: bytes both ways until either end closes.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

/// Joins both ends once both have switched, and returns when either closed or failed.
pub(crate) async fn join(client: OnUpgrade, pod: OnUpgrade) {
    let (client, pod) = match tokio::try_join!(client, pod) {
        Ok(both) => both,
        Err(error) => {
            debug!(%error, "upgrade not completed");
            return;
        }
    };
    let (mut client, mut pod) = (TokioIo::new(client), TokioIo::new(pod));
    match tokio::io::copy_bidirectional(&mut client, &mut pod).await {
        Ok((up_bytes, down_bytes)) => debug!(up_bytes, down_bytes, "tunnel closed"),
        Err(error) => debug!(%error, "tunnel broke"),
    }
}
