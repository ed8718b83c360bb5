//! `dormouse sim replay RECORD…`: what was decided, decided again.

use std::io::{self, Write};

use dormouse_sim::plan;
use dormouse_sim::replay::Tally;
use dormouse_sim::scenario::{Faults, Time};

use super::args::ReplayArgs;
use super::{Exit, complain, files};

/// Differences printed in all: enough to see a pattern, few enough to read.
const DIFFERENCES_PRINTED_MAX: u32 = 20;

/// Another policy's decisions would have led to other pods, readings and times than were recorded.
const OTHER_POLICY: &str = "--policy: a record holds what followed from its own decisions, by \
                            which no other policy can be judged; `sim import record` makes a load \
                            of it, which `sim compare` runs under any policies; what annotations \
                            choose is tried by --set";

/// Replays every record; one that cannot be read does not keep the others from being replayed.
pub(super) fn replay(args: &ReplayArgs) -> Exit {
    if args.policy.is_some() {
        complain(OTHER_POLICY);
        return Exit::Input;
    }
    let unknown = plan::unknown(&args.set);
    if !unknown.is_empty() {
        complain(Faults(unknown));
        return Exit::Input;
    }
    match try_replay(args) {
        Ok(exit) => exit,
        Err(error) => {
            complain(format_args!("stdout: cannot be written: {error}"));
            Exit::Unwritten
        }
    }
}

fn try_replay(args: &ReplayArgs) -> io::Result<Exit> {
    let mut stdout = io::stdout().lock();
    let set = args.set.iter().cloned().collect();
    let mut left = DIFFERENCES_PRINTED_MAX;
    let mut tally = Tally::default();
    let mut is_unreadable = false;
    if !args.set.is_empty() {
        writeln!(
            stdout,
            "what these settings would have decided on the recorded readings and pods, which are \
             those that the recorded settings led to"
        )?;
    }
    for file in &args.records {
        let mut lines = String::new();
        let replayed = files::open(file).and_then(|input| {
            tally.add(file, input, &set, |difference| {
                if left > 0 {
                    left -= 1;
                    let field = difference.field.trim_start_matches("decided.decision.");
                    let at = Time(difference.at_us.saturating_mul(1_000));
                    lines += &format!(
                        "{file}: {at}, {}, {field}: recorded {}, now {}\n",
                        difference.function, difference.want, difference.got
                    );
                }
            })
        });
        stdout.write_all(lines.as_bytes())?;
        match replayed {
            Ok(notices) => {
                for notice in notices {
                    complain(format_args!("{file}: {notice}"));
                }
            }
            Err(error) => {
                is_unreadable = true;
                complain(error);
            }
        }
    }
    writeln!(stdout, "{tally}")?;
    Ok(match is_unreadable {
        true => Exit::Input,
        // What differs under other settings is what was asked for.
        false if tally.differ() == 0 || !args.set.is_empty() => Exit::Fine,
        false => Exit::Failed,
    })
}
