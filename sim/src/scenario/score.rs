//! What is looked at, and what must come of it.

use serde::Serialize;

use super::document::Section;
use super::function::Function;
use super::policy::Policy;
use super::value::Time;
use crate::assertion::{Assertion, Names};
use crate::baseline::{Tolerance, tolerances};

/// Most assertions of a scenario.
const ASSERTIONS_MAX: usize = 1_000;

/// Highest price of anything.
const PRICE_MAX: f64 = 1e12;

/// What is looked at, and what must come of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// A request that waited for longer counts as waited.
    pub waited_over: Time,
    /// What things cost; none = no cost is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// What must hold.
    #[serde(rename = "assert")]
    pub assertions: Vec<Assertion>,
    /// By how much a figure may differ from a baseline's, as a share of that.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "crate::baseline::as_table")]
    pub tolerance: Vec<Tolerance>,
}

/// What things cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Price {
    /// A pod for an hour.
    pub pod_hour: f64,
    /// A cold start.
    pub cold_start: f64,
    /// A request that was refused, timed out or lost.
    pub refused: f64,
    /// What it is counted in.
    pub currency: String,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            waited_over: Time(20_000_000),
            price: None,
            assertions: Vec::new(),
            tolerance: Vec::new(),
        }
    }
}

impl Score {
    /// Reads `[score]`.
    pub(super) fn read(
        root: &Section<'_>,
        policies: &[Policy],
        functions: &[Function],
        end: Time,
    ) -> Self {
        let mut score = Self::default();
        let Some(section) = root.get("score").and_then(|node| node.section()) else {
            return score;
        };
        let over = section.get("waited_over").and_then(|node| node.read(str::parse));
        score.waited_over = over.unwrap_or(score.waited_over);
        score.price = section.get("price").and_then(|node| price(&node.section()?));
        if let Some(node) = section.get("assert") {
            let elements = node.elements();
            if elements.len() > ASSERTIONS_MAX {
                node.fault(format_args!("must be at most {ASSERTIONS_MAX}"));
            }
            let names = Names { policies, functions, end };
            let read = |text: &str| Assertion::parse(text, &names);
            score.assertions = elements.iter().filter_map(|node| node.read(read)).collect();
        }
        if let Some(node) = section.get("tolerance") {
            score.tolerance = tolerances(&node);
        }
        section.finish();
        score
    }
}

fn price(section: &Section<'_>) -> Option<Price> {
    let price = |name| section.get(name).and_then(|node| node.number(0.0..=PRICE_MAX));
    let pod_hour = section.need("pod_hour").and_then(|node| node.number(0.0..=PRICE_MAX));
    let (cold_start, refused) = (price("cold_start"), price("refused"));
    let currency = section.get("currency").and_then(|node| node.text());
    Some(Price {
        pod_hour: pod_hour?,
        cold_start: cold_start.unwrap_or(0.0),
        refused: refused.unwrap_or(0.0),
        currency: currency.unwrap_or("USD").to_owned(),
    })
}
