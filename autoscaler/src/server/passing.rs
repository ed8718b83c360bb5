//! Questions that the replica that leads answers best: another one passes them on, and answers them
//! itself only where it cannot. It decides, too, but orders nothing.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_admin::client::{self, PASSED, Question};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

/// Longest wait for word of who leads.
const FIND_MAX: Duration = Duration::from_secs(1);

/// Longest wait for the leader's answer: whoever asks waits as long for both replicas together as
/// a person does.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Knows who leads.
pub trait FindLeader: Send + Sync {
    /// The address of the pod of the replica that leads; none if it cannot be known.
    fn find_leader(&self) -> Pin<Box<dyn Future<Output = Option<IpAddr>> + Send + '_>>;
}

/// The way to the replica that leads.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) leaders: Arc<dyn FindLeader>,
    /// Whether it is this one.
    pub(super) leads: watch::Receiver<bool>,
    /// The admin port, which is the same in every replica.
    pub(super) port: u16,
}

/// Answers with what the replica that leads says, or else lets this one answer.
pub(super) async fn by_leader(
    State(way): State<Option<Way>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(way) = way
        && !*way.leads.borrow()
        && !request.headers().contains_key(PASSED)
        && let Some(answer) = pass(&way, request.uri().path()).await
    {
        return answer;
    }
    next.run(request).await
}

async fn pass(way: &Way, path: &str) -> Option<Response> {
    let leader = timeout(FIND_MAX, way.leaders.find_leader()).await.ok().flatten()?;
    let leader = SocketAddr::new(leader, way.port);
    match client::get(leader, path, Question::Passed, ANSWER_MAX).await {
        Ok(answer) if answer.status.is_server_error() => None,
        Ok(mut answer) => {
            let kind = answer.headers.remove(CONTENT_TYPE);
            let kind = kind.map(|kind| [(CONTENT_TYPE, kind)]);
            Some((answer.status, kind, answer.body).into_response())
        }
        Err(error) => {
            debug!(%leader, why = %error, "the leader is not asked: this replica answers");
            None
        }
    }
}
