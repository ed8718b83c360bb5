//! `dormouse sim verify FILE…`: recorded runs through the policy.

use std::io::{self, Write};

use dormouse_sim::recording::Recording;
use dormouse_sim::verify::Tally;

use super::args::VerifyArgs;
use super::{Exit, complain, files};

/// Mismatches printed in all: enough to see a pattern, few enough to read.
const MISMATCHES_PRINTED_MAX: u32 = 20;

/// Replays every file; one that cannot be read does not keep the others from being replayed.
pub(super) fn verify(args: &VerifyArgs) -> Exit {
    match try_verify(args) {
        Ok(exit) => exit,
        Err(error) => {
            complain(format_args!("stdout: cannot be written: {error}"));
            Exit::Unwritten
        }
    }
}

fn try_verify(args: &VerifyArgs) -> io::Result<Exit> {
    let mut stdout = io::stdout().lock();
    let mut lines = String::new();
    let mut left = MISMATCHES_PRINTED_MAX;
    let mut tally = Tally::default();
    let mut is_unreadable = false;
    for file in &args.files {
        let recording = files::open(file).and_then(|input| Recording::new(file, input));
        let verified = recording.and_then(|recording| {
            tally.add(recording, |mismatch| {
                if left > 0 {
                    left -= 1;
                    lines.push_str(&format!("{file}: {mismatch}\n"));
                }
            })
        });
        stdout.write_all(lines.as_bytes())?;
        lines.clear();
        if let Err(error) = verified {
            is_unreadable = true;
            complain(error);
        }
    }
    writeln!(stdout, "{tally}")?;
    Ok(match tally {
        _ if is_unreadable => Exit::Input,
        Tally { cases: 0, .. } => Exit::Nothing,
        Tally { mismatches: 0, .. } => Exit::Fine,
        _ => Exit::Failed,
    })
}
