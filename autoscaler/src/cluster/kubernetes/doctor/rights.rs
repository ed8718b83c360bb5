//! What the autoscaler's account has to be allowed, and whether it is: as the API server's own
//! `SubjectAccessReview` says.

use std::fmt;

use serde_json::{Value, json};

use super::super::api::ApiServer;
use super::super::ask::{AskError, Installed};
use super::{Found, read};

/// A rule that a role has to grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) place: Place,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// The one object that it is about; empty for all.
    pub(super) name: String,
    pub(super) verb: &'static str,
}

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In each namespace that is looked at, or in the whole cluster if all are.
    LookedAt,
    /// In the cluster: what it is about is in no namespace.
    Cluster,
    /// In the autoscaler's own namespace.
    Own,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, group, resource, name, verb } = self;
        write!(f, "{{apiGroups: [{group:?}], resources: [{resource:?}], ")?;
        if !name.is_empty() {
            write!(f, "resourceNames: [{name:?}], ")?;
        }
        write!(f, "verbs: [{verb:?}]}} ")?;
        f.write_str(match place {
            Place::LookedAt => "where it looks",
            Place::Cluster => "in a ClusterRole",
            Place::Own => "in its own namespace",
        })
    }
}

/// What is needed where activators are known in that way.
pub(super) fn needed(installed: &Installed, activators: Known) -> Vec<Right> {
    let mut needed = Vec::new();
    let mut need = |place, group, resource, name: &str, verbs: &[&'static str]| {
        let right = |&verb| Right { place, group, resource, name: name.to_owned(), verb };
        needed.extend(verbs.iter().map(right));
    };
    let watched = ["list", "watch"];
    for resource in ["deployments", "statefulsets"] {
        need(Place::LookedAt, "apps", resource, "", &watched);
    }
    for resource in ["deployments/scale", "statefulsets/scale"] {
        need(Place::LookedAt, "apps", resource, "", &["patch"]);
    }
    for resource in ["services", "pods"] {
        need(Place::LookedAt, "", resource, "", &watched);
    }
    let slices = ["list", "watch", "create", "patch", "delete"];
    need(Place::LookedAt, "discovery.k8s.io", "endpointslices", "", &slices);
    need(Place::LookedAt, "autoscaling", "horizontalpodautoscalers", "", &watched);
    need(Place::LookedAt, "keda.sh", "scaledobjects", "", &watched);
    need(Place::LookedAt, "events.k8s.io", "events", "", &["create"]);
    if activators == Known::ByTheirTokens {
        need(Place::Cluster, "authentication.k8s.io", "tokenreviews", "", &["create"]);
    }
    let (leases, lease) = ("coordination.k8s.io", &*installed.service);
    need(Place::Own, leases, "leases", "", &["create"]);
    need(Place::Own, leases, "leases", lease, &["get", "list", "watch", "patch"]);
    need(Place::Own, "", "configmaps", "config-autoscaler", &watched);
    need(Place::Own, "", "pods", "", &["get"]);
    needed
}

/// How the autoscaler knows activators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The API server is asked whose token it is.
    ByTheirTokens,
    /// They share a secret.
    BySecret,
}

/// How the autoscaler was told to know activators.
pub(super) fn known(autoscaler: &Value) -> Known {
    let environment = container(autoscaler)["env"].as_array().into_iter().flatten();
    let mut names = environment.map(|variable| &variable["name"]);
    let is_flag = |argument: &str| argument.starts_with("--token-file");
    match names.any(|name| name == "DORMOUSE_TOKEN_FILE") || arguments(autoscaler).any(is_flag) {
        true => Known::BySecret,
        false => Known::ByTheirTokens,
    }
}

/// The namespaces that the autoscaler was told to look at; none = the whole cluster.
pub(super) fn looked_at(autoscaler: &Value) -> Vec<String> {
    let told = arguments(autoscaler).filter_map(|it| it.strip_prefix("--namespace="));
    told.flat_map(|names| names.split(',').map(str::to_owned)).collect()
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn arguments(deployment: &Value) -> impl Iterator<Item = &str> {
    container(deployment)["args"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the autoscaler's account has a right wherever it needs it.
pub(super) async fn review(
    api: &ApiServer,
    installed: &Installed,
    looks_at: &[String],
    right: &Right,
) -> Result<Found<bool>, AskError> {
    let cluster = [String::new()];
    let places = match right.place {
        Place::LookedAt if !looks_at.is_empty() => looks_at,
        Place::LookedAt | Place::Cluster => &cluster,
        Place::Own => std::slice::from_ref(&installed.namespace),
    };
    for namespace in places {
        let allowed = review_in(api, installed, namespace, right).await?;
        if !matches!(allowed, Ok(true)) {
            return Ok(allowed);
        }
    }
    Ok(Ok(true))
}

/// Whether it has it in that namespace; empty = in the whole cluster.
async fn review_in(
    api: &ApiServer,
    installed: &Installed,
    place: &str,
    right: &Right,
) -> Result<Found<bool>, AskError> {
    let Right { group, resource, name, verb, .. } = right;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let Installed { namespace, service } = installed;
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{namespace}:{service}"),
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}")],
            "resourceAttributes": {
                "group": group, "resource": resource, "subresource": subresource, "name": name,
                "verb": verb, "namespace": place,
            },
        },
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = read(&api.post(path, &body).await?);
    Ok(answer.map(|review| review["status"]["allowed"] == true))
}
