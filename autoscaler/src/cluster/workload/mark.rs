//! By what Services and workloads are brought together.

use dormouse_policy::fingerprint::fnv1a;
use dormouse_policy::function::FunctionName;

use super::Workload;

/// What a Service has in common with every workload that it leads to: the name of its target, or a
/// label. A hash, for ten thousand are kept; what has it by chance has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster) struct Mark(u64);

impl Mark {
    pub(in crate::cluster) fn of_target(name: &FunctionName) -> Self {
        Self(fnv1a(name.as_str()))
    }

    pub(super) fn of_label(namespace: &str, (key, value): (&str, &str)) -> Self {
        Self(fnv1a(&format!("{namespace}/{key}={value}")))
    }
}

impl Workload {
    /// The marks of all Services that may lead to it.
    pub(in crate::cluster) fn marks(&self) -> impl Iterator<Item = Mark> {
        let namespace = self.name.namespace();
        let labels = self.template_labels.iter();
        let labels = labels.map(move |label| Mark::of_label(namespace, label));
        labels.chain([Mark::of_target(&self.name)])
    }
}
