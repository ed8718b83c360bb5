//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files that are being written beside their place.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Writes a file aside, in the same folder, and then puts it in its place.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    write_with(path, |file| file.write_all(text.as_bytes()))
}

/// The same of what `write` writes; nothing is left behind if it fails.
pub(super) fn write_with<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    // What is no plain file (a pipe, a terminal) cannot be replaced.
    if path.exists() && !path.is_file() {
        return write(&mut File::options().write(true).open(path)?);
    }
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut name = name.to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    let aside = path.with_file_name(name);
    remember(&aside);
    let written = File::create(&aside).map_err(E::from).and_then(|mut file| {
        let made = write(&mut file)?;
        file.sync_all().and_then(|()| fs::rename(&aside, path))?;
        Ok(made)
    });
    if written.is_err() {
        forget_unfinished();
    }
    written
}

fn remember(path: &Path) {
    if let Ok(mut unfinished) = UNFINISHED.lock() {
        unfinished.push(path.to_owned());
    }
}

/// Removes what is not finished.
pub(super) fn forget_unfinished() {
    let Ok(mut unfinished) = UNFINISHED.lock() else {
        return;
    };
    for path in unfinished.drain(..) {
        // It may be in its place by now, or never have been there.
        drop(fs::remove_file(path));
    }
}
