//! Counts calls of the API server where they leave and come in, whoever makes them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use tower::{Layer, Service};

use crate::cluster::Calls;

/// Has the calls counted that pass.
pub(super) struct Counting(pub(super) Calls);

/// What calls pass.
pub(super) struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.0.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut counted = self.calls.begin(verb(&request));
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await?;
            counted.answered(answer.status().as_u16());
            Ok(answer)
        })
    }
}

/// What a request asks for, in the words of a Role.
fn verb<B>(request: &Request<B>) -> &'static str {
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=1"));
    match *request.method() {
        Method::GET if is_watch => "watch",
        Method::GET => "get",
        Method::POST => "create",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}
