//! Recorded runs, as text and as gzip, and records of decisions.

use dormouse_sim::recording::Recording;
use dormouse_sim::verify::Tally;

use crate::engine::fuzz;

#[test]
fn recordings() {
    fuzz("recordings", &["steps", "samples", "want", "weighted-exponential"], |input| {
        let mut tally = Tally::default();
        let outcome = Recording::new("fuzz", input).and_then(|cases| tally.add(cases, |_| ()));
        if let Err(unreadable) = outcome {
            assert!(unreadable.to_string().starts_with("fuzz"), "{unreadable}");
        }
    });
}

#[test]
fn records() {
    fuzz("records", &["header", "heard", "snapshot", "decision", "gap"], |input| {
        if let Err(error) = dormouse_policy::record::replay(input, 0) {
            assert!(error.to_string().contains("line"), "{error}");
        }
    });
}
