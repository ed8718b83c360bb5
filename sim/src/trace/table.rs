//! A CSV file with a header, row by row.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;
use std::{fmt, str};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator, Trim};

use crate::input::unpacked;
use crate::lines::shown;

/// Longest row, in bytes: some fifty times the longest of a day by the minute, and little enough to
/// hold in memory, whatever a compressed file makes of itself.
const ROW_BYTES_MAX: usize = 1 << 20;

/// What may stand before a text in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// What is wrong with a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}{}: {rule}", at(*.line), of(.column))]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where it is about the whole file.
    pub line: u64,
    /// The column's name; empty where it is about the whole line.
    pub column: String,
    /// What is wrong.
    pub rule: String,
}

fn at(line: u64) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

fn of(column: &str) -> String {
    if column.is_empty() { String::new() } else { format!(": column {column}") }
}

/// A file being read.
pub(crate) struct Table<'a> {
    file: String,
    reader: Reader<Bounded<'a>>,
    /// How many bytes the row that is read may still have.
    left: Rc<Cell<usize>>,
    header: Vec<String>,
    record: ByteRecord,
}

/// A file of whose every row so many bytes are read at most, for a row is held whole.
struct Bounded<'a> {
    input: Box<dyn Read + 'a>,
    left: Rc<Cell<usize>>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left.get());
        if most == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let length = self.input.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - length);
        Ok(length)
    }
}

/// A row of a file.
pub(crate) struct Line<'t> {
    file: &'t str,
    header: &'t [String],
    record: &'t ByteRecord,
}

impl<'a> Table<'a> {
    /// Reads the header.
    pub(crate) fn new(file: &str, input: impl Read + 'a) -> Result<Self, Fault> {
        let fault =
            |rule: String| Fault { file: file.to_owned(), line: 0, column: String::new(), rule };
        let input = unpacked(file, input).and_then(unmarked);
        let input = input.map_err(|error| fault(unreadable(&error)))?;
        let left = Rc::new(Cell::new(ROW_BYTES_MAX));
        // Lines end with LF, and CR before it is trimmed as a blank: so lines are counted right.
        let reader = ReaderBuilder::new()
            .trim(Trim::All)
            .terminator(Terminator::Any(b'\n'))
            .flexible(true)
            .from_reader(Bounded { input, left: Rc::clone(&left) });
        let (file, header, record) = (file.to_owned(), Vec::new(), ByteRecord::new());
        let mut table = Self { file, reader, left, header, record };
        let header = match table.reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(table.wrong(&error)),
        };
        if header.is_empty() {
            return Err(fault("is empty".to_owned()));
        }
        let name = |name: &[u8]| shown(&String::from_utf8_lossy(name)).into_owned();
        table.header = header.iter().map(name).collect();
        Ok(table)
    }

    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> Result<usize, Fault> {
        self.header.iter().position(|own| own == name).ok_or_else(|| {
            let shown: Vec<_> = self.header.iter().take(8).map(String::as_str).collect();
            self.header_fault(name, format!("is missing; there are {} …", shown.join(", ")))
        })
    }

    /// What is wrong with the header.
    pub(crate) fn header_fault(&self, column: &str, rule: impl Into<String>) -> Fault {
        let (file, column) = (self.file.clone(), column.to_owned());
        Fault { file, line: 1, column, rule: rule.into() }
    }

    /// The next row; an empty line is none.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, Fault> {
        loop {
            self.left.set(ROW_BYTES_MAX);
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) if self.record.len() == 1 && self.record[0].is_empty() => {}
                Ok(true) => break,
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.wrong(&error)),
            }
        }
        let line = Line { file: &self.file, header: &self.header, record: &self.record };
        let (columns, wanted) = (self.record.len(), self.header.len());
        if columns != wanted {
            let rule = format!("has {columns} columns, the header has {wanted}");
            return Err(line.fault(usize::MAX, rule));
        }
        Ok(Some(line))
    }

    fn wrong(&self, error: &csv::Error) -> Fault {
        let rule = match error.kind() {
            ErrorKind::Io(_) if self.left.get() == 0 => {
                format!("has no end within {ROW_BYTES_MAX} bytes")
            }
            ErrorKind::Io(error) => unreadable(error),
            _ => error.to_string(),
        };
        // What could not be had was to be the next line.
        let line = error.position().map_or(self.reader.position().line(), csv::Position::line);
        Fault { file: self.file.clone(), line, column: String::new(), rule }
    }
}

impl<'t> Line<'t> {
    /// The text of a cell.
    pub(crate) fn text(&self, column: usize) -> Result<&'t str, Fault> {
        let cell = self.record.get(column).unwrap_or_default();
        str::from_utf8(cell).map_err(|_| self.fault(column, "is not UTF-8"))
    }

    /// What a cell holds; `rule` says what it must.
    pub(crate) fn read<T>(
        &self,
        column: usize,
        rule: impl fmt::Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Fault> {
        let text = self.text(column)?;
        read(text).ok_or_else(|| self.fault(column, format!("{:?}: must be {rule}", shown(text))))
    }

    pub(crate) fn number(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    pub(crate) fn fault(&self, column: usize, rule: impl Into<String>) -> Fault {
        let column = self.header.get(column).cloned().unwrap_or_default();
        Fault { file: self.file.to_owned(), line: self.number(), column, rule: rule.into() }
    }
}

/// The same without a byte-order mark before it, which quotes may follow.
fn unmarked<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut first = Vec::new();
    input.by_ref().take(MARK.len() as u64).read_to_end(&mut first)?;
    first.splice(..if first == MARK { MARK.len() } else { 0 }, []);
    Ok(Box::new(Cursor::new(first).chain(input)))
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}
