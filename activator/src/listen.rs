//! Listening sockets: bound by the control thread, one per worker and entrance, accepted on by the
//! workers.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::IfTaken;
use crate::network::{Tcp, TcpSocket};
use crate::route::Entrance;
use crate::worker::Worker;

/// Connections the kernel keeps for us between two turns of a worker: a burst of a thousand clients
/// at zero must not be refused.
const BACKLOG: i32 = 4_096;

/// Pause after an accept that failed for want of descriptors or memory: it would fail again at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds one listener per worker to one address. A plain bind proves the port free first: with
/// SO_REUSEPORT alone, a second process of the same user would silently share it.
///
/// # Errors
/// The port is taken or may not be bound, and `if_taken` does not allow another.
pub(crate) fn bind(
    address: SocketAddr,
    if_taken: IfTaken,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    match bind_all(address, workers) {
        Err(_) if if_taken == IfTaken::AnyFree => {
            bind_all(SocketAddr::new(address.ip(), 0), workers)
        }
        result => result,
    }
}

fn bind_all(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let proof = socket(address)?;
    proof.bind(&address.into())?;
    let address = proof
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("bound to something that is no IP address"))?;
    drop(proof);
    let listeners = (0..workers)
        .map(|_| {
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        })
        .collect::<io::Result<_>>()?;
    Ok((address, listeners))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process in TIME_WAIT do not make the port taken.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// A worker that accepts connections.
pub(crate) trait Accept {
    /// Accepts until stopped, and then those connections that already wait.
    fn accept(
        self: Rc<Self>,
        listener: TcpListener,
        entrance: Entrance,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + 'static;
}

impl Accept for Worker<Tcp> {
    async fn accept(
        self: Rc<Self>,
        listener: TcpListener,
        entrance: Entrance,
        stop: CancellationToken,
    ) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "listener lost"),
        };
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted.and_then(|(stream, peer)| Ok((TcpSocket::new(stream)?, peer))) {
                Ok((stream, peer)) => {
                    let serving = Rc::clone(&self).serve(stream, peer, entrance.clone());
                    self.tasks.spawn_local(serving);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether an accept failed for a reason of the connection's own: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_never_shared() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (taken, listeners) = bind(any, IfTaken::Fail, 2).unwrap();
        assert_eq!(listeners.len(), 2);
        assert!(bind(taken, IfTaken::Fail, 1).is_err());
        let (other, _) = bind(taken, IfTaken::AnyFree, 1).unwrap();
        assert_ne!(taken.port(), other.port());
    }
}
