//! How functions went through the run: charts, what stood at each moment, and the same as tables.

use serde_json::{Value, json};

use crate::courses::Courses;
use crate::report::chart::{COLOURS, Chart, LEFT, RIGHT, WIDTH, Way, put};
use crate::report::markup::{self, escaped};
use crate::scenario::Time;
use crate::world::{Course, Extent, Series};

/// Rows of a table that stands in for a chart: what can be read through.
const ROWS_MAX: usize = 30;

/// Decisions of one function and policy that are listed; the others are said at their moments.
const LISTED_MAX: usize = 100;

/// What was decided in one bin: which bin, when and what, and how many more decisions there were.
type Said = (usize, Vec<(String, String)>, u64);

pub(super) fn sections(body: &mut String, charts: &[Chart<'_>], courses: &Courses) {
    put(
        body,
        format_args!(
            "<section>\n<h2>The way there</h2>\n<p class=\"dim\">With seed {}. Point at a moment, \
             or \
         move the slider with the arrow keys, to see what stood then and why.</p>\n",
            courses.seed,
        ),
    );
    for (number, chart) in charts.iter().enumerate() {
        section(body, chart, number);
    }
    if courses.left_out > 0 {
        put(
            body,
            format_args!(
                "<p class=\"dim\">Shown are the functions with the most requests that waited; {} \
                 more \
             are in the figures.</p>\n",
                courses.left_out,
            ),
        );
    }
    *body += "</section>\n";
}

fn section(body: &mut String, chart: &Chart<'_>, number: usize) {
    let name = escaped(chart.function);
    let bins = chart.ways[0].series.arrived.len();
    put(
        body,
        format_args!(
            "<section class=\"way-through\" id=\"way-{number}\" \
             aria-labelledby=\"name-{number}\">\n\
         <h3 id=\"name-{number}\">{name}</h3>\n{}\
         <input type=\"range\" min=\"0\" max=\"{}\" value=\"{}\" \
         aria-label=\"Moment of {name}\" hidden>\n<div class=\"readout\" hidden>\n\
         <p class=\"at\"></p>\n",
            chart.draw(""),
            bins - 1,
            worst(chart),
        ),
    );
    for way in &chart.ways {
        put(
            body,
            format_args!(
                "<div class=\"p{}\"><b>{}</b> <span></span><div class=\"said\"></div></div>\n",
                way.place % COLOURS,
                escaped(way.policy),
            ),
        );
    }
    *body += "</div>\n";
    for way in &chart.ways {
        table(body, way);
    }
    *body += "</section>\n";
}

/// The bin that is worth a look first: where most was held, else where most were wanted.
fn worst(chart: &Chart<'_>) -> usize {
    let most = |of: fn(&Series) -> &Course| {
        let bins = chart.ways.iter().flat_map(|way| of(way.series).bins.iter().enumerate());
        let worst = bins.reduce(|a, b| if b.1.most > a.1.most { b } else { a });
        worst.filter(|(_, extent)| extent.most > 0).map(|(bin, _)| bin)
    };
    most(|series| &series.held).or_else(|| most(|series| &series.desired)).unwrap_or(0)
}

/// What the chart shows, for those who cannot see it.
fn table(body: &mut String, way: &Way<'_>) {
    let series = way.series;
    put(
        body,
        format_args!(
            "<details><summary>{}: the chart as a table</summary>\n<div class=\"wide\"><table>\n\
         <thead><tr><th scope=\"col\">from</th><th scope=\"col\">requests</th>\
         <th scope=\"col\">open</th><th scope=\"col\">held</th><th scope=\"col\">ready</th>\
         <th scope=\"col\">desired</th><th scope=\"col\">panic</th></tr></thead>\n<tbody>\n",
            escaped(way.policy),
        ),
    );
    let bins = series.arrived.len();
    let per_row = bins.div_ceil(ROWS_MAX).max(1);
    for from in (0..bins).step_by(per_row) {
        let until = (from + per_row).min(bins);
        let arrived: u64 = series.arrived[from..until].iter().sum();
        let cell = |course: &Course| shown(&together(&course.bins[from..until]));
        let panic = if together(&series.panic.bins[from..until]).most > 0 { "yes" } else { "" };
        put(
            body,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td>{arrived}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{panic}</td></tr>\n",
                begins(series, from),
                cell(&series.open),
                cell(&series.held),
                cell(&series.ready),
                cell(&series.desired),
            ),
        );
    }
    *body += "</tbody></table></div>\n<ol class=\"said\">\n";
    let decisions = series.decisions.iter().flatten();
    let changes = decisions.filter(|decision| decision.desired != decision.inputs.replicas);
    for decision in changes.clone().take(LISTED_MAX) {
        let at = Time(decision.inputs.now_us * 1000);
        put(body, format_args!("<li>{at}: {}</li>\n", escaped(&decision.to_string())));
    }
    *body += "</ol>\n";
    let more = changes.count().saturating_sub(LISTED_MAX);
    if more > 0 {
        put(body, format_args!("<p class=\"dim\">and {more} more</p>\n"));
    }
    *body += "</details>\n";
}

fn together(bins: &[Extent]) -> Extent {
    let merge = |a: Extent, b: &Extent| Extent {
        least: a.least.min(b.least),
        most: a.most.max(b.most),
        last: b.last,
        area_ns: a.area_ns.saturating_add(b.area_ns),
    };
    let nothing = Extent { least: u32::MAX, most: 0, last: 0, area_ns: 0 };
    bins.iter().fold(nothing, merge)
}

fn shown(extent: &Extent) -> String {
    match extent {
        Extent { least, most, .. } if least >= most => most.to_string(),
        Extent { least, most, .. } => format!("{least}–{most}"),
    }
}

fn begins(series: &Series, bin: usize) -> Time {
    Time(series.bin_ns.saturating_mul(bin as u64))
}

/// All that the script shows, as JSON for a `script` element.
pub(super) fn data(charts: &[Chart<'_>]) -> String {
    let series = charts.first().map(|chart| chart.ways[0].series);
    let times: Vec<String> = series.map_or_else(Vec::new, |series| {
        (0..series.arrived.len()).map(|bin| begins(series, bin).to_string()).collect()
    });
    let bins = charts.first().map_or(0.0, Chart::bins);
    let charts: Vec<Value> = charts
        .iter()
        .map(|chart| Value::from(chart.ways.iter().map(way).collect::<Vec<_>>()))
        .collect();
    markup::json(&json!({
        "width": WIDTH, "left": LEFT, "right": RIGHT, "bins": bins, "times": times,
        "charts": charts,
    }))
}

fn way(way: &Way<'_>) -> Value {
    let series = way.series;
    let said: Vec<Said> = series
        .decisions
        .iter()
        .enumerate()
        .filter(|(_, decisions)| !decisions.is_empty())
        .map(|(bin, decisions)| {
            let lines = decisions.iter().map(|decision| {
                (Time(decision.inputs.now_us * 1000).to_string(), decision.to_string())
            });
            let more = u64::from(series.decided[bin]).saturating_sub(decisions.len() as u64);
            (bin, lines.collect(), more)
        })
        .collect();
    let arrived = series.arrived.iter().map(u64::to_string).collect::<Vec<_>>();
    json!({
        "requests": changes(arrived.into_iter()),
        "open": changes(series.open.bins.iter().map(shown)),
        "held": changes(series.held.bins.iter().map(shown)),
        "ready": changes(series.ready.bins.iter().map(shown)),
        "desired": changes(series.desired.bins.iter().map(shown)),
        "panic": changes(series.panic.bins.iter().map(shown)),
        "said": said,
    })
}

/// The bins that are not as the one before.
fn changes(bins: impl Iterator<Item = String>) -> Vec<(usize, String)> {
    let mut changes: Vec<(usize, String)> = Vec::new();
    for (bin, shown) in bins.enumerate() {
        if changes.last().is_none_or(|(_, last)| *last != shown) {
            changes.push((bin, shown));
        }
    }
    changes
}
