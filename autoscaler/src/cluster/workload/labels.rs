//! Labels and annotations in no more room than they need: ten thousand workloads have five such
//! maps each, mostly of one entry, and a tree's smallest node has room for eleven.

use std::collections::BTreeMap;

/// Ends each key and each value.
const END: char = '\0';

/// A map of texts that does not change: each key and its value, sorted by key, in one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Labels(Box<str>);

impl Labels {
    /// Sorted by key.
    pub(in crate::cluster) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut texts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    /// As those want it who read annotations.
    pub(in crate::cluster) fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Whether `labels` have all of these.
    pub(in crate::cluster) fn are_among(&self, labels: &Self) -> bool {
        self.entries().all(|wanted| labels.entries().any(|entry| entry == wanted))
    }

    /// Each key and its value as they are kept. By bytes, for it is asked of each Service of a
    /// namespace whether it leads to each workload.
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_bytes();
        std::iter::from_fn(move || {
            let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == END as u8);
            let (end, _) = ends.nth(1)?;
            let entry;
            (entry, rest) = rest.split_at(end + 1);
            Some(entry)
        })
    }
}

impl From<BTreeMap<String, String>> for Labels {
    /// A text with an end inside is kept with U+FFFD in its place: an annotation alone can have
    /// one, and none that is read may.
    fn from(map: BTreeMap<String, String>) -> Self {
        let mut all = String::new();
        for text in map.into_iter().flat_map(|(key, value)| [key, value]) {
            all.extend(
                text.chars().map(|it| if it == END { char::REPLACEMENT_CHARACTER } else { it }),
            );
            all.push(END);
        }
        Self(all.into())
    }
}

impl From<Option<BTreeMap<String, String>>> for Labels {
    fn from(map: Option<BTreeMap<String, String>>) -> Self {
        map.unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> Labels {
        let all = all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        all.collect::<BTreeMap<_, _>>().into()
    }

    #[test]
    fn what_was_put_in_is_found() {
        let all = labels(&[("b", "2"), ("a", "1"), ("c", "3")]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(Labels::from(all.to_map()), all);
        assert!(labels(&[("a", "1"), ("c", "3")]).are_among(&all));
        assert!(!labels(&[("a", "2")]).are_among(&all));
        assert!(!labels(&[("2", "c")]).are_among(&all), "a value is no key");
        assert!(labels(&[]).are_among(&all));
    }

    #[test]
    fn empty_texts_are_texts_and_an_end_inside_ends_nothing() {
        let all = labels(&[("a", ""), ("b", "x\0y\0"), ("c", "")]);
        let each: Vec<_> = all.iter().collect();
        assert_eq!(each, [("a", ""), ("b", "x\u{fffd}y\u{fffd}"), ("c", "")]);
        assert_eq!(labels(&[]).iter().next(), None);
        assert_eq!(labels(&[("", "")]).iter().collect::<Vec<_>>(), [("", "")]);
    }
}
