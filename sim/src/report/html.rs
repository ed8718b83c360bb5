//! One page that holds everything: nothing is fetched, and nothing but the one script that is
//! written here can run, by the page's own policy.

mod overview;
mod way;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dormouse_policy::decision::VERSION;
use sha2::{Digest, Sha256};

use super::chart::{STYLE, put};
use super::markup::escaped;
use super::{effective, heading, svg, told};
use crate::courses::Courses;
use crate::input::Hashed;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::plan::Plan;
use crate::world::NOT_MODELLED;

const PAGE_STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) fn write(
    outcome: &Outcome<'_>,
    verdicts: &[Verdict],
    courses: Option<&Courses>,
) -> String {
    let plan = outcome.plan;
    let charts = svg::charts(outcome, courses);
    let mut body = String::new();
    head(&mut body, plan, verdicts);
    overview::cards(&mut body, outcome);
    assertions(&mut body, plan, verdicts);
    if let Some(courses) = courses {
        way::sections(&mut body, &charts, courses);
    }
    overview::tables(&mut body, outcome);
    stamp(&mut body, plan, courses);
    page(heading::title(plan), &body, &way::data(&charts))
}

/// A page around what is in it; `data` is JSON that can stand in a `script` element.
fn page(title: &str, body: &str, data: &str) -> String {
    let style = format!("{STYLE}{PAGE_STYLE}");
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"dormouse {}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>{style}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n\
         <script type=\"application/json\" id=\"courses\">{data}</script>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        hash(&style),
        hash(SCRIPT),
        env!("CARGO_PKG_VERSION"),
        escaped(title),
    )
}

fn head(body: &mut String, plan: &Plan, verdicts: &[Verdict]) {
    let held = verdicts.iter().filter(|verdict| verdict.ruling == Ruling::Holds).count();
    let (class, ruling) = match (verdicts.len(), held) {
        (0, _) => ("none", "nothing asserted".to_owned()),
        (all, held) if all == held => ("good", format!("all {all} assertions hold")),
        (all, held) => ("bad", format!("{} of {all} assertions fail", all - held)),
    };
    put(
        body,
        format_args!(
            "<header>\n<h1>{}</h1>\n<p class=\"ruling {class}\">{ruling}</p>\n\
             <p class=\"dim\">{}</p>\n",
            escaped(heading::title(plan)),
            escaped(&heading::extent(plan)),
        ),
    );
    for notice in &plan.notices {
        put(body, format_args!("<p class=\"notice\">notice: {}</p>\n", escaped(notice)));
    }
    *body += "</header>\n";
}

fn assertions(body: &mut String, plan: &Plan, verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    *body += "<section>\n<h2>Assertions</h2>\n<div class=\"wide\"><table>\n<thead><tr>\
              <th scope=\"col\">ruling</th><th scope=\"col\">policy</th>\
              <th scope=\"col\">assertion</th><th scope=\"col\">figure</th></tr></thead>\n\
              <tbody>\n";
    for verdict in verdicts {
        let (class, word) = match verdict.ruling {
            Ruling::Holds => ("good", "✓ holds"),
            Ruling::Fails => ("bad", "✗ fails"),
            Ruling::NoData => ("bad", "✗ no data"),
        };
        let figure = match verdict.ruling {
            Ruling::NoData => String::new(),
            _ => told(verdict),
        };
        put(
            body,
            format_args!(
                "<tr><td class=\"{class}\">{word}</td><td>{}</td><td><code>{}</code></td>\
                 <td>{}</td>\
             </tr>\n",
                escaped(&plan.scenario.policies[verdict.policy].name),
                escaped(&verdict.assertion.text),
                escaped(&figure),
            ),
        );
    }
    *body += "</tbody></table></div>\n</section>\n";
}

/// What the page is of, to the digit, and what it leaves out.
fn stamp(body: &mut String, plan: &Plan, courses: Option<&Courses>) {
    let scenario = &plan.scenario;
    let policies: Vec<_> = scenario.policies.iter().map(|policy| policy.name.as_str()).collect();
    let seeds = match plan.seeds.as_slice() {
        [first, .., last] => format!("{first} to {last}"),
        seeds => seeds.iter().map(ToString::to_string).collect(),
    };
    let drawn = courses.map_or(String::new(), |courses| courses.seed.to_string());
    *body += "<section>\n<h2>Not modelled</h2>\n<ul>\n";
    for left_out in NOT_MODELLED {
        put(body, format_args!("<li>{}</li>\n", escaped(left_out)));
    }
    *body += "</ul>\n</section>\n<footer>\n<h2>Made from</h2>\n<dl>\n";
    let facts = [
        ("scenario", heading::title(plan).to_owned()),
        ("policies", policies.join(", ")),
        ("seeds", seeds),
        ("seed of the charts", drawn),
        ("dormouse", format!("{}, policy {}", env!("CARGO_PKG_VERSION"), VERSION)),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        put(body, format_args!("<dt>{name}</dt><dd>{}</dd>\n", escaped(fact)));
    }
    for Hashed { name, sha256 } in &plan.inputs {
        put(
            body,
            format_args!(
                "<dt>{}</dt><dd><code>sha256 {}</code></dd>\n",
                escaped(name),
                escaped(sha256),
            ),
        );
    }
    put(
        body,
        format_args!(
            "</dl>\n<details><summary>The whole scenario, with every default, and the settings \
             that \
         all annotations come to</summary>\n<pre>{}</pre></details>\n</footer>\n",
            escaped_lines(&effective(plan)),
        ),
    );
}

/// The same as [`escaped`], line by line.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}
