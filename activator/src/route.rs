//! From a request to its function: a snapshot replaced whole whenever a function or one of its
//! endpoints comes or goes.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use crate::function::Function;
use crate::problem::Problem;

/// Where requests go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Whether they are all there are.
    pub(crate) extent: Extent,
    /// By host name at the gateway: lower case, without port.
    pub(crate) hosts: HashMap<Arc<str>, Route>,
    /// By endpoint name, for listeners that belong to one endpoint.
    pub(crate) endpoints: HashMap<Arc<str>, Route>,
}

/// Whether an autoscaler says which functions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// None does, now or ever: a host without a route may well have a function.
    #[default]
    Unknown,
    /// One does.
    Whole,
}

/// One way to a function.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The function.
    pub(crate) function: Arc<Function>,
    /// Which of a pod's addresses.
    pub(crate) pod_port: usize,
}

/// What a listener stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entrance {
    /// Every function, told apart by Host.
    Gateway,
    /// One endpoint, whatever the Host.
    Endpoint(Arc<str>),
}

impl Entrance {
    /// The Host for a request that has none, as HTTP/1.0 may; none at the gateway.
    pub(crate) fn host(&self) -> Option<HeaderValue> {
        let Self::Endpoint(name) = self else {
            return None;
        };
        let (namespace, service) = name.split_once('/')?;
        let service = service.rsplit_once(':').map_or(service, |(service, _)| service);
        HeaderValue::try_from(format!("{service}.{namespace}")).ok()
    }
}

impl Routes {
    /// The function a request at `entrance` for `host` is meant for.
    ///
    /// # Errors
    /// [`Problem::UnknownHost`], or [`Problem::NoTable`] if that cannot be told yet.
    pub(crate) fn find(&self, entrance: &Entrance, host: &str) -> Result<&Route, Problem> {
        let found = match entrance {
            Entrance::Endpoint(name) => self.endpoints.get(name),
            Entrance::Gateway => {
                let name = host_name(host);
                if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    self.hosts.get(&*name.to_ascii_lowercase())
                } else {
                    self.hosts.get(name)
                }
            }
        };
        found.ok_or(match self.extent {
            Extent::Unknown => Problem::NoTable,
            Extent::Whole => Problem::UnknownHost,
        })
    }
}

/// The host name of a Host header's value: without port and without the root's dot.
fn host_name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        // An IPv6 literal in brackets has colons of its own.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for (host, name) in [
            ("a.b", "a.b"),
            ("a.b:80", "a.b"),
            ("a.b.", "a.b"),
            ("a.b.:80", "a.b"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }
}
