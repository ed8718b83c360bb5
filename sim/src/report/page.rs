//! The page around what is shown to people: nothing is fetched, and nothing but the one script that
//! is written here can run, by the page's own policy.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::chart::{STYLE, put};
use super::markup::escaped;
use super::told;
use crate::input::Hashed;
use crate::judge::{Ruling, Verdict};
use crate::plan::Plan;
use crate::world::NOT_MODELLED;

const PAGE_STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A page around what is in it; `data` is what the script shows, as JSON that can stand in a
/// `script` element. Without any there is no script.
pub(super) fn page(title: &str, body: &str, data: Option<&str>) -> String {
    let style = format!("{STYLE}{PAGE_STYLE}");
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (allowed, scripts) = match data {
        None => ("'none'".to_owned(), String::new()),
        Some(data) => (
            hash(SCRIPT),
            format!(
                "<script type=\"application/json\" id=\"courses\">{data}</script>\n\
                 <script>{SCRIPT}</script>\n"
            ),
        ),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src {}; script-src {allowed}; img-src data:; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"dormouse {}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>{style}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n{scripts}</body>\n</html>\n",
        hash(&style),
        env!("CARGO_PKG_VERSION"),
        escaped(title),
    )
}

/// What it is called, what it comes to and what that stands on.
pub(super) fn head(
    body: &mut String,
    title: &str,
    (class, ruling): (&str, &str),
    lines: &[String],
) {
    put(
        body,
        format_args!(
            "<header>\n<h1>{}</h1>\n<p class=\"ruling {class}\">{}</p>\n",
            escaped(title),
            escaped(ruling),
        ),
    );
    for line in lines {
        put(body, format_args!("<p class=\"dim\">{}</p>\n", escaped(line)));
    }
    *body += "</header>\n";
}

/// What there is to be said beforehand of a scenario.
pub(super) fn notices(body: &mut String, plan: &Plan) {
    for notice in &plan.notices {
        put(body, format_args!("<p class=\"notice\">notice: {}</p>\n", escaped(notice)));
    }
}

/// A table; the first row is its head.
pub(super) fn table(body: &mut String, rows: &[Vec<String>]) {
    let Some((head, rows)) = rows.split_first() else {
        return;
    };
    *body += "<div class=\"wide\"><table>\n<thead><tr>";
    for cell in head {
        put(body, format_args!("<th scope=\"col\">{}</th>", escaped(cell)));
    }
    *body += "</tr></thead>\n<tbody>\n";
    for row in rows {
        *body += "<tr>";
        for cell in row {
            put(body, format_args!("<td>{}</td>", escaped(cell)));
        }
        *body += "</tr>\n";
    }
    *body += "</tbody></table></div>\n";
}

/// What became of what was asserted of each scenario.
pub(super) fn assertions<'a>(
    body: &mut String,
    judged: impl Iterator<Item = (&'a Plan, &'a [Verdict])>,
) {
    let each = judged.flat_map(|(plan, verdicts)| verdicts.iter().map(move |it| (plan, it)));
    let mut each = each.peekable();
    if each.peek().is_none() {
        return;
    }
    *body += "<section>\n<h2>Assertions</h2>\n<div class=\"wide\"><table>\n<thead><tr>\
              <th scope=\"col\">ruling</th><th scope=\"col\">policy</th>\
              <th scope=\"col\">assertion</th><th scope=\"col\">figure</th></tr></thead>\n\
              <tbody>\n";
    for (plan, verdict) in each {
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

/// What is left out.
pub(super) fn not_modelled(body: &mut String) {
    *body += "<section>\n<h2>Not modelled</h2>\n<ul>\n";
    for left_out in NOT_MODELLED {
        put(body, format_args!("<li>{}</li>\n", escaped(left_out)));
    }
    *body += "</ul>\n</section>\n";
}

/// What the page is of, to the digit: facts by name, files, and scenarios in full.
pub(super) fn made_from<'a>(
    body: &mut String,
    facts: &[(&str, String)],
    inputs: impl Iterator<Item = &'a Hashed>,
    scenarios: impl Iterator<Item = String>,
) {
    *body += "<footer>\n<h2>Made from</h2>\n<dl>\n";
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        put(body, format_args!("<dt>{name}</dt><dd>{}</dd>\n", escaped(fact)));
    }
    for Hashed { name, sha256 } in inputs {
        put(
            body,
            format_args!(
                "<dt>{}</dt><dd><code>sha256 {}</code></dd>\n",
                escaped(name),
                escaped(sha256),
            ),
        );
    }
    *body += "</dl>\n";
    for scenario in scenarios {
        put(
            body,
            format_args!(
                "<details><summary>The whole scenario, with every default</summary>\n<pre>{}</pre>\
                 </details>\n",
                lines(&scenario),
            ),
        );
    }
    *body += "</footer>\n";
}

/// The same as [`escaped`], line by line.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}
