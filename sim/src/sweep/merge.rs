//! Slices put together.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::Value;

use super::{SCHEMA, Slice, Sweep};

/// Why there is no whole. Each names the files it is about.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// It is no sweep, or was cut off.
    #[error("{0}: is no part of a sweep: {1}")]
    Malformed(String, serde_json::Error),
    /// Its shape is another one.
    #[error("{0}: has schema {1}, this is of schema {SCHEMA}")]
    Schema(String, u32),
    /// Another version of the program made it.
    #[error("{0}: was made by dormouse {1}, this is dormouse {version}", version = VERSION)]
    Version(String, String),
    /// What it holds is not what its own words say.
    #[error("{0}: {1}")]
    Damaged(String, String),
    /// Two are of different sweeps.
    #[error("{0} and {1} are of different sweeps: {2}")]
    Different(String, String, String),
    /// Two have the same part.
    #[error("{0} and {1} both have {2}")]
    Overlap(String, String, Slice),
    /// Some part is in none of them.
    #[error("{missing} is missing: given are {given}", missing = .0, given = .1)]
    Missing(String, String),
    /// There is none.
    #[error("there is nothing to merge")]
    Nothing,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What every version has.
#[derive(Deserialize)]
struct Head {
    schema: u32,
    version: String,
}

/// Reads what a sweep came to; `name` is the file's.
///
/// # Errors
/// It is none, or none of this version.
pub fn read(name: &str, text: &str) -> Result<Sweep, MergeError> {
    let malformed = |error| MergeError::Malformed(name.to_owned(), error);
    let Head { schema, version } = serde_json::from_str(text).map_err(malformed)?;
    if schema != SCHEMA {
        return Err(MergeError::Schema(name.to_owned(), schema));
    }
    if version != VERSION {
        return Err(MergeError::Version(name.to_owned(), version));
    }
    let sweep: Sweep = serde_json::from_str(text).map_err(malformed)?;
    sweep.check().map_err(|rule| MergeError::Damaged(name.to_owned(), rule))?;
    Ok(sweep)
}

/// The whole of all its slices, each with the name of its file: what one run of all candidates
/// would have given, to the byte.
///
/// # Errors
/// They are not all the slices of one sweep.
pub fn merge(mut slices: Vec<(String, Sweep)>) -> Result<Sweep, MergeError> {
    slices.sort_by_key(|(_, sweep)| sweep.partition.number);
    let (first, rest) = slices.split_first().ok_or(MergeError::Nothing)?;
    for other in rest {
        if let Some(difference) = difference(&first.1, &other.1) {
            return Err(MergeError::Different(first.0.clone(), other.0.clone(), difference));
        }
    }
    for pair in slices.windows(2) {
        if pair[0].1.partition == pair[1].1.partition {
            let [(one, sweep), (other, _)] = [&pair[0], &pair[1]];
            return Err(MergeError::Overlap(one.clone(), other.clone(), sweep.partition));
        }
    }
    let of = first.1.partition.of;
    if slices.len() != of.get() as usize {
        return Err(missing(&slices, of));
    }
    let mut slices = slices.into_iter();
    let (name, mut whole) = slices.next().ok_or(MergeError::Nothing)?;
    whole.candidates.extend(slices.flat_map(|(_, sweep)| sweep.candidates));
    whole.candidates.sort_by_key(|candidate| candidate.number);
    whole.partition = Slice::WHOLE;
    whole.prune();
    match whole.frontier().iter().find(|candidate| candidate.judged.is_none()) {
        Some(candidate) => Err(MergeError::Damaged(
            name,
            format!("candidate {}, or the one it was beaten by, was changed", candidate.number),
        )),
        None => Ok(whole),
    }
}

fn missing(slices: &[(String, Sweep)], of: NonZeroU32) -> MergeError {
    let numbers: Vec<_> = slices.iter().map(|(_, sweep)| sweep.partition.number).collect();
    let missing = (1..=of.get()).filter(|number| !numbers.contains(number));
    let missing: Vec<_> = missing.map(|number| Slice { number, of }.to_string()).collect();
    let given: Vec<_> =
        slices.iter().map(|(name, sweep)| format!("{} ({name})", sweep.partition)).collect();
    MergeError::Missing(missing.join(", "), given.join(", "))
}

/// In what two slices are not of one sweep.
fn difference(one: &Sweep, other: &Sweep) -> Option<String> {
    if one.partition.of != other.partition.of {
        return Some(format!("one is {}, the other {}", one.partition, other.partition));
    }
    let subjects = [&one.of, &other.of].map(|it| serde_json::to_value(it).unwrap_or_default());
    let baselines =
        [&one.baseline, &other.baseline].map(|it| serde_json::to_value(it).unwrap_or_default());
    let [own, others] = &subjects;
    let [baseline, others_baseline] = &baselines;
    first_difference(String::new(), own, others)
        .or_else(|| first_difference("baseline".to_owned(), baseline, others_baseline))
}

/// Where two values differ first, and how.
fn first_difference(path: String, one: &Value, other: &Value) -> Option<String> {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            let of = |map: &serde_json::Map<String, Value>, key: &String| map.get(key).cloned();
            keys.into_iter().find_map(|key| {
                let pair = [of(one, key), of(other, key)].map(Option::unwrap_or_default);
                first_difference(join(key), &pair[0], &pair[1])
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(at, (one, other))| first_difference(join(&at.to_string()), one, other))
        }
        _ => (one != other).then(|| format!("{path} is {one} and {other}")),
    }
}

impl Sweep {
    /// Whether it is whole in itself.
    fn check(&self) -> Result<(), String> {
        let Slice { number, of } = self.partition;
        let wanted = (1..=self.of.candidates).filter(|number| self.partition.has(*number));
        if !wanted.eq(self.candidates.iter().map(|candidate| candidate.number)) {
            return Err(format!("does not have the candidates of slice:{number}/{of}"));
        }
        let range = self.of.chosen_on.seeds();
        let seeds = range.last.checked_sub(range.first).and_then(|more| more.checked_add(1));
        let has_all = |len: usize| seeds == Some(len as u64);
        let is_whole = self.baseline.judged.is_some()
            && self.all().all(|candidate| {
                has_all(candidate.chosen.len())
                    && candidate.judged.as_ref().is_none_or(|it| has_all(it.seeds.len()))
            });
        match is_whole {
            true => Ok(()),
            false => Err("does not have the figures of every seed".to_owned()),
        }
    }
}
