//! `dormouse sim verify FILE…`: recorded runs through the policy.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use dormouse_sim::recording::{Fault, Recording, Unreadable};
use dormouse_sim::verify::Tally;

use super::args::VerifyArgs;
use super::{Exit, complain};

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
    for path in &args.files {
        let file = path.display();
        let verified = open(path).and_then(|recording| {
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
    Ok(match (is_unreadable, tally.mismatches) {
        (true, _) => Exit::Input,
        (false, 0) => Exit::Fine,
        (false, _) => Exit::Failed,
    })
}

/// A recording by path; `-` is standard input.
fn open(path: &Path) -> Result<Recording<'static>, Unreadable> {
    let name = path.display().to_string();
    let input: Box<dyn Read> = match name.as_str() {
        "-" => Box::new(io::stdin()),
        _ => match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => {
                return Err(Unreadable { file: name, line: 0, fault: Fault::Input(error) });
            }
        },
    };
    Recording::new(&name, input)
}
