//! Services: which pods they select and which of their ports lead where.

use std::collections::BTreeMap;

use dormouse_policy::settings::Annotations;
use dormouse_policy::settings::keys::{self, ANNOTATIONS};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Workload;

/// A Service that can lead to a function.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) struct Service {
    namespace: String,
    name: String,
    selector: BTreeMap<String, String>,
    /// Its TCP ports, in order; none if it is at fault.
    pub(super) ports: Option<Vec<Port>>,
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
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) target: Target,
}

/// The pod port a Service port leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Number(u16),
    Name(String),
}

impl Service {
    /// Reads a Service; the error is every rule it breaks.
    pub(in crate::cluster) fn read(
        namespace: &str,
        name: &str,
        annotations: &Annotations,
        spec: core::ServiceSpec,
    ) -> Result<Reading, Vec<String>> {
        let mut notices: Vec<String> = no_effect(annotations)?.into_iter().collect();
        let unfit = match (&spec.type_, &spec.cluster_ip, &spec.selector) {
            (Some(kind), _, _) if kind == "ExternalName" => Some("is an ExternalName"),
            (_, Some(address), _) if address == "None" => Some("is headless"),
            (_, _, Some(selector)) if !selector.is_empty() => None,
            _ => Some("has no selector"),
        };
        if let Some(unfit) = unfit {
            return Ok(Reading::Unfit(unfit, notices));
        }
        let (mut ports, mut broken) = (Vec::new(), Vec::new());
        for port in spec.ports.unwrap_or_default() {
            match read_port(&port) {
                Ok(Some(port)) => ports.push(port),
                Ok(None) => notices.push(format!("port {} is not TCP; ignored", port.port)),
                Err(rule) => broken.push(rule),
            }
        }
        let service = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            selector: spec.selector.unwrap_or_default(),
            ports: broken.is_empty().then_some(ports),
        };
        Ok(Reading::Leads(service, broken, notices))
    }

    /// Whether it selects the workload's pods.
    pub(in crate::cluster) fn selects(&self, workload: &Workload) -> bool {
        let labels = &workload.template_labels;
        let matches = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.namespace == workload.name.namespace() && self.selector.iter().all(matches)
    }

    /// `namespace/service`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// `namespace/service:port`.
    pub(super) fn endpoint_name(&self, port: u16) -> String {
        format!("{}/{}:{port}", self.namespace, self.name)
    }

    /// The host name that leads to its first port at the gateway.
    pub(super) fn host(&self, domain: &str) -> String {
        format!("{}.{}{domain}", self.name, self.namespace)
    }
}

/// Names our annotations: on a Service none has an effect yet. The error is one text per key that
/// does not exist.
fn no_effect(annotations: &Annotations) -> Result<Option<String>, Vec<String>> {
    let is_ours = |key: &&String| key.starts_with(keys::KNATIVE) || key.starts_with(keys::DORMOUSE);
    let ours: Vec<_> = (annotations.keys().filter(is_ours)).map(String::as_str).collect();
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
        None => Target::Number(number),
    };
    Ok(Some(Port { number, target }))
}

/// A port by number or name; the error is the rule it breaks, to follow the field's name.
pub(super) fn read_target(target: &IntOrString) -> Result<Target, String> {
    match target {
        IntOrString::Int(number) => (port_number(*number).map(Target::Number))
            .ok_or_else(|| format!("{number} must be a port name or a number 1–65535")),
        IntOrString::String(name) => Ok(Target::Name(name.clone())),
    }
}

/// The number as a port, 1–65535.
pub(super) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|&number| number > 0)
}
