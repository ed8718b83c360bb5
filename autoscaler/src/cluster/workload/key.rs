//! What an object is known by.

use std::fmt;
use std::sync::Arc;

/// Namespace and name of an object. Cheap to clone. The default, which is of none, sorts first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster) struct Key(Arc<str>);

impl Key {
    pub(in crate::cluster) fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    pub(in crate::cluster) fn namespace(&self) -> &str {
        self.parts().0
    }

    pub(in crate::cluster) fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or_default()
    }
}

impl fmt::Display for Key {
    /// `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
