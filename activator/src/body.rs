//! Bodies in both directions: streamed, never collected. The answer's body carries what must end
//! with it: the count of the request, the use of the pod, the connection to it, the time left.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dormouse_metrics::counts::UpstreamError;
use dormouse_metrics::writer::InFlight;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::intake::Intake;
use crate::lease::Lease;

/// A client's request body on its way to a pod.
#[derive(Debug)]
pub(crate) struct ClientBody {
    body: Incoming,
    broken: Broken,
    intake: Arc<Intake>,
}

/// Whether a client's body broke off or was malformed: then the failure is the client's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Rc<Cell<bool>>);

impl Broken {
    /// Whether it did.
    pub(crate) fn get(&self) -> bool {
        self.0.get()
    }
}

impl ClientBody {
    /// The body, and where to see whether it broke.
    pub(crate) fn new(body: Incoming, intake: Arc<Intake>) -> (Self, Broken) {
        let broken = Broken::default();
        (Self { body, broken: broken.clone(), intake }, broken)
    }

    /// The body as the client sends it.
    pub(crate) fn into_incoming(self) -> Incoming {
        self.body
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            self.broken.0.set(true);
        }
        // What was read goes on its way and is no memory of a later request.
        self.intake.take();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) struct Answer(Kind);

#[derive(Debug)]
enum Kind {
    /// Our own words.
    Text(Option<Bytes>),
    /// A pod's.
    Upstream(Box<Upstream>),
}

#[derive(Debug)]
struct Upstream {
    body: Incoming,
    rest: Rest,
}

/// What ends with a pod's answer.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The time left for the whole answer.
    pub(crate) deadline: Pin<Box<Sleep>>,
    /// The connection to the pod, given back when the answer is whole.
    pub(crate) connection: Box<dyn Connection>,
    /// The use of the pod.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) lease: Lease,
    /// The count of the request.
    pub(crate) in_flight: InFlight<Clock>,
}

/// A connection to a pod while an answer comes over it. Dropping it cuts it, unless it was marked
/// whole.
pub(crate) trait Connection: std::fmt::Debug {
    /// The answer arrived whole: the connection can serve again.
    fn whole(&mut self);
}

/// Why a pod's answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    /// The pod's connection failed.
    #[error("the pod's answer broke off")]
    Upstream(#[source] hyper::Error),
    /// The request's time ran out.
    #[error("the request timeout passed before the answer was whole")]
    Deadline,
}

impl Answer {
    /// An answer in our own words.
    pub(crate) fn text(text: Bytes) -> Self {
        Self(Kind::Text(Some(text)))
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self(Kind::Text(None))
    }

    /// A pod's answer.
    pub(crate) fn upstream(body: Incoming, mut rest: Rest) -> Self {
        if body.is_end_stream() {
            // Given back now rather than when the last byte is written: the next request of this
            // client may be here by then.
            rest.connection.whole();
        }
        Self(Kind::Upstream(Box::new(Upstream { body, rest })))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let upstream = match &mut self.0 {
            Kind::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Upstream(upstream) => upstream,
        };
        match Pin::new(&mut upstream.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // A body of known length ends with its last data: nobody asks for more.
                if upstream.body.is_end_stream() {
                    upstream.rest.connection.whole();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                upstream.rest.in_flight.upstream_error(UpstreamError::BrokenOff);
                Poll::Ready(Some(Err(BrokenOff::Upstream(error))))
            }
            Poll::Ready(None) => {
                upstream.rest.connection.whole();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(upstream.rest.deadline.as_mut().poll(cx));
                Poll::Ready(Some(Err(BrokenOff::Deadline)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_none(),
            Kind::Upstream(upstream) => upstream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Kind::Upstream(upstream) => upstream.body.size_hint(),
        }
    }
}
