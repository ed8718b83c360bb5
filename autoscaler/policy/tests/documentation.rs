//! The table of settings in `deploy/settings.md` is made from the tables of keys.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]
#![allow(clippy::disallowed_methods, reason = "the test reads the document, not the crate")]

use std::fmt::Write;

use dormouse_policy::settings::CLUSTER;
use dormouse_policy::settings::keys::{ANNOTATIONS, Fallback, Key, Standing, Table};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/settings.md");

/// Set it and the document is brought up to date instead of being found out of date.
const UPDATE: &str = "DORMOUSE_UPDATE_DOCUMENTATION";

/// A table's rows stand between these, with its name.
fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|end| format!("<!-- {name}: {end} -->\n"))
}

fn rows(table: Table) -> String {
    let mut text = String::from("| key | value | default |\n| --- | --- | --- |\n");
    for key in table.keys {
        writeln!(text, "| {} | {} | {} |", name(key), key.grammar, default(key)).unwrap();
    }
    text
}

fn name(key: &Key) -> String {
    let legacy = key.legacy.and_then(|legacy| legacy.split('/').nth(1));
    let legacy = legacy.map(|legacy| format!(" (`{legacy}`)")).unwrap_or_default();
    let standing = match key.standing {
        Standing::Honoured => "",
        Standing::NotYet => " *",
    };
    format!("`{}`{legacy}{standing}", key.name)
}

fn default(key: &Key) -> String {
    match key.fallback {
        Fallback::Fixed(default) => default.to_owned(),
        Fallback::Cluster(name) => {
            let fallback = CLUSTER.lookup(name).map(default).unwrap_or_default();
            format!("the cluster's `{name}`: {fallback}")
        }
    }
}

#[test]
fn the_tables_in_the_documentation_are_those_of_the_code() {
    let have = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut want = have.clone();
    for (name, table) in [("annotations", ANNOTATIONS), ("cluster defaults", CLUSTER)] {
        let [begin, end] = marks(name);
        let from = want.find(&begin).expect("the mark where the table begins") + begin.len();
        let to = want.find(&end).expect("the mark where it ends");
        want.replace_range(from..to, &rows(table));
    }
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(DOCUMENT, want).unwrap();
    } else {
        assert!(have == want, "{DOCUMENT} is out of date; run this test with {UPDATE}=1");
    }
}
