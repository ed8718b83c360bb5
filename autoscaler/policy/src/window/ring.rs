//! A ring of seconds: the value of each that has one, with marks of which have one and which have
//! load, 64 seconds a word. Most seconds are without load, and cost an average nothing.

use std::ops::Range;

use serde::{Deserialize, Serialize};

const WORD: usize = u64::BITS as usize;

/// The values of as many seconds in a row as it is long.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Option<f64>>", into = "Vec<Option<f64>>")]
pub(super) struct Ring {
    length: usize,
    /// Second s lives at s modulo the length; 0 where it has no value. None are kept, nor marks,
    /// before the first: of ten thousand functions most sleep, and have no values.
    values: Box<[f64]>,
    marks: Box<[Marks]>,
}

/// A bit for each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Marks {
    /// It has a value.
    known: u64,
    /// It has one above 0.
    loaded: u64,
}

impl Ring {
    /// A ring of so many seconds, at least one, without values.
    pub(super) fn new(length_s: u32) -> Self {
        Self { length: length_s as usize, values: Box::default(), marks: Box::default() }
    }

    /// How many seconds it has room for.
    pub(super) fn length_s(&self) -> usize {
        self.length
    }

    /// The value of a second, if it has one.
    pub(super) fn get(&self, second: u64) -> Option<f64> {
        self.at(self.place(second))
    }

    /// Gives a second that value, whatever it had.
    pub(super) fn set(&mut self, second: u64, value: f64) {
        let place = self.place(second);
        self.put(place, value);
    }

    /// Adds to the value of a second.
    pub(super) fn add(&mut self, second: u64, value: f64) {
        let place = self.place(second);
        self.put(place, self.at(place).unwrap_or(0.0) + value);
    }

    /// Gives each of those seconds, at most as many as the ring is long, that value, whatever it
    /// had.
    pub(super) fn fill(&mut self, seconds: Range<u64>, value: f64) {
        self.make_room();
        for places in self.stretches(seconds) {
            self.values[places.clone()].fill(value);
            for (word, inside) in masks(places) {
                let Marks { known, loaded } = &mut self.marks[word];
                *known |= inside;
                match value > 0.0 {
                    true => *loaded |= inside,
                    false => *loaded &= !inside,
                }
            }
        }
    }

    /// The value of a second is not known any more.
    pub(super) fn forget(&mut self, second: u64) {
        let place = self.place(second);
        if let Some(marks) = self.marks.get_mut(place / WORD) {
            let bit = 1 << (place % WORD);
            marks.known &= !bit;
            marks.loaded &= !bit;
            self.values[place] = 0.0;
        }
    }

    /// Forgets every second.
    pub(super) fn clear(&mut self) {
        (self.values, self.marks) = (Box::default(), Box::default());
    }

    /// Hands the loads of those seconds, which it holds, to `load`, the last first, and returns how
    /// many have a value.
    pub(super) fn scan(&self, seconds: Range<u64>, mut load: impl FnMut(f64)) -> u32 {
        let mut known_s = 0;
        for places in self.stretches(seconds) {
            for (word, inside) in masks(places) {
                let Marks { known, loaded } = self.marks_of(word);
                known_s += (known & inside).count_ones();
                let mut loaded = loaded & inside;
                while let Some(bit) = loaded.checked_ilog2() {
                    load(self.values[word * WORD + bit as usize]);
                    loaded &= !(1 << bit);
                }
            }
        }
        known_s
    }

    /// The last of those seconds, which it holds, that has load, and its value.
    pub(super) fn newest_load(&self, seconds: Range<u64>) -> Option<(u64, f64)> {
        let length = self.length;
        let last_s = seconds.end.checked_sub(1)?;
        let newest = |(first, marks): (usize, Marks)| {
            marks.loaded.checked_ilog2().map(|bit| first + bit as usize)
        };
        let place = self.words(seconds).find_map(newest)?;
        let age = (self.place(last_s) + length - place) % length;
        Some((last_s - age as u64, self.values[place]))
    }

    /// The marks of those seconds, the last first, by the word, with the place of its first bit.
    fn words(&self, seconds: Range<u64>) -> impl Iterator<Item = (usize, Marks)> {
        self.stretches(seconds).into_iter().flat_map(masks).map(|(word, inside)| {
            let Marks { known, loaded } = self.marks_of(word);
            (word * WORD, Marks { known: known & inside, loaded: loaded & inside })
        })
    }

    /// The places of those seconds: where the ring has turned, and before.
    fn stretches(&self, seconds: Range<u64>) -> [Range<usize>; 2] {
        let length = self.length;
        let count = usize::try_from(seconds.end - seconds.start).unwrap_or(0).min(length);
        let first = self.place(seconds.start);
        [0..(first + count).saturating_sub(length), first..(first + count).min(length)]
    }

    fn at(&self, place: usize) -> Option<f64> {
        let is_known = self.marks_of(place / WORD).known & (1 << (place % WORD)) != 0;
        is_known.then(|| self.values[place])
    }

    fn marks_of(&self, word: usize) -> Marks {
        self.marks.get(word).copied().unwrap_or_default()
    }

    fn make_room(&mut self) {
        if self.values.is_empty() {
            self.values = vec![0.0; self.length].into();
            self.marks = vec![Marks::default(); self.length.div_ceil(WORD)].into();
        }
    }

    fn put(&mut self, place: usize, value: f64) {
        self.make_room();
        self.values[place] = value;
        let (marks, bit) = (&mut self.marks[place / WORD], 1 << (place % WORD));
        marks.known |= bit;
        match value > 0.0 {
            true => marks.loaded |= bit,
            false => marks.loaded &= !bit,
        }
    }

    fn place(&self, second: u64) -> usize {
        // In range on every platform: the remainder is below the ring's length.
        usize::try_from(second % self.length as u64).unwrap_or(0)
    }
}

impl From<Vec<Option<f64>>> for Ring {
    fn from(values: Vec<Option<f64>>) -> Self {
        let mut ring = Self { length: values.len(), values: Box::default(), marks: Box::default() };
        for (place, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                ring.put(place, value);
            }
        }
        ring
    }
}

impl From<Ring> for Vec<Option<f64>> {
    fn from(ring: Ring) -> Self {
        (0..ring.length).map(|place| ring.at(place)).collect()
    }
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        let mut places = 0..self.length;
        self.length == other.length && places.all(|place| self.at(place) == other.at(place))
    }
}

/// The words that have those places, the last first, and which bits of each they are.
fn masks(places: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    (places.start / WORD..places.end.div_ceil(WORD)).rev().map(move |word| {
        let first = word * WORD;
        let begin = places.start.saturating_sub(first);
        let after = WORD - (places.end - first).min(WORD);
        (word, (u64::MAX << begin) & (u64::MAX >> after))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plain list of what was added.
        #[test]
        fn a_scan_is_what_a_look_at_each_second_gives(
            length_s in 1u32..150,
            from_s in 0u64..1_000,
            values in prop::collection::vec(
                prop::option::of(prop_oneof![Just(0.0), 0.1..9.0]), 150,
            ),
            begin in 0u64..150,
            count in 0u64..150,
        ) {
            let length = u64::from(length_s);
            let mut ring = Ring::new(length_s);
            let twice = |value: f64| value + value;
            let held = || (from_s..from_s + length).zip(&values);
            for (second, value) in held() {
                ring.set(second, 7.0);
                match value {
                    Some(value) => ring.set(second, *value),
                    None => ring.forget(second),
                }
                if let Some(value) = value {
                    ring.add(second, *value);
                }
            }
            let begin_s = from_s + begin % length;
            let seconds = begin_s..(begin_s + count).min(from_s + length);
            let mut loads = Vec::new();
            let known_s = ring.scan(seconds.clone(), |load| loads.push(load));
            let of: Vec<f64> = held()
                .filter(|(second, _)| seconds.contains(second))
                .filter_map(|(_, value)| value.map(twice))
                .collect();
            prop_assert_eq!(known_s as usize, of.len());
            let loaded = of.into_iter().rev().filter(|value| *value > 0.0);
            prop_assert_eq!(loads, loaded.collect::<Vec<_>>());
            let newest = held()
                .filter(|(second, _)| seconds.contains(second))
                .filter_map(|(second, value)| Some((second, value.map(twice)?)))
                .filter(|(_, value)| *value > 0.0)
                .last();
            prop_assert_eq!(ring.newest_load(seconds), newest);
            for (second, value) in held() {
                prop_assert_eq!(ring.get(second), value.map(twice));
            }
            let said: Vec<Option<f64>> = ring.clone().into();
            prop_assert_eq!(Ring::from(said), ring);
        }

        /// Seconds filled together are as those set one by one.
        #[test]
        fn a_fill_is_as_each_second_set(
            length_s in 1u32..150,
            from_s in 0u64..1_000,
            loaded in prop::collection::vec(any::<bool>(), 150),
            begin in 0u64..150,
            count in 0u64..150,
            value in prop_oneof![Just(0.0), Just(3.0)],
        ) {
            let length = u64::from(length_s);
            let mut ring = Ring::new(length_s);
            for (second, _) in (from_s..from_s + length).zip(loaded).filter(|(_, loaded)| *loaded) {
                ring.set(second, 7.0);
            }
            let mut one_by_one = ring.clone();
            let begin_s = from_s + begin % length;
            let seconds = begin_s..(begin_s + count).min(from_s + length);
            for second in seconds.clone() {
                one_by_one.set(second, value);
            }
            ring.fill(seconds, value);
            let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
            let all = from_s..from_s + length;
            let known_s = ring.scan(all.clone(), |load| of_one.push(load));
            prop_assert_eq!(known_s, one_by_one.scan(all, |load| of_other.push(load)));
            prop_assert_eq!(of_one, of_other);
            prop_assert_eq!(ring, one_by_one);
        }
    }
}
