//! The one writer of stderr while `dormouse up` runs: log lines, the replicas' output, and the
//! account of the functions.
//!
//! It is a thread of its own, so that a terminal that is scrolled back or a pipe that nobody reads
//! delays no decision and no request. Lines it cannot keep up with are dropped and counted; the
//! account is drawn from the latest state and misses nothing but intermediate ones.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dormouse_autoscaler::status;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing_subscriber::fmt::MakeWriter;

use crate::account::{Account, Style};

mod screen;

use screen::Screen;

/// Lines waiting to be written; at the usual 100 bytes each that is 100 KiB.
const QUEUE_LINES: usize = 1024;

/// Lines written in one go, with one redrawing of the table.
const BATCH_LINES: usize = 256;

/// How long the end of the process waits for a reader that has stopped reading.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of every function, newest first to arrive last to be drawn.
pub(crate) type Statuses = watch::Receiver<status::Statuses>;

/// Hands lines to the console thread. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    messages: mpsc::Sender<Message>,
    /// Counted by every producer, taken by the thread; a sum of its own, so relaxed suffices.
    dropped: Arc<AtomicU64>,
}

impl Console {
    /// Prints `text`, which should end its line.
    pub(crate) fn print(&self, text: impl Into<Vec<u8>>) {
        use mpsc::error::TrySendError;
        match self.messages.try_send(Message::Text(text.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            // The thread has ended, so nobody else writes: the last words go out directly.
            Err(TrySendError::Closed(Message::Text(text))) => {
                write_or_forget(&mut io::stderr(), &text);
            }
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// From now on keeps account of `statuses`.
    pub(crate) async fn follow(&self, statuses: Statuses) {
        // A thread that has ended keeps no account: nothing to be told.
        self.messages.send(Message::Follow(statuses)).await.ok();
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One call per log line: the subscriber formats a whole line before it writes.
impl Write for Console {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.print(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The console thread, to be closed at the end.
#[derive(Debug)]
pub(crate) struct ConsoleThread {
    thread: thread::JoinHandle<()>,
    ended: oneshot::Receiver<()>,
    messages: mpsc::Sender<Message>,
}

impl ConsoleThread {
    /// Waits until all that was printed is written, unless the reader has stopped reading.
    pub(crate) async fn close(self) {
        let closing = async {
            // Either end of the thread will do; a send fails only after it.
            self.messages.send(Message::Close).await.ok();
            self.ended.await.ok();
        };
        if timeout(CLOSE_TIMEOUT, closing).await.is_ok() && self.thread.join().is_err() {
            write_or_forget(&mut io::stderr(), b"dormouse: the console thread panicked\n");
        }
    }
}

/// Starts the console thread, which keeps the account in `style`.
///
/// # Errors
/// No thread can be started.
pub(crate) fn start(style: Style) -> io::Result<(Console, ConsoleThread)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (messages, received) = mpsc::channel(QUEUE_LINES);
    let (ending, ended) = oneshot::channel();
    let dropped = Arc::new(AtomicU64::new(0));
    let writer = Writer {
        received,
        dropped: Arc::clone(&dropped),
        statuses: None,
        account: Account::new(style),
        screen: Screen::default(),
    };
    let thread = thread::Builder::new().name("console".into()).spawn(move || {
        runtime.block_on(writer.run());
        // Nobody waits if the process is ending in haste.
        ending.send(()).ok();
    })?;
    let console = Console { messages: messages.clone(), dropped };
    let thread = ConsoleThread { thread, ended, messages };
    Ok((console, thread))
}

#[derive(Debug)]
enum Message {
    Text(Vec<u8>),
    Follow(Statuses),
    Close,
}

/// What lives in the thread.
struct Writer {
    received: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
    statuses: Option<Statuses>,
    account: Account,
    screen: Screen,
}

enum Event {
    Messages(Vec<Message>),
    Changed,
    /// The autoscaler has ended; its last state stays on the screen.
    Unfollow,
    Due,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let event = self.select().await;
            if self.apply(event, Instant::now()).is_break() {
                return;
            }
        }
    }

    async fn select(&mut self) -> Event {
        let due = self.account.due();
        let mut batch = Vec::new();
        let changed = async {
            match &mut self.statuses {
                Some(statuses) => statuses.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let waited = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _count = self.received.recv_many(&mut batch, BATCH_LINES) => Event::Messages(batch),
            alive = changed => if alive { Event::Changed } else { Event::Unfollow },
            () = waited => Event::Due,
        }
    }

    fn apply(&mut self, event: Event, now: Instant) -> std::ops::ControlFlow<()> {
        let mut text = Vec::new();
        let mut closing = false;
        match event {
            // No message: every sender is gone, which the end of the process alone can cause.
            Event::Messages(messages) if messages.is_empty() => closing = true,
            Event::Messages(messages) => {
                for message in messages {
                    match message {
                        Message::Text(line) => text.extend_from_slice(&line),
                        Message::Follow(statuses) => self.statuses = Some(statuses),
                        Message::Close => closing = true,
                    }
                }
            }
            Event::Unfollow => self.statuses = None,
            Event::Changed | Event::Due => {}
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            text.extend(format!("dormouse: {dropped} lines dropped, stderr is slow\n").bytes());
        }
        if let Some(statuses) = &mut self.statuses {
            let latest = Arc::clone(&statuses.borrow_and_update());
            self.account.update(&latest, now, screen::height() - 1);
        }
        let account = self.account.take();
        text.extend_from_slice(account.lines.as_bytes());
        let drawn = self.screen.draw(&text, account.table.as_deref());
        write_or_forget(&mut io::stderr(), &drawn);
        write_or_forget(&mut io::stdout(), account.json.as_bytes());
        match closing {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        }
    }
}

/// A terminal that is gone is no reason to stop serving requests.
fn write_or_forget(to: &mut impl Write, bytes: &[u8]) {
    if !bytes.is_empty() {
        to.write_all(bytes).and_then(|()| to.flush()).ok();
    }
}
