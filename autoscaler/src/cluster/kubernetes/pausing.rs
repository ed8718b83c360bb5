//! Carries the pause that an API server asks for to where errors are looked at.
//!
//! A server that throttles says for how long in the header `Retry-After`, with a plain text for a
//! body; the client library keeps the body alone, and of that what is a Status. So a Status that
//! says both takes the body's place.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::DynBody;
use serde_json::json;
use tower::{Layer, Service};

/// Has pauses carried over in the answers that pass.
pub(super) struct Pausing;

/// What answers pass.
pub(super) struct Paused<S>(S);

impl<S> Layer<S> for Pausing {
    type Service = Paused<S>;

    fn layer(&self, inner: S) -> Paused<S> {
        Paused(inner)
    }
}

impl<S, B> Service<Request<B>> for Paused<S>
where
    S: Service<Request<B>, Response = Response<Box<DynBody>>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.0.call(request);
        Box::pin(async move { Ok(carried(call.await?)) })
    }
}

fn carried(answer: Response<Box<DynBody>>) -> Response<Box<DynBody>> {
    let code = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = after.and_then(|after| after.parse::<u32>().ok());
    match (code.as_u16(), seconds) {
        (429 | 503, Some(seconds)) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                "message": code.canonical_reason(), "reason": "",
                "details": {"retryAfterSeconds": seconds},
            });
            let body = Full::new(Bytes::from(status.to_string())).map_err(Into::into);
            answer.map(|_| Box::new(body) as Box<DynBody>)
        }
        _ => answer,
    }
}
