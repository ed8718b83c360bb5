//! How far a command is, told on stderr: by a bar where that is a terminal.

use std::io::{self, IsTerminal, Write};

use super::args::WorkArgs;
use super::complain;

/// Cells of the bar: with its words it fits the narrowest terminals in use.
const CELLS: usize = 30;

/// Goes to the line's beginning and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Where and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not at all.
    Silent,
    /// A line for each run, for whoever asked for it and reads a log.
    Lines,
    /// A bar in place, gone once all is done.
    Bar,
}

impl Progress {
    /// What was asked for, as far as stderr can show it.
    pub(super) fn of(work: &WorkArgs) -> Self {
        match (work.quiet, work.progress, can_redraw()) {
            (true, ..) => Self::Silent,
            (false, _, true) => Self::Bar,
            (false, true, false) => Self::Lines,
            (false, false, false) => Self::Silent,
        }
    }

    /// Tells that so many runs are done, of so many known so far.
    pub(super) fn tell(self, done: usize, of: usize) {
        match self {
            Self::Silent => {}
            Self::Lines => complain(format_args!("{done} of {of} runs are done")),
            Self::Bar if done >= of => put(CLEAR),
            Self::Bar => put(&format!("{CLEAR}{}", bar(done, of))),
        }
    }
}

/// Removes what is left of a bar.
pub(super) fn clear() {
    if can_redraw() {
        put(CLEAR);
    }
}

fn can_redraw() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn bar(done: usize, of: usize) -> String {
    let full = done * CELLS / of.max(1);
    format!("[{}{}] {done} of {of} runs", "█".repeat(full), "·".repeat(CELLS - full))
}

fn put(text: &str) {
    let mut stderr = io::stderr().lock();
    // With stderr gone there is nobody left to show it to.
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_runs_are_done() {
        let full = |done, of| bar(done, of).matches('█').count();
        assert_eq!([full(0, 7), full(3, 7), full(6, 7)], [0, 12, 25]);
        assert_eq!(full(9_999, 10_000), CELLS - 1);
        assert!(bar(3, 7).ends_with("] 3 of 7 runs") && bar(3, 7).chars().count() < 60);
    }
}
