//! Sorting of more rows than fit memory: runs put aside, then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::{ImportError, Scratch, Spill};
use crate::trace::indexed::Row;

/// The least memory: with less, runs were too many.
pub const MEMORY_BYTES_MIN: usize = 1 << 20;

/// Bytes that each run which is merged is read by at once.
const BUFFER_BYTES: usize = 32 << 10;

const ROW_BYTES: usize = 28;

/// Rows in any order, which come back sorted.
pub(super) struct Sorter<'a> {
    scratch: &'a dyn Scratch,
    rows: Vec<Row>,
    rows_max: usize,
    /// Runs that are merged at once.
    runs_max: usize,
    aside: Option<Aside>,
}

/// Sorted runs in one file.
struct Aside {
    file: Box<dyn Spill>,
    length: u64,
    /// Where each run begins and ends.
    runs: Vec<(u64, u64)>,
    buffer: Vec<u8>,
}

impl<'a> Sorter<'a> {
    pub(super) fn new(scratch: &'a dyn Scratch, memory_bytes: usize) -> Self {
        let memory_bytes = memory_bytes.max(MEMORY_BYTES_MIN);
        // One buffer more is written by.
        Self::bounded(scratch, memory_bytes / size_of::<Row>(), memory_bytes / BUFFER_BYTES - 1)
    }

    /// With so many rows in memory, at least 1, and so many runs merged at once, at least 2.
    pub(super) fn bounded(scratch: &'a dyn Scratch, rows_max: usize, runs_max: usize) -> Self {
        Self { scratch, rows: Vec::new(), rows_max, runs_max, aside: None }
    }

    pub(super) fn push(&mut self, row: Row) -> Result<(), ImportError> {
        if self.rows.len() == self.rows_max {
            self.put_aside()?;
        }
        if self.rows.len() == self.rows.capacity() {
            // Doubled as ever, but not beyond the bound.
            let more = self.rows.len().max(1024).min(self.rows_max - self.rows.len());
            self.rows.reserve_exact(more);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Hands all rows to `each`, in order; equal ones as one.
    pub(super) fn finish(
        mut self,
        mut each: impl FnMut(Row) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        if self.aside.is_none() {
            self.rows.sort_unstable();
            return self.rows.into_iter().try_for_each(each);
        }
        self.put_aside()?;
        self.rows = Vec::new();
        let Some(mut aside) = self.aside else {
            return Ok(());
        };
        while aside.runs.len() > self.runs_max {
            let mut next = Aside::new(self.scratch)?;
            for runs in aside.runs.chunks(self.runs_max) {
                next.begin();
                merge(&*aside.file, runs, |row| next.put(row))?;
                next.end()?;
            }
            aside = next;
        }
        merge(&*aside.file, &aside.runs, &mut each)
    }

    /// Writes what is in memory as a run.
    fn put_aside(&mut self) -> Result<(), ImportError> {
        let aside = match &mut self.aside {
            Some(aside) => aside,
            none => none.insert(Aside::new(self.scratch)?),
        };
        self.rows.sort_unstable();
        aside.begin();
        for row in self.rows.drain(..) {
            aside.put(row)?;
        }
        aside.end()
    }
}

impl Aside {
    fn new(scratch: &dyn Scratch) -> Result<Self, ImportError> {
        let file = scratch.file().map_err(ImportError::Scratch)?;
        Ok(Self { file, length: 0, runs: Vec::new(), buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    fn begin(&mut self) {
        self.runs.push((self.length, self.length));
    }

    fn put(&mut self, row: Row) -> Result<(), ImportError> {
        self.buffer.extend(row.function.to_le_bytes());
        for number in [row.tick, row.service_us, row.requests] {
            self.buffer.extend(number.to_le_bytes());
        }
        match self.buffer.len() + ROW_BYTES > BUFFER_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), ImportError> {
        self.flush()?;
        if let Some((_, end)) = self.runs.last_mut() {
            *end = self.length;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.file.append(&self.buffer).map_err(ImportError::Scratch)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Merges runs of a file; equal rows become one.
fn merge(
    file: &dyn Spill,
    runs: &[(u64, u64)],
    mut each: impl FnMut(Row) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut runs: Vec<_> = runs.iter().map(|&(at, end)| Run::new(file, at, end)).collect();
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (number, run) in runs.iter_mut().enumerate() {
        heads.extend(run.next().map_err(ImportError::Scratch)?.map(|row| Reverse((row, number))));
    }
    let mut last: Option<Row> = None;
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((row, number)) = *head;
        match runs[number].next().map_err(ImportError::Scratch)? {
            Some(row) => *head = Reverse((row, number)),
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        match &mut last {
            Some(last) if Row { requests: 0, ..*last } == (Row { requests: 0, ..row }) => {
                last.requests = last.requests.saturating_add(row.requests);
            }
            last => {
                if let Some(row) = last.replace(row) {
                    each(row)?;
                }
            }
        }
    }
    last.map_or(Ok(()), each)
}

/// A run that is read.
struct Run<'f> {
    file: &'f dyn Spill,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'f> Run<'f> {
    fn new(file: &'f dyn Spill, at: u64, end: u64) -> Self {
        Self { file, at, end, buffer: Vec::new(), used: 0 }
    }

    fn next(&mut self) -> io::Result<Option<Row>> {
        if self.used == self.buffer.len() {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(BUFFER_BYTES / ROW_BYTES * ROW_BYTES), 0);
            let mut filled = 0;
            while filled < self.buffer.len() {
                match self.file.read_at(&mut self.buffer[filled..], self.at + filled as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => filled += read,
                }
            }
            self.at += filled as u64;
            self.used = 0;
        }
        let Some(bytes) = self.buffer.get(self.used..self.used + ROW_BYTES) else {
            return Ok(None);
        };
        self.used += ROW_BYTES;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let function = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(Some(Row { function, tick: number(4), service_us: number(12), requests: number(20) }))
    }
}
