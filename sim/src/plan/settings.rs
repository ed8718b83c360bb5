//! The settings of each function under each policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_policy::settings::{self, ANNOTATIONS, Annotations, ClusterDefaults, Settings};

use super::{Files, Function, Options, Plan};
use crate::input::{Manifest, Workload};
use crate::scenario::{self, Fault, Place, Policy, Set};

impl Plan {
    /// Takes the settings of every function under every policy.
    pub(super) fn take_settings(
        &mut self,
        file: &str,
        options: &Options,
        files: &mut Files<'_>,
        faults: &mut Vec<Fault>,
    ) {
        for policy in &self.scenario.policies {
            let at = |place, rule| Fault { file: file.to_owned(), place, rule };
            if let Some(name) = &policy.manifest
                && !files.manifests.contains_key(name)
            {
                match files.inputs.manifest(name) {
                    Ok(manifest) => {
                        files.hashed.insert(name.clone(), manifest.sha256.clone());
                        files.manifests.insert(name.clone(), manifest);
                    }
                    Err(texts) => {
                        faults.extend(texts.into_iter().map(|text| at(policy.place, text)));
                        files.manifests.insert(name.clone(), Manifest::default());
                        continue;
                    }
                }
            }
            let manifest = policy.manifest.as_ref().and_then(|name| files.manifests.get(name));
            let mut own = BTreeMap::new();
            for function in &self.scenario.functions {
                let given = Given { policy, function, manifest, options };
                match given.settings() {
                    Ok((settings, notices)) => {
                        own.insert(function.name.clone(), Arc::new(settings));
                        self.notices.extend(notices);
                    }
                    Err(found) => {
                        faults.extend(found.into_iter().map(|(place, rule)| at(place, rule)))
                    }
                }
            }
            self.settings.push(own);
        }
        self.notices.sort();
        self.notices.dedup();
    }

    /// Takes the replicas that each function begins with: the scenario's, else the manifest's.
    pub(super) fn set_replicas(&mut self, files: &Files<'_>) {
        let manifests: Vec<_> = self
            .scenario
            .policies
            .iter()
            .map(|policy| policy.manifest.as_ref().and_then(|name| files.manifests.get(name)))
            .collect();
        for Function { spec, replicas, .. } in &mut self.functions {
            let by_manifest = |manifest: &Option<&Manifest>| {
                let workload = manifest.and_then(|manifest| workload(manifest, &spec.name).ok());
                spec.replicas.or(workload.map(|workload| workload.replicas)).unwrap_or(0)
            };
            *replicas = manifests.iter().map(by_manifest).collect();
        }
    }
}

/// What is wrong, and where in the scenario.
type Wrong = (Place, String);

/// All that says something about one function's settings.
struct Given<'a> {
    policy: &'a Policy,
    function: &'a scenario::Function,
    manifest: Option<&'a Manifest>,
    options: &'a Options,
}

impl Given<'_> {
    /// The settings, and what of them has no effect; the errors are each at a place.
    fn settings(&self) -> Result<(Settings, Option<String>), Vec<Wrong>> {
        let Self { policy, function, manifest, options } = self;
        let is_one = function.each_row().is_none();
        let workload = match manifest {
            Some(manifest) if is_one => workload(manifest, &function.name).map_err(|rule| {
                let file = policy.manifest.as_deref().unwrap_or_default();
                vec![(function.place, format!("function.{}: {rule} {file}", function.name))]
            })?,
            _ => &Workload::default(),
        };
        let mut annotations = workload.annotations.clone();
        let mut template = workload.template.clone();
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        let of_all = policy.set.iter().filter(|set| set.function.is_none());
        let own = policy.set.iter().filter(|set| set.function.as_ref() == Some(&function.name));
        for Set { key, value, place, .. } in of_all.chain(own) {
            overrule(&mut annotations, &mut template, key, value);
            places.insert(key, *place);
        }
        for (key, value) in &options.set {
            overrule(&mut annotations, &mut template, key, value);
        }
        let defaults = ClusterDefaults::default();
        let defaults = manifest.map_or(&defaults, |manifest| &manifest.defaults);
        let parsed = settings::parse(&annotations, &template, defaults).map_err(|faults| {
            let fault = |fault: settings::Fault| {
                let place = places.get(fault.key.as_str()).copied().unwrap_or(function.place);
                (place, format!("policy.{}, function.{}: {fault}", policy.name, function.name))
            };
            faults.into_iter().map(fault).collect::<Vec<_>>()
        })?;
        let not_yet = (!parsed.not_yet.is_empty()).then(|| {
            let (policy, function) = (&policy.name, &function.name);
            let keys = parsed.not_yet.join(", ");
            format!("policy.{policy}, function.{function}: not yet supported: {keys}")
        });
        Ok((parsed.settings, not_yet))
    }
}

/// Sets an annotation, in whatever spelling it was there.
fn overrule(annotations: &mut Annotations, template: &mut Annotations, key: &str, value: &str) {
    if let Some(known) = ANNOTATIONS.lookup(key) {
        for name in [Some(known.name), known.legacy].into_iter().flatten() {
            annotations.remove(name);
            template.remove(name);
        }
    }
    annotations.insert(key.to_owned(), value.to_owned());
}

/// The workload of a key: `name`, or `namespace/name`.
fn workload<'a>(manifest: &'a Manifest, key: &str) -> Result<&'a Workload, &'static str> {
    let is_it = |workload: &&Workload| match key.split_once('/') {
        Some((namespace, name)) => workload.namespace == namespace && workload.name == name,
        None => workload.name == key,
    };
    let mut found = manifest.workloads.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(workload), None) => Ok(workload),
        (None, _) => Err("there is no such workload, with dormouse.dev/enabled, in"),
        (Some(_), Some(_)) => Err("write the namespace before it: it is in more than one of"),
    }
}
