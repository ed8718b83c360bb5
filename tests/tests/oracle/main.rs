//! The policy against an oracle: the same rules written down a second time from the description of
//! Knative's autoscaler and of what Dormouse adds, in the plainest way, keeping everything.
//!
//! `case` is what both are asked, `kpa` the oracle, `cases` the recordings made with it.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "every line of this program is a test; the oracle is plain, `as` saturates"
)]

mod case;
mod cases;
mod kpa;
mod random;
mod recorded;

use std::fs;

use dormouse_sim::recording::Recording;
use dormouse_sim::verify::Tally;
use dormouse_tests::program::checkout;

const FILE: &str = "autoscaler/policy/testdata/dormouse.jsonl";

/// Set to anything, it makes the test below write what it compares with.
const UPDATE: &str = "DORMOUSE_UPDATE_RECORDINGS";

/// What the policy makes of it otherwise, first mismatches first.
fn mismatches(text: &str) -> (Tally, Vec<String>) {
    let (mut tally, mut mismatches) = (Tally::default(), Vec::new());
    let recording = Recording::new("oracle", text.as_bytes()).unwrap();
    tally.add(recording, |mismatch| mismatches.push(mismatch.to_string())).unwrap();
    (tally, mismatches)
}

#[test]
fn the_recordings_are_what_the_oracle_makes() {
    let made = cases::text();
    let path = checkout().join(FILE);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(kept == made, "{FILE} is out of date from line {differs:?}; run with {UPDATE}=1");
}

#[test]
fn the_policy_agrees_with_the_oracle() {
    let (tally, mismatches) = mismatches(&cases::text());
    assert!(
        mismatches.is_empty(),
        "{tally}\n{}",
        mismatches[..mismatches.len().min(20)].join("\n")
    );
}
