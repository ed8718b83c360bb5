//! The assertions as JUnit's XML: one case for each assertion and policy.

use super::markup::escaped;
use super::told;
use crate::judge::{Outcome, Ruling, Verdict};
use crate::world::NOT_MODELLED;

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let mut suites = Suites::default();
    suites.add(outcome, verdicts);
    suites.finish()
}

/// JUnit's XML of any number of scenarios, a suite each.
#[derive(Clone, Debug, Default)]
pub struct Suites {
    text: String,
    tests: usize,
    failures: usize,
    errors: usize,
}

impl Suites {
    /// Adds a scenario and what was asserted of it.
    pub fn add(&mut self, outcome: &Outcome<'_>, verdicts: &[Verdict]) {
        let scenario = &outcome.plan.scenario;
        let name = if scenario.name.is_empty() { "scenario" } else { &scenario.name };
        let failures = verdicts.iter().filter(|verdict| verdict.ruling != Ruling::Holds).count();
        self.open(name, verdicts.len(), failures, 0);
        for verdict in verdicts {
            self.case(&scenario.policies[verdict.policy].name, verdict);
        }
        self.text += "  </testsuite>\n";
    }

    /// Adds something by that name that could not be looked at, or did not come out as it should
    /// beside what was asserted, and why.
    pub fn add_error(&mut self, name: &str, why: &str) {
        self.open(name, 1, 0, 1);
        let (name, why) = (escaped(name), escaped(why));
        self.text += &format!(
            "    <testcase classname=\"{name}\" name=\"{name}\">\n      \
             <error message=\"{why}\"/>\n    </testcase>\n  </testsuite>\n"
        );
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> String {
        let Self { text, tests, failures, errors } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" \
             failures=\"{failures}\" errors=\"{errors}\">\n{text}</testsuites>\n"
        )
    }

    fn open(&mut self, name: &str, tests: usize, failures: usize, errors: usize) {
        self.tests += tests;
        self.failures += failures;
        self.errors += errors;
        self.text += &format!(
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" \
             errors=\"{errors}\" skipped=\"0\">\n    <properties>\n",
            escaped(name)
        );
        for left_out in NOT_MODELLED {
            let value = escaped(left_out);
            let property = "      <property name=\"not-modelled\"";
            self.text += &format!("{property} value=\"{value}\"/>\n");
        }
        self.text += "    </properties>\n";
    }

    fn case(&mut self, policy: &str, verdict: &Verdict) {
        let (policy, name) = (escaped(policy), escaped(&verdict.assertion.text));
        self.text += &format!("    <testcase classname=\"{policy}\" name=\"{name}\">\n");
        let said = escaped(&told(verdict));
        self.text += &match verdict.ruling {
            Ruling::Holds => format!("      <system-out>{said}</system-out>\n"),
            Ruling::Fails => format!("      <failure type=\"fails\" message=\"{said}\"/>\n"),
            Ruling::NoData => "      <failure type=\"no-data\" message=\"no data\"/>\n".to_owned(),
        };
        self.text += "    </testcase>\n";
    }
}
