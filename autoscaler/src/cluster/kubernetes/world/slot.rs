//! Everything of one name, and what of it is still to be told.

use std::sync::Arc;

use dormouse_policy::function::{Endpoint, Function, FunctionName};

use crate::cluster::kubernetes::objects::Seen;
use crate::cluster::kubernetes::pods::PodsSeen;
use crate::cluster::kubernetes::slices::Slices;
use crate::cluster::{Fact, Pods, Rollout};

/// Everything of one name.
#[derive(Default)]
pub(super) struct Slot {
    /// Usually one; a Deployment and a StatefulSet may share a name.
    pub(super) workloads: Vec<(Seen, u64)>,
    /// What is to be served under this name; shared with whoever was told.
    pub(super) function: Option<Arc<Function>>,
    /// Boxed, for most sleep and have none.
    pub(super) pods: Option<Box<PodsSeen>>,
    /// Whether the description was told.
    pub(super) is_told: bool,
    pub(super) is_function_news: bool,
    pub(super) is_pods_news: bool,
}

impl Slot {
    /// This is to be served now. What is the same as before stays the one that others share.
    pub(super) fn describe(&mut self, mut function: Option<Arc<Function>>, slices: &Slices) {
        if let Some(function) = &mut function {
            give_ports(function, slices);
        }
        if self.function != function {
            self.function = function;
            self.is_function_news = true;
        }
    }

    /// The workload that is served.
    pub(super) fn holder(&self) -> Option<&Seen> {
        self.function.as_ref()?;
        self.workloads.first().map(|(seen, _)| seen)
    }

    /// The selector of the pods that are to be watched: while there are some, or should be.
    pub(super) fn wants_pods(&self) -> Option<Box<str>> {
        let seen = self.holder()?;
        let has_some = self.pods.as_ref().is_some_and(|pods| pods.has_some());
        (seen.replicas > 0 || seen.pods > 0 || has_some).then(|| seen.selector.clone())
    }

    /// Pods that are watched and not yet known are no news.
    pub(super) fn has_news(&self) -> bool {
        let are_known = self.pods.as_ref().is_none_or(|pods| pods.is_synced());
        match &self.function {
            Some(_) => self.is_function_news || (self.is_pods_news && are_known),
            None => self.is_told,
        }
    }

    pub(super) fn tell(&mut self, name: &FunctionName, slices: &Slices) -> Option<Fact> {
        let Some(function) = &mut self.function else {
            (self.is_function_news, self.is_pods_news) = (false, true);
            return std::mem::take(&mut self.is_told).then(|| Fact::Gone(name.clone()));
        };
        if std::mem::take(&mut self.is_function_news) {
            self.is_told = true;
            // Ports may have changed, and with them every address.
            self.is_pods_news = true;
            give_ports(function, slices);
            return Some(Fact::Function(Arc::clone(function)));
        }
        if !self.has_news() {
            return None;
        }
        self.is_pods_news = false;
        let watched = self.pods.as_ref().zip(self.function.as_ref());
        let seen = self.holder();
        let refused = seen.and_then(|seen| seen.failure.as_deref());
        let pods = Pods {
            replicas: seen.map_or(0, |seen| seen.replicas),
            set_by: seen.and_then(|seen| seen.set_by.clone()),
            revision: seen.map(|seen| Arc::clone(&seen.revision)).unwrap_or_default(),
            rollout: seen.map_or(Rollout::Done, |seen| seen.rollout),
            failure: self.pods.as_ref().and_then(|pods| pods.failure(refused)).map(Box::new),
            pods: watched.map(|(pods, of)| pods.list(&of.pod_ports)).unwrap_or_default(),
        };
        Some(Fact::Pods(name.clone(), pods))
    }
}

/// Gives its endpoints the ports that are theirs now; a copy is made only where one is another.
fn give_ports(function: &mut Arc<Function>, slices: &Slices) {
    let is_other = |it: &Endpoint| it.own_port != slices.port_of(&it.name);
    if function.endpoints.iter().any(is_other) {
        for endpoint in &mut Arc::make_mut(function).endpoints {
            endpoint.own_port = slices.port_of(&endpoint.name);
        }
    }
}
