//! What a Service that names its target must be like: requests to it go to activators, which speak
//! HTTP/1.1 and choose the pod for each request by themselves.

use dormouse_policy::settings::keys::SERVICE_TARGET;
use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};

use super::Workload;
use super::service::{Port, TargetPort};

/// What ports may say they speak, in lower case. What says nothing is taken for HTTP.
const APP_PROTOCOLS: [&str; 5] = ["http", "http/1.1", "ws", "websocket", "kubernetes.io/ws"];

/// Most ports of an EndpointSlice, as the API has it.
const PORTS_MAX: usize = 100;

/// Every rule that such a Service breaks by itself.
pub(super) fn refusals(spec: &ServiceSpec) -> Vec<String> {
    let key = SERVICE_TARGET.name;
    let mut rules = Vec::new();
    let mut refuse = |breaks: bool, rule: String| {
        if breaks {
            rules.push(rule);
        }
    };
    let selects = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    refuse(selects, format!("{key} is for a Service without spec.selector"));
    let goes_elsewhere = is_external_name(spec);
    refuse(
        goes_elsewhere,
        format!("{key} needs addresses, and a Service of type ExternalName has none"),
    );
    refuse(
        is_headless(spec),
        format!("{key} needs an address of the Service's own: clusterIP must not be None"),
    );
    let policies = [
        ("internalTrafficPolicy", &spec.internal_traffic_policy),
        ("externalTrafficPolicy", &spec.external_traffic_policy),
    ];
    for (field, policy) in policies {
        let is_local = policy.as_deref() == Some("Local");
        refuse(
            is_local,
            format!("{field} must be Cluster: there is not an activator on every node"),
        );
    }
    let is_sticky = spec.session_affinity.as_deref().is_some_and(|it| it != "None");
    let rule = "sessionAffinity cannot be honoured and must be None: activators choose a pod for \
                each request";
    refuse(is_sticky, rule.to_owned());
    let ports = spec.ports.as_deref().unwrap_or_default();
    refuse(ports.len() > PORTS_MAX, format!("it must have at most {PORTS_MAX} ports"));
    rules.extend(ports.iter().filter_map(refused_port));
    rules
}

/// Whether activators speak what a port says it speaks.
pub(super) fn is_spoken(app_protocol: &str) -> bool {
    APP_PROTOCOLS.contains(&app_protocol.to_ascii_lowercase().as_str())
}

/// The rule that a port breaks.
fn refused_port(port: &ServicePort) -> Option<String> {
    let number = port.port;
    if let Some(protocol) = port.protocol.as_deref().filter(|protocol| *protocol != "TCP") {
        return Some(format!("port {number}: protocol {protocol} must be TCP"));
    }
    let spoken = port.app_protocol.as_deref()?;
    (!is_spoken(spoken)).then(|| {
        let known = APP_PROTOCOLS.join(", ");
        format!(
            "port {number}: appProtocol {spoken:?} is not served yet; it must be absent or one of \
             {known}"
        )
    })
}

/// The rule that a port breaks with the workload it is to lead to. Nothing but the container's own
/// word says where a pod without selector listens, so here a number must be declared, too.
pub(super) fn misfit(port: &Port, workload: &Workload) -> Option<String> {
    let mut declared = workload.declared_ports();
    let (is_there, target) = match &port.target {
        TargetPort::Number(number) => (declared.any(|it| it.number == *number), number.to_string()),
        TargetPort::Name(name) => (declared.any(|it| *it.name == **name), format!("{name:?}")),
    };
    let Workload { kind, name, .. } = workload;
    let number = port.number;
    (!is_there).then(|| {
        format!("port {number}: targetPort {target} is no container port of {kind} {name}")
    })
}

pub(super) fn is_external_name(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("ExternalName")
}

pub(super) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(spec: Value) -> String {
        refusals(&serde_json::from_value(spec).unwrap()).join("; ")
    }

    #[test]
    fn what_an_activator_cannot_stand_for_is_refused() {
        for (field, value, rule) in [
            ("selector", json!({"app": "a"}), "without spec.selector"),
            ("type", json!("ExternalName"), "of type ExternalName"),
            ("clusterIP", json!("None"), "clusterIP must not be None"),
            ("internalTrafficPolicy", json!("Local"), "internalTrafficPolicy must be Cluster"),
            ("externalTrafficPolicy", json!("Local"), "externalTrafficPolicy must be Cluster"),
            ("sessionAffinity", json!("ClientIP"), "sessionAffinity cannot be honoured"),
            ("ports", json!([{"port": 53, "protocol": "UDP"}]), "port 53: protocol UDP"),
            ("ports", json!(vec![json!({"port": 1}); 101]), "at most 100 ports"),
        ] {
            let said = refused(json!({field: value}));
            assert!(said.contains(rule) && !said.contains("; "), "{field}: {said:?}");
        }
        let usual = json!({
            "clusterIP": "10.0.0.1", "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
            "externalTrafficPolicy": "Cluster", "sessionAffinity": "None", "selector": {},
            "ports": [{"port": 80, "protocol": "TCP"}],
        });
        assert_eq!(refused(usual), "");
    }

    #[test]
    fn what_is_not_http_1_is_refused_by_its_app_protocol() {
        let said =
            |protocol: &str| refused(json!({"ports": [{"port": 9, "appProtocol": protocol}]}));
        for fine in ["http", "HTTP/1.1", "ws", "kubernetes.io/ws"] {
            assert_eq!(said(fine), "", "{fine}");
        }
        for foreign in ["kubernetes.io/h2c", "kubernetes.io/wss", "grpc", "https", "http2", "tcp"] {
            let rule = format!("port 9: appProtocol {foreign:?} is not served yet");
            assert!(said(foreign).contains(&rule), "{foreign}");
        }
    }
}
