//! What a client's connection has taken in and not passed on, which is the memory a held request
//! keeps; and how long what is written to it may wait for a client that does not read.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::clock::Clock;

/// Counts the bytes read from one connection until they are taken account of.
///
/// Written and read by the connection's worker alone; atomic only because hyper wants a connection
/// that may become a tunnel to be `Send`.
#[derive(Debug, Default)]
pub(crate) struct Intake(AtomicU64);

impl Intake {
    /// The bytes read since the last time.
    pub(crate) fn take(&self) -> u64 {
        let bytes = self.0.load(Ordering::Relaxed);
        self.0.store(0, Ordering::Relaxed);
        bytes
    }

    fn add(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.store(self.0.load(Ordering::Relaxed).saturating_add(bytes), Ordering::Relaxed);
    }
}

/// Until when a write to one connection may wait, in microseconds of the clock. Atomic for the same
/// reason.
#[derive(Debug)]
pub(crate) struct WriteDeadline(AtomicU64);

impl Default for WriteDeadline {
    /// For ever.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl WriteDeadline {
    /// From now on a write waits until then at most.
    pub(crate) fn set(&self, us: u64) {
        self.0.store(us, Ordering::Relaxed);
    }

    /// From now on it may wait for ever.
    pub(crate) fn lift(&self) {
        self.set(u64::MAX);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|us| *us < u64::MAX)
    }
}

pin_project! {
    /// A connection whose reads are counted, and whose writes fail past their deadline. While it
    /// cannot write, hyper asks an answer's body for nothing, which could end it otherwise.
    pub(crate) struct Metered<S> {
        #[pin]
        stream: S,
        intake: Arc<Intake>,
        deadline: Arc<WriteDeadline>,
        clock: Clock,
        // While a write waits.
        overdue: Option<Pin<Box<Sleep>>>,
    }
}

impl<S> Metered<S> {
    /// Counts in `intake` what is read from `stream`, and looks at `deadline` whenever it cannot be
    /// written to.
    pub(crate) fn new(
        stream: S,
        intake: Arc<Intake>,
        deadline: Arc<WriteDeadline>,
        clock: Clock,
    ) -> Self {
        Self { stream, intake, deadline, clock, overdue: None }
    }
}

impl<S: AsyncWrite> Metered<S> {
    fn poll_write_with(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        if let Poll::Ready(written) = write(this.stream, cx) {
            *this.overdue = None;
            return Poll::Ready(written);
        }
        let Some(deadline_us) = this.deadline.get() else {
            return Poll::Pending;
        };
        let deadline = this.clock.instant(deadline_us);
        let overdue = this.overdue.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if overdue.deadline() != deadline {
            overdue.as_mut().reset(deadline);
        }
        ready!(overdue.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        ready!(this.stream.poll_read(cx, buf))?;
        this.intake.add(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}
