//! The record's file: a thread that writes what it is handed, so that a slow disk delays no
//! decision.
//!
//! What does not get into the file, because the thread cannot keep up or the disk refuses it, is
//! counted; the file says how much is missing where, and never ends a line in its middle.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use dormouse_policy::record::{Header, Line};
use tokio::sync::oneshot;
use tracing::{error, info};

/// Lines waiting to be written: the first sight of five thousand functions at once, three lines
/// each. At the usual 1 to 2 KiB a line that is 32 MiB, if nothing is written at all.
const QUEUE_LINES_MAX: usize = 16 * 1024;

/// Lines written by one call.
const BATCH_LINES_MAX: usize = 256;

/// Hands lines to the writer's thread; never waits.
#[derive(Debug)]
pub(super) struct Recorder {
    lines: SyncSender<(u64, Line)>,
    /// The number of the next line; a jump shows the writer that lines are missing.
    next: u64,
    losses: Losses,
    /// Of the losses, those that the core knows of.
    known: u64,
    ended: oneshot::Receiver<()>,
}

/// How many lines did not get into the file.
#[derive(Clone, Debug, Default)]
struct Losses {
    /// The loop and the writer's thread add; the loop reads. A sum of its own: relaxed suffices.
    lines: Arc<AtomicU64>,
}

impl Losses {
    fn count(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Adds to them. Says so the first time: a full disk would say it with every decision.
    fn add(&self, lines: u64, why: &dyn std::fmt::Display) {
        if self.lines.fetch_add(lines, Ordering::Relaxed) == 0 {
            error!(%why, "the record has gaps");
        }
    }
}

impl Recorder {
    /// Begins a record in a new file; `wall_us` is Unix time at 0 of the decider's clock.
    ///
    /// # Errors
    /// The file exists already or cannot be made, or no thread can be started.
    pub(super) fn create(path: &Path, wall_us: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        let (lines, received) = sync_channel(QUEUE_LINES_MAX);
        let losses = Losses::default();
        let writer = Writer::new(file, Header::new(wall_us), losses.clone());
        let (ending, ended) = oneshot::channel();
        thread::Builder::new().name("record".into()).spawn(move || {
            write(writer, &received);
            // Nobody waits if the process is ending in haste.
            ending.send(()).ok();
        })?;
        Ok(Self { lines, next: 0, losses, known: 0, ended })
    }

    /// One that nobody writes for: what is handed over, up to so many lines, comes out here.
    #[cfg(test)]
    pub(super) fn unwritten(lines_max: usize) -> (Self, Receiver<(u64, Line)>) {
        let (lines, received) = sync_channel(lines_max);
        let (_, ended) = oneshot::channel();
        (Self { lines, next: 0, losses: Losses::default(), known: 0, ended }, received)
    }

    /// Hands over a line.
    pub(super) fn write(&mut self, line: Line) {
        let number = self.next;
        self.next += 1;
        if let Err(fault) = self.lines.try_send((number, line)) {
            // The line itself would only fill the log.
            let why = match fault {
                std::sync::mpsc::TrySendError::Full(_) => "it is written too slowly",
                std::sync::mpsc::TrySendError::Disconnected(_) => "its thread has ended",
            };
            self.losses.add(1, &why);
        }
    }

    /// Whether lines were lost since this was last asked.
    pub(super) fn take_lost(&mut self) -> bool {
        let before = std::mem::replace(&mut self.known, self.losses.count());
        self.known > before
    }

    /// Waits until everything handed over is written.
    pub(super) async fn close(self) {
        drop(self.lines);
        // An error means that the thread has ended already.
        self.ended.await.ok();
        info!(lines = self.next, lost = self.losses.count(), "record ended");
    }
}

/// Writes until the other end is dropped.
fn write(mut writer: Writer<File>, lines: &Receiver<(u64, Line)>) {
    while let Ok(first) = lines.recv() {
        let rest = lines.try_iter().take(BATCH_LINES_MAX - 1);
        writer.write(std::iter::once(first).chain(rest));
    }
}

/// What lines are written to.
trait Sink: Write {
    /// Cuts off what lies beyond `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Sink for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// What the thread does.
struct Writer<S> {
    sink: S,
    header: Header,
    losses: Losses,
    /// The number of the next line that the file lacks.
    next: u64,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Whether there may be a part of a line beyond them.
    torn: bool,
    bytes: Vec<u8>,
}

impl<S: Sink> Writer<S> {
    fn new(sink: S, header: Header, losses: Losses) -> Self {
        Self { sink, header, losses, next: 0, length: 0, torn: false, bytes: Vec::new() }
    }

    /// Writes these numbered lines, all or none.
    fn write(&mut self, lines: impl Iterator<Item = (u64, Line)>) {
        self.bytes.clear();
        let mut next = self.next;
        let mut taken = 0;
        let mut encoded = match self.length {
            0 => Line::Header(self.header.clone()).write_to(&mut self.bytes),
            _ => Ok(()),
        };
        for (number, line) in lines {
            taken += 1;
            if encoded.is_ok() && number > next {
                encoded = Line::Gap { lines: number - next }.write_to(&mut self.bytes);
            }
            if encoded.is_ok() {
                encoded = line.write_to(&mut self.bytes);
            }
            next = number + 1;
        }
        match encoded.map_err(io::Error::from).and_then(|()| self.put()) {
            Ok(()) => self.next = next,
            Err(fault) => self.losses.add(taken, &fault),
        }
    }

    /// Appends `bytes` to the file, whole.
    fn put(&mut self) -> io::Result<()> {
        if self.torn {
            self.sink.cut(self.length)?;
        }
        self.torn = true;
        self.sink.write_all(&self.bytes)?;
        self.torn = false;
        self.length += self.bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dormouse_policy::record::replay;

    use super::*;

    /// A disk that takes in so many bytes and then no more.
    #[derive(Default)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            self.bytes.extend(&bytes[..fits]);
            self.room -= fits;
            match fits {
                0 => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(fits),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    fn writer(room: usize) -> Writer<Disk> {
        let disk = Disk { bytes: Vec::new(), room };
        Writer::new(disk, Header::new(0), Losses::default())
    }

    fn lines(numbers: std::ops::Range<u64>) -> impl Iterator<Item = (u64, Line)> {
        numbers.map(|number| (number, Line::Heard(Vec::new())))
    }

    fn text(writer: &Writer<Disk>) -> String {
        let text = str::from_utf8(&writer.sink.bytes).unwrap();
        let (header, rest) = text.split_once('\n').unwrap_or((text, ""));
        assert!(header.starts_with("{\"header\":") || header.is_empty(), "{header}");
        replay(text.as_bytes(), 0).unwrap();
        rest.to_owned()
    }

    #[test]
    fn a_queue_that_overflowed_leaves_its_mark() {
        let mut writer = writer(1_000);
        writer.write(lines(0..1));
        writer.write(lines(4..5));
        assert_eq!(text(&writer), "{\"heard\":[]}\n{\"gap\":{\"lines\":3}}\n{\"heard\":[]}\n");
    }

    #[test]
    fn a_full_disk_loses_whole_lines_and_is_tried_again() {
        let mut writer = writer(120);
        writer.write(lines(0..1));
        writer.write(lines(1..4));
        assert!(writer.torn && writer.losses.count() == 3);
        writer.write(lines(4..5));
        assert_eq!(writer.losses.count(), 4);
        writer.sink.room = 1_000;
        writer.write(lines(5..6));
        assert_eq!(text(&writer), "{\"heard\":[]}\n{\"gap\":{\"lines\":4}}\n{\"heard\":[]}\n");
    }

    #[test]
    fn a_disk_that_is_full_from_the_start_gets_its_header_later() {
        let mut writer = writer(10);
        writer.write(lines(0..2));
        writer.sink.room = 1_000;
        writer.write(lines(2..3));
        assert_eq!(text(&writer), "{\"gap\":{\"lines\":2}}\n{\"heard\":[]}\n");
    }

    #[tokio::test]
    async fn what_is_handed_over_is_written_at_the_end_and_never_over_another_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.jsonl");
        let mut recorder = Recorder::create(&path, 7).unwrap();
        for _ in 0..3 {
            recorder.write(Line::Heard(Vec::new()));
        }
        assert!(!recorder.take_lost());
        recorder.close().await;
        assert_eq!(replay(&std::fs::read(&path).unwrap(), 0).unwrap().lines, 4);
        let again = Recorder::create(&path, 7).map(|_| ()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_queue_that_is_full_is_a_loss_told_once() {
        let (mut recorder, received) = Recorder::unwritten(1);
        recorder.write(Line::Heard(Vec::new()));
        assert!(!recorder.take_lost());
        recorder.write(Line::Heard(Vec::new()));
        assert!(recorder.take_lost());
        assert!(!recorder.take_lost());
        assert_eq!(received.try_iter().map(|(number, _)| number).collect::<Vec<_>>(), [0]);
        recorder.write(Line::Heard(Vec::new()));
        assert_eq!(received.try_iter().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
    }
}
