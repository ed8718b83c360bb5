//! A part of a sweep.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most slices: more jobs than any CI runs at once.
const SLICES_MAX: u32 = 1_000;

/// Every so many-th candidate; written as `slice:1/4`, or counted from 0, as an indexed Job counts
/// its pods, `index:0/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Which one, from 1.
    pub number: u32,
    /// Of how many.
    pub of: NonZeroU32,
}

impl Slice {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: NonZeroU32::MIN };

    /// Whether the candidate of that number, from 1, is in it. One after the other, so that slices
    /// of a grid whose later values take longer take about the same time.
    #[must_use]
    pub fn has(self, candidate: usize) -> bool {
        candidate % self.of.get() as usize == self.number as usize % self.of.get() as usize
    }
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || {
            format!(
                "{text:?}: must be slice:N/M, with N from 1 to M, or index:N/M, from 0 to M - 1"
            )
        };
        let (first, rest) = [("slice:", 1), ("index:", 0)]
            .into_iter()
            .find_map(|(prefix, first)| Some((first, text.strip_prefix(prefix)?)))
            .ok_or_else(rule)?;
        let (number, of) = rest.split_once('/').ok_or_else(rule)?;
        let number: u32 = number.parse().map_err(|_| rule())?;
        let number = number.checked_add(1 - first).ok_or_else(rule)?;
        let of: NonZeroU32 = of.parse().map_err(|_| rule())?;
        if of.get() > SLICES_MAX {
            return Err(format!("{text:?}: must be at most {SLICES_MAX} slices"));
        }
        match (1..=of.get()).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(rule()),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slice:{}/{}", self.number, self.of)
    }
}

impl Serialize for Slice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_is_in_one_slice() {
        for of in 1..9 {
            let slices = (1..=of).map(|it| format!("slice:{it}/{of}").parse::<Slice>().unwrap());
            let slices: Vec<_> = slices.collect();
            for candidate in 1..100 {
                let own = slices.iter().filter(|slice| slice.has(candidate)).count();
                assert_eq!(own, 1, "{candidate} of {of}");
            }
        }
        assert!((1..100).all(|candidate| Slice::WHOLE.has(candidate)));
    }

    #[test]
    fn an_index_counts_from_zero() {
        assert_eq!("index:0/4".parse::<Slice>(), "slice:1/4".parse());
        assert_eq!("index:3/4".parse::<Slice>().unwrap().to_string(), "slice:4/4");
        assert!("index:4/4".parse::<Slice>().is_err());
        assert!("index:4294967295/4".parse::<Slice>().is_err());
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        for text in ["1/4", "slice:0/4", "slice:5/4", "slice:1/0", "slice:-1/4", "slice:a/b"] {
            assert!(text.parse::<Slice>().unwrap_err().contains("with N from 1 to M"), "{text}");
        }
        assert!("slice:1/1001".parse::<Slice>().unwrap_err().contains("at most 1000 slices"));
    }
}
