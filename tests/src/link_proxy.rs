//! A TCP proxy between activator and autoscaler that can be cut, frozen and healed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A frame is small; what matters is that a frozen proxy holds little.
const COPY_BYTES: usize = 16 * 1024;

/// The proxy. Dropped, it closes what it carries.
pub struct LinkProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    forward_to: Option<SocketAddr>,
    mood: Mood,
    carried: Vec<TcpStream>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Healthy,
    /// Connections stay open and nothing passes.
    Frozen,
    /// Connections are closed, new ones too.
    Cut,
    Over,
}

impl LinkProxy {
    /// Listens on a free port and refuses to carry anything until [`LinkProxy::forward_to`].
    ///
    /// # Panics
    /// If no loopback port is free.
    #[must_use]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared {
            state: Mutex::new(State { forward_to: None, mood: Mood::Healthy, carried: Vec::new() }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        Self {
            address,
            shared,
            acceptor: Some(std::thread::spawn(move || accepting.accept(&listener))),
        }
    }

    /// Where to dial.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries connections there from now on.
    pub fn forward_to(&self, address: SocketAddr) {
        self.shared.lock().forward_to = Some(address);
    }

    /// Closes every connection, and each new one at once.
    pub fn cut(&self) {
        self.set(Mood::Cut);
    }

    /// Lets nothing pass and closes nothing: a network that swallows packets.
    pub fn freeze(&self) {
        self.set(Mood::Frozen);
    }

    /// Carries again; what was frozen goes on where it stood.
    pub fn heal(&self) {
        self.set(Mood::Healthy);
    }

    fn set(&self, mood: Mood) {
        let mut state = self.shared.lock();
        state.mood = mood;
        if matches!(mood, Mood::Cut | Mood::Over) {
            for stream in state.carried.drain(..) {
                // It may have ended by itself.
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Default for LinkProxy {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LinkProxy {
    fn drop(&mut self) {
        self.set(Mood::Over);
        // The acceptor looks at the mood after each connection: give it one.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut copiers = Vec::new();
        for dialled in listener.incoming().flatten() {
            let mut state = self.lock();
            match (state.mood, state.forward_to) {
                (Mood::Over, _) => break,
                (Mood::Cut, _) | (_, None) => continue,
                (Mood::Healthy | Mood::Frozen, Some(address)) => {
                    let Ok(forwarded) = TcpStream::connect(address) else {
                        continue;
                    };
                    for (from, to) in [(&dialled, &forwarded), (&forwarded, &dialled)] {
                        let (from, to) = (duplicate(from), duplicate(to));
                        state.carried.push(duplicate(&from));
                        let shared = Arc::clone(self);
                        copiers.push(std::thread::spawn(move || shared.copy(from, to)));
                    }
                }
            }
        }
        for copier in copiers {
            copier.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; COPY_BYTES];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let thawed = self.changed.wait_while(self.lock(), |state| state.mood == Mood::Frozen);
            drop(thawed);
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        // Either end may be closed already.
        to.shutdown(Shutdown::Both).ok();
        from.shutdown(Shutdown::Both).ok();
    }
}

fn duplicate(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be duplicated")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(proxy: &LinkProxy) -> (TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        proxy.forward_to(server.local_addr().unwrap());
        let client = TcpStream::connect(proxy.address()).unwrap();
        (client, server.accept().unwrap().0)
    }

    #[test]
    fn what_was_frozen_arrives_after_the_healing() {
        let proxy = LinkProxy::new();
        let (mut client, mut server) = pair(&proxy);
        proxy.freeze();
        client.write_all(b"frozen").unwrap();
        proxy.heal();
        let mut bytes = [0; 6];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"frozen");
    }

    #[test]
    fn a_cut_ends_old_connections_and_new_ones() {
        let proxy = LinkProxy::new();
        let (mut client, _server) = pair(&proxy);
        proxy.cut();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        let mut again = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(again.read(&mut [0]).unwrap_or(0), 0);
    }
}
