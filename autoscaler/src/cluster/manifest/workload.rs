//! Deployments and StatefulSets, with the Services in front of them, to functions.

use std::path::Path;
use std::time::Duration;

use dormouse_policy::function::{Endpoint, Function, FunctionName, PodPort, WorkloadKind};
use dormouse_policy::settings::{self, Annotations, ClusterDefaults, OptIn, Parsed};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::probe::{self, Probing};
use super::service::{Service, Target, port_number};
use super::yaml::Object;
use super::{Command, Finding, Launch, LocalFunction, Programs, fields};

/// Kubernetes' default for terminationGracePeriodSeconds.
const TERMINATION_GRACE_S: u64 = 30;

/// What a workload turns out to be.
pub(super) enum Read {
    /// A function, and what of its manifest is not honoured.
    Enabled(Box<LocalFunction>, Vec<String>),
    /// Not opted in.
    NotEnabled,
}

/// The parts that Deployments and StatefulSets share.
struct Workload {
    kind: WorkloadKind,
    annotations: Annotations,
    labels: Annotations,
    replicas: Option<i32>,
    /// Labels its own pods must have.
    selector: Annotations,
    template_annotations: Annotations,
    template_labels: Annotations,
    termination_grace: Option<i64>,
    /// The first container: the one that is run.
    container: Container,
}

/// The ports of a pod and what leads to them.
struct Network {
    pod_ports: Vec<PodPort>,
    endpoints: Vec<Endpoint>,
    probing: Probing,
}

/// Reads one workload; all its faults at once.
pub(super) fn read(
    object: &Object<'_>,
    created: u64,
    services: &mut [Service],
    defaults: &ClusterDefaults,
    programs: &Programs,
) -> Result<Read, Vec<Finding>> {
    let workload = Workload::of(object).map_err(|fault| vec![fault])?;
    match workload.is_enabled() {
        Ok(OptIn::Yes) => {}
        Ok(OptIn::No) => return Ok(Read::NotEnabled),
        Err(fault) => return Err(vec![object.finding(fault)]),
    }
    let settings = workload.settings(defaults);
    let local_command = match &settings {
        Ok(parsed) => parsed.settings.local_command.clone(),
        Err(_) => None,
    };
    let network = workload.network(object, services);
    let launch = workload.launch(object.path, local_command, programs);
    let replicas = u32::try_from(workload.replicas.unwrap_or(1))
        .map_err(|_| vec!["spec.replicas must be 0 or more".to_owned()]);
    match (settings, network, launch, replicas) {
        (Ok(parsed), Ok(network), Ok(launch), Ok(replicas)) => {
            let notices = notices(object, &parsed, &network.probing);
            let mut function = Function {
                name: FunctionName::new(&object.namespace, &object.name),
                kind: workload.kind,
                created,
                replicas,
                settings: parsed.settings,
                pod_ports: network.pod_ports,
                endpoints: network.endpoints,
                probe: network.probing.probe,
            };
            add_hosts(&mut function);
            let readiness = network.probing.readiness;
            let function = Box::new(LocalFunction { function, launch, readiness });
            Ok(Read::Enabled(function, notices))
        }
        (settings, network, launch, replicas) => {
            let faults = [settings.err(), network.err(), launch.err(), replicas.err()];
            let faults = faults.into_iter().flatten().flatten();
            Err(faults.map(|text| object.finding(text)).collect())
        }
    }
}

/// Puts the annotated hosts on the first Service's first port.
fn add_hosts(function: &mut Function) {
    if let Some(endpoint) = function.endpoints.first_mut() {
        for host in &function.settings.hosts {
            if !endpoint.hosts.contains(host) {
                endpoint.hosts.push(host.clone());
            }
        }
    }
}

fn notices(object: &Object<'_>, parsed: &Parsed, probing: &Probing) -> Vec<String> {
    let mut notices = Vec::new();
    let not_honoured = fields::not_honoured_of_workload(&object.value);
    if !not_honoured.is_empty() {
        notices.push(format!("not honoured in local mode: {}", not_honoured.join(", ")));
    }
    if !parsed.not_yet.is_empty() {
        let keys = parsed.not_yet.join(", ");
        notices.push(format!("annotations not yet supported: {keys}"));
    }
    notices.extend(probing.notice.map(str::to_owned));
    notices
}

impl Workload {
    fn of(object: &Object<'_>) -> Result<Self, Finding> {
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
        Ok(Self {
            kind,
            annotations: annotations.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            replicas,
            selector: selector.match_labels.unwrap_or_default(),
            template_annotations: template.annotations.unwrap_or_default(),
            template_labels: template.labels.unwrap_or_default(),
            termination_grace: pod.termination_grace_period_seconds,
            container,
        })
    }

    fn is_enabled(&self) -> Result<OptIn, String> {
        settings::is_enabled(&self.annotations, &self.labels).map_err(|fault| fault.to_string())
    }

    fn settings(&self, defaults: &ClusterDefaults) -> Result<Parsed, Vec<String>> {
        settings::parse(&self.annotations, &self.template_annotations, defaults)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// What leads to the pods: the ports of every Service that selects them.
    fn network(
        &self,
        object: &Object<'_>,
        services: &mut [Service],
    ) -> Result<Network, Vec<String>> {
        let mut faults: Vec<String> = self.misfit().into_iter().collect();
        let mut pod_ports = Vec::new();
        let mut endpoints = Vec::new();
        let mut selecting = 0;
        for service in services {
            if !service.selects(&object.namespace, &self.template_labels) {
                continue;
            }
            selecting += 1;
            if let Some(first) = &service.selected {
                let name = service.name();
                faults.push(format!(
                    "Service {name} selects the pods of {first} too, and leads there"
                ));
                continue;
            }
            service.selected = Some(object.label());
            let Some(ports) = &service.ports else {
                let name = service.name();
                faults.push(format!("Service {name}, which selects its pods, is set aside"));
                continue;
            };
            for (index, port) in ports.iter().enumerate() {
                let name = service.endpoint_name(port.number);
                match self.pod_port(&port.target, &mut pod_ports) {
                    // A host leads to one port; further ports have listeners of their own.
                    Ok(pod_port) => endpoints.push(Endpoint {
                        name,
                        service_port: port.number,
                        pod_port,
                        hosts: (index == 0).then(|| service.host()).into_iter().collect(),
                    }),
                    Err(rule) => faults.push(format!("Service port {name}: targetPort {rule}")),
                }
            }
        }
        // A container port alone is no way in: on a cluster too it is a Service that says which
        // port requests go to, and a manifest must mean the same in both places.
        if selecting == 0 {
            faults.push("no Service selects its pods, so no request could reach it".to_owned());
        } else if endpoints.is_empty() && faults.is_empty() {
            faults.push("the Service that selects its pods has no TCP port".to_owned());
        }
        let probing = probe::read(&self.container, |target| self.pod_port(target, &mut pod_ports))
            .map_err(|rule| faults.push(rule));
        let port_faults: Vec<String> = self.port_faults().collect();
        if !port_faults.is_empty() {
            // Whatever leads to such a port by its name is not at fault itself.
            return Err(port_faults);
        }
        match probing {
            Ok(probing) if faults.is_empty() => {
                self.add_other_ports(&mut pod_ports);
                Ok(Network { pod_ports, endpoints, probing })
            }
            _ => Err(faults),
        }
    }

    /// What the API server would refuse: a selector that finds none of the workload's own pods.
    fn misfit(&self) -> Option<String> {
        let wanted = self.selector.iter();
        let misfit =
            wanted.clone().any(|(key, value)| self.template_labels.get(key) != Some(value));
        misfit.then(|| {
            let wanted: Vec<_> = wanted.map(|(key, value)| format!("{key}: {value}")).collect();
            let wanted = wanted.join(", ");
            format!("spec.selector.matchLabels {{{wanted}}} must be among the template's labels")
        })
    }

    /// The container's ports that no number can stand for.
    fn port_faults(&self) -> impl Iterator<Item = String> {
        let ports = self.container.ports.iter().flatten();
        ports.filter(|port| port_number(port.container_port).is_none()).map(|port| {
            let (container, number) = (&self.container.name, port.container_port);
            format!("containers[{container}].ports[].containerPort {number} must be 1–65535")
        })
    }

    /// The index of the target among `pod_ports`, to which it is added if it is new; the error is
    /// the rule it breaks.
    fn pod_port(&self, target: &Target, pod_ports: &mut Vec<PodPort>) -> Result<usize, String> {
        let mut declared = self.declared_ports();
        let port = match target {
            Target::Name(name) => declared.find(|port| port.name == *name).ok_or_else(|| {
                let container = &self.container.name;
                format!("{name:?}: container {container} has no port of this name")
            })?,
            Target::Number(number) => declared
                .find(|port| port.number == *number)
                .unwrap_or(PodPort { name: String::new(), number: *number }),
        };
        if let Some(index) = pod_ports.iter().position(|known| *known == port) {
            return Ok(index);
        }
        pod_ports.push(port);
        Ok(pod_ports.len() - 1)
    }

    /// Ports that nothing leads to: two replicas on one machine cannot share them either.
    fn add_other_ports(&self, pod_ports: &mut Vec<PodPort>) {
        for port in self.declared_ports() {
            if !pod_ports.contains(&port) {
                pod_ports.push(port);
            }
        }
    }

    /// The container's TCP ports, those at fault left out.
    fn declared_ports(&self) -> impl Iterator<Item = PodPort> {
        let ports = self.container.ports.iter().flatten();
        ports.filter(|port| port.protocol.as_deref().is_none_or(|name| name == "TCP")).filter_map(
            |port| {
                let number = port_number(port.container_port)?;
                Some(PodPort { name: port.name.clone().unwrap_or_default(), number })
            },
        )
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
