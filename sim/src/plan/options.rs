//! What flags change of a scenario.

use std::fmt;
use std::str::FromStr;

use dormouse_policy::settings::{ANNOTATIONS, Annotations};

use crate::assertion::{Assertion, Names};
use crate::scenario::{Fault, Faults, Policy, Scenario};

/// Most seeds of one run.
const SEEDS_MAX: u64 = 1_000_000;

/// What flags change of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// In place of every policy's manifest.
    pub manifest: Option<String>,
    /// Annotations in place of all others.
    pub set: Vec<(String, String)>,
    /// The only policies; empty = all.
    pub policies: Vec<String>,
    /// The only functions, by key; empty = all.
    pub only: Vec<String>,
    /// The seeds; none = those of the scenario.
    pub seeds: Option<SeedRange>,
    /// Assertions beside the scenario's.
    pub assertions: Vec<String>,
    /// The most events of a run.
    pub events_max: u64,
    /// Annotations in place of all others, each of them as a policy of its own beside the first
    /// one. What the scenario asserts plays no part then. None = the scenario's own policies.
    pub candidates: Option<Vec<Annotations>>,
    /// When a world's own rules are checked.
    pub checks: Checks,
}

/// When what must hold in every world is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// At its end.
    AtEnd,
    /// After every event too, many times slower.
    EveryEvent,
}

/// Seeds from one to another, both included; written as `7` or `1..10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Options {
    /// The events of a run unless it is said otherwise: an hour of one core.
    pub const EVENTS_MAX: u64 = 20_000_000_000;

    /// Changes a scenario; returns what of its assertions is not judged then, and why.
    pub(super) fn amend(&self, scenario: &mut Scenario) -> Result<Vec<String>, Faults> {
        let mut faults = unknown(&self.set);
        for (flag, wanted) in [("--policy", &self.policies), ("--only", &self.only)] {
            let known: Vec<&str> = match flag {
                "--policy" => scenario.policies.iter().map(|it| it.name.as_str()).collect(),
                _ => scenario.functions.iter().map(|it| it.name.as_str()).collect(),
            };
            for name in wanted.iter().filter(|name| !known.contains(&name.as_str())) {
                let rule = format!("{name}: there is none of this name; there are ");
                faults.push(Fault::whole(flag, rule + &known.join(", ")));
            }
        }
        for text in &self.assertions {
            let names = Names {
                policies: &scenario.policies,
                functions: &scenario.functions,
                end: scenario.end(),
            };
            match Assertion::parse(text, &names) {
                Ok(assertion) => scenario.score.assertions.push(assertion),
                Err(rule) => faults.push(Fault::whole("--assert", format!("{text:?}: {rule}"))),
            }
        }
        let is_left = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|own| own == name)
        };
        scenario.policies.retain(|policy| is_left(&self.policies, &policy.name));
        scenario.functions.retain(|function| is_left(&self.only, &function.name));
        // What is asserted of something that is left out cannot be judged.
        let mut unjudged = Vec::new();
        scenario.score.assertions.retain(|assertion| {
            let left_out = |wanted: &[String], names: &[&Option<String>], what: &str| {
                let name = names.iter().copied().flatten().find(|name| !is_left(wanted, name))?;
                Some(format!("{assertion}: is not judged, for {what} {name} is not run"))
            };
            let policies = [&assertion.policy, &assertion.of];
            let why = left_out(&self.policies, &policies, "policy")
                .or_else(|| left_out(&self.only, &[&assertion.function], "function"));
            let is_judged = why.is_none();
            unjudged.extend(why);
            is_judged
        });
        scenario
            .world
            .fault
            .retain(|event| event.function.iter().all(|name| is_left(&self.only, name)));
        if let Some(manifest) = &self.manifest {
            for policy in &mut scenario.policies {
                policy.manifest = Some(manifest.clone());
            }
        }
        if let Some(candidates) = &self.candidates {
            scenario.score.assertions.clear();
            scenario.policies.truncate(1);
            let with = |first: &Policy| candidates.iter().map(|it| first.with(it)).collect();
            let others = scenario.policies.first().map_or(Vec::new(), with);
            scenario.policies.extend(others);
        }
        if faults.is_empty() { Ok(unjudged) } else { Err(Faults(faults)) }
    }

    pub(super) fn seeds(&self, scenario: &Scenario) -> Vec<u64> {
        let SeedRange { first, last } =
            self.seeds.unwrap_or(SeedRange { first: 1, last: scenario.seeds });
        (first..=last).collect()
    }
}

/// What `--set` names that is no annotation.
#[must_use]
pub fn unknown(set: &[(String, String)]) -> Vec<Fault> {
    let rule = |key: &String| ANNOTATIONS.known(key).err().map(|rule| format!("{key:?}: {rule}"));
    set.iter().filter_map(|(key, _)| Some(Fault::whole("--set", rule(key)?))).collect()
}

impl Default for Options {
    fn default() -> Self {
        Self {
            manifest: None,
            set: Vec::new(),
            policies: Vec::new(),
            only: Vec::new(),
            seeds: None,
            assertions: Vec::new(),
            events_max: Self::EVENTS_MAX,
            candidates: None,
            checks: Checks::AtEnd,
        }
    }
}

impl FromStr for SeedRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "must be a whole number, or two such as 1..10".to_owned();
        let seed = |text: &str| text.parse::<u64>().map_err(|_| rule());
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (seed(first)?, seed(last)?),
            None => (seed(text)?, seed(text)?),
        };
        match last.checked_sub(first) {
            None => Err("must not end before it begins".to_owned()),
            Some(more) if more >= SEEDS_MAX => Err(format!("must be at most {SEEDS_MAX} seeds")),
            Some(_) => Ok(Self { first, last }),
        }
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}..{last}"),
        }
    }
}
