//! `dormouse sim sweep` and `merge`: many settings, and which of them are better.

use std::fs;

use dormouse_sim::compare;
use dormouse_sim::report::SweepKind;
use dormouse_sim::run;
use dormouse_sim::sweep::{self, Error, Goal, Order, Search, Sweep};

use super::args::{MergeArgs, SweepArgs, SweepOutput};
use super::files::Files;
use super::output::{self, Batch};
use super::progress::Progress;
use super::simulate::Unasked;
use super::{Exit, complain, simulate};

pub(super) fn sweep(args: &SweepArgs) -> Exit {
    match try_sweep(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_sweep(args: &SweepArgs) -> Result<Exit, Exit> {
    output::look_at(simulate::places(&args.output))?;
    let unusable = |text: &dyn std::fmt::Display| {
        complain(text);
        Exit::Input
    };
    if !args.change.assertions.is_empty() {
        return Err(unusable(&"--assert: a sweep judges no assertions; `sim run` does"));
    }
    let axes = args.grid.iter().chain(&args.range).cloned().collect();
    let search = Search::new(axes, args.random).map_err(|rule| unusable(&rule))?;
    let goal = Goal {
        cost: args.cost,
        waiting: args.waiting,
        lower: args.lower.into(),
        margin: args.margin.unwrap_or(compare::MARGIN),
    };
    let order = Order { search, goal, slice: args.partition };
    let text = simulate::scenario(&args.scenario)?;
    let told = Progress::of(&args.work);
    let progress = |done: usize, of: usize| told.tell(done, of);
    let made = sweep::run(
        (&args.scenario, &text),
        &args.change.options(),
        &Files::of(&args.scenario),
        order,
        simulate::threads(&args.work),
        &progress,
    );
    let made = made.map_err(|error| match error {
        Error::Run(run::Error::Faults(faults)) => unusable(&faults),
        Error::Run(run::Error::Broken(broken)) => simulate::is_broken(&broken),
        Error::Nothing(what) => {
            complain(what);
            Exit::Nothing
        }
    })?;
    write(&made, &args.output, Unasked::of(&args.work))
}

pub(super) fn merge(args: &MergeArgs) -> Exit {
    match try_merge(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_merge(args: &MergeArgs) -> Result<Exit, Exit> {
    output::look_at(simulate::places(&args.output))?;
    let read = |path: &std::path::PathBuf| {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            complain(format_args!("{name}: cannot be read: {error}"));
            Exit::Input
        })?;
        match sweep::read(&name, &text) {
            Ok(slice) => Ok((name, slice)),
            Err(error) => {
                complain(error);
                Err(Exit::Input)
            }
        }
    };
    let slices = args.slices.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let whole = sweep::merge(slices).map_err(|error| {
        complain(error);
        Exit::Input
    })?;
    write(&whole, &args.output, Unasked::Usual)
}

/// Writes what was asked for.
fn write(sweep: &Sweep, outputs: &[SweepOutput], unasked: Unasked) -> Result<Exit, Exit> {
    simulate::put_all(Batch::default(), outputs, SweepKind::Text, unasked, |kind| {
        kind.write(sweep)
    })?;
    Ok(Exit::Fine)
}
