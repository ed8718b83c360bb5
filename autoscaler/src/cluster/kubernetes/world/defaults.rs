//! What holds where annotations are absent: the ConfigMap of cluster defaults in our own namespace.

use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{ClusterDefaults, ParsedDefaults, Scaling, parse_defaults};
use tokio::time::Instant;
use tracing::info;

use super::{Source, World};
use crate::cluster::kubernetes::complaints::Regarding;
use crate::cluster::kubernetes::objects::{ConfigMaps, Watched};
use crate::cluster::kubernetes::watch::Change;

/// How the function described last scales. Most scale as the cluster's defaults have it, and share
/// one description of that.
#[derive(Default)]
pub(super) struct Common(Option<Arc<Scaling>>);

impl Common {
    /// Shares `scaling` with the last that was the same.
    pub(super) fn share(&mut self, scaling: &mut Arc<Scaling>) {
        match &self.0 {
            Some(last) if last == scaling => *scaling = Arc::clone(last),
            _ => self.0 = Some(Arc::clone(scaling)),
        }
    }
}

impl World {
    /// Takes in what the source of cluster defaults tells.
    pub(in crate::cluster::kubernetes) fn config(
        &mut self,
        source: &Source,
        change: Change<ConfigMaps>,
        now: Instant,
    ) {
        match change {
            Change::Begin => {
                self.begin(source);
                self.is_configured = false;
            }
            Change::Is(object) => {
                self.is_configured = true;
                self.heed_config(&object, now);
            }
            Change::Gone(object) => {
                self.complaints.forget(&regarding(&object));
                self.hold(ClusterDefaults::default(), now);
            }
            Change::Synced => {
                if !self.is_configured {
                    self.hold(ClusterDefaults::default(), now);
                }
                self.synced(source, now);
            }
        }
    }

    /// A faulty one is set aside whole, so that what holds depends on nothing but what is there.
    fn heed_config(&mut self, object: &ConfigMaps, now: Instant) {
        let (defaults, rules) = match parse_defaults(&object.data) {
            Ok(ParsedDefaults { defaults, not_yet }) => {
                if !not_yet.is_empty() {
                    info!(keys = not_yet.join(", "), "cluster defaults not yet supported");
                }
                (defaults, Vec::new())
            }
            Err(faults) => {
                (ClusterDefaults::default(), faults.iter().map(ToString::to_string).collect())
            }
        };
        self.blame(&regarding(object), &object.metadata().uid, &rules, now);
        self.hold(defaults, now);
    }

    fn hold(&mut self, defaults: ClusterDefaults, now: Instant) {
        if self.defaults == defaults {
            return;
        }
        info!(?defaults, "other cluster defaults");
        self.defaults = defaults;
        let names: Vec<FunctionName> = self.slots.keys().cloned().collect();
        for name in names {
            self.judge(&name, now);
        }
    }
}

fn regarding(object: &ConfigMaps) -> Regarding {
    let metadata = object.metadata();
    Regarding {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        kind: "ConfigMap",
        api_version: "v1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_scale_alike_share_one_description() {
        let mut common = Common::default();
        let other = Scaling { max_scale: 3, ..Scaling::default() };
        let mut all = [Scaling::default(), Scaling::default(), other].map(Arc::new);
        all.iter_mut().for_each(|scaling| common.share(scaling));
        assert!(Arc::ptr_eq(&all[0], &all[1]));
        assert_eq!((all[0].max_scale, all[2].max_scale), (0, 3));
    }
}
