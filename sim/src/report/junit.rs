//! The assertions as JUnit's XML: one case for each assertion and policy.

use std::fmt::Write;

use super::markup::escaped;
use super::told;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::world::NOT_MODELLED;

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let scenario = &outcome.plan.scenario;
    let suite = escaped(if scenario.name.is_empty() { "scenario" } else { &scenario.name });
    let failures = verdicts.iter().filter(|verdict| verdict.ruling != Ruling::Holds).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\"", verdicts.len());
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  \
         <testsuite name=\"{suite}\" {counts} errors=\"0\" skipped=\"0\">\n    <properties>\n"
    );
    for left_out in NOT_MODELLED {
        let value = escaped(left_out);
        text += &format!("      <property name=\"not-modelled\" value=\"{value}\"/>\n");
    }
    text += "    </properties>\n";
    for verdict in verdicts {
        let name = escaped(&verdict.assertion.text);
        let policy = escaped(&scenario.policies[verdict.policy].name);
        write!(text, "    <testcase classname=\"{policy}\" name=\"{name}\"")
            .expect("a String takes everything");
        let (message, kind) = match verdict.ruling {
            Ruling::Holds => {
                text += &format!(">\n      <system-out>{}</system-out>\n", escaped(&told(verdict)));
                text += "    </testcase>\n";
                continue;
            }
            Ruling::Fails => (told(verdict), "fails"),
            Ruling::NoData => ("no data".to_owned(), "no-data"),
        };
        let message = escaped(&message);
        text += &format!(
            ">\n      <failure type=\"{kind}\" message=\"{message}\"/>\n    </testcase>\n"
        );
    }
    text + "  </testsuite>\n</testsuites>\n"
}
