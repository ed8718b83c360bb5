//! On one page.

use super::plot::Plot;
use super::{block, finding, halves, is_whole, rows, title, unconcluded};
use crate::report::chart::put;
use crate::report::page::{head, lines, made_from, not_modelled, page, table};
use crate::report::svg;
use crate::sweep::{Finding, Sweep};

pub(super) fn write(sweep: &Sweep) -> String {
    let choice = sweep.choice();
    let of = format!("{} candidates beside policy {}", sweep.of.candidates, sweep.of.baseline);
    let (class, ruling) = match (is_whole(sweep), choice.finding) {
        (false, _) => ("none", unconcluded(sweep)),
        (true, Finding::Suggested) => ("good", finding(sweep, &choice)),
        (true, _) => ("none", finding(sweep, &choice)),
    };
    let mut body = String::new();
    head(&mut body, title(sweep), (class, &ruling), &[of, halves(sweep)]);
    if let Some(block) = block(&choice).filter(|_| is_whole(sweep)) {
        put(&mut body, format_args!("<pre>{}</pre>\n", lines(&block)));
    }
    body += "<section>\n<h2>Cost and waiting</h2>\n";
    body += &Plot::new(sweep).draw("");
    body += "<p class=\"dim\">Numbers are rows of the table; a ring is around what was chosen. \
             Judged figures had no part in the choice: trust these.</p>\n";
    let numbered = rows(sweep).into_iter().enumerate().map(|(number, (name, cells))| {
        let number = if number == 0 { String::new() } else { number.to_string() };
        [vec![number, name], cells].concat()
    });
    table(&mut body, &numbered.collect::<Vec<_>>());
    body += "</section>\n";
    not_modelled(&mut body);
    let facts = [
        ("scenario", title(sweep).to_owned()),
        ("baseline", sweep.of.baseline.clone()),
        ("dormouse", sweep.version.clone()),
    ];
    let scenario = serde_json::to_string_pretty(&sweep.of.scenario);
    let scenario = scenario.expect("it was JSON before");
    made_from(&mut body, &facts, sweep.of.inputs.iter(), std::iter::once(scenario));
    page(title(sweep), &body, None)
}

/// The plot alone.
pub(super) fn image(sweep: &Sweep) -> String {
    let plot = Plot::new(sweep);
    let drawn = svg::Drawn {
        name: halves(sweep),
        height: Plot::height(),
        draw: Box::new(|place| plot.draw(place)),
    };
    svg::image(title(sweep), std::iter::once(drawn))
}
