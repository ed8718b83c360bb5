//! What a report is about, in words.

use crate::judge::Outcome;
use crate::plan::Plan;

/// The share of requests open at the end from which on it is said that no time is theirs: a 99th
/// percentile could be one of them.
const OPEN_SHARE: f64 = 0.01;

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

/// What is to be known of the times shown, where many requests were still open at the end.
pub(super) fn without_open(outcome: &Outcome<'_>) -> Option<String> {
    let cut = outcome.plan.scored();
    let scores = outcome.cards.iter().map(|card| outcome.score(card, None, cut));
    let shares = scores.map(|score| score.open as f64 / score.arrived.max(1) as f64);
    let most = shares.fold(0.0, f64::max);
    (most >= OPEN_SHARE).then(|| {
        let percent = most * 100.0;
        format!(
            "up to {percent:.0} % of the requests were open at the end; no time above is theirs"
        )
    })
}
