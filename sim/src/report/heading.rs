//! What a report is about, in words.

use crate::plan::Plan;

/// The scenario's name.
pub(super) fn title(plan: &Plan) -> &str {
    match plan.scenario.name.as_str() {
        "" => "scenario",
        name => name,
    }
}

/// How long it was scored, and with which seeds.
pub(super) fn extent(plan: &Plan) -> String {
    let seeds = match plan.seeds.as_slice() {
        [seed] => format!("seed {seed}"),
        seeds => format!("mean of {} seeds (and the range where they differ)", seeds.len()),
    };
    format!("{} scored after {}, {seeds}", plan.scenario.length, plan.scenario.warmup)
}
