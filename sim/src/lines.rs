//! Text by the line, from files that may be of any size and be packed.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use crate::input::unpacked;

/// Longest line read, in bytes: some hundred times the longest recorded run, and little enough to
/// hold in memory, whatever a compressed file makes of itself.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Characters that are shown of a text: more than any that is right has, and little enough to read.
const SHOWN_CHARS_MAX: usize = 80;

/// A file that cannot be read or used, and where.
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
        /// The field, as in `steps[2].want.desired`.
        field: String,
        /// What is wrong with it.
        rule: String,
    },
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As lines do.
    Whole,
    /// With the file: it is the last one, and its writer may have been killed.
    Cut,
}

/// One line, without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes.
    pub bytes: &'l [u8],
    /// How it ends.
    pub end: End,
}

/// The lines of one file, one at a time.
pub struct Lines<'a> {
    file: String,
    input: Box<dyn BufRead + 'a>,
    line: u64,
    text: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Reads `input`, which `file` names in messages. It is unpacked if it begins as gzip does, or
    /// if its name ends in `.gz`.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(file: &str, input: impl Read + 'a) -> Result<Self, Unreadable> {
        let file = file.to_owned();
        match unpacked(&file, input) {
            Ok(input) => Ok(Self { file, input, line: 0, text: Vec::new() }),
            Err(error) => Err(Unreadable { file, line: 1, fault: error.into() }),
        }
    }

    /// The next line.
    ///
    /// # Errors
    /// It cannot be had, or is too long.
    pub fn read(&mut self) -> Result<Option<Line<'_>>, Unreadable> {
        self.text.clear();
        let bound = LINE_BYTES_MAX as u64 + 1;
        let read = self.input.by_ref().take(bound).read_until(b'\n', &mut self.text);
        self.line += 1;
        let length = read.map_err(|error| self.unreadable(error.into()))?;
        if length > LINE_BYTES_MAX {
            return Err(self.unreadable(Fault::Long));
        }
        let (bytes, end) = match self.text.as_slice() {
            [] => return Ok(None),
            [line @ .., b'\n'] => (line, End::Whole),
            line => (line, End::Cut),
        };
        Ok(Some(Line { number: self.line, bytes, end }))
    }

    /// The number of the line last read, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.line
    }

    /// What is wrong with the line last read.
    #[must_use]
    pub fn unreadable(&self, fault: Fault) -> Unreadable {
        Unreadable { file: self.file.clone(), line: self.line, fault }
    }
}

/// A text as messages show it: whole, or its beginning.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
    }
}

/// A line as text.
///
/// # Errors
/// It is not UTF-8.
pub fn text(line: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(line).map_err(|error| Fault::Encoding(error.valid_up_to()))
}

fn at(line: u64) -> String {
    match line {
        0 => String::new(),
        line => format!(":{line}"),
    }
}
