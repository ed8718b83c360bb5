//! Recorded runs of a stable/panic-window policy: one JSON object a line, gzip or not.
//!
//! What the fields mean is documented beside the recordings, in
//! `autoscaler/policy/testdata/README.md`. The reader is strict about them: whatever is missing, of
//! another type, out of its range or out of order is named by file, line and field. Fields it does
//! not know are skipped, so that a recording may carry more than is looked at.

mod case;
mod figure;

use std::io::{self, BufRead, Read};

use crate::input::unpacked;

pub use case::{Case, Load, Path, Policy, Step, Want};
pub use figure::{Amount, Positive, Seconds, Spare};

/// Longest line read, in bytes: some hundred times the longest recorded run, and little enough to
/// hold in memory, whatever a compressed file makes of itself.
const LINE_BYTES_MAX: usize = 64 << 20;

/// The cases of one recording, read one at a time. After an error there are no more.
pub struct Recording<'a> {
    file: String,
    input: Box<dyn BufRead + 'a>,
    line: u64,
    text: Vec<u8>,
    broken: bool,
}

/// A recording that cannot be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {fault}", at(*.line))]
pub struct Unreadable {
    /// The file's name as given.
    pub file: String,
    /// The line, from 1; 0 when the file was not even opened.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be had at all: a failing disk, a directory, a truncated or damaged gzip.
    #[error("cannot be read: {0}")]
    Input(#[from] io::Error),
    /// It has no end within the bound.
    #[error("is longer than {LINE_BYTES_MAX} bytes")]
    Long,
    /// It is not text.
    #[error("is not UTF-8, from byte {0} on")]
    Encoding(usize),
    /// A field breaks its rule.
    #[error("{field}: {rule}")]
    Field {
        /// The field, as in `steps[2].want.desired`; `case` where it is the whole line.
        field: String,
        /// What is wrong with it.
        rule: String,
    },
}

impl<'a> Recording<'a> {
    /// Reads `input`, which `file` names in messages. It is unpacked if it begins as gzip does, or
    /// if its name ends in `.gz`.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(file: &str, input: impl Read + 'a) -> Result<Self, Unreadable> {
        let file = file.to_owned();
        match unpacked(&file, input) {
            Ok(input) => Ok(Self { file, input, line: 0, text: Vec::new(), broken: false }),
            Err(error) => Err(Unreadable { file, line: 1, fault: error.into() }),
        }
    }

    fn read_case(&mut self) -> Result<Option<Case>, Fault> {
        loop {
            self.text.clear();
            let bound = LINE_BYTES_MAX as u64 + 1;
            let length = self.input.by_ref().take(bound).read_until(b'\n', &mut self.text)?;
            if length == 0 {
                return Ok(None);
            }
            self.line += 1;
            if length > LINE_BYTES_MAX {
                return Err(Fault::Long);
            }
            let text = std::str::from_utf8(&self.text)
                .map_err(|error| Fault::Encoding(error.valid_up_to()))?;
            if !text.trim().is_empty() {
                return Case::parse(text).map(Some);
            }
        }
    }

    fn unreadable(&mut self, fault: Fault) -> Unreadable {
        self.broken = true;
        // What could not be had was to be the next line.
        let line = match fault {
            Fault::Input(_) => self.line + 1,
            _ => self.line,
        };
        Unreadable { file: self.file.clone(), line, fault }
    }
}

impl Iterator for Recording<'_> {
    type Item = Result<Case, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        match self.read_case() {
            Ok(case) => case.map(Ok),
            Err(fault) => Some(Err(self.unreadable(fault))),
        }
    }
}

fn at(line: u64) -> String {
    match line {
        0 => String::new(),
        line => format!(":{line}"),
    }
}

#[cfg(test)]
mod tests;
