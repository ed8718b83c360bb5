//! The signals by which people and supervisors end a process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// A second signal so soon after the first is the same wish: supervisors and shells often signal
/// both a process and its group.
const ECHO_MAX: Duration = Duration::from_millis(500);

/// What asks the process to end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// When it was first asked to.
    first: Option<Instant>,
}

impl Signals {
    /// From now on signals ask, and no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            first: None,
        })
    }

    /// Waits for somebody's wish: the first one, or a later one that is no echo of it.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            let now = Instant::now();
            let first = *self.first.get_or_insert(now);
            if first == now || now - first > ECHO_MAX {
                return;
            }
        }
    }
}
