//! For people.

use super::Compared;
use crate::report::text::{columns, line};
use crate::world::NOT_MODELLED;

pub(super) fn write(compared: &Compared<'_>) -> String {
    let mut text = String::new();
    let (name, length) = compared.title();
    let baseline = &compared.comparison.baseline;
    line(&mut text, format_args!("{name}: {length}; {}", compared.stands_on()));
    for outcome in compared.outcomes {
        for notice in &outcome.plan.notices {
            line(&mut text, format_args!("notice: {notice}"));
        }
    }
    for policy in compared.comparison.others() {
        let head = ["", baseline, policy, "difference", "verdict"].map(str::to_owned);
        let rows = compared.rows(policy).into_iter().map(Compared::cells);
        let rows = [head].into_iter().chain(rows).map(|[name, cells @ ..]| (name, cells.to_vec()));
        text.push('\n');
        columns(&mut text, &rows.collect::<Vec<_>>());
        for told in compared.start_up_lines(policy) {
            line(&mut text, format_args!("  {told}"));
        }
    }
    let assertions = compared.assertion_lines();
    if !assertions.is_empty() {
        text.push('\n');
    }
    for told in assertions {
        line(&mut text, format_args!("{told}"));
    }
    text.push_str("\nnot modelled:\n");
    for left_out in NOT_MODELLED {
        line(&mut text, format_args!("  {left_out}"));
    }
    text
}
