//! On one page.

use super::Compared;
use super::plot::Plot;
use crate::compare::Verdict;
use crate::report::chart::put;
use crate::report::markup::escaped;
use crate::report::page::{assertions, head, made_from, not_modelled, notices, page, table};
use crate::report::{effective, svg};

pub(super) fn write(compared: &Compared<'_>) -> String {
    let (name, length) = compared.title();
    let baseline = &compared.comparison.baseline;
    let mut body = String::new();
    let (class, ruling) = ruling(compared);
    let lines = [format!("beside {baseline}; {length}"), compared.stands_on()];
    head(&mut body, name, (class, &ruling), &lines);
    compared.outcomes.iter().for_each(|outcome| notices(&mut body, outcome.plan));
    for policy in compared.comparison.others() {
        put(&mut body, format_args!("<section>\n<h2>{}</h2>\n", escaped(policy)));
        body += &Plot::new(compared, policy).draw("");
        for told in compared.start_up_lines(policy) {
            put(&mut body, format_args!("<p class=\"dim\">{}</p>\n", escaped(&told)));
        }
        table(&mut body, &compared.table(policy));
        body += "</section>\n";
    }
    let each = compared.outcomes.iter().zip(compared.verdicts);
    let judged = each.map(|(outcome, verdicts)| (outcome.plan, verdicts.as_slice()));
    assertions(&mut body, judged);
    not_modelled(&mut body);
    let facts = [
        ("scenario", name.to_owned()),
        ("baseline", baseline.clone()),
        ("others", compared.comparison.others().join(", ")),
        ("dormouse", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let inputs = compared.outcomes.iter().flat_map(|outcome| &outcome.plan.inputs);
    let scenarios = compared.outcomes.iter().map(|outcome| effective(outcome.plan));
    made_from(&mut body, &facts, inputs, scenarios);
    page(name, &body, None)
}

/// The plots alone.
pub(super) fn image(compared: &Compared<'_>) -> String {
    let others = compared.comparison.others();
    let plots: Vec<_> = others.iter().map(|policy| (policy, Plot::new(compared, policy))).collect();
    let drawn = plots.iter().map(|(policy, plot)| svg::Drawn {
        name: format!("{policy} beside {}", compared.comparison.baseline),
        height: plot.height(),
        draw: Box::new(|place| plot.draw(place)),
    });
    svg::image(compared.title().0, drawn)
}

/// What it all comes to, and how that looks.
fn ruling(compared: &Compared<'_>) -> (&'static str, String) {
    let rows = &compared.comparison.rows;
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let [better, worse] = [Verdict::Better, Verdict::Worse].map(of);
    let class = match (better, worse) {
        (_, 1..) => "bad",
        (1.., 0) => "good",
        (0, 0) => "none",
    };
    (class, format!("{better} figures better, {worse} worse"))
}
