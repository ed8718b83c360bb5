//! One EndpointSlice: what is kept of it, and how one of ours is to be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::Front;
use crate::cluster::kubernetes::objects::{Metadata, Watched};
use crate::cluster::workload::{Family, Key};

/// Who looks after an EndpointSlice; every controller leaves those of others alone.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const US: &str = "autoscaler.dormouse.dev";

/// The Service that an EndpointSlice is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An EndpointSlice as the API gives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cluster::kubernetes) struct EndpointSlices {
    metadata: Metadata,
    #[serde(flatten)]
    content: Content,
}

/// An EndpointSlice of ours as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    pub(super) uid: String,
    pub(super) resource_version: String,
    labels: BTreeMap<String, String>,
    /// The objects that it goes with.
    owners: Vec<String>,
    content: Content,
}

/// Where an EndpointSlice leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    address_type: String,
    /// Of these two, an empty one may come as null.
    #[serde(default, deserialize_with = "or_empty")]
    endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "or_empty")]
    ports: Vec<SlicePort>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Endpoint {
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SlicePort {
    name: String,
    port: u16,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_protocol: Option<String>,
}

fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

/// The selector of all that are ours.
pub(in crate::cluster::kubernetes) fn selector() -> String {
    format!("{MANAGED_BY}={US}")
}

/// The key of a Service's slice of that family: always the same, so that two autoscalers cannot
/// both make one.
pub(super) fn key(service: &Key, family: Family) -> Key {
    Key::new(service.namespace(), &format!("{}{}", service.name(), suffix(family)))
}

/// The Service and the family that a name of ours stands for.
pub(super) fn read_name(name: &str) -> Option<(&str, Family)> {
    [Family::V4, Family::V6]
        .into_iter()
        .find_map(|family| Some((name.strip_suffix(suffix(family))?, family)))
}

fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "-dormouse-ipv4",
        Family::V6 => "-dormouse-ipv6",
    }
}

fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The family of an address.
pub(super) fn family(address: &IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

impl Watched for EndpointSlices {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl EndpointSlices {
    pub(super) fn kept(self) -> (Key, Slice) {
        let Self { metadata, content } = self;
        let owners = metadata.owner_references.into_iter().map(|owner| owner.uid);
        let slice = Slice {
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            labels: metadata.labels,
            owners: owners.collect(),
            content,
        };
        (Key::new(&metadata.namespace, &metadata.name), slice)
    }
}

impl Slice {
    /// How the slice of a Service is to be: it leads to these activators.
    pub(super) fn of(
        front: &Front,
        service: &str,
        family: Family,
        activators: &BTreeSet<IpAddr>,
    ) -> Self {
        let endpoint = |address: &IpAddr| Endpoint {
            addresses: vec![address.to_string()],
            conditions: Conditions { ready: Some(true) },
        };
        let ports = front.ports.iter().map(|port| SlicePort {
            name: port.name.to_string(),
            port: port.own,
            protocol: "TCP".to_owned(),
            app_protocol: port.app_protocol.as_deref().map(str::to_owned),
        });
        let labels = [(SERVICE_NAME, service), (MANAGED_BY, US)];
        Self {
            uid: String::new(),
            resource_version: String::new(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            owners: vec![front.uid.clone()],
            content: Content {
                address_type: address_type(family).to_owned(),
                endpoints: activators.iter().map(endpoint).collect(),
                ports: ports.collect(),
            },
        }
    }

    /// Whether this one, as it is, needs no write to be like `wanted`. Labels of others stay.
    pub(super) fn is(&self, wanted: &Self) -> bool {
        let has = |(key, value): (&String, &String)| self.labels.get(key) == Some(value);
        wanted.labels.iter().all(has)
            && self.owners == wanted.owners
            && self.content == wanted.content
    }

    /// Whether it is of that family, which cannot be changed.
    pub(super) fn is_of(&self, family: Family) -> bool {
        self.content.address_type == address_type(family)
    }

    /// Whether its ports are those of a Service.
    pub(super) fn names_ports_of(&self, front: &Front) -> bool {
        let wanted = front.ports.iter().map(|port| (&*port.name, port.own));
        self.ports().eq(wanted)
    }

    /// The addresses it leads to.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = self.content.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        addresses.filter_map(|address| address.parse().ok())
    }

    /// The ports it leads to, with their names.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&str, u16)> {
        self.content.ports.iter().map(|port| (port.name.as_str(), port.port))
    }

    /// The object, whole.
    pub(super) fn body(&self, key: &Key) -> Value {
        let mut body = self.changes(key);
        body["apiVersion"] = json!("discovery.k8s.io/v1");
        body["kind"] = json!("EndpointSlice");
        body["metadata"]["namespace"] = json!(key.namespace());
        body["metadata"]["name"] = json!(key.name());
        body["addressType"] = json!(self.content.address_type);
        body
    }

    /// What makes `before` like this one, as a merge patch that holds only for it as it is.
    pub(super) fn patch(&self, before: &Self, key: &Key) -> Value {
        let mut body = self.changes(key);
        body["metadata"]["uid"] = json!(before.uid);
        body["metadata"]["resourceVersion"] = json!(before.resource_version);
        body
    }

    fn changes(&self, key: &Key) -> Value {
        let service = read_name(key.name()).map_or("", |(service, _)| service);
        let owner = |uid: &String| {
            json!({"apiVersion": "v1", "kind": "Service", "name": service, "uid": uid,
                "controller": true})
        };
        json!({
            "metadata": {
                "labels": self.labels,
                "ownerReferences": self.owners.iter().map(owner).collect::<Vec<_>>(),
            },
            "endpoints": self.content.endpoints,
            "ports": self.content.ports,
        })
    }
}
