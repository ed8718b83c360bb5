//! A heap in which an entry has four below it, not two: it is half as deep, and of four that lie
//! side by side the lowest is found at once.

use super::Entry;

/// Entries directly below one.
const BELOW: usize = 4;

/// Entries, to be taken out by their keys, the lowest first.
#[derive(Debug, Default)]
pub(super) struct Heap(Vec<Entry>);

impl Heap {
    /// The lowest key; beyond all if there is none.
    #[inline]
    pub(super) fn next_key(&self) -> u128 {
        self.0.first().map_or(u128::MAX, |first| first.key)
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        let mut at = self.0.len();
        self.0.push(entry);
        while let Some(above) = at.checked_sub(1).map(|before| before / BELOW)
            && entry.key < self.0[above].key
        {
            self.0[at] = self.0[above];
            at = above;
        }
        self.0[at] = entry;
    }

    /// Takes out the entry with the lowest key.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let last = self.0.pop()?;
        let Some(&first) = self.0.first() else {
            return Some(last);
        };
        let mut at = 0;
        while let Some(lowest) = self.lowest_below(at)
            && self.0[lowest].key < last.key
        {
            self.0[at] = self.0[lowest];
            at = lowest;
        }
        self.0[at] = last;
        Some(first)
    }

    #[inline]
    fn lowest_below(&self, at: usize) -> Option<usize> {
        let lower = |a: usize, b: usize| if self.0[b].key < self.0[a].key { b } else { a };
        let first = at * BELOW + 1;
        if first + BELOW <= self.0.len() {
            return Some(lower(lower(first, first + 1), lower(first + 2, first + 3)));
        }
        (first..self.0.len()).reduce(lower)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::world::queue::Event;

    proptest! {
        /// Against a sorted list: `None` takes one out.
        #[test]
        fn the_lowest_is_first_whenever_it_is_taken(
            steps in prop::collection::vec(prop::option::weighted(0.7, 0u128..200), 1..400),
        ) {
            let (mut heap, mut list) = (Heap::default(), Vec::new());
            for step in steps {
                match step {
                    Some(key) => {
                        heap.push(Entry { key, event: Event::Deadline(0) });
                        list.insert(list.partition_point(|other| *other < key), key);
                    }
                    None => {
                        let lowest = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(heap.pop().map(|entry| entry.key), lowest);
                    }
                }
                prop_assert_eq!(heap.next_key(), list.first().copied().unwrap_or(u128::MAX));
            }
        }
    }
}
