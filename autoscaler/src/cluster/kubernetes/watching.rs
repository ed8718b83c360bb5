//! Which watches there are, and whom they tell.

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::CONFIG_MAP;
use tokio::task::AbortHandle;
use tracing::info;

use super::objects::Watched;
use super::watch::{Change, Subject, Watch};
use super::world::{Listing, Source};
use super::{KubernetesCluster, Told, slices};

/// What is watched in those namespaces, all if none is named; and in our own, the defaults.
pub(super) fn sources(namespaces: &[String], own: &str) -> Vec<Source> {
    let scopes = match namespaces {
        [] => vec![None],
        named => named.iter().cloned().map(Some).collect(),
    };
    let listings = [
        Listing::Deployments,
        Listing::StatefulSets,
        Listing::Services,
        Listing::Slices,
        Listing::HorizontalPodAutoscalers,
        Listing::ScaledObjects,
    ];
    let of_scope = |namespace: Option<String>| {
        listings.map(|listing| Source { listing, namespace: namespace.clone() })
    };
    let defaults = Source { listing: Listing::Defaults, namespace: Some(own.to_owned()) };
    scopes.into_iter().flat_map(of_scope).chain([defaults]).collect()
}

impl KubernetesCluster {
    pub(super) fn watch_source(&mut self, source: Source) {
        let Source { listing, namespace } = source.clone();
        let (group, version, resource) = match listing {
            Listing::Deployments => ("apps", "v1", "deployments"),
            Listing::StatefulSets => ("apps", "v1", "statefulsets"),
            Listing::Services => ("", "v1", "services"),
            Listing::Slices => ("discovery.k8s.io", "v1", "endpointslices"),
            Listing::HorizontalPodAutoscalers => ("autoscaling", "v2", "horizontalpodautoscalers"),
            Listing::ScaledObjects => ("keda.sh", "v1alpha1", "scaledobjects"),
            Listing::Defaults => ("", "v1", "configmaps"),
        };
        let name = (listing == Listing::Defaults).then(|| CONFIG_MAP.to_owned());
        let selector = match listing {
            Listing::Slices => slices::selector(),
            _ => String::new(),
        };
        let subject = Subject { group, version, resource, namespace, name, selector };
        info!(what = %subject, "watching");
        match listing {
            Listing::Deployments | Listing::StatefulSets => {
                self.watch(subject, move |change| Told::Workload(source.clone(), change))
            }
            Listing::Services => {
                self.watch(subject, move |change| Told::Service(source.clone(), change))
            }
            Listing::Defaults => {
                self.watch(subject, move |change| Told::Config(source.clone(), change))
            }
            Listing::Slices => {
                self.watch(subject, move |change| Told::Slice(source.clone(), change))
            }
            Listing::HorizontalPodAutoscalers | Listing::ScaledObjects => {
                self.watch(subject, move |change| Told::Scaler(source.clone(), change))
            }
        };
    }

    fn watch<O: Watched>(
        &mut self,
        subject: Subject,
        tell: impl Fn(Change<O>) -> Told + Send + Sync + 'static,
    ) -> AbortHandle {
        let (client, changes, rng) =
            (self.client.clone(), self.changes_in.clone(), self.rng.fork());
        self.watches.spawn(Watch::new(client, subject, tell, changes, rng).run())
    }

    pub(super) fn watch_pods(&mut self, watch: u64, function: FunctionName, selector: String) {
        let namespace = Some(function.namespace().to_owned());
        let (group, version, resource) = ("", "v1", "pods");
        let subject = Subject { group, version, resource, namespace, name: None, selector };
        let task = self.watch(subject, move |change| Told::Pod(function.clone(), watch, change));
        self.pods.insert(watch, task);
    }
}
