//! `dormouse sim`: the policy in an invented world, and on what was recorded of it.

mod args;
mod files;
mod output;
mod fault;
mod progress;
mod simulate;
mod compare;
mod suite;
mod sweep;
mod explain;
mod verify;
mod replay;
mod import;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

pub(crate) use args::SimCommand;

use crate::signals::Signals;

/// How a command of the simulator ends, by exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is as it should be.
    Fine = 0,
    /// Something asserted does not hold, is not as it was, or is worse.
    Failed = 1,
    /// What was typed, or what was read, cannot be used.
    Input = 2,
    /// There was nothing to judge.
    Nothing = 3,
    /// Something that must always hold did not.
    Broken = 70,
    /// A report could not be written.
    Unwritten = 74,
    /// Somebody wished it to end.
    Interrupted = 130,
}

/// The worst first: what this program got wrong, what could not be written, what cannot be used,
/// what does not hold, and what there was nothing to say of.
const WORST_FIRST: [Exit; 7] = [
    Exit::Interrupted,
    Exit::Broken,
    Exit::Unwritten,
    Exit::Input,
    Exit::Failed,
    Exit::Nothing,
    Exit::Fine,
];

impl Exit {
    /// What two things come to: the worse of them.
    fn worse(self, other: Self) -> Self {
        let is_either = |exit: &Self| *exit == self || *exit == other;
        WORST_FIRST.into_iter().find(is_either).unwrap_or(self)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs one of the simulator's commands, until it is done or interrupted.
///
/// # Errors
/// There is no runtime, or no thread for it.
pub(crate) fn run(command: SimCommand) -> anyhow::Result<ExitCode> {
    until_done(move || dispatch(&command)).map(ExitCode::from)
}

/// Does some work until it is done, interrupted, or ends in a panic.
fn until_done(work: impl FnOnce() -> Exit + Send + 'static) -> anyhow::Result<Exit> {
    let runtime = crate::runtime()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let (sender, done) = tokio::sync::oneshot::channel();
    // The thread ends with the process, at the latest when this function's caller returns.
    let worker = thread::Builder::new().name("sim".to_owned());
    worker.spawn(move || sender.send(work()).is_ok())?;
    let exit = runtime.block_on(async {
        tokio::select! {
            exit = done => exit.ok(),
            () = signals.next() => Some(Exit::Interrupted),
        }
    });
    if exit == Some(Exit::Interrupted) {
        let written = output::abandon();
        progress::clear();
        complain(format_args!("interrupted; {written}"));
    }
    Ok(exit.unwrap_or_else(fault::tell))
}

fn dispatch(command: &SimCommand) -> Exit {
    match command {
        SimCommand::Run(args) => simulate::run(args),
        SimCommand::Compare(args) => compare::compare(args),
        SimCommand::Test(args) => suite::test(args),
        SimCommand::Sweep(args) => sweep::sweep(args),
        SimCommand::Merge(args) => sweep::merge(args),
        SimCommand::Check(args) => simulate::check(args),
        SimCommand::Init(args) => simulate::init(args),
        SimCommand::Schema => simulate::schema(),
        SimCommand::Explain(args) => explain::explain(args),
        SimCommand::Verify(args) => verify::verify(args),
        SimCommand::Replay(args) => replay::replay(args),
        SimCommand::Import(args) => import::import(args),
    }
}

/// Says what is wrong, each line by itself, for people.
fn complain(text: impl std::fmt::Display) {
    let mut stderr = io::stderr().lock();
    for line in text.to_string().lines() {
        if writeln!(stderr, "dormouse: {line}").is_err() {
            // With stderr gone there is nobody left to tell.
            return;
        }
    }
}
