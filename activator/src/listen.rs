//! Listening sockets: bound by the control thread, one per worker and entrance, accepted on by the
//! workers.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::IfTaken;
use crate::crowd::{Handed, Seat};
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

    /// Serves the connections that other workers hand over, for as long as it is polled.
    fn take_over(
        self: Rc<Self>,
        handed: mpsc::Receiver<Handed>,
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
            match accepted.and_then(|(stream, peer)| self.place(stream, peer, &entrance)) {
                Ok(()) => {}
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take_over(self: Rc<Self>, mut handed: mpsc::Receiver<Handed>) {
        while let Some(Handed { stream, client, entrance, seat }) = handed.recv().await {
            let stream = tokio::net::TcpStream::from_std(stream);
            let served = stream.and_then(|stream| self.seated(stream, client, entrance, seat));
            if let Err(error) = served {
                warn!(%error, "connection lost on its way to another worker");
            }
        }
    }
}

impl Worker<Tcp> {
    /// Serves a connection that was accepted here, or has a far less crowded worker do it.
    fn place(
        self: &Rc<Self>,
        stream: tokio::net::TcpStream,
        client: SocketAddr,
        entrance: &Entrance,
    ) -> io::Result<()> {
        let worker = self.writer.worker();
        // A worker that leaves keeps what it accepts: the others may have ended.
        let seat = match self.is_leaving() {
            true => self.crowd.seat_at(worker),
            false => self.crowd.seat(worker),
        };
        if seat.worker == worker {
            return self.seated(stream, client, entrance.clone(), seat);
        }
        let handed =
            Handed { stream: stream.into_std()?, client, entrance: entrance.clone(), seat };
        let Err(Handed { stream, entrance, .. }) = self.crowd.hand(handed) else {
            return Ok(());
        };
        let stream = tokio::net::TcpStream::from_std(stream)?;
        self.seated(stream, client, entrance, self.crowd.seat_at(worker))
    }

    fn seated(
        self: &Rc<Self>,
        stream: tokio::net::TcpStream,
        client: SocketAddr,
        entrance: Entrance,
        seat: Seat,
    ) -> io::Result<()> {
        let serving = Rc::clone(self).serve(TcpSocket::new(stream)?, client, entrance);
        self.tasks.spawn_local(async move {
            serving.await;
            drop(seat);
        });
        Ok(())
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
    use std::sync::Arc;

    use dormouse_link::activator_side::Identity;
    use dormouse_metrics::registry::Registry;
    use dormouse_policy::admission::CommonBound;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, Token};
    use crate::crowd::Crowd;
    use crate::hold::limited::Limited;
    use crate::worker::Parts;

    #[test]
    fn a_taken_port_is_never_shared() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (taken, listeners) = bind(any, IfTaken::Fail, 2).unwrap();
        assert_eq!(listeners.len(), 2);
        assert!(bind(taken, IfTaken::Fail, 1).is_err());
        let (other, _) = bind(taken, IfTaken::AnyFree, 1).unwrap();
        assert_ne!(taken.port(), other.port());
    }

    fn workers(crowd: &Arc<Crowd>) -> Vec<Rc<Worker<Tcp>>> {
        let registry = Arc::new(Registry::new(2));
        let identity = Identity { reporter: String::new(), boot: 0 };
        let config = Arc::new(Config::new(Vec::new(), Token::Fixed(String::new()), identity));
        let common = Arc::new(CommonBound::new(config.held_max));
        let limited = Arc::new(Limited::new(Arc::clone(&common)));
        let (signals, _) = mpsc::channel(1);
        let worker = |number| {
            let parts = Parts {
                config: Arc::clone(&config),
                clock: Clock::start(),
                routes: Arc::default(),
                common: Arc::clone(&common),
                limited: Arc::clone(&limited),
                crowd: Arc::clone(crowd),
                signals: signals.clone(),
            };
            Worker::new(parts, registry.writer(number).unwrap(), Tcp, 1)
        };
        (0..2).map(worker).collect()
    }

    #[tokio::test]
    async fn a_crowded_worker_hands_connections_over_and_all_are_served() {
        let serving = async {
            let (crowd, handed) = Crowd::new(2);
            let workers = workers(&crowd);
            for (worker, handed) in workers.iter().zip(handed) {
                tokio::task::spawn_local(Rc::clone(worker).take_over(handed));
            }
            let any = "127.0.0.1:0".parse().unwrap();
            let (address, listeners) = bind(any, IfTaken::Fail, 1).unwrap();
            for listener in listeners {
                let stop = CancellationToken::new();
                let accepting = Rc::clone(&workers[0]).accept(listener, Entrance::Gateway, stop);
                tokio::task::spawn_local(accepting);
            }
            let mut clients = Vec::new();
            for _ in 0..40 {
                let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
                client.write_all(b"GET / HTTP/1.1\r\nhost: nobody\r\n\r\n").await.unwrap();
                let mut status = [0; 12];
                client.read_exact(&mut status).await.unwrap();
                assert_eq!(&status, b"HTTP/1.1 503", "no table yet");
                clients.push(client);
            }
            let served: Vec<_> = workers.iter().map(|worker| worker.tasks.len()).collect();
            assert_eq!(served, [24, 16], "eight apart, all of them accepted by the first");
        };
        tokio::task::LocalSet::new().run_until(serving).await;
    }
}
