//! The rules of the house that no compiler checks: file sizes, names, words, and which way the
//! crates may depend on each other.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dormouse_tests::program::checkout;

/// Beyond this a file wants splitting.
const LINES_MAX: usize = 500;

/// Characters; what fits two editors side by side.
const COLUMNS_MAX: usize = 100;

/// What must not be committed, split so that this file does not hold them.
const WORDS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("dbg", "!("),
];

/// The crates that may do no I/O, and all they may depend on: formats (serde and its kin), types
/// (crossbeam-utils, dashmap, thiserror), functions of their arguments (libm, strsim).
const PURE: [(&str, &[&str]); 3] = [
    ("metrics", &["crossbeam-utils", "dashmap"]),
    (
        "autoscaler/policy",
        &[
            "dormouse-metrics",
            "libm",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "strsim",
            "thiserror",
        ],
    ),
    (
        "activator/link",
        &["dormouse-metrics", "dormouse-policy", "serde", "serde_json", "thiserror"],
    ),
];

/// Who may depend on whom among ourselves; the rest of the arrows point upward.
const ARROWS: [(&str, &[&str]); 9] = [
    ("metrics", &[]),
    ("admin", &["dormouse-metrics"]),
    ("autoscaler/policy", &["dormouse-metrics"]),
    ("activator/link", &["dormouse-metrics", "dormouse-policy"]),
    ("activator", &["dormouse-admin", "dormouse-link", "dormouse-metrics", "dormouse-policy"]),
    ("autoscaler", &["dormouse-admin", "dormouse-link", "dormouse-metrics", "dormouse-policy"]),
    ("sim", &["dormouse-link", "dormouse-metrics", "dormouse-policy"]),
    ("tests", &["dormouse-figures", "dormouse-policy"]),
    ("tests/figures", &[]),
];

/// The files that git knows or would, by path inside the checkout.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(checkout())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).unwrap();
    let wanted = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
    let paths = names.lines().filter(wanted).map(|name| checkout().join(name));
    // A file deleted but not yet committed as such is still listed.
    paths.filter(|path| path.is_file()).collect()
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn source_files_are_short_and_narrow() {
    let mut faults = Vec::new();
    for path in files(&[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                faults.push(format!("{}:{}: too wide", path.display(), number + 1));
            }
        }
    }
    none(&faults);
}

#[test]
fn no_file_is_called_mod_rs() {
    let named: Vec<String> =
        files(&["/mod.rs"]).iter().map(|path| path.display().to_string()).collect();
    none(&named);
}

#[test]
fn nothing_unfinished_is_left() {
    let mut faults = Vec::new();
    for path in files(&[".rs", ".toml", ".md", ".yaml", ".py", ".js", ".mjs", ".sh"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = WORDS.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_pure_crates_depend_on_nothing_that_does_io() {
    let mut faults = Vec::new();
    for (folder, allowed) in PURE {
        for name in dependencies(folder) {
            if !allowed.contains(&name.as_str()) {
                faults.push(format!("{folder} depends on {name}"));
            }
        }
        let lints = checkout().join(folder).join("clippy.toml");
        let lints = fs::read_to_string(lints).unwrap_or_default();
        if !lints.contains("Instant::now") || !lints.contains("SystemTime::now") {
            faults.push(format!("{folder}/clippy.toml does not ban the clocks"));
        }
    }
    none(&faults);
}

/// What decides, and what replays decisions, may not use functions whose last digit differs by
/// platform.
#[test]
fn inexact_functions_of_numbers_are_banned_where_decisions_are_made() {
    const INEXACT: [&str; 27] = [
        "powf", "powi", "exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "sqrt",
        "cbrt", "hypot", "sin", "cos", "tan", "sin_cos", "asin", "acos", "atan", "atan2", "sinh",
        "cosh", "tanh", "asinh", "acosh", "atanh",
    ];
    let mut faults = Vec::new();
    for folder in ["autoscaler/policy", "sim"] {
        let lints = fs::read_to_string(checkout().join(folder).join("clippy.toml")).unwrap();
        for name in INEXACT {
            if !lints.contains(&format!("\"f64::{name}\"")) {
                faults.push(format!("{folder}/clippy.toml does not ban f64::{name}"));
            }
        }
    }
    let manifest = fs::read_to_string(checkout().join("Cargo.toml")).unwrap();
    if !manifest.contains("libm = { version = \"=") {
        faults.push("libm is not pinned to one version".to_owned());
    }
    none(&faults);
}

#[test]
fn no_arrow_points_upward() {
    let mut faults = Vec::new();
    for (folder, allowed) in ARROWS {
        for name in dependencies(folder) {
            if name.starts_with("dormouse-") && !allowed.contains(&name.as_str()) {
                faults.push(format!("{folder} depends on {name}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_crate_says_what_it_is() {
    let mut faults = Vec::new();
    for (folder, _) in ARROWS {
        let readme = checkout().join(folder).join("README.md");
        let text = fs::read_to_string(&readme).unwrap_or_default();
        if text.trim().is_empty() {
            faults.push(format!("{} is missing", readme.display()));
        }
    }
    none(&faults);
}

/// The keys of `[dependencies]` in a crate's manifest; those of its tests may be what they like.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = checkout().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]"
            && let Some(name) = line.split(['.', '=', ' ']).next()
            && !name.is_empty()
            && !name.starts_with('#')
        {
            found.insert(name.to_owned());
        }
    }
    found
}

/// A table that no command fills ages unseen.
#[test]
fn every_table_of_figures_has_a_bench_that_fills_it() {
    let read = |name: &str| fs::read_to_string(checkout().join(name)).unwrap();
    let (readme, run) = (read("README.md"), read("tests/bench/run"));
    let marks = readme.lines().filter_map(|line| {
        line.strip_prefix("<!-- figures of ").and_then(|rest| rest.strip_suffix(" -->"))
    });
    let filled = |name: &str| {
        run.contains(&format!("    '{name} ")) || run.contains(&format!("fill {name}\n"))
    };
    let faults: Vec<String> =
        marks.filter(|name| !filled(name)).map(|name| format!("no bench fills {name}")).collect();
    none(&faults);
    let count = |mark: &str| readme.lines().filter(|line| line.starts_with(mark)).count();
    assert_eq!(count("<!-- figures of "), count("<!-- end of figures -->"));
}
