//! `dormouse sim run`, `check` and `init`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use dormouse_sim::baseline::{self, Tolerance};
use dormouse_sim::judge::{Outcome, Ruling, Verdict};
use dormouse_sim::plan::{Options, Plan};
use dormouse_sim::report::{self, Kind};
use dormouse_sim::run::{Broken, Job};
use dormouse_sim::world::Scorecard;

use super::args::{CheckArgs, InitArgs, Output, RunArgs, WorkArgs};
use super::files::{self, Files};
use super::output::{self, Batch};
use super::progress::Progress;
use super::{Exit, complain, fault};

/// A scenario to begin with.
const BEGINNING: &str = include_str!("beginning.toml");

/// Differences from a baseline that are told: enough to see a pattern, few enough to read.
const DIFFERENCES_TOLD_MAX: usize = 20;

/// The text of a scenario, or says why it cannot be read.
pub(super) fn scenario(path: &str) -> Result<String, Exit> {
    files::scenario(path).map_err(|error| {
        complain(format_args!("{path}: cannot be read: {error}"));
        Exit::Input
    })
}

/// Reads a scenario and all that it names, or says what is wrong.
pub(super) fn plan(path: &str, options: &Options) -> Result<Plan, Exit> {
    let text = scenario(path)?;
    Plan::new(path, &text, options, &Files::of(path)).map_err(|faults| {
        complain(faults);
        Exit::Input
    })
}

/// Runs every policy with every seed, and judges what came of it; or says why that cannot be.
pub(super) fn judged<'a>(
    plan: &'a Plan,
    work: &WorkArgs,
) -> Result<(Outcome<'a>, Vec<Verdict>), Exit> {
    plan.unjudged.iter().for_each(complain);
    let cards = cards(plan, work)?;
    let outcome = Outcome { plan, cards };
    let mut verdicts = outcome.verdicts();
    let broken = |broken: Broken| is_broken(&broken);
    outcome.find_moments(&mut verdicts, threads(work)).map_err(broken)?;
    Ok((outcome, verdicts))
}

/// Runs every policy with every seed.
pub(super) fn cards(plan: &Plan, work: &WorkArgs) -> Result<Vec<Scorecard>, Exit> {
    let jobs = plan.jobs();
    let progress = Progress::of(work);
    progress.tell(0, jobs.len());
    let done = |done| progress.tell(done, jobs.len());
    plan.run(&jobs, threads(work), done).map_err(|broken| is_broken(&broken))
}

/// How many runs there are at once.
pub(super) fn threads(work: &WorkArgs) -> NonZeroUsize {
    let threads = work.jobs.or_else(|| thread::available_parallelism().ok());
    threads.unwrap_or(NonZeroUsize::MIN)
}

/// One run.
pub(super) fn one(plan: &Plan, job: &Job) -> Result<Scorecard, Exit> {
    let cards = plan.run(std::slice::from_ref(job), NonZeroUsize::MIN, |_| {});
    let card = cards.map_err(|broken| is_broken(&broken))?.pop();
    Ok(card.expect("a job has a scorecard"))
}

/// Says why a run has no scorecard.
pub(super) fn is_broken(broken: &Broken) -> Exit {
    complain(broken);
    match broken {
        Broken::Invariant { .. } => fault::tell(),
        Broken::Refused { .. } => Exit::Input,
    }
}

pub(super) fn run(args: &RunArgs) -> Exit {
    match try_run(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_run(args: &RunArgs) -> Result<Exit, Exit> {
    output::look_at(places(&args.output).chain(args.baseline.as_deref().filter(|_| args.bless)))?;
    let plan = plan(&args.scenario, &args.change.options())?;
    let (outcome, verdicts) = judged(&plan, &args.work)?;
    let mut exit = ruling(&outcome, &verdicts, args.baseline.is_some());
    if args.work.quiet {
        complain_of(&outcome, &verdicts);
    }
    let mut batch = Batch::default();
    if let Some(path) = &args.baseline {
        let now = Kind::Json.write(&outcome, &verdicts, None);
        match args.bless {
            true => batch.add(Some(path), now)?,
            false => exit = exit.worse(beside(&plan, &args.tolerance, path, &now)?),
        }
    }
    let is_drawn = args.output.iter().any(|output| matches!(output.kind, Kind::Drawn(_)));
    let courses = match is_drawn {
        true => {
            let courses = outcome.courses(threads(&args.work));
            Some(courses.map_err(|broken| is_broken(&broken))?)
        }
        false => None,
    };
    let write = |kind: Kind| kind.write(&outcome, &verdicts, courses.as_ref());
    put_all(batch, &args.output, Kind::Text, Unasked::of(&args.work), write)?;
    Ok(exit)
}

/// What is written where no report was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    /// The usual one, to stdout.
    Usual,
    /// None.
    Nothing,
}

impl Unasked {
    pub(super) fn of(work: &WorkArgs) -> Self {
        if work.quiet { Self::Nothing } else { Self::Usual }
    }
}

/// The files that reports are to be written to.
pub(super) fn places<K>(outputs: &[Output<K>]) -> impl Iterator<Item = &Path> {
    outputs.iter().filter_map(|output| output.path.as_deref())
}

/// Writes the reports asked for, also of what failed, together with what is to be written already.
pub(super) fn put_all<K: Copy>(
    mut batch: Batch,
    outputs: &[Output<K>],
    usual: K,
    unasked: Unasked,
    write: impl Fn(K) -> String,
) -> Result<(), Exit> {
    let by_default = [Output { kind: usual, path: None }];
    let outputs = match outputs {
        [] if unasked == Unasked::Nothing => &[],
        [] => &by_default[..],
        outputs => outputs,
    };
    for Output { kind, path } in outputs {
        batch.add(path.as_deref(), write(*kind))?;
    }
    batch.finish()
}

/// Says which assertions do not hold.
pub(super) fn complain_of(outcome: &Outcome<'_>, verdicts: &[Verdict]) {
    for verdict in verdicts.iter().filter(|verdict| verdict.ruling != Ruling::Holds) {
        complain(report::verdict_line(outcome, verdict));
    }
}

/// What the assertions come to. Without any, and without a baseline, there is nothing to judge
/// unless something arrived that the report tells of.
pub(super) fn ruling(outcome: &Outcome<'_>, verdicts: &[Verdict], has_baseline: bool) -> Exit {
    if verdicts.iter().any(|verdict| verdict.ruling != Ruling::Holds) {
        return Exit::Failed;
    }
    let cut = outcome.plan.scored();
    let arrived = |card: &Scorecard| outcome.score(card, None, cut).arrived;
    let is_empty = outcome.cards.iter().all(|card| arrived(card) == 0);
    match verdicts.is_empty() && !has_baseline && is_empty {
        true => {
            complain("nothing was asserted, and nothing arrived in the time that is scored");
            Exit::Nothing
        }
        false => Exit::Fine,
    }
}

/// Compares with a baseline.
pub(super) fn beside(
    plan: &Plan,
    tolerance: &[Tolerance],
    path: &Path,
    now: &str,
) -> Result<Exit, Exit> {
    let unusable = |error: &dyn std::fmt::Display| {
        complain(format_args!("{}: {error}; --bless writes it anew", path.display()));
        Exit::Input
    };
    let was = fs::read_to_string(path).map_err(|error| unusable(&error))?;
    let tolerated = [tolerance, &plan.scenario.score.tolerance].concat();
    let differences =
        baseline::differences(&was, now, &tolerated).map_err(|error| unusable(&error))?;
    for difference in differences.iter().take(DIFFERENCES_TOLD_MAX) {
        complain(format_args!("{}: {difference}", path.display()));
    }
    if differences.len() > DIFFERENCES_TOLD_MAX {
        let more = differences.len() - DIFFERENCES_TOLD_MAX;
        complain(format_args!("{}: {more} more figures differ", path.display()));
    }
    Ok(if differences.is_empty() { Exit::Fine } else { Exit::Failed })
}

/// Writes a report to a file or to stdout.
pub(super) fn put(path: Option<&Path>, text: String) -> Result<(), Exit> {
    let mut batch = Batch::default();
    batch.add(path, text)?;
    batch.finish()
}

pub(super) fn check(args: &CheckArgs) -> Exit {
    let plan = match plan(&args.scenario, &args.change.options()) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    plan.unjudged.iter().for_each(complain);
    for notice in &plan.notices {
        complain(format_args!("notice: {notice}"));
    }
    if args.quiet {
        return Exit::Fine;
    }
    match put(None, report::effective(&plan)) {
        Ok(()) => Exit::Fine,
        Err(exit) => exit,
    }
}

pub(super) fn schema() -> Exit {
    put(None, report::JSON_SCHEMA.to_owned()).err().unwrap_or(Exit::Fine)
}

pub(super) fn init(args: &InitArgs) -> Exit {
    if let Some(path) = &args.file
        && path.exists()
    {
        complain(format_args!("{}: is there already", path.display()));
        return Exit::Input;
    }
    put(args.file.as_deref(), BEGINNING.to_owned()).err().unwrap_or(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_broke_a_rule_of_the_world_exits_otherwise_than_who_was_refused() {
        let (policy, what) = ("now".to_owned(), "something".to_owned());
        let refused = Broken::Refused { policy: policy.clone(), seed: 1, what: what.clone() };
        assert_eq!(is_broken(&refused), Exit::Input);
        assert_eq!(is_broken(&Broken::Invariant { policy, seed: 1, what }), Exit::Broken);
    }
}
