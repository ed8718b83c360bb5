//! `dormouse sim compare`: policies beside the first of them, in one world.

use std::iter;

use dormouse_sim::compare::{self, Comparison, START_UPS, Verdict};
use dormouse_sim::judge::Outcome;
use dormouse_sim::plan::Plan;
use dormouse_sim::report::comparison::{self, Compared, Kind};

use super::args::CompareArgs;
use super::output::{self, Batch};
use super::simulate::Unasked;
use super::{Exit, complain, simulate};

pub(super) fn compare(args: &CompareArgs) -> Exit {
    match try_compare(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_compare(args: &CompareArgs) -> Result<Exit, Exit> {
    output::look_at(simulate::places(&args.output))?;
    let plans = plans(args)?;
    let judged = plans.iter().map(|plan| simulate::judged(plan, &args.work));
    let (outcomes, verdicts): (Vec<_>, Vec<_>) =
        judged.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let mut comparison = compared(args, &outcomes);
    for percent in START_UPS {
        let scaled: Vec<_> = plans.iter().map(|plan| plan.with_start_up(percent)).collect();
        let outcomes = scaled
            .iter()
            .map(|plan| simulate::cards(plan, &args.work).map(|cards| Outcome { plan, cards }));
        let outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
        comparison.note_start_up(percent, &compared(args, &outcomes));
    }
    let each = outcomes.iter().zip(&verdicts);
    let rulings = each.map(|(outcome, verdicts)| simulate::ruling(outcome, verdicts, false));
    let is_worse = comparison.is_worse().then_some(Exit::Failed);
    let exit = rulings.chain(is_worse).fold(Exit::Fine, Exit::worse);
    if args.work.quiet {
        outcomes
            .iter()
            .zip(&verdicts)
            .for_each(|(it, verdicts)| simulate::complain_of(it, verdicts));
        let worse = comparison.rows.iter().filter(|row| row.verdict == Verdict::Worse);
        worse.for_each(|row| complain(comparison::row_line(row)));
    }
    let compared = Compared { comparison: &comparison, outcomes: &outcomes, verdicts: &verdicts };
    let write = |kind: Kind| kind.write(&compared);
    simulate::put_all(Batch::default(), &args.output, Kind::Text, Unasked::of(&args.work), write)?;
    Ok(exit)
}

/// The scenarios, which must be of one world and have something to compare.
fn plans(args: &CompareArgs) -> Result<Vec<Plan>, Exit> {
    let options = args.change.options();
    let refuse = |rule: String| {
        complain(rule);
        Exit::Input
    };
    let mut plans = Vec::with_capacity(args.scenarios.len());
    for file in &args.scenarios {
        let mut plan = simulate::plan(file, &options)?;
        compare::take_seeds(&mut plan, options.seeds).map_err(refuse)?;
        plans.push(plan);
    }
    let named = || args.scenarios.iter().map(String::as_str).zip(&plans);
    let first = iter::repeat(named().next()).flatten();
    let difference = first.zip(named()).find_map(|(first, it)| compare::difference(first, it));
    if let Some(difference) = difference {
        return Err(refuse(format!("{difference}; they may differ in their policies alone")));
    }
    if plans.iter().map(|plan| plan.scenario.policies.len()).sum::<usize>() < 2 {
        return Err(refuse("there is but one policy, and nothing to compare it with".to_owned()));
    }
    Ok(plans)
}

fn compared(args: &CompareArgs, outcomes: &[Outcome<'_>]) -> Comparison {
    let contestants = compare::contestants(outcomes, &args.scenarios);
    Comparison::new(&contestants, &args.metrics(), args.margin())
}
