//! The chart's values: each has a rule in the schema and a row in the documentation.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use dormouse_tests::helm::chart;
use dormouse_tests::program::checkout;
use serde_json::Value;

/// Set it and the table is brought up to date instead of being found out of date.
const UPDATE: &str = "DORMOUSE_UPDATE_DOCUMENTATION";

const BEGIN: &str = "<!-- values: begin -->\n";
const END: &str = "<!-- values: end -->\n";

/// A value: the comment above it, its path, its default as it is written.
struct Row {
    path: String,
    default: String,
    comment: String,
}

/// The rows of `values.yaml`, read by its indentation. A key whose value is on the lines below and
/// which has a comment is a row of its own, with what is below as its default.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let mut rows: Vec<Row> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut comment = String::new();
    // The depth below which lines are the default of the last row.
    let mut inside = usize::MAX;
    for line in text.lines() {
        let words = line.trim_start();
        let depth = (line.len() - words.len()) / 2;
        if words.is_empty() {
            comment.clear();
            continue;
        }
        if depth > inside {
            let row = rows.last_mut().unwrap();
            row.default.push_str(if row.default.is_empty() { "" } else { ", " });
            row.default.push_str(words);
            continue;
        }
        inside = usize::MAX;
        if let Some(words) = words.strip_prefix("# ") {
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(words);
            continue;
        }
        let (key, default) = words.split_once(':').unwrap();
        path.truncate(depth);
        path.push(key);
        if !comment.is_empty() {
            let default = default.trim().to_owned();
            rows.push(Row { path: path.join("."), default, comment: std::mem::take(&mut comment) });
            inside = depth;
        }
    }
    rows
}

/// The paths in a schema that end in something else than an object of fixed keys.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            assert_eq!(schema["additionalProperties"], false, "{path} takes misspelt keys");
            for (key, below) in properties {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(below, &format!("{path}{dot}{key}"), found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

pub(crate) fn every_value_has_a_rule() {
    let schema = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut ruled = BTreeSet::new();
    leaves(&schema, "", &mut ruled);
    // Helm's own, given to every chart.
    assert!(ruled.remove("global"));
    let valued: BTreeSet<String> = rows().into_iter().map(|row| row.path).collect();
    assert_eq!(valued, ruled);
}

pub(crate) fn every_value_is_documented() {
    let path = checkout().join("deploy/README.md");
    let text = fs::read_to_string(&path).unwrap();
    let mut table = String::from("| value | default | what |\n| --- | --- | --- |\n");
    for Row { path, default, comment } in rows() {
        let default = if default.is_empty() { "\"\"" } else { &default };
        writeln!(table, "| `{path}` | `{default}` | {comment} |").unwrap();
    }
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if found != table && std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(found == table, "{} is out of date: run with {UPDATE}=1", path.display());
}
