//! A run on one page that holds everything: what it cost, who waited, and how it went.

mod overview;
mod way;

use dormouse_policy::decision::VERSION;

use super::page::{assertions, head, made_from, not_modelled, notices, page};
use super::{effective, heading, svg};
use crate::courses::Courses;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::plan::Plan;

pub(super) fn write(
    outcome: &Outcome<'_>,
    verdicts: &[Verdict],
    courses: Option<&Courses>,
) -> String {
    let plan = outcome.plan;
    let charts = svg::charts(outcome, courses);
    let mut body = String::new();
    let (class, ruling) = ruling(verdicts);
    head(&mut body, heading::title(plan), (class, &ruling), &[heading::extent(plan)]);
    notices(&mut body, plan);
    overview::cards(&mut body, outcome);
    assertions(&mut body, std::iter::once((plan, verdicts)));
    if let Some(courses) = courses {
        way::sections(&mut body, &charts, courses);
    }
    overview::tables(&mut body, outcome);
    not_modelled(&mut body);
    let effective = std::iter::once(effective(plan));
    made_from(&mut body, &facts(plan, courses), plan.inputs.iter(), effective);
    page(heading::title(plan), &body, Some(&way::data(&charts)))
}

/// What the assertions come to, and how that looks.
fn ruling(verdicts: &[Verdict]) -> (&'static str, String) {
    let held = verdicts.iter().filter(|verdict| verdict.ruling == Ruling::Holds).count();
    match (verdicts.len(), held) {
        (0, _) => ("none", "nothing asserted".to_owned()),
        (all, held) if all == held => ("good", format!("all {all} assertions hold")),
        (all, held) => ("bad", format!("{} of {all} assertions fail", all - held)),
    }
}

fn facts(plan: &Plan, courses: Option<&Courses>) -> [(&'static str, String); 5] {
    let policies: Vec<_> =
        plan.scenario.policies.iter().map(|policy| policy.name.as_str()).collect();
    let seeds = match plan.seeds.as_slice() {
        [first, .., last] => format!("{first} to {last}"),
        seeds => seeds.iter().map(ToString::to_string).collect(),
    };
    [
        ("scenario", heading::title(plan).to_owned()),
        ("policies", policies.join(", ")),
        ("seeds", seeds),
        ("seed of the charts", courses.map_or(String::new(), |courses| courses.seed.to_string())),
        ("dormouse", format!("{}, policy {VERSION}", env!("CARGO_PKG_VERSION"))),
    ]
}
