//! Which candidates there are.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use dormouse_policy::settings::Annotations;
use serde::{Deserialize, Serialize};

use super::axis::{Axis, Values};
use crate::draw::Stream;

/// Most candidates of a sweep: a second each, they would take an hour on three cores, and nobody
/// reads on.
pub const CANDIDATES_MAX: u64 = 10_000;

/// What is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The annotations that are varied; none twice.
    axes: Vec<Axis>,
    /// How many combinations are drawn; none = all of them.
    random: Option<NonZeroU32>,
}

impl Search {
    /// Every combination of the values of some axes, or so many that are drawn.
    ///
    /// # Errors
    /// There is no axis, or one twice; ranges without draws; more than [`CANDIDATES_MAX`].
    pub fn new(axes: Vec<Axis>, random: Option<NonZeroU32>) -> Result<Self, String> {
        if axes.is_empty() {
            return Err("nothing is varied: --grid KEY=V1,V2,… is missing".to_owned());
        }
        for (place, axis) in axes.iter().enumerate() {
            if axes[..place].iter().any(|other| other.key == axis.key) {
                return Err(format!("{} is varied twice", axis.key));
            }
        }
        let count = match random {
            Some(count) => Some(u64::from(count.get())),
            None => combinations(&axes)?,
        };
        match count.filter(|count| *count <= CANDIDATES_MAX) {
            Some(_) => Ok(Self { axes, random }),
            None => {
                let count = count.map_or("more than 2^64".to_owned(), |count| count.to_string());
                let advice = "leave values out, or try some of them by --random";
                Err(format!(
                    "{count} candidates are more than the {CANDIDATES_MAX} that a sweep may have; \
                     {advice}"
                ))
            }
        }
    }

    /// What is varied.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The candidates, none twice: the last axis varies fastest. Draws are keyed by `seed`, the
    /// axis and the number of the candidate.
    #[must_use]
    pub fn candidates(&self, seed: u64) -> Vec<Annotations> {
        let all = match self.random {
            Some(count) => (0..u64::from(count.get())).map(|it| self.drawn(seed, it)).collect(),
            None => self.grid(),
        };
        let mut seen = BTreeSet::new();
        all.into_iter().filter(|candidate| seen.insert(candidate.clone())).collect()
    }

    fn drawn(&self, seed: u64, candidate: u64) -> Annotations {
        let value = |axis: &Axis| {
            let stream = Stream::new(seed, &format!("sweep/{}", axis.key), 0);
            (axis.key.clone(), axis.values.draw(stream, candidate))
        };
        self.axes.iter().map(value).collect()
    }

    fn grid(&self) -> Vec<Annotations> {
        let mut candidates = vec![Annotations::new()];
        for Axis { key, values } in &self.axes {
            let Values::Listed(values) = values else {
                continue;
            };
            let with = |candidate: &Annotations, value: &String| {
                let mut candidate = candidate.clone();
                candidate.insert(key.clone(), value.clone());
                candidate
            };
            let more = candidates.iter().flat_map(|it| values.iter().map(|value| with(it, value)));
            candidates = more.collect();
        }
        candidates
    }
}

/// How many combinations there are; none if 64 bits do not hold the number.
fn combinations(axes: &[Axis]) -> Result<Option<u64>, String> {
    let mut count = Some(1_u64);
    for Axis { key, values } in axes {
        match values {
            Values::Listed(values) => {
                count = count.and_then(|count| count.checked_mul(values.len() as u64));
            }
            Values::Drawn(_) => return Err(format!("{key}: a range needs --random")),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(key: &str, count: usize) -> Axis {
        let values = (0..count).map(|value| value.to_string()).collect();
        Axis { key: key.to_owned(), values: Values::Listed(values) }
    }

    #[test]
    fn a_grid_is_every_combination_in_order() {
        let search = Search::new(vec![axis("a", 2), axis("b", 3)], None).unwrap();
        let candidates = search.candidates(1);
        let told: Vec<_> = candidates.iter().map(|it| format!("{}{}", it["a"], it["b"])).collect();
        assert_eq!(told, ["00", "01", "02", "10", "11", "12"]);
    }

    #[test]
    fn too_many_are_refused_by_count_and_bound() {
        let told = |axes: Vec<Axis>, random| Search::new(axes, random).unwrap_err();
        let million = told(vec![axis("a", 1_000), axis("b", 1_000)], None);
        assert!(million.starts_with("1000000 candidates are more than the 10000 "), "{million}");
        assert!(Search::new(vec![axis("a", 100), axis("b", 100)], None).is_ok());
        let endless = ["a", "b", "c", "d", "e", "f"].map(|key| axis(key, 10_000));
        assert!(told(endless.to_vec(), None).starts_with("more than 2^64"));
        assert!(told(vec![axis("a", 2)], NonZeroU32::new(10_001)).starts_with("10001 candidates"));
        assert_eq!(told(vec![axis("a", 2), axis("a", 1)], None), "a is varied twice");
        assert!(told(Vec::new(), None).starts_with("nothing is varied"));
        let range = Axis::drawn("autoscaling.knative.dev/target=1..2").unwrap();
        assert!(told(vec![range], None).ends_with("a range needs --random"));
    }

    #[test]
    fn draws_are_keyed_and_none_is_tried_twice() {
        let search = |count| Search::new(vec![axis("a", 3), axis("b", 2)], NonZeroU32::new(count));
        let few = search(4).unwrap().candidates(7);
        let many = search(1_000).unwrap().candidates(7);
        assert_eq!(many.len(), 6);
        assert_eq!(few[..], many[..few.len()], "more draws change none of the first ones");
        assert_ne!(search(1_000).unwrap().candidates(8), many);
    }
}
