//! The figures: the ones that matter most as bars, all of them as tables.

use crate::judge::Outcome;
use crate::metric::Metric;
use crate::report::chart::{COLOURS, put};
use crate::report::figures::{self, Figures};
use crate::report::heading;
use crate::report::markup::escaped;
use crate::report::text::TABLES_MAX;

/// What people look at first: what it costs, who waits and for how long, and how often from zero.
const CARDS: [&str; 5] = ["cost", "pod_seconds", "waited", "wait.p99", "cold_starts"];

/// How long the longest bar is.
const BAR: f64 = 100.0;

pub(super) fn cards(body: &mut String, outcome: &Outcome<'_>) {
    let all = figures::of(outcome, None);
    *body += "<section class=\"cards\" aria-label=\"At a glance\">\n";
    for name in CARDS {
        if let Some(figures) = all.iter().find(|it| it.metric.to_string() == name) {
            card(body, outcome, figures);
        }
    }
    *body += "</section>\n";
}

/// A bar for each policy, as long as its mean.
fn card(body: &mut String, outcome: &Outcome<'_>, figures: &Figures) {
    let policies = &outcome.plan.scenario.policies;
    let means: Vec<_> = (0..policies.len()).map(|policy| figures.mean(policy)).collect();
    let finite = means.iter().flatten().copied().filter(|mean| mean.is_finite());
    let most = finite.fold(0.0, f64::max);
    put(
        body,
        format_args!(
            "<div class=\"card\"><h2>{}</h2>\n<dl>\n",
            escaped(&figures.metric.to_string()),
        ),
    );
    for (place, (policy, mean)) in policies.iter().zip(&means).enumerate() {
        let length = match mean {
            Some(mean) if mean.is_infinite() => BAR,
            Some(mean) if most > 0.0 => mean / most * BAR,
            _ => 0.0,
        };
        let shown = mean.map_or("-".to_owned(), |mean| figures.metric.unit().show(mean));
        put(
            body,
            format_args!(
                "<dt>{}</dt><dd class=\"p{}\"><svg class=\"bar\" viewBox=\"0 0 {BAR} 6\" \
             preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"{length:.1}\" \
             height=\"6\" fill=\"currentColor\"/></svg><span>{}{}</span></dd>\n",
                escaped(&policy.name),
                place % COLOURS,
                escaped(&shown),
                beside(*mean, means[0].filter(|_| place > 0)),
            ),
        );
    }
    *body += "</dl></div>\n";
}

/// How much more or less that is than the first policy's.
fn beside(mean: Option<f64>, first: Option<f64>) -> String {
    match (mean, first) {
        (Some(mean), Some(first)) if first > 0.0 && mean.is_finite() && first.is_finite() => {
            let percent = format!("{:+.0}", (mean / first - 1.0) * 100.0);
            let percent = percent.replace('-', "−");
            match percent.as_str() {
                "+0" | "−0" => String::new(),
                _ => format!(" <small>{percent} %</small>"),
            }
        }
        _ => String::new(),
    }
}

pub(super) fn tables(body: &mut String, outcome: &Outcome<'_>) {
    *body += "<section>\n<h2>Figures</h2>\n";
    table(body, outcome, None);
    let keys = &outcome.plan.scenario.functions;
    if keys.len() > 1 {
        for function in keys.iter().take(TABLES_MAX) {
            let name = escaped(&function.name);
            put(body, format_args!("<details><summary>{name}</summary>\n"));
            table(body, outcome, Some(&function.name));
            *body += "</details>\n";
        }
        if keys.len() > TABLES_MAX {
            let more = keys.len() - TABLES_MAX;
            put(
                body,
                format_args!(
                    "<p class=\"dim\">{more} more functions are in -o json and -o csv</p>\n"
                ),
            );
        }
    }
    if let Some(caveat) = heading::without_open(outcome) {
        put(body, format_args!("<p>{}</p>\n", escaped(&caveat)));
    }
    *body += "</section>\n";
}

fn table(body: &mut String, outcome: &Outcome<'_>, key: Option<&str>) {
    *body += "<div class=\"wide\"><table class=\"figures\">\n<thead><tr><th scope=\"col\">figure\
              </th>";
    for (place, policy) in outcome.plan.scenario.policies.iter().enumerate() {
        put(
            body,
            format_args!(
                "<th scope=\"col\" class=\"p{}\">{}</th>",
                place % COLOURS,
                escaped(&policy.name),
            ),
        );
    }
    *body += "</tr></thead>\n<tbody>\n";
    for figures in figures::of(outcome, key) {
        let metric: Metric = figures.metric;
        put(body, format_args!("<tr><th scope=\"row\">{}</th>", escaped(&metric.to_string())));
        for cell in figures.cells() {
            put(body, format_args!("<td>{}</td>", escaped(&cell)));
        }
        *body += "</tr>\n";
    }
    *body += "</tbody></table></div>\n";
}
