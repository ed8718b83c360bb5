//! Files of the repository that hold what comes out.

use std::fs;
use std::path::Path;

/// Compares a file with what it should hold, or brings it up to date where the variable `update` is
/// set.
///
/// # Panics
/// It holds anything else.
#[track_caller]
pub fn is_up_to_date(path: &Path, text: &str, update: &str) {
    if std::env::var_os(update).is_some() {
        fs::write(path, text).expect("the file can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differs = found.lines().zip(text.lines()).position(|(found, made)| found != made);
    let line = differs.unwrap_or_else(|| found.lines().count().min(text.lines().count())) + 1;
    let path = path.display();
    assert!(found == text, "{path} is out of date at line {line}: run with {update}=1");
}
