//! Where what is named in a scenario comes from. Files are opened by the caller.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dormouse_policy::settings::{Annotations, ClusterDefaults};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// The first bytes of every gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens what a scenario names.
pub trait Inputs {
    /// A file.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>>;

    /// A file that is read where it is wanted.
    ///
    /// # Errors
    /// It cannot be opened, or cannot be read so: by default none can.
    fn open_at(&self, name: &str) -> io::Result<Arc<dyn ReadAt>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, name.to_owned()))
    }

    /// The workloads of a manifest.
    ///
    /// # Errors
    /// What is wrong with it, one text each, with the file and the line.
    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>>;
}

/// Bytes that are read where they are wanted, by any number of readers at once.
pub trait ReadAt: Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// That cannot be told.
    fn length(&self) -> io::Result<u64>;

    /// Reads from that place on into the beginning of `buffer`; how much, 0 only at the end.
    ///
    /// # Errors
    /// They cannot be read.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }
}

impl ReadAt for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let from = usize::try_from(at).map_or(self.len(), |at| at.min(self.len()));
        let length = buffer.len().min(self.len() - from);
        buffer[..length].copy_from_slice(&self[from..from + length]);
        Ok(length)
    }
}

/// What a manifest holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Its workloads that ask for Dormouse.
    pub workloads: Vec<Workload>,
    /// What holds where annotations are absent.
    pub defaults: ClusterDefaults,
    /// The bytes it was read from, hashed: SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A workload of a manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.replicas`; 1 when absent.
    pub replicas: u32,
    /// Its annotations.
    pub annotations: Annotations,
    /// Those of its pod template.
    pub template: Annotations,
}

/// A file that took part in a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hashed {
    /// Its name, as the scenario has it.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// `input`, unpacked if it begins as gzip does, or if the name of its file ends in `.gz`.
///
/// # Errors
/// Its first bytes cannot be read.
pub(crate) fn unpacked<'a>(
    file: &str,
    mut input: impl Read + 'a,
) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut first = Vec::new();
    input.by_ref().take(GZIP.len() as u64).read_to_end(&mut first)?;
    let is_gzip = first == GZIP || file.ends_with(".gz");
    let input = BufReader::new(Cursor::new(first).chain(input));
    Ok(match is_gzip {
        true => Box::new(BufReader::new(MultiGzDecoder::new(input))),
        false => Box::new(input),
    })
}

/// Files that a test gives, by name, and no manifest.
#[cfg(test)]
pub(crate) struct Given<'a>(pub(crate) &'a [(&'a str, &'a str)]);

#[cfg(test)]
impl Inputs for Given<'_> {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let file = self.0.iter().find(|(own, _)| *own == name);
        let (_, text) = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(text.as_bytes().to_vec())))
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>> {
        Err(vec![format!("{name}: not found")])
    }
}
