//! Records of decisions through the policy: every decision must come out the same, or is told.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use dormouse_policy::decision;
use dormouse_policy::function::FunctionName;
use dormouse_policy::record::{self, Difference, Replayer};
use dormouse_policy::settings::Annotations;

use crate::lines::{End, Fault, Lines, Unreadable};

/// How much was replayed, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    functions: BTreeSet<FunctionName>,
    decisions: u64,
    differ: u64,
}

/// What is to be known of a record beside its decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The policy that decided is of another version than this one.
    Policy {
        /// Its version.
        recorded: u32,
    },
    /// Lines are missing in so many places, and so many decisions that follow them are not known
    /// to be right: they were left out.
    Gaps {
        /// The places.
        gaps: u64,
        /// The decisions.
        skipped: u64,
    },
    /// That line, the last one, has no end: its writer was killed. It was left out.
    Cut {
        /// The line, from 1.
        line: u64,
    },
}

impl Tally {
    /// Replays a record, `set` in place of what it says of these annotations, and hands each
    /// difference to `report`.
    ///
    /// # Errors
    /// The first line that cannot be replayed; what came before it is in the tally.
    pub fn add(
        &mut self,
        file: &str,
        input: impl Read,
        set: &Annotations,
        mut report: impl FnMut(&Difference),
    ) -> Result<Vec<Notice>, Unreadable> {
        let mut lines = Lines::new(file, input)?;
        let mut replayer = Replayer::new(0).with(set.clone());
        let replayed = replay(&mut lines, &mut replayer, &mut |difference| {
            self.differ += 1;
            report(difference);
        });
        self.functions.extend(replayer.functions().iter().cloned());
        let summary = replayer.summary();
        self.decisions += summary.decisions;
        let cut = match replayed? {
            _ if replayer.policy().is_none() => {
                let rule = "must be the first line, and there is none".to_owned();
                return Err(lines.unreadable(Fault::Field { field: "header".to_owned(), rule }));
            }
            End::Cut => Some(Notice::Cut { line: lines.number() }),
            End::Whole => None,
        };
        let other = replayer.policy().filter(|version| *version != decision::VERSION);
        let gaps = (summary.gaps > 0)
            .then_some(Notice::Gaps { gaps: summary.gaps, skipped: summary.skipped });
        let policy = other.map(|recorded| Notice::Policy { recorded });
        Ok([policy, gaps, cut].into_iter().flatten().collect())
    }

    /// How many differences there are.
    #[must_use]
    pub fn differ(&self) -> u64 {
        self.differ
    }
}

/// Replays line by line; whether the last one was whole.
fn replay(
    lines: &mut Lines<'_>,
    replayer: &mut Replayer,
    report: &mut impl FnMut(&Difference),
) -> Result<End, Unreadable> {
    while let Some(line) = lines.read()? {
        if line.end == End::Cut {
            return Ok(line.end);
        }
        let taken = replayer.take(line.bytes);
        let difference = taken.map_err(|error| unreadable(lines, error.fault))?;
        if let Some(difference) = difference {
            report(&difference);
        }
    }
    Ok(End::Whole)
}

/// What is wrong with the line of a record that was read last. A first line that is no line of a
/// record at all is of another kind of file.
pub(crate) fn unreadable(lines: &Lines<'_>, fault: record::Fault) -> Unreadable {
    let record::Fault { mut field, fault: mut rule } = fault;
    if lines.number() == 1 && field == "." {
        "header".clone_into(&mut field);
        rule = format!("must be the first line of a record of decisions: {rule}");
    }
    lines.unreadable(Fault::Field { field, rule })
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { functions, decisions, differ } = self;
        let functions = functions.len();
        write!(f, "replayed {functions} functions, {decisions} decisions, {differ} differ")
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { recorded } => {
                let now = decision::VERSION;
                write!(f, "decided by version {recorded} of the policy, replayed by {now}")
            }
            Self::Gaps { gaps, skipped } => {
                write!(f, "lines are missing in {gaps} places; {skipped} decisions are left out")
            }
            Self::Cut { line } => write!(f, "line {line} has no end and is left out"),
        }
    }
}
