//! Labels and annotations in no more room than they need: ten thousand workloads have five such
//! maps each, mostly of one entry, and a tree's smallest node has room for eleven.

use std::collections::BTreeMap;

/// A map of texts that does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    pub(in crate::cluster) fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// Sorted by key.
    pub(in crate::cluster) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// As those want it who read annotations.
    pub(in crate::cluster) fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Whether `labels` have all of these.
    pub(in crate::cluster) fn are_among(&self, labels: &Self) -> bool {
        self.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
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
        assert_eq!([all.get("a"), all.get("c"), all.get("d")], [Some("1"), Some("3"), None]);
        assert_eq!(Labels::from(all.to_map()), all);
        assert!(labels(&[("a", "1"), ("c", "3")]).are_among(&all));
        assert!(!labels(&[("a", "2")]).are_among(&all));
        assert!(labels(&[]).are_among(&all));
    }
}
