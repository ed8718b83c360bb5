//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files that are being written beside their place.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Writes a file aside, in the same folder, and then puts it in its place.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    // What is no plain file (a pipe, a terminal) cannot be replaced.
    if path.exists() && !path.is_file() {
        return File::options().write(true).open(path)?.write_all(text.as_bytes());
    }
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    let aside = path.with_file_name(name);
    remember(&aside);
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
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
