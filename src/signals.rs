//! The signals by which people and supervisors end a process.

use std::fs;
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
    /// None if whoever started the process wants it to outlive its terminal.
    hang_up: Option<Signal>,
    /// When it was first asked to.
    first: Option<Instant>,
}

impl Signals {
    /// From now on signals ask, and no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            first: None,
        })
    }

    /// Waits for somebody's wish: the first one, or a later one that is no echo of it.
    pub(crate) async fn next(&mut self) {
        loop {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = hang_up => {}
            }
            let now = Instant::now();
            let first = *self.first.get_or_insert(now);
            if first == now || now - first > ECHO_MAX {
                return;
            }
        }
    }
}

/// Whether the process was started so that this signal does nothing, as `nohup` does it. Where that
/// cannot be known it was not.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut ignored = status.lines().filter_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.next().and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 stands for signal 1.
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
