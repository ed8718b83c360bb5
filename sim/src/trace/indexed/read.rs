//! A trace as it is read: checked once from end to end, then read where it is wanted.

use std::io;
use std::sync::{Arc, OnceLock};

use flate2::Crc;

use super::{
    END, Entry, FOOT_BYTES, FUNCTIONS_MAX, HEAD_BYTES, Head, MAGIC, RESOLUTION_NS_MAX,
    SERVICE_US_MAX, SOURCE_BYTES_MAX, Times, VERSION, is_name,
};
use crate::input::ReadAt;

/// Bytes that a reader of one section holds: few, for there may be many readers.
const SECTION_BUFFER: usize = 4 << 10;

/// Bytes read at once where the whole file is.
const FILE_BUFFER: usize = 256 << 10;

/// Longest table, in bytes: that of [`FUNCTIONS_MAX`] functions with the longest names.
const TABLE_BYTES_MAX: u64 =
    (FUNCTIONS_MAX * (super::NAME_BYTES_MAX + SOURCE_BYTES_MAX + 64)) as u64;

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Faulty {
    /// It cannot be had.
    #[error("cannot be read: {0}")]
    Input(#[from] io::Error),
    /// It is something else.
    #[error("is no trace of dormouse: it does not begin as one")]
    Foreign,
    /// It is packed.
    #[error("is packed with gzip; a trace is read where it is wanted, so unpack it first")]
    Packed,
    /// It was written by another version.
    #[error("has version {0}; this dormouse reads version {VERSION}")]
    Version(u16),
    /// Its end is missing.
    #[error("is cut: it does not end as a trace does")]
    Cut,
    /// Some of its bytes are not those that were written.
    #[error("is damaged: its checksum is {found:08x}, and {written:08x} was written")]
    Damaged {
        /// The checksum at its end.
        written: u32,
        /// What its bytes come to.
        found: u32,
    },
    /// What it says cannot be.
    #[error("byte {at}: {rule}")]
    Wrong {
        /// Where in the file.
        at: u64,
        /// The rule.
        rule: &'static str,
    },
}

/// A trace that was checked.
pub struct Indexed {
    input: Arc<dyn ReadAt>,
    head: Head,
    entries: Vec<Entry>,
    /// Why reading failed after the check, the first time it did.
    failure: OnceLock<String>,
}

impl Indexed {
    /// Checks a trace from end to end, and hands all of its bytes to `each` on the way. Only its
    /// table stays in memory.
    ///
    /// # Errors
    /// [`Faulty`]
    pub fn open(input: Arc<dyn ReadAt>, mut each: impl FnMut(&[u8])) -> Result<Self, Faulty> {
        let length = input.length()?;
        let (head, version) = head(&*input, length)?;
        if version != VERSION {
            return Err(Faulty::Version(version));
        }
        let foot_at = length.saturating_sub(FOOT_BYTES as u64);
        let mut foot = [0; FOOT_BYTES];
        if foot_at < HEAD_BYTES as u64 || fill(&*input, &mut foot, foot_at)? < FOOT_BYTES {
            return Err(Faulty::Cut);
        }
        if foot[24..] != END {
            return Err(Faulty::Cut);
        }
        let (summed, written) = (foot_at + 20, u32::from_le_bytes(four(&foot, 20)));
        let found = checksum(&*input, summed, length, &mut each)?;
        if found != written {
            return Err(Faulty::Damaged { written, found });
        }
        let (table_at, requests) = (u64_at(&foot, 0), u64_at(&foot, 8));
        let entries = table(&input, table_at, foot_at)?;
        let sum = entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.requests));
        if sum != Some(requests) {
            return Err(Faulty::Wrong {
                at: foot_at,
                rule: "counts other requests than the table",
            });
        }
        Ok(Self { input, head, entries, failure: OnceLock::new() })
    }

    /// What it is.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Its functions, by name.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Why reading failed since it was opened, if it did: then there were fewer arrivals than there
    /// should have been.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Ticks that it covers, from its first to its last.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.entries.iter().map(|entry| entry.last + 1).max().unwrap_or(0)
    }

    /// The arrivals of the function of that place, from so many ticks after the trace's first.
    #[must_use]
    pub fn arrivals(&self, place: usize, skip: u64) -> Arrivals<'_> {
        Arrivals { groups: Groups::new(self, place, skip) }
    }

    /// The service times of the same arrivals, one by one.
    #[must_use]
    pub fn services(&self, place: usize, skip: u64) -> Services<'_> {
        Services { groups: Groups::new(self, place, skip), left: 0, run: 0, service_us: 0 }
    }
}

/// Arrivals of one function: each tick that has any, since the trace's first, and how many.
pub struct Arrivals<'a> {
    groups: Groups<'a>,
}

impl Iterator for Arrivals<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let (tick, requests) = self.groups.next()?;
        self.groups.skip_times(requests)?;
        Some((tick, requests))
    }
}

/// Service times of one function's requests, in the order of their arrival, in microseconds.
pub struct Services<'a> {
    groups: Groups<'a>,
    /// Requests of the tick whose time is still to be read.
    left: u64,
    /// Requests that still have the last time read.
    run: u64,
    service_us: u64,
}

impl Iterator for Services<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.run == 0 {
            if self.left == 0 {
                (_, self.left) = self.groups.next()?;
            }
            (self.service_us, self.run) = self.groups.time(self.left)?;
            self.left -= self.run;
        }
        self.run -= 1;
        Some(self.service_us)
    }
}

/// The groups of one section, of those that are not skipped.
struct Groups<'a> {
    trace: &'a Indexed,
    bytes: Bytes<'a>,
    skip: u64,
    tick: u64,
    is_first: bool,
    /// Requests that the table says are still to come.
    left: u64,
}

impl<'a> Groups<'a> {
    fn new(trace: &'a Indexed, place: usize, skip: u64) -> Self {
        let Entry { begin, length, requests, .. } = trace.entries[place];
        let bytes = Bytes::new(&*trace.input, begin, begin + length);
        Self { trace, bytes, skip, tick: 0, is_first: true, left: requests }
    }

    /// The next tick, since the trace's first, and its requests; their times, if known, follow.
    fn next(&mut self) -> Option<(u64, u64)> {
        while self.left > 0 {
            let header = self.header();
            let (tick, requests) = self.note(header)?;
            if tick >= self.skip {
                return Some((tick, requests));
            }
            self.skip_times(requests)?;
        }
        None
    }

    fn header(&mut self) -> Result<(u64, u64), Faulty> {
        let (since, requests) = (self.bytes.number()?, self.bytes.number()?);
        let tick = self.tick.checked_add(since).filter(|_| since > 0 || self.is_first);
        let tick = tick.ok_or_else(|| self.bytes.wrong("must be a later tick"))?;
        (self.tick, self.is_first) = (tick, false);
        if requests == 0 || requests > self.left {
            return Err(self.bytes.wrong("must be as many requests as the table says"));
        }
        self.left -= requests;
        Ok((tick, requests))
    }

    /// A time, in microseconds, and how many of `left` requests have it.
    fn time(&mut self, left: u64) -> Option<(u64, u64)> {
        let time = self.read_time(left);
        self.note(time)
    }

    fn read_time(&mut self, left: u64) -> Result<(u64, u64), Faulty> {
        let number = self.bytes.number()?;
        let run = match number % 2 {
            0 => 1,
            _ => self.bytes.number()?.saturating_add(2),
        };
        if run > left || number / 2 > SERVICE_US_MAX {
            return Err(self.bytes.wrong("must be a service time of requests of this tick"));
        }
        Ok((number / 2, run))
    }

    fn skip_times(&mut self, mut requests: u64) -> Option<()> {
        if self.trace.head.times == Times::Known {
            while requests > 0 {
                requests -= self.time(requests)?.1;
            }
        }
        Some(())
    }

    /// What was read; if that failed it is noted, and there is no more.
    fn note<T>(&mut self, read: Result<T, Faulty>) -> Option<T> {
        read.map_err(|error| {
            self.left = 0;
            self.trace.failure.get_or_init(|| error.to_string());
        })
        .ok()
    }
}

/// A part of a file, byte by byte.
struct Bytes<'a> {
    input: &'a dyn ReadAt,
    /// Where the buffer is from.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'a> Bytes<'a> {
    fn new(input: &'a dyn ReadAt, at: u64, end: u64) -> Self {
        Self { input, at, end, buffer: Vec::new(), used: 0 }
    }

    fn position(&self) -> u64 {
        self.at + self.used as u64
    }

    fn wrong(&self, rule: &'static str) -> Faulty {
        Faulty::Wrong { at: self.position(), rule }
    }

    fn byte(&mut self) -> Result<u8, Faulty> {
        if self.used == self.buffer.len() {
            self.at = self.position();
            self.used = 0;
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(SECTION_BUFFER), 0);
            let length = fill(self.input, &mut self.buffer, self.at)?;
            self.buffer.truncate(length);
        }
        let byte = self.buffer.get(self.used).copied();
        let byte = byte.ok_or_else(|| self.wrong("must be followed by more"))?;
        self.used += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Faulty> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.wrong("must be a number of at most 64 bits"))
    }

    fn text(&mut self, length_max: usize) -> Result<String, Faulty> {
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= length_max);
        let length = length.ok_or_else(|| self.wrong("must be a shorter text"))?;
        let bytes = (0..length).map(|_| self.byte()).collect::<Result<Vec<_>, _>>()?;
        String::from_utf8(bytes).map_err(|_| self.wrong("must be UTF-8"))
    }
}

/// The head and the version.
fn head(input: &dyn ReadAt, length: u64) -> Result<(Head, u16), Faulty> {
    let mut bytes = [0; HEAD_BYTES];
    let read = fill(input, &mut bytes, 0)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(Faulty::Packed);
    }
    let begun = read.min(MAGIC.len());
    if begun == 0 || bytes[..begun] != MAGIC[..begun] {
        return Err(Faulty::Foreign);
    }
    if length < HEAD_BYTES as u64 {
        return Err(Faulty::Cut);
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    let times = match bytes[10..12] {
        [0, 0] => Times::Unknown,
        [1, 0] => Times::Known,
        _ if version == VERSION => {
            return Err(Faulty::Wrong { at: 10, rule: "must be 0 or 1" });
        }
        _ => Times::Unknown,
    };
    let head = Head { times, resolution_ns: u64_at(&bytes, 12), first_tick: u64_at(&bytes, 20) };
    if version == VERSION && !(1..=RESOLUTION_NS_MAX).contains(&head.resolution_ns) {
        return Err(Faulty::Wrong { at: 12, rule: "must be a resolution from 1 ns to a day" });
    }
    Ok((head, version))
}

fn table(input: &Arc<dyn ReadAt>, table_at: u64, foot_at: u64) -> Result<Vec<Entry>, Faulty> {
    let wrong = |rule| Faulty::Wrong { at: foot_at, rule };
    if table_at < HEAD_BYTES as u64 || table_at > foot_at || foot_at - table_at > TABLE_BYTES_MAX {
        return Err(wrong("must name the place of the table"));
    }
    let mut bytes = Bytes::new(&**input, table_at, foot_at);
    let count = bytes.number()?;
    if count > FUNCTIONS_MAX as u64 {
        return Err(bytes.wrong("must be fewer functions"));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let name = bytes.text(super::NAME_BYTES_MAX)?;
        let source = bytes.text(SOURCE_BYTES_MAX)?;
        if !is_name(&name) || entries.last().is_some_and(|before| before.name >= name) {
            return Err(bytes.wrong("must be a name, and later than the one before it"));
        }
        let (begin, length) = (bytes.number()?, bytes.number()?);
        let (requests, first, last) = (bytes.number()?, bytes.number()?, bytes.number()?);
        let end = begin.checked_add(length);
        if begin < HEAD_BYTES as u64 || end.is_none_or(|end| end > table_at) {
            return Err(bytes.wrong("must be a section before the table"));
        }
        if requests == 0 || first > last || last == u64::MAX {
            return Err(bytes.wrong("must have requests, the first before the last"));
        }
        entries.push(Entry { name, source, begin, length, requests, first, last });
    }
    match bytes.position() == foot_at {
        true => Ok(entries),
        false => Err(bytes.wrong("must be the end of the table")),
    }
}

/// The checksum of the first `summed` bytes; `each` is handed all `length` of them.
fn checksum(
    input: &dyn ReadAt,
    summed: u64,
    length: u64,
    each: &mut impl FnMut(&[u8]),
) -> Result<u32, Faulty> {
    let (mut crc, mut at) = (Crc::new(), 0);
    let mut buffer = vec![0; FILE_BUFFER];
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(FILE_BUFFER).min(FILE_BUFFER);
        let read = fill(input, &mut buffer[..wanted], at)?;
        if read == 0 {
            return Err(Faulty::Cut);
        }
        each(&buffer[..read]);
        let part = usize::try_from(summed.saturating_sub(at)).unwrap_or(read).min(read);
        crc.update(&buffer[..part]);
        at += read as u64;
    }
    Ok(crc.sum())
}

/// Reads until the buffer is full or the file ends; how much there was.
fn fill(input: &dyn ReadAt, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}
