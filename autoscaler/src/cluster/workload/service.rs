//! Services: which pods they select and which of their ports lead where.

use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Annotations;
use dormouse_policy::settings::keys::{self, ANNOTATIONS, SERVICE_TARGET};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Key, Labels, Mark, Workload, target};

/// A Service that can lead to a function.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) struct Service {
    key: Key,
    way: Way,
    /// Its TCP ports, in order; none if it is at fault.
    pub(super) ports: Option<Box<[Port]>>,
    is_headless: bool,
    families: Families,
}

/// How a Service says whom it leads to.
#[derive(Clone, Debug, PartialEq)]
enum Way {
    /// By the labels of pods.
    Selector(Labels),
    /// By the name of a workload, for it has no selector.
    Target(FunctionName),
}

/// What a Service turns out to be.
pub(in crate::cluster) enum Reading {
    /// One that can lead to a function, or could if it kept these rules, and what of it has no
    /// effect.
    Leads(Service, Vec<String>, Vec<String>),
    /// One that cannot, and why.
    Unfit(&'static str, Vec<String>),
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) struct Port {
    /// Its name; empty if it has none, as the only one may.
    pub(in crate::cluster) name: Box<str>,
    /// Its number.
    pub(in crate::cluster) number: u16,
    /// What is spoken there, as the Service says.
    pub(in crate::cluster) app_protocol: Option<Box<str>>,
    pub(super) target: TargetPort,
}

/// The pod port a Service port leads to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum TargetPort {
    Number(u16),
    Name(Box<str>),
}

/// The families of a Service's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Families {
    One(Family),
    Both,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster) enum Family {
    V4,
    V6,
}

impl Service {
    /// Reads a Service; the error is every rule it breaks.
    pub(in crate::cluster) fn read(
        key: Key,
        annotations: &Annotations,
        mut spec: core::ServiceSpec,
    ) -> Result<Reading, Vec<String>> {
        let mut notices: Vec<String> = no_effect(annotations)?.into_iter().collect();
        let target = annotations.get(SERVICE_TARGET.name);
        let mut broken = target.map(|_| target::refusals(&spec)).unwrap_or_default();
        let selector = spec.selector.take().filter(|selector| !selector.is_empty());
        let way = match (target, selector) {
            (Some(target), _) => Way::Target(FunctionName::new(key.namespace(), target)),
            (None, selector) => {
                let selector = selector.map(Labels::from);
                if let Some(unfit) = unfit(&spec, selector.as_ref()) {
                    return Ok(Reading::Unfit(unfit, notices));
                }
                Way::Selector(selector.unwrap_or_default())
            }
        };
        let is_headless = target.is_none() && target::is_headless(&spec);
        let mut ports = Vec::new();
        for port in spec.ports.unwrap_or_default().into_iter().filter(|_| !is_headless) {
            match read_port(&port) {
                Ok(Some(port)) => ports.push(port),
                Ok(None) => notices.push(format!("port {} is not TCP; ignored", port.port)),
                Err(rule) => broken.push(rule),
            }
        }
        let service = Self {
            key,
            way,
            ports: broken.is_empty().then(|| ports.into_boxed_slice()),
            is_headless,
            families: families(spec.ip_families.as_deref().unwrap_or_default()),
        };
        Ok(Reading::Leads(service, broken, notices))
    }

    /// Whether the workload's pods are behind it.
    pub(in crate::cluster) fn leads_to(&self, workload: &Workload) -> bool {
        match &self.way {
            Way::Target(target) => *target == workload.name,
            Way::Selector(selector) => {
                selector.are_among(&workload.template_labels)
                    && self.key.namespace() == workload.name.namespace()
            }
        }
    }

    /// What it has in common with every workload that it leads to. Of several labels it is the
    /// longest: short ones, like those of a tier, are had by many.
    pub(in crate::cluster) fn mark(&self) -> Mark {
        match &self.way {
            Way::Target(target) => Mark::of_target(target),
            Way::Selector(selector) => {
                let longest = selector.iter().max_by_key(|(key, value)| key.len() + value.len());
                Mark::of_label(self.key.namespace(), longest.unwrap_or_default())
            }
        }
    }

    /// The workload it names, if it is one without selector.
    pub(in crate::cluster) fn target(&self) -> Option<&FunctionName> {
        match &self.way {
            Way::Target(target) => Some(target),
            Way::Selector(_) => None,
        }
    }

    /// Its ports, if it fits the workload it names; the error is every rule it breaks, and empty
    /// if it broke some that were named before.
    pub(in crate::cluster) fn fits(&self, workload: &Workload) -> Result<&[Port], Vec<String>> {
        let ports = self.ports.as_deref().ok_or_else(Vec::new)?;
        let rules: Vec<String> =
            ports.iter().filter_map(|port| target::misfit(port, workload)).collect();
        if rules.is_empty() { Ok(ports) } else { Err(rules) }
    }

    /// Whether it has no address of its own: clients find the pods by it, and reach them past us.
    pub(in crate::cluster) fn is_headless(&self) -> bool {
        self.is_headless
    }

    /// What is to be said of ports that, selecting their pods, are served and speak something else.
    pub(in crate::cluster) fn unspoken(&self) -> impl Iterator<Item = String> {
        let ports = self.ports.as_deref().filter(|_| self.target().is_none());
        ports.into_iter().flatten().filter_map(|Port { number, app_protocol, .. }| {
            let spoken = app_protocol.as_deref().filter(|spoken| !target::is_spoken(spoken))?;
            let key = &self.key;
            Some(format!(
                "port {number} of Service {key}: appProtocol {spoken:?} is not served yet, \
                 requests are passed on as HTTP/1.1"
            ))
        })
    }

    /// The families of its own addresses.
    pub(in crate::cluster) fn families(&self) -> Families {
        self.families
    }

    /// What it is known by.
    pub(in crate::cluster) fn key(&self) -> &Key {
        &self.key
    }

    /// `namespace/service:port`.
    pub(in crate::cluster) fn endpoint_name(&self, port: u16) -> Arc<str> {
        format!("{}:{port}", self.key).into()
    }

    /// The host name that leads to its first port at the gateway.
    pub(super) fn host(&self, domain: &str) -> Arc<str> {
        format!("{}.{}{domain}", self.key.name(), self.key.namespace()).into()
    }
}

/// Why no request can arrive through a Service that names no target.
fn unfit(spec: &core::ServiceSpec, selector: Option<&Labels>) -> Option<&'static str> {
    if target::is_external_name(spec) {
        Some("is an ExternalName")
    } else {
        selector.is_none().then_some("has no selector")
    }
}

/// A Service that says nothing has one of the first family, as an API server would give it.
fn families(named: &[String]) -> Families {
    let is_v6 = |name: &String| name == "IPv6";
    match (named.iter().any(is_v6), named.iter().all(is_v6)) {
        (false, _) => Families::One(Family::V4),
        (true, true) => Families::One(Family::V6),
        (true, false) => Families::Both,
    }
}

impl Families {
    /// Whether this is one of them.
    pub(in crate::cluster) fn have(self, family: Family) -> bool {
        match self {
            Self::One(one) => one == family,
            Self::Both => true,
        }
    }
}

/// Names our annotations but for the target: on a Service no other has an effect yet. The error is
/// one text per key that does not exist.
fn no_effect(annotations: &Annotations) -> Result<Option<String>, Vec<String>> {
    let is_ours = |key: &&String| key.starts_with(keys::KNATIVE) || key.starts_with(keys::DORMOUSE);
    let mut ours: Vec<_> = (annotations.keys().filter(is_ours)).map(String::as_str).collect();
    ours.retain(|key| *key != SERVICE_TARGET.name);
    let unknown = ours.iter().filter(|key| ANNOTATIONS.lookup(key).is_none());
    let fault = |key: &&str| format!("annotation {key}: {}", ANNOTATIONS.no_such(key));
    let faults: Vec<_> = unknown.map(fault).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let notice = || format!("annotations without effect on a Service: {}", ours.join(", "));
    Ok((!ours.is_empty()).then(notice))
}

/// None for a protocol other than TCP.
fn read_port(port: &core::ServicePort) -> Result<Option<Port>, String> {
    if port.protocol.as_deref().is_some_and(|name| name != "TCP") {
        return Ok(None);
    }
    let number = port_number(port.port)
        .ok_or_else(|| format!("spec.ports[].port {} must be 1–65535", port.port))?;
    let target = match &port.target_port {
        Some(target) => read_target(target).map_err(|rule| format!("targetPort {rule}"))?,
        None => TargetPort::Number(number),
    };
    Ok(Some(Port {
        name: port.name.as_deref().unwrap_or_default().into(),
        number,
        app_protocol: port.app_protocol.as_deref().map(Into::into),
        target,
    }))
}

/// A port by number or name; the error is the rule it breaks, to follow the field's name.
pub(super) fn read_target(target: &IntOrString) -> Result<TargetPort, String> {
    match target {
        IntOrString::Int(number) => (port_number(*number).map(TargetPort::Number))
            .ok_or_else(|| format!("{number} must be a port name or a number 1–65535")),
        IntOrString::String(name) => Ok(TargetPort::Name(name.as_str().into())),
    }
}

/// The number as a port, 1–65535.
pub(super) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|&number| number > 0)
}
