//! What a client's connection has taken in and not passed on: the memory a held request keeps.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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

pin_project! {
    /// A connection whose reads are counted.
    pub(crate) struct Metered<S> {
        #[pin]
        stream: S,
        intake: Arc<Intake>,
    }
}

impl<S> Metered<S> {
    /// Counts in `intake` what is read from `stream`.
    pub(crate) fn new(stream: S, intake: Arc<Intake>) -> Self {
        Self { stream, intake }
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
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, slices)
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
