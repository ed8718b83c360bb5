//! Others that scale workloads: what they have, we leave alone.

use std::collections::BTreeMap;

use dormouse_policy::function::{FunctionName, WorkloadKind};

use super::{Listing, Source};
use crate::cluster::kubernetes::objects::{Scalers, Watched};
use crate::cluster::kubernetes::watch::Change;
use crate::cluster::workload::Workload;

/// HorizontalPodAutoscalers and ScaledObjects.
#[derive(Default)]
pub(super) struct Neighbours {
    /// By namespace, kind and name: what each scales, and the round that told it.
    scalers: BTreeMap<(String, Listing, String), (Target, u64)>,
}

/// The workload that is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    kind: String,
    name: String,
}

impl Neighbours {
    /// Takes in what a source of them tells in its round of that number, and returns the names of
    /// the workloads concerned.
    pub(super) fn apply(
        &mut self,
        source: &Source,
        change: Change<Scalers>,
        round: u64,
    ) -> Vec<FunctionName> {
        match change {
            Change::Begin => Vec::new(),
            Change::Is(object) => {
                let key = key(source.listing, &object);
                let Scalers { spec, .. } = object;
                let target =
                    Target { kind: spec.scale_target_ref.kind, name: spec.scale_target_ref.name };
                let namespace = key.0.clone();
                let before = self.scalers.insert(key, (target.clone(), round));
                let before = before.map(|(target, _)| target).filter(|before| *before != target);
                let concerned = before.into_iter().chain([target]);
                concerned.map(|target| FunctionName::new(&namespace, &target.name)).collect()
            }
            Change::Gone(object) => {
                let gone = self.scalers.remove_entry(&key(source.listing, &object));
                gone.map(|entry| named(&entry)).into_iter().collect()
            }
            Change::Synced => {
                let is_old = |(namespace, listing, _): &(String, Listing, String), of: u64| {
                    *listing == source.listing && of != round && source.covers(namespace)
                };
                let old = self.scalers.extract_if(.., |key, (_, of)| is_old(key, *of));
                old.map(|entry| named(&entry)).collect()
            }
        }
    }

    /// Who else scales the workload, in a few words.
    pub(super) fn scaler_of(&self, workload: &Workload) -> Option<String> {
        let (namespace, name) = (workload.name.namespace(), workload.name.name());
        let kind = match workload.kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
        };
        let first = (namespace.to_owned(), Listing::Deployments, String::new());
        let of_namespace = self.scalers.range(first..);
        let mut of_namespace = of_namespace.take_while(|((its, ..), _)| its == namespace);
        let found =
            of_namespace.find(|(_, (target, _))| target.kind == kind && target.name == name);
        let ((_, listing, scaler), _) = found?;
        let what = match listing {
            Listing::ScaledObjects => "ScaledObject",
            _ => "HorizontalPodAutoscaler",
        };
        Some(format!("{what} {scaler} scales it"))
    }
}

fn key(listing: Listing, object: &Scalers) -> (String, Listing, String) {
    let metadata = object.metadata();
    (metadata.namespace.clone(), listing, metadata.name.clone())
}

fn named(
    ((namespace, ..), (target, _)): &((String, Listing, String), (Target, u64)),
) -> FunctionName {
    FunctionName::new(namespace, &target.name)
}
