//! How many connections each worker has, and how a crowded one hands a new one over.
//!
//! The kernel spreads connections over the workers' listeners by a hash, which is even only for
//! many: of sixteen long-lived ones, one worker may well get twelve.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use tokio::sync::mpsc;

use crate::route::Entrance;

/// A worker with so many connections more than the least crowded one hands a new one over: fewer
/// are not worth another thread's wake-up, and chance alone does not exceed it by much.
const FAR_MORE: usize = 8;

/// Connections on their way to one worker. Beyond it whoever accepted one keeps it.
const HANDED_MAX: usize = 256;

/// The connections of all workers.
#[derive(Debug)]
pub(crate) struct Crowd(Box<[Place]>);

#[derive(Debug)]
struct Place {
    /// Connections here or on their way. Written and read by every worker, once a connection;
    /// relaxed: the number is all.
    connections: CachePadded<AtomicUsize>,
    inbox: mpsc::Sender<Handed>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Handed {
    /// The connection, not blocking.
    pub(crate) stream: TcpStream,
    /// Who it is from.
    pub(crate) client: SocketAddr,
    /// The listener it came through.
    pub(crate) entrance: Entrance,
    /// Its count.
    pub(crate) seat: Seat,
}

/// One connection's count. Dropping it ends the count.
#[derive(Debug)]
#[must_use = "dropping it ends the count"]
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    /// The worker that it is counted for.
    pub(crate) worker: usize,
}

impl Crowd {
    /// No connections yet, and where each worker gets those of others.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<mpsc::Receiver<Handed>>) {
        let (places, inboxes): (Vec<_>, _) = (0..workers)
            .map(|_| {
                let (inbox, handed) = mpsc::channel(HANDED_MAX);
                (Place { connections: CachePadded::default(), inbox }, handed)
            })
            .unzip();
        (Arc::new(Self(places.into())), inboxes)
    }

    /// A seat for a connection that `worker` accepted: there, unless it is far more crowded than
    /// the least crowded one.
    pub(crate) fn seat(self: &Arc<Self>, worker: usize) -> Seat {
        let least = (0..self.0.len()).min_by_key(|other| self.connections(*other));
        let least = least.unwrap_or(worker);
        let is_far_more = self.connections(worker) >= self.connections(least) + FAR_MORE;
        self.seat_at(if is_far_more { least } else { worker })
    }

    /// A seat there.
    pub(crate) fn seat_at(self: &Arc<Self>, worker: usize) -> Seat {
        self.0[worker].connections.fetch_add(1, Ordering::Relaxed);
        Seat { crowd: Arc::clone(self), worker }
    }

    /// Gives a connection to the worker of its seat.
    ///
    /// # Errors
    /// That worker has too many on their way or has ended; the connection comes back.
    pub(crate) fn hand(&self, handed: Handed) -> Result<(), Handed> {
        let sent = self.0[handed.seat.worker].inbox.try_send(handed);
        sent.map_err(mpsc::error::TrySendError::into_inner)
    }

    fn connections(&self, worker: usize) -> usize {
        self.0[worker].connections.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.crowd.0[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a connection that ends was counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_far_more_crowded_workers_hand_over_and_the_least_crowded_gets_it() {
        let (crowd, _inboxes) = Crowd::new(3);
        let _one = crowd.seat_at(1);
        let mut seats: Vec<_> = (0..FAR_MORE).map(|_| crowd.seat(0)).collect();
        assert!(seats.iter().all(|seat| seat.worker == 0));
        seats.extend((0..4).map(|_| crowd.seat(0)));
        let at: Vec<_> = seats[FAR_MORE..].iter().map(|seat| seat.worker).collect();
        assert_eq!(at, [2, 0, 1, 2], "never more than {FAR_MORE} and one apart");
        drop(seats);
        assert_eq!((0..3).map(|worker| crowd.connections(worker)).collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn a_connection_that_nobody_takes_comes_back() {
        let (crowd, inboxes) = Crowd::new(2);
        drop(inboxes);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = listener.local_addr().unwrap();
        let stream = TcpStream::connect(client).unwrap();
        let (entrance, seat) = (Entrance::Gateway, crowd.seat_at(1));
        let back = crowd.hand(Handed { stream, client, entrance, seat }).unwrap_err();
        drop(back);
        assert_eq!(crowd.connections(1), 0);
    }
}
