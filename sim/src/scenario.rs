//! A scenario: what is to be simulated, under which policies, and what must come of it.
//!
//! [`read`] takes the text of a TOML file; whatever is wrong with it is named by line and column,
//! all at once. Nothing is opened here: manifests and traces are named, and brought in by
//! [`crate::plan`]. What is read can be written again ([`Scenario`] is `Serialize`), with every
//! default filled in, as a scenario that means the same.

mod document;
mod value;
mod load;
mod function;
mod policy;
mod world;
mod score;
mod start;

pub use document::{Fault, Faults, Place};
pub use function::{
    ArrivalFormat, ArrivalTrace, Capacity, FileName, Format, Function, Placing, StartUp, Trace,
    Traffic,
};
pub use load::Load;
pub(crate) use load::WAVE_PIECES;
pub use policy::{Hpa, Kind, Policy, Set, short};
pub use score::{Price, Score};
pub use start::Start;
pub(crate) use start::minute_of;
pub use value::{Rate, Span, Spread, Time};
pub use world::{Api, Event, Kill, Nodes, Readiness, Report, World};

use serde::Serialize;

pub(crate) use document::Node;
use document::{Document, Section};

/// The version of the shape that is read here.
const SCHEMA: u64 = 1;

/// Most seeds of a scenario: enough for any confidence, few enough to end.
const SEEDS_MAX: u64 = 100_000;

/// What is to be simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// The version of its shape.
    pub schema: u64,
    /// What people call it.
    pub name: String,
    /// How many seeds it is run with, from 1.
    pub seeds: u64,
    /// When it begins.
    pub start: Start,
    /// How much of the run is learnt from and not scored.
    pub warmup: Time,
    /// How much of it is scored, after that.
    pub length: Time,
    /// Where that stands.
    #[serde(skip)]
    pub length_at: Place,
    /// The policies; the first is what others are compared with.
    #[serde(rename = "policy", serialize_with = "policy::as_table")]
    pub policies: Vec<Policy>,
    /// The functions.
    #[serde(rename = "function", serialize_with = "function::as_table")]
    pub functions: Vec<Function>,
    /// What they run in.
    pub world: World,
    /// What is looked at, and what must come of it.
    pub score: Score,
}

impl Scenario {
    /// One of that length without functions, in an ideal world: one policy by the defaults, one
    /// seed, nothing asserted.
    #[must_use]
    pub fn new(length: Time) -> Self {
        Self {
            schema: SCHEMA,
            name: String::new(),
            seeds: 1,
            start: Start::default(),
            warmup: Time::ZERO,
            length,
            length_at: Place::default(),
            policies: vec![Policy::default()],
            functions: Vec::new(),
            world: World::default(),
            score: Score::default(),
        }
    }

    /// How long a run is.
    #[must_use]
    pub fn end(&self) -> Time {
        Time(self.warmup.0 + self.length.0)
    }
}

/// Reads a scenario; `file` names it in messages.
///
/// # Errors
/// Everything that is wrong with it, in order of place.
pub fn read(file: &str, text: &str) -> Result<Scenario, Faults> {
    let document = Document::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    let table = document.parse()?;
    let section = document.section(&table);
    let scenario = scenario(&section);
    section.finish();
    drop(table);
    document.conclude(scenario)
}

fn scenario(section: &Section<'_>) -> Scenario {
    if let Some(node) = section.need("schema") {
        node.whole_number(SCHEMA..=SCHEMA);
    }
    let time = |name| section.get(name).and_then(|node| node.read(str::parse::<Time>));
    let length = section.need("length");
    let length_at = length.as_ref().map(Node::place).unwrap_or_default();
    let length = length.and_then(|node| {
        let length = node.read(str::parse::<Time>)?;
        if length == Time::ZERO {
            node.fault("must be above 0s");
        }
        Some(length)
    });
    let warmup = time("warmup").unwrap_or_default();
    let length = length.unwrap_or_default();
    let end = Time(warmup.0 + length.0);
    let functions = function::read_all(section, end);
    let policies = policy::read_all(section, &functions);
    let name = section.get("name").and_then(|node| node.text());
    let seeds = section.get("seeds").and_then(|node| node.whole_number(1..=SEEDS_MAX));
    let start = section.get("start").and_then(|node| Start::read(&node));
    Scenario {
        schema: SCHEMA,
        name: name.unwrap_or_default().to_owned(),
        seeds: seeds.unwrap_or(1),
        start: start.unwrap_or_default(),
        warmup,
        length,
        length_at,
        world: World::read(section, &functions, end),
        score: Score::read(section, &policies, &functions, end),
        policies,
        functions,
    }
}

#[cfg(test)]
mod tests;
