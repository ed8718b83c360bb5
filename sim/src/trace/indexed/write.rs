//! A trace as it is written, from its first byte to its last.

use std::io::{self, Write};

use flate2::Crc;

use super::{END, Entry, FOOT_BYTES, Head, MAGIC, SERVICE_US_MAX, Times, VERSION};

/// Most different service times in one tick of a function: they are counted before they are
/// written, and so many of them are 16 MiB.
const RUNS_MAX: usize = 1 << 20;

/// Requests of one function, tick and service time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The function, by its place in the table.
    pub function: u32,
    /// When they arrived: the tick since the source's zero.
    pub tick: u64,
    /// How long each took, in microseconds; 0 where that is not known.
    pub service_us: u64,
    /// How many there are, at least 1.
    pub requests: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Functions that have requests.
    pub functions: u64,
    /// Requests.
    pub requests: u64,
    /// The tick of the first one.
    pub first_tick: u64,
    /// The tick of the last one.
    pub last_tick: u64,
}

/// Why a trace cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// The output fails.
    #[error("cannot be written: {0}")]
    Output(#[from] io::Error),
    /// There is too much of something.
    #[error(
        "{function} has more than {RUNS_MAX} different service times in one moment of the \
         resolution; a finer one has fewer"
    )]
    Crowd {
        /// The function.
        function: String,
    },
}

/// Writes a trace from rows in order.
pub struct Writer<W> {
    output: W,
    crc: Crc,
    at: u64,
    head: Head,
    table: Vec<Entry>,
    /// The place of the function that is being written.
    current: Option<usize>,
    tick: u64,
    /// Service times of the tick, and how many requests had each.
    runs: Vec<(u64, u64)>,
    /// Since the tick that the group being gathered counts from.
    since: u64,
    scratch: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a trace of functions called so, each with what it was called in the source.
    ///
    /// # Errors
    /// The output fails.
    pub fn new(
        output: W,
        head: Head,
        names: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Unwritable> {
        let entry = |(name, source)| Entry { name, source, ..Entry::default() };
        let mut writer = Self {
            output,
            crc: Crc::new(),
            at: 0,
            head,
            table: names.into_iter().map(entry).collect(),
            current: None,
            tick: 0,
            runs: Vec::new(),
            since: 0,
            scratch: Vec::new(),
        };
        writer.scratch.extend(MAGIC);
        writer.scratch.extend(VERSION.to_le_bytes());
        writer.scratch.extend(u16::from(head.times == Times::Known).to_le_bytes());
        writer.scratch.extend(head.resolution_ns.to_le_bytes());
        writer.scratch.extend(head.first_tick.to_le_bytes());
        writer.put()?;
        Ok(writer)
    }

    /// Takes the next row, which must not be before the last one, nor before the head's tick.
    ///
    /// # Errors
    /// [`Unwritable`]
    pub fn row(&mut self, row: Row) -> Result<(), Unwritable> {
        let place = row.function as usize;
        if self.current != Some(place) {
            self.group()?;
            self.current = Some(place);
            self.since = self.head.first_tick;
            self.table[place].begin = self.at;
            self.table[place].first = row.tick - self.head.first_tick;
        } else if self.tick != row.tick {
            self.group()?;
        }
        self.tick = row.tick;
        let service_us = row.service_us.min(SERVICE_US_MAX);
        let same = self.runs.last_mut().filter(|(last_us, _)| *last_us == service_us);
        if let Some((_, requests)) = same {
            *requests += row.requests;
        } else if self.runs.len() == RUNS_MAX {
            return Err(Unwritable::Crowd { function: self.table[place].source.clone() });
        } else {
            self.runs.push((service_us, row.requests));
        }
        Ok(())
    }

    /// Writes what is gathered of one tick.
    fn group(&mut self) -> Result<(), Unwritable> {
        let Some(place) = self.current.filter(|_| !self.runs.is_empty()) else {
            return Ok(());
        };
        let requests: u64 = self.runs.iter().map(|(_, requests)| requests).sum();
        put_number(&mut self.scratch, self.tick - self.since);
        put_number(&mut self.scratch, requests);
        if self.head.times == Times::Known {
            for (service_us, requests) in &self.runs {
                put_number(&mut self.scratch, service_us * 2 + u64::from(*requests > 1));
                if *requests > 1 {
                    put_number(&mut self.scratch, requests - 2);
                }
            }
        }
        self.runs.clear();
        self.since = self.tick;
        let entry = &mut self.table[place];
        entry.length += self.scratch.len() as u64;
        entry.requests += requests;
        entry.last = self.tick - self.head.first_tick;
        self.put()
    }

    /// Writes the table and the foot, and gives the output back.
    ///
    /// # Errors
    /// [`Unwritable`]
    pub fn finish(mut self) -> Result<(W, Summary), Unwritable> {
        self.group()?;
        self.table.retain(|entry| entry.requests > 0);
        self.table.sort_by(|one, other| one.name.cmp(&other.name));
        let mut summary = Summary {
            functions: self.table.len() as u64,
            first_tick: self.head.first_tick,
            ..Summary::default()
        };
        let table_at = self.at;
        put_number(&mut self.scratch, self.table.len() as u64);
        for entry in &self.table {
            put_text(&mut self.scratch, &entry.name);
            put_text(&mut self.scratch, &entry.source);
            let Entry { begin, length, requests, first, last, .. } = *entry;
            for number in [begin, length, requests, first, last] {
                put_number(&mut self.scratch, number);
            }
            summary.requests += requests;
            summary.last_tick = summary.last_tick.max(self.head.first_tick + last);
        }
        self.scratch.extend(table_at.to_le_bytes());
        self.scratch.extend(summary.requests.to_le_bytes());
        self.scratch.extend(u32::from(VERSION).to_le_bytes());
        self.put()?;
        self.scratch.extend(self.crc.sum().to_le_bytes());
        self.scratch.extend(END);
        debug_assert_eq!(self.scratch.len() + 20, FOOT_BYTES);
        self.put()?;
        self.output.flush()?;
        Ok((self.output, summary))
    }

    fn put(&mut self) -> Result<(), Unwritable> {
        self.crc.update(&self.scratch);
        self.output.write_all(&self.scratch)?;
        self.at += self.scratch.len() as u64;
        self.scratch.clear();
        Ok(())
    }
}

/// LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}
