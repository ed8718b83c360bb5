//! A workload and the Services in front of it, read into a function: the same way from a manifest
//! and from a cluster, so that what was tried here is what runs there.

mod key;
mod labels;
mod service;
mod mark;
mod target;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::function::{Endpoint, Function, FunctionName, PodPort, WorkloadKind};
use dormouse_policy::settings::{self, ClusterDefaults, OptIn, Parsed};
use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;

use self::probe::Probing;
use self::service::{TargetPort, port_number};

pub(super) use self::key::Key;
pub(super) use self::labels::Labels;
pub(super) use self::mark::Mark;
pub(super) use self::probe::GivenProbe;
pub(super) use self::service::{Families, Family, Reading, Service};

/// When a replica is tried for readiness. Kubernetes' words and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// From start to the first try.
    pub initial_delay: Duration,
    /// Between tries while the replica is not ready.
    pub period_unready: Duration,
    /// Between tries while it is.
    pub period_ready: Duration,
    /// The longest one try may take.
    pub timeout: Duration,
    /// Tries that must succeed in a row to become ready, ≥ 1.
    pub success_threshold: u32,
    /// Tries that must fail in a row to become unready, ≥ 1.
    pub failure_threshold: u32,
}

/// What Deployments and StatefulSets share, as far as it describes a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workload {
    pub(super) kind: WorkloadKind,
    pub(super) name: FunctionName,
    /// Age order among functions.
    pub(super) created: u64,
    pub(super) annotations: Labels,
    pub(super) labels: Labels,
    pub(super) replicas: Option<i32>,
    /// Labels its own pods must have.
    pub(super) selector: Labels,
    pub(super) template_annotations: Labels,
    pub(super) template_labels: Labels,
    /// Those that are run, at least one.
    pub(super) containers: Box<[Container]>,
}

/// A container's network side.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    #[serde(default)]
    pub(super) ports: Box<[ContainerPort]>,
    pub(super) readiness_probe: Option<Box<GivenProbe>>,
    pub(super) startup_probe: Option<Box<GivenProbe>>,
}

/// A container's port, as far as it says where a pod listens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) name: Option<Box<str>>,
    pub(super) container_port: i32,
    /// None is TCP.
    pub(super) protocol: Option<Protocol>,
}

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Protocol {
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(other)]
    Other,
}

impl From<core::ContainerPort> for ContainerPort {
    fn from(port: core::ContainerPort) -> Self {
        let protocol = |name: String| if name == "TCP" { Protocol::Tcp } else { Protocol::Other };
        Self {
            name: port.name.map(Into::into),
            container_port: port.container_port,
            protocol: port.protocol.map(protocol),
        }
    }
}

/// A function and what else its workload says.
pub(super) struct Described {
    pub(super) function: Function,
    pub(super) readiness: Readiness,
    /// Annotations known and not honoured yet.
    pub(super) not_yet: Vec<String>,
    /// What of its probe cannot be tried from outside.
    pub(super) probe_notice: Option<&'static str>,
}

/// The ports of a pod and what leads to them.
struct Network {
    pod_ports: Vec<PodPort>,
    endpoints: Vec<Endpoint>,
    probing: Probing,
}

impl Workload {
    /// Whether it asks for Dormouse; the error is the rule that its opt-in breaks.
    pub(super) fn is_enabled(&self) -> Result<OptIn, String> {
        let (annotations, labels) = (self.annotations.to_map(), self.labels.to_map());
        settings::is_enabled(&annotations, &labels).map_err(|fault| fault.to_string())
    }

    /// The function it is by its [`Workload::settings`], with those of `services` in front of it
    /// that lead to it; each with the workload, if any, that it leads to instead. Gateway host
    /// names are `<service>.<namespace>` and `domain`. The error is every rule it breaks.
    pub(super) fn describe<'a>(
        &self,
        settings: Result<Parsed, Vec<String>>,
        services: impl Iterator<Item = (&'a Service, Option<&'a str>)>,
        domain: &str,
    ) -> Result<Described, Vec<String>> {
        let network = self.network(services, domain);
        let replicas = u32::try_from(self.replicas.unwrap_or(1))
            .map_err(|_| vec!["spec.replicas must be 0 or more".to_owned()]);
        match (settings, network, replicas) {
            (Ok(parsed), Ok(network), Ok(replicas)) => {
                let mut function = Function {
                    name: self.name.clone(),
                    kind: self.kind,
                    created: self.created,
                    replicas,
                    settings: parsed.settings,
                    pod_ports: network.pod_ports,
                    endpoints: network.endpoints,
                    probe: network.probing.probe,
                };
                add_hosts(&mut function);
                Ok(Described {
                    function,
                    readiness: network.probing.readiness,
                    not_yet: parsed.not_yet,
                    probe_notice: network.probing.notice,
                })
            }
            (settings, network, replicas) => {
                let faults = [settings.err(), network.err(), replicas.err()];
                Err(faults.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// What its annotations settle; the error is every rule they break.
    pub(super) fn settings(&self, defaults: &ClusterDefaults) -> Result<Parsed, Vec<String>> {
        let (own, template) = (self.annotations.to_map(), self.template_annotations.to_map());
        settings::parse(&own, &template, defaults)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// What leads to the pods: the ports of every Service that selects them, and of every one
    /// that names the workload as its target and fits it.
    fn network<'a>(
        &self,
        services: impl Iterator<Item = (&'a Service, Option<&'a str>)>,
        domain: &str,
    ) -> Result<Network, Vec<String>> {
        let mut faults: Vec<String> = self.misfit().into_iter().collect();
        let mut pod_ports = Vec::new();
        let mut endpoints = Vec::new();
        let mut leading = 0;
        let mut headless = Vec::new();
        let leads = |service: &Service| {
            service.leads_to(self) && (service.target().is_none() || service.fits(self).is_ok())
        };
        for (service, other) in services.filter(|(service, _)| leads(service)) {
            let service_name = service.key();
            if service.is_headless() {
                headless.push(format!("; Service {service_name}, which selects them, is headless"));
                continue;
            }
            leading += 1;
            if let Some(first) = other {
                faults.push(format!(
                    "Service {service_name} selects the pods of {first} too, and leads there"
                ));
                continue;
            }
            let Some(ports) = &service.ports else {
                faults
                    .push(format!("Service {service_name}, which selects its pods, is set aside"));
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
                        hosts: (index == 0).then(|| service.host(domain)).into_iter().collect(),
                        own_port: None,
                    }),
                    Err(rule) => faults.push(format!("Service port {name}: targetPort {rule}")),
                }
            }
        }
        // A container port alone is no way in: on a cluster too it is a Service that says which
        // port requests go to, and a manifest must mean the same in both places.
        if leading == 0 {
            let nothing = "no Service leads to its pods, so no request could reach it";
            faults.push(nothing.to_owned() + &headless.concat());
        } else if endpoints.is_empty() && faults.is_empty() {
            faults.push("the Service that leads to its pods has no TCP port".to_owned());
        }
        let probing = probe::read(&self.containers, |target| self.pod_port(target, &mut pod_ports))
            .map_err(|rule| faults.push(rule));
        let port_faults: Vec<String> = self.port_faults().collect();
        if !port_faults.is_empty() {
            // Whatever leads to such a port by its name is not at fault itself.
            return Err(port_faults);
        }
        match probing {
            Ok(probing) if faults.is_empty() => {
                self.add_other_ports(&mut pod_ports);
                // They stay as they are, mostly one of each; a list that grew has room for four.
                pod_ports.shrink_to_fit();
                endpoints.shrink_to_fit();
                Ok(Network { pod_ports, endpoints, probing })
            }
            _ => Err(faults),
        }
    }

    /// What an API server would refuse: a selector that finds none of the workload's own pods.
    fn misfit(&self) -> Option<String> {
        let misfit = !self.selector.are_among(&self.template_labels);
        misfit.then(|| {
            let wanted: Vec<_> =
                self.selector.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let wanted = wanted.join(", ");
            format!("spec.selector.matchLabels {{{wanted}}} must be among the template's labels")
        })
    }

    /// The containers' ports that no number can stand for.
    fn port_faults(&self) -> impl Iterator<Item = String> {
        let ports = self.containers.iter().flat_map(|container| {
            container.ports.iter().map(|port| (&container.name, port.container_port))
        });
        ports.filter(|(_, number)| port_number(*number).is_none()).map(|(container, number)| {
            format!("containers[{container}].ports[].containerPort {number} must be 1–65535")
        })
    }

    /// The index of the target among `pod_ports`, to which it is added if it is new; the error is
    /// the rule it breaks.
    fn pod_port(&self, target: &TargetPort, pod_ports: &mut Vec<PodPort>) -> Result<usize, String> {
        let mut declared = self.declared_ports();
        let port = match target {
            TargetPort::Name(name) => {
                declared.find(|port| *port.name == **name).ok_or_else(|| {
                    let names = self.containers.iter().map(|container| container.name.as_str());
                    let names = names.collect::<Vec<_>>().join(", ");
                    format!("{name:?}: container {names} has no port of this name")
                })?
            }
            TargetPort::Number(number) => declared
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

    /// The containers' TCP ports, those at fault left out.
    fn declared_ports(&self) -> impl Iterator<Item = PodPort> {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        ports.filter(|port| port.protocol != Some(Protocol::Other)).filter_map(|port| {
            let number = port_number(port.container_port)?;
            Some(PodPort { name: port.name.as_deref().unwrap_or_default().to_owned(), number })
        })
    }
}

/// Puts the annotated hosts on the first Service's first port.
fn add_hosts(function: &mut Function) {
    if let Some(endpoint) = function.endpoints.first_mut()
        && !function.settings.hosts.is_empty()
    {
        let hosts = endpoint.hosts.iter().cloned();
        let annotated = function.settings.hosts.iter().map(|host| Arc::from(host.as_str()));
        let others = annotated.filter(|host| !endpoint.hosts.contains(host));
        endpoint.hosts = hosts.chain(others).collect();
    }
}
