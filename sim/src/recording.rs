//! Recorded runs of a stable/panic-window policy: one JSON object a line, gzip or not.
//!
//! What the fields mean is documented beside the recordings, in
//! `autoscaler/policy/testdata/README.md`. The reader is strict about them: whatever is missing, of
//! another type, out of its range or out of order is named by file, line and field. Fields it does
//! not know are skipped, so that a recording may carry more than is looked at.

mod case;
mod figure;

use std::io::Read;

use crate::lines::{Lines, text};

pub use crate::lines::{Fault, Unreadable};
pub use case::{Case, Load, Path, Policy, Step, Want};
pub use figure::{Amount, Positive, Seconds, Spare};

/// The cases of one recording, read one at a time. After an error there are no more.
pub struct Recording<'a> {
    lines: Lines<'a>,
    broken: bool,
}

impl<'a> Recording<'a> {
    /// Reads `input`, which `file` names in messages. It is unpacked if it begins as gzip does, or
    /// if its name ends in `.gz`.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(file: &str, input: impl Read + 'a) -> Result<Self, Unreadable> {
        Ok(Self { lines: Lines::new(file, input)?, broken: false })
    }

    fn read_case(&mut self) -> Result<Option<Case>, Unreadable> {
        loop {
            let Some(line) = self.lines.read()? else {
                return Ok(None);
            };
            let case = text(line.bytes).and_then(|text| match text.trim() {
                "" => Ok(None),
                _ => Case::parse(text).map(Some),
            });
            if let Some(case) = case.map_err(|fault| self.lines.unreadable(fault))? {
                return Ok(Some(case));
            }
        }
    }
}

impl Iterator for Recording<'_> {
    type Item = Result<Case, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let case = self.read_case().transpose();
        self.broken = matches!(case, Some(Err(_)));
        case
    }
}

#[cfg(test)]
mod tests;
