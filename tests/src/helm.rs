//! Helm, built from its Go module beside the programs of the test cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cluster::requirements::{WANTED, built};
use crate::program::checkout;

/// Why Helm cannot be run; none if it can.
///
/// # Panics
/// If [`WANTED`] requires all that a cluster takes and Helm is not built.
#[must_use]
pub fn objection() -> Option<String> {
    if built("helm").is_file() {
        return None;
    }
    let objection = "helm is not built: run tests/cluster/programs".to_owned();
    assert_ne!(std::env::var(WANTED).as_deref(), Ok("required"), "{objection}");
    Some(objection)
}

/// The chart.
#[must_use]
pub fn chart() -> PathBuf {
    checkout().join("deploy/chart")
}

/// Helm with those arguments, which keeps nothing outside `home`.
#[must_use]
pub fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut helm = Command::new(built("helm"));
    helm.args(arguments).env_clear().env("HOME", home).env("PATH", "");
    helm
}

/// What Helm printed.
///
/// # Errors
/// What it complained of, if it failed.
///
/// # Panics
/// If it cannot be run.
pub fn run(home: &Path, arguments: &[&str]) -> Result<String, String> {
    let Output { status, stdout, stderr } =
        command(home, arguments).output().expect("helm can be run");
    match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => {
            Err(format!("{}{}", String::from_utf8_lossy(&stderr), String::from_utf8_lossy(&stdout)))
        }
    }
}
