//! What a process says, line by line, kept and waited on.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::wait::DEADLINE;

/// A growing list of entries, one per line of a stream.
pub struct Journal<T> {
    shared: Arc<Shared<T>>,
    reader: Option<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    grew: Condvar,
}

struct State<T> {
    entries: Vec<T>,
    ended: bool,
}

impl<T: Clone + Send + 'static> Journal<T> {
    /// Reads `stream` to its end on a thread of its own, each line through `parse`.
    pub fn of(
        stream: impl Read + Send + 'static,
        parse: impl Fn(&str) -> T + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { entries: Vec::new(), ended: false }),
            grew: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                let entry = parse(String::from_utf8_lossy(&line).trim_end());
                writer.lock().entries.push(entry);
                writer.grew.notify_all();
                line.clear();
            }
            writer.lock().ended = true;
            writer.grew.notify_all();
        });
        Self { shared, reader: Some(reader) }
    }

    /// Everything said so far.
    #[must_use]
    pub fn entries(&self) -> Vec<T> {
        self.shared.lock().entries.clone()
    }

    /// How much has been said so far: a mark for [`Journal::wait_after`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().entries.len()
    }

    /// Whether nothing has been said yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until `pick` finds what it looks for in everything said so far, and returns it.
    ///
    /// # Panics
    /// At the deadline, or when the stream ends before.
    #[track_caller]
    pub fn wait<R>(&self, what: &str, mut pick: impl FnMut(&[T]) -> Option<R>) -> R {
        self.wait_after(0, what, &mut pick)
    }

    /// As [`Journal::wait`], over the entries after the first `mark`.
    ///
    /// # Panics
    /// At the deadline, or when the stream ends before.
    #[track_caller]
    pub fn wait_after<R>(
        &self,
        mark: usize,
        what: &str,
        mut pick: impl FnMut(&[T]) -> Option<R>,
    ) -> R {
        let mut found = None;
        let (state, timeout) = self
            .shared
            .grew
            .wait_timeout_while(self.shared.lock(), DEADLINE, |state| {
                found = pick(&state.entries[mark..]);
                found.is_none() && !state.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        let ended = state.ended;
        drop(state);
        found.unwrap_or_else(|| {
            assert!(!timeout.timed_out(), "waited in vain for {what}");
            assert!(!ended, "the process ended before {what}");
            unreachable!("the wait ends by a find, the deadline or the end")
        })
    }

    /// Waits until the stream has ended.
    pub fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_in_order_and_the_end_is_seen() {
        let mut journal = Journal::of("one\ntwo\nthree".as_bytes(), str::to_owned);
        let two = journal.wait("two", |lines| lines.iter().position(|line| line == "two"));
        assert_eq!(two, 1);
        journal.finish();
        assert_eq!(journal.entries(), ["one", "two", "three"]);
    }
}
