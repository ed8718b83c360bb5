//! Deployments and StatefulSets of a manifest to functions that can be run here.

use std::path::Path;
use std::time::Duration;

use dormouse_policy::function::{FunctionName, WorkloadKind};
use dormouse_policy::settings::{ClusterDefaults, OptIn};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{self as core, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::service::InManifest;
use super::yaml::Object;
use super::{AnnotatedWorkload, Command, Finding, Launch, LocalFunction, Programs, fields};
use crate::cluster::workload::{Container, Described, Workload};

/// Kubernetes' default for terminationGracePeriodSeconds.
const TERMINATION_GRACE_S: u64 = 30;

/// Names below `localhost` resolve to this machine without any set-up.
const DOMAIN: &str = ".localhost";

/// What a workload turns out to be.
pub(super) enum Read {
    /// A function, and what of its manifest is not honoured.
    Enabled(Box<LocalFunction>, Vec<String>),
    /// Not opted in.
    NotEnabled,
}

/// A workload and how a replica of it is run.
struct Runnable {
    workload: Workload,
    termination_grace: Option<i64>,
    /// The first container: the one that is run.
    container: core::Container,
}

/// Reads one workload; all its faults at once.
pub(super) fn read(
    object: &Object<'_>,
    created: u64,
    services: &mut [InManifest],
    defaults: &ClusterDefaults,
    programs: &Programs,
) -> Result<Read, Vec<Finding>> {
    let runnable = Runnable::of(object, created).map_err(|fault| vec![fault])?;
    let workload = &runnable.workload;
    match workload.is_enabled() {
        Ok(OptIn::Yes) => {}
        Ok(OptIn::No) => return Ok(Read::NotEnabled),
        Err(fault) => return Err(vec![object.finding(fault)]),
    }
    let settings = workload.settings(defaults);
    let local_command = settings.as_ref().ok().and_then(|it| it.settings.local_command.clone());
    let leads = services.iter().map(|it| (&it.service, it.selected.as_deref()));
    let described = workload.describe(settings, leads, DOMAIN);
    for service in services.iter_mut().filter(|it| it.service.leads_to(workload)) {
        service.selected.get_or_insert_with(|| object.label());
        service.try_on(workload);
    }
    let launch = runnable.launch(object.path, local_command, programs);
    match (described, launch) {
        (Ok(described), Ok(launch)) => {
            let notices = notices(object, &described);
            let Described { function, readiness, .. } = described;
            let function = Box::new(LocalFunction { function, launch, readiness });
            Ok(Read::Enabled(function, notices))
        }
        (described, launch) => {
            let faults = [described.err(), launch.err()].into_iter().flatten().flatten();
            Err(faults.map(|text| object.finding(text)).collect())
        }
    }
}

fn notices(object: &Object<'_>, described: &Described) -> Vec<String> {
    let mut notices = Vec::new();
    let not_honoured = fields::not_honoured_of_workload(&object.value);
    if !not_honoured.is_empty() {
        notices.push(format!("not honoured in local mode: {}", not_honoured.join(", ")));
    }
    if !described.not_yet.is_empty() {
        let keys = described.not_yet.join(", ");
        notices.push(format!("annotations not yet supported: {keys}"));
    }
    notices.extend(described.probe_notice.map(str::to_owned));
    notices
}

/// The annotations of a workload that is opted in, not judged.
pub(super) fn annotated(object: &Object<'_>) -> Result<Option<AnnotatedWorkload>, Finding> {
    let Runnable { workload, .. } = Runnable::of(object, 0)?;
    match workload.is_enabled() {
        Ok(OptIn::Yes) => Ok(Some(AnnotatedWorkload {
            name: workload.name,
            replicas: workload.replicas,
            annotations: workload.annotations.to_map(),
            template: workload.template_annotations.to_map(),
        })),
        Ok(OptIn::No) => Ok(None),
        Err(fault) => Err(object.finding(fault)),
    }
}

impl Runnable {
    fn of(object: &Object<'_>, created: u64) -> Result<Self, Finding> {
        if object.api_version != "apps/v1" {
            return Err(
                object.finding(format!("apiVersion {:?}: must be apps/v1", object.api_version))
            );
        }
        let (kind, metadata, replicas, selector, template) = if object.kind == "Deployment" {
            let Deployment { metadata, spec, .. } = object.typed()?;
            let spec = spec.unwrap_or_default();
            (WorkloadKind::Deployment, metadata, spec.replicas, spec.selector, spec.template)
        } else {
            let StatefulSet { metadata, spec, .. } = object.typed()?;
            let spec = spec.unwrap_or_default();
            (WorkloadKind::StatefulSet, metadata, spec.replicas, spec.selector, spec.template)
        };
        let ObjectMeta { annotations, labels, .. } = metadata;
        let PodTemplateSpec { metadata: template, spec } = template;
        let template = template.unwrap_or_default();
        let pod = spec.unwrap_or_default();
        let Some(container) = pod.containers.into_iter().next() else {
            return Err(object.finding("spec.template.spec.containers must hold a container"));
        };
        let given = |probe: core::Probe| Box::new(probe.into());
        let workload = Workload {
            kind,
            name: FunctionName::new(&object.namespace, &object.name),
            created,
            annotations: annotations.into(),
            labels: labels.into(),
            replicas,
            selector: selector.match_labels.into(),
            template_annotations: template.annotations.into(),
            template_labels: template.labels.into(),
            containers: Box::new([Container {
                name: container.name.clone(),
                ports: container.ports.iter().flatten().cloned().map(Into::into).collect(),
                readiness_probe: container.readiness_probe.clone().map(given),
                startup_probe: container.startup_probe.clone().map(given),
            }]),
        };
        Ok(Self { workload, termination_grace: pod.termination_grace_period_seconds, container })
    }

    fn launch(
        &self,
        manifest: &Path,
        local_command: Option<String>,
        programs: &Programs,
    ) -> Result<Launch, Vec<String>> {
        let grace = match self.termination_grace {
            None => Ok(TERMINATION_GRACE_S),
            Some(grace) => u64::try_from(grace).map_err(|_| {
                "spec.template.spec.terminationGracePeriodSeconds must be 0 or more".to_owned()
            }),
        };
        let folder = match manifest.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let command = match local_command {
            Some(line) => Ok(Command::Shell(line)),
            None => self.command(folder, programs),
        };
        match (grace, command) {
            (Ok(grace_s), Ok(command)) => {
                let env = self.container.env.iter().flatten();
                let env = env.filter_map(|var| Some((var.name.clone(), var.value.clone()?)));
                Ok(Launch {
                    command,
                    env: env.collect(),
                    working_dir: folder.to_owned(),
                    termination_grace: Duration::from_secs(grace_s),
                })
            }
            (grace, command) => Err(grace.err().into_iter().chain(command.err()).collect()),
        }
    }

    fn command(&self, folder: &Path, programs: &Programs) -> Result<Command, String> {
        let container = &self.container;
        let words = container.command.iter().flatten();
        let mut words = words.chain(container.args.iter().flatten()).cloned();
        let Some(word) = (container.command.as_ref())
            .filter(|command| !command.is_empty())
            .and_then(|_| words.next())
        else {
            return Err(format!(
                "no command: the image is not run in local mode, so container {} needs a \
                 `command`, or the workload a `dormouse.dev/local-command`",
                container.name
            ));
        };
        let Some(program) = programs.find(&word, folder) else {
            let place = if word.contains('/') { "file" } else { "on PATH" };
            let folder = folder.display();
            return Err(format!(
                "command {word:?} not found: no such executable {place} (run in {folder})"
            ));
        };
        Ok(Command::Exec { program, args: words.collect() })
    }
}
