//! The containers' probes to the one by which its readiness is found.

use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::function::{HttpGet, Probe};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::service::{TargetPort, read_target};
use super::{Container, Readiness};

/// Kubernetes' defaults for a probe that is given.
const PERIOD_S: i32 = 10;
const TIMEOUT_S: i32 = 1;
const FAILURE_THRESHOLD: i32 = 3;

/// A container without a probe is tried by connecting, this often until the first success: a local
/// connect costs microseconds, and nobody waits noticeably for a tenth of a second.
const CONNECT_PERIOD: Duration = Duration::from_millis(100);

/// A container's probe as it is written, but for what is never looked at.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "core::Probe")]
pub(in crate::cluster) struct GivenProbe {
    asks: Asks,
    initial_delay_seconds: Option<i32>,
    period_seconds: Option<i32>,
    timeout_seconds: Option<i32>,
    success_threshold: Option<i32>,
    failure_threshold: Option<i32>,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq)]
enum Asks {
    Http(HttpAsked),
    Tcp(IntOrString),
    /// What cannot be done from outside.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
struct HttpAsked {
    port: IntOrString,
    path: Option<Box<str>>,
    host: Option<Box<str>>,
    headers: Box<[(String, String)]>,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl From<core::Probe> for GivenProbe {
    fn from(probe: core::Probe) -> Self {
        Self {
            asks: match (probe.http_get, probe.tcp_socket) {
                (Some(get), _) => Asks::Http(get.into()),
                (None, Some(tcp)) => Asks::Tcp(tcp.port),
                (None, None) => Asks::Other,
            },
            initial_delay_seconds: probe.initial_delay_seconds,
            period_seconds: probe.period_seconds,
            timeout_seconds: probe.timeout_seconds,
            success_threshold: probe.success_threshold,
            failure_threshold: probe.failure_threshold,
        }
    }
}

impl From<core::HTTPGetAction> for HttpAsked {
    fn from(get: core::HTTPGetAction) -> Self {
        let headers = get.http_headers.into_iter().flatten();
        Self {
            port: get.port,
            path: get.path.map(Into::into),
            host: get.host.map(Into::into),
            headers: headers.map(|header| (header.name, header.value)).collect(),
            scheme: match get.scheme.as_deref() {
                Some("HTTPS") => Scheme::Https,
                _ => Scheme::Http,
            },
        }
    }
}

/// How readiness is found.
pub(super) struct Probing {
    pub(super) probe: Probe,
    pub(super) readiness: Readiness,
    /// What of it is not honoured.
    pub(super) notice: Option<&'static str>,
}

/// Reads the readiness probe, or the startup probe if that is the only one. With several containers
/// the whole pod's readiness is more than one probe tells. `pod_port` turns a target into an index
/// of the function's pod ports. The error is the rule that is broken.
pub(super) fn read(
    containers: &[Container],
    mut pod_port: impl FnMut(&TargetPort) -> Result<usize, String>,
) -> Result<Probing, String> {
    let [container] = containers else {
        return Ok(connecting(Probe::Reported, None));
    };
    let (field, given) = match (&container.readiness_probe, &container.startup_probe) {
        (Some(given), _) => ("readinessProbe", given),
        (None, Some(given)) => ("startupProbe", given),
        (None, None) => return Ok(connecting(Probe::Connect, None)),
    };
    let mut port = |port: &IntOrString| {
        let target = read_target(port).map_err(|rule| format!("{field} port {rule}"))?;
        pod_port(&target).map_err(|rule| format!("{field} port {rule}"))
    };
    let readiness = times(field, given)?;
    let timeout_ms = u64::try_from(readiness.timeout.as_millis()).unwrap_or(u64::MAX);
    let probe = match &given.asks {
        Asks::Http(HttpAsked { scheme: Scheme::Https, .. }) => {
            let notice = "an HTTPS probe is not tried in local mode; a TCP connect stands in";
            return Ok(connecting(Probe::Reported, Some(notice)));
        }
        Asks::Http(get) => {
            let get = HttpGet {
                pod_port: port(&get.port)?,
                path: path(get.path.as_deref()),
                host: get.host.as_deref().map(str::to_owned),
                headers: get.headers.to_vec(),
                timeout_ms,
            };
            check_text(field, &get)?;
            Probe::Http(Arc::new(get))
        }
        Asks::Tcp(target) => Probe::Tcp { pod_port: port(target)?, timeout_ms },
        Asks::Other => {
            let notice = "only httpGet and tcpSocket probes are tried in local mode; a TCP \
                          connect stands in";
            return Ok(connecting(Probe::Reported, Some(notice)));
        }
    };
    Ok(Probing { probe, readiness, notice: None })
}

/// The probe that `times` are for is a plain connect.
fn connecting(probe: Probe, notice: Option<&'static str>) -> Probing {
    let seconds = |number: i32| Duration::from_secs(u64::from(number.unsigned_abs()));
    let readiness = Readiness {
        initial_delay: Duration::ZERO,
        period_unready: CONNECT_PERIOD,
        period_ready: seconds(PERIOD_S),
        timeout: seconds(TIMEOUT_S),
        success_threshold: 1,
        failure_threshold: FAILURE_THRESHOLD.unsigned_abs(),
    };
    Probing { probe, readiness, notice }
}

fn times(field: &str, given: &GivenProbe) -> Result<Readiness, String> {
    let number = |name: &str, value: Option<i32>, default: i32, min: u32| {
        u32::try_from(value.unwrap_or(default))
            .ok()
            .filter(|&number| number >= min)
            .ok_or_else(|| format!("{field} {name} must be {min} or more"))
    };
    let seconds = |number: u32| Duration::from_secs(number.into());
    let initial_delay = number("initialDelaySeconds", given.initial_delay_seconds, 0, 0)?;
    let period = number("periodSeconds", given.period_seconds, PERIOD_S, 1)?;
    let timeout = number("timeoutSeconds", given.timeout_seconds, TIMEOUT_S, 1)?;
    let failures = given.failure_threshold;
    Ok(Readiness {
        initial_delay: seconds(initial_delay),
        period_unready: seconds(period),
        period_ready: seconds(period),
        timeout: seconds(timeout),
        success_threshold: number("successThreshold", given.success_threshold, 1, 1)?,
        failure_threshold: number("failureThreshold", failures, FAILURE_THRESHOLD, 1)?,
    })
}

/// The path as it is asked for; Kubernetes too adds a missing slash.
fn path(path: Option<&str>) -> String {
    match path {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
        None => "/".to_owned(),
    }
}

/// What is sent as is must not break out of its line.
fn check_text(field: &str, get: &HttpGet) -> Result<(), String> {
    let HttpGet { path, host, headers, .. } = get;
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_value = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_visible(path) || !host.as_deref().is_none_or(is_visible) {
        return Err(format!("{field} path and host must be visible ASCII"));
    }
    let is_header = |(name, value): &(String, String)| {
        !name.is_empty() && is_visible(name) && !name.contains(':') && is_value(value)
    };
    if !headers.iter().all(is_header) {
        return Err(format!("{field} httpHeaders must be visible ASCII"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use serde_json::{Value, json};

    use super::*;

    /// What a probe may take up beside its texts, in bytes: one is kept for each of ten thousand
    /// functions that sleep.
    const BYTES_MAX: usize = 120;

    #[test]
    fn a_given_probe_takes_little_room() {
        assert!(size_of::<GivenProbe>() <= BYTES_MAX, "{}", size_of::<GivenProbe>());
    }

    #[test]
    fn what_one_try_cannot_tell_is_left_to_the_managers_word() {
        let (tcp, http) = (json!({"tcpSocket": {"port": 80}}), json!({"httpGet": {"port": 80}}));
        let https = json!({"httpGet": {"port": 80, "scheme": "HTTPS"}});
        let app = |probe: &Value| json!({"name": "app", "readinessProbe": probe});
        let beside = json!({"name": "beside"});
        for (containers, is_tried) in [
            (json!([app(&tcp)]), true),
            (json!([app(&http)]), true),
            (json!([app(&https)]), false),
            (json!([app(&json!({"exec": {"command": ["true"]}}))]), false),
            (json!([app(&json!({"grpc": {"port": 80}}))]), false),
            // The pod is ready once both are, and one may have no port to try.
            (json!([app(&tcp), beside]), false),
        ] {
            let read: Vec<Container> = serde_json::from_value(containers.clone()).unwrap();
            let probe = super::read(&read, |_| Ok(0)).unwrap().probe;
            let is_ours = matches!(probe, Probe::Http(_) | Probe::Tcp { .. });
            assert_eq!((is_ours, probe == Probe::Reported), (is_tried, !is_tried), "{containers}");
        }
    }
}
