//! Streams to clients and pods. The data path is generic over [`Network`], so that tests run it on
//! in-memory streams; [`Tcp`] is the real one.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// After a minute of silence another one passes, in four tries, until the other end counts as gone.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Makes streams to pods.
pub(crate) trait Network: Clone + 'static {
    /// A connection, to a client or a pod.
    type Stream: Stream;

    /// Connects to a pod.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// A connection whose other end can be looked at without reading.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// A look at the other end that outlives the hand-over of the stream to the HTTP machinery.
    type Peer: Peer;

    /// That look.
    fn peer(&self) -> Self::Peer;
}

/// A look at the other end of a connection.
pub(crate) trait Peer: 'static {
    /// What is known of the other end right now, without reading.
    fn look(&self) -> Look;
}

/// What is known of the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing came in.
    Quiet,
    /// Bytes wait to be read.
    Unread,
    /// It closed, half-closed or reset.
    Gone,
}

/// The real network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp;

impl Network for Tcp {
    type Stream = TcpSocket;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        TcpSocket::new(TcpStream::connect(address).await?)
    }
}

/// A TCP connection that can still be looked at while hyper owns it.
#[derive(Debug)]
pub(crate) struct TcpSocket(Arc<TcpStream>);

impl TcpSocket {
    /// Takes a connection over, without Nagle's delay. Whether a silent other end is still there
    /// the kernel asks from time to time: a tunnel may be silent for ever.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        socket2::SockRef::from(&stream).set_tcp_keepalive(&KEEP_ALIVE)?;
        Ok(Self(Arc::new(stream)))
    }
}

impl Stream for TcpSocket {
    type Peer = TcpPeer;

    fn peer(&self) -> TcpPeer {
        TcpPeer(Arc::clone(&self.0))
    }
}

/// A look at a TCP connection's other end.
#[derive(Clone, Debug)]
pub(crate) struct TcpPeer(Arc<TcpStream>);

impl Peer for TcpPeer {
    fn look(&self) -> Look {
        // Readiness as the runtime caches it cannot tell FIN behind unread bytes; poll(2) can.
        let gone = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN | gone)];
        match nix::poll::poll(&mut fds, PollTimeout::ZERO) {
            Ok(0) => Look::Quiet,
            Ok(_) => match fds[0].revents() {
                Some(events) if events.difference(PollFlags::POLLIN).is_empty() => Look::Unread,
                _ => Look::Gone,
            },
            // Interrupted or out of memory: nothing is known, and nothing is given up for it.
            Err(_) => Look::Quiet,
        }
    }
}

impl AsyncRead for TcpSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for TcpSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write);
        Poll::Ready(match shut {
            // The other end was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

impl TcpSocket {
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_silent_end_is_asked_whether_it_is_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = Tcp.connect(listener.local_addr().unwrap()).await.unwrap();
        let (here, _) = listener.accept().await.unwrap();
        for stream in [there, TcpSocket::new(here).unwrap()] {
            let socket = socket2::SockRef::from(&*stream.0);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 15);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        }
    }

    #[tokio::test]
    async fn a_look_tells_quiet_unread_and_gone_even_behind_unread_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut there = Tcp.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut here, _) = listener.accept().await.unwrap();
        let peer = there.peer();
        assert_eq!(peer.look(), Look::Quiet);
        here.write_all(b"x").await.unwrap();
        here.readable().await.unwrap_or_default();
        while peer.look() == Look::Quiet {
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.look(), Look::Unread);
        drop(here);
        while peer.look() == Look::Unread {
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.look(), Look::Gone, "and the byte is still unread");
        let mut byte = [0];
        there.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x");
    }
}
