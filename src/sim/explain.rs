//! `dormouse sim explain FILE --at T`: the decision that held at a moment.

use dormouse_sim::plan::SeedRange;
use dormouse_sim::run::Job;
use dormouse_sim::scenario::Time;
use dormouse_sim::world::{Log, Logged};

use super::args::ExplainArgs;
use super::{Exit, complain, simulate};

pub(super) fn explain(args: &ExplainArgs) -> Exit {
    match try_explain(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Shows, of each policy and function, the last decision up to the moment: under the first seed.
fn try_explain(args: &ExplainArgs) -> Result<Exit, Exit> {
    let mut options = args.change.options();
    let first = options.seeds.map_or(1, |seeds| seeds.first);
    options.seeds = Some(SeedRange { first, last: first });
    let mut plan = simulate::plan(&args.scenario, &options)?;
    let end = plan.scenario.end();
    if args.at >= end {
        complain(format_args!("--at {}: must be before the end of the run, {end}", args.at));
        return Err(Exit::Input);
    }
    // What comes after the moment cannot matter to it.
    plan.scenario.length = Time(args.at.0 + 1);
    plan.scenario.warmup = Time::ZERO;
    plan.cuts_ns = vec![0];
    let mut told = String::new();
    for (policy, own) in plan.scenario.policies.iter().enumerate() {
        let job = Job { policy, seed: first, cuts_ns: vec![0], log: Log::All };
        let card = simulate::one(&plan, &job)?;
        for (place, function) in plan.functions.iter().enumerate() {
            told += &format!("policy {}, seed {first}, {}\n", own.name, function.name);
            let is_it = |logged: &&Logged| logged.function == place;
            match card.log.iter().rev().find(is_it) {
                None => told += "  nothing was decided by then\n",
                Some(logged) => {
                    let at = Time(logged.decision.inputs.now_us * 1000);
                    told += &format!("  decided at {at}\n");
                    for line in logged.decision.to_string().lines() {
                        told += &format!("  {line}\n");
                    }
                }
            }
        }
    }
    if told.is_empty() {
        complain("there is no function to explain");
        return Err(Exit::Nothing);
    }
    simulate::put(None, told)?;
    Ok(Exit::Fine)
}
