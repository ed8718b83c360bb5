//! Every figure of every function, a row each: `policy,seed,function,metric,value`. Times are in
//! nanoseconds; what never ended is `inf`, what there is no data of is empty.

use crate::judge::Outcome;
use crate::metric::Metric;

pub(super) fn write(outcome: &Outcome<'_>) -> String {
    let plan = outcome.plan;
    let price = plan.scenario.score.price.as_ref();
    let mut text = "policy,seed,function,metric,value\n".to_owned();
    for (job, card) in plan.jobs().into_iter().zip(&outcome.cards) {
        let policy = &plan.scenario.policies[job.policy].name;
        for (function, row) in plan.functions.iter().zip(&card.functions) {
            let score = row.from(plan.scored());
            for metric in Metric::shown() {
                let value = metric.of(&score, price).map_or(String::new(), |it| it.to_string());
                // Names are of letters that CSV needs no quotes for.
                let (seed, name) = (job.seed, &function.name);
                text += &format!("{policy},{seed},{name},{metric},{value}\n");
            }
        }
    }
    text
}
