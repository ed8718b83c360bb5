//! `dormouse doctor`: what in a cluster stands in Dormouse's way. All is gathered first, with the
//! credentials of whoever asks; the [`checks`] are functions of what was found.

mod checks;
mod rights;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::api::ApiServer;
use super::ask::{Answer, AskError, Installed, refusal};
use rights::{Known, Right, known, looked_at, needed, review};

/// Objects per page of a list, as other clients ask for.
const PAGE: u32 = 500;

/// Most pages: fifty thousand objects of a kind, more than a cluster is tested with.
const PAGES_MAX: u32 = 100;

/// The status of HTTP for credentials that are nobody's.
const UNAUTHORIZED: u16 = 401;

/// What is said of an answer that none of ours can be.
const NO_OBJECT: &str = "an answer that is no JSON object";

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The API server is of a version that Dormouse was made for.
    Version,
    /// Both parts are there, of one version, and ready.
    Installed,
    /// The autoscaler may do what it has to.
    Rights,
    /// The Lease of who leads is written by autoscalers alone.
    Lease,
    /// No HorizontalPodAutoscaler scales a function, too.
    Hpa,
    /// No ScaledObject of KEDA does.
    Keda,
    /// No function belongs to a Revision of Knative.
    Knative,
    /// Nobody else writes the replicas of a function again and again.
    Replicas,
    /// No NetworkPolicy keeps activators from a function's pods.
    NetworkPolicy,
    /// Nothing in the cluster reads Endpoints only, and so misses our EndpointSlices.
    Endpoints,
}

impl Check {
    /// Every one, in the order in which they are made.
    pub const ALL: [Self; 10] = [
        Self::Version,
        Self::Installed,
        Self::Rights,
        Self::Lease,
        Self::Hpa,
        Self::Keda,
        Self::Knative,
        Self::Replicas,
        Self::NetworkPolicy,
        Self::Endpoints,
    ];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Version => "version",
            Self::Installed => "installed",
            Self::Rights => "rights",
            Self::Lease => "lease",
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::Knative => "knative",
            Self::Replicas => "replicas",
            Self::NetworkPolicy => "network-policy",
            Self::Endpoints => "endpoints",
        })
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Good to know; nothing is wrong.
    Note,
    /// It could not be looked at with these credentials.
    Unknown,
    /// It will hurt, or already does, in some case.
    Warning,
    /// Something does not work.
    Fault,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Fault => "fault",
        })
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// The object it is about, as in `Deployment shop/cart`; empty for the cluster.
    pub object: String,
    /// What is so.
    pub what: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

/// What was found in the cluster, or why it was not.
type Found<T> = Result<T, Refused>;

/// Why something could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    status: u16,
    message: String,
}

/// All that the checks look at.
struct Evidence {
    installed: Installed,
    version: Found<Value>,
    /// Dormouse's own Deployments.
    parts: Found<Vec<Value>>,
    /// Whether the autoscaler has each right that it needs.
    rights: Vec<(Right, Found<bool>)>,
    /// The Lease that says who leads; null if there is none.
    lease: Found<Value>,
    /// The opted-in Deployments and StatefulSets.
    functions: Found<Vec<Value>>,
    hpas: Found<Vec<Value>>,
    scaled_objects: Found<Vec<Value>>,
    policies: Found<Vec<Value>>,
    cluster_roles: Found<Vec<Value>>,
    services: Found<Vec<Value>>,
}

/// Looks at everything and tells what was found, the worst of each check first.
///
/// # Errors
/// [`AskError`]: the API server does not answer, or knows nobody by these credentials, or it is
/// none. What it refuses is a finding.
pub async fn examine(api: &ApiServer, installed: &Installed) -> Result<Vec<Finding>, AskError> {
    let evidence = gather(api, installed).await?;
    Ok(judge(&evidence))
}

fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        Check::ALL.into_iter().flat_map(|check| checks::make(check, evidence)).collect();
    findings.sort_by_key(|finding| (finding.check, std::cmp::Reverse(finding.level)));
    findings
}

async fn gather(api: &ApiServer, installed: &Installed) -> Result<Evidence, AskError> {
    let version = version(api).await?;
    let parts = format!(
        "/apis/apps/v1/namespaces/{}/deployments?labelSelector=app.kubernetes.io%2Fname%3Ddormouse",
        installed.namespace
    );
    let parts = list(api, &parts).await?;
    let rights = review_all(api, installed, parts.as_deref().unwrap_or_default()).await?;
    let functions = match list(api, "/apis/apps/v1/deployments").await? {
        Ok(deployments) => list(api, "/apis/apps/v1/statefulsets").await?.map(|stateful| {
            let kinds = [("Deployment", deployments), ("StatefulSet", stateful)];
            kinds.into_iter().flat_map(|(kind, items)| opted_in(kind, items)).collect()
        }),
        Err(refused) => Err(refused),
    };
    let services = list(api, "/api/v1/services").await?;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    Ok(Evidence {
        installed: installed.clone(),
        version,
        parts,
        rights,
        lease: lease(&api.lease(installed).await?),
        functions,
        hpas: absent_is_none(list(api, "/apis/autoscaling/v2/horizontalpodautoscalers").await?),
        scaled_objects: absent_is_none(list(api, "/apis/keda.sh/v1alpha1/scaledobjects").await?),
        policies: list(api, "/apis/networking.k8s.io/v1/networkpolicies").await?,
        cluster_roles: list(api, roles).await?,
        services,
    })
}

/// What everybody may ask. Who knows nobody by these credentials, or answers as no API server does,
/// need not be asked for the rest.
async fn version(api: &ApiServer) -> Result<Found<Value>, AskError> {
    let answer = api.get("/version").await?;
    let Answer { status, body } = &answer;
    let said = match serde_json::from_slice(body) {
        Ok(Value::Object(_)) if *status != UNAUTHORIZED => return Ok(read(&answer)),
        Ok(Value::Object(_)) => refusal(&answer).unwrap_or_else(|| "no reason given".to_owned()),
        _ => NO_OBJECT.to_owned(),
    };
    let source = format!("/version was answered {status}: {said}").into();
    Err(AskError::Broken { url: api.url().to_owned(), source })
}

/// Whether the autoscaler has what it needs as it was told to run, or as it does by default if that
/// is not known.
async fn review_all(
    api: &ApiServer,
    installed: &Installed,
    parts: &[Value],
) -> Result<Vec<(Right, Found<bool>)>, AskError> {
    let autoscaler = parts.iter().find(|it| it["metadata"]["name"] == *installed.service);
    let activators = autoscaler.map_or(Known::ByTheirTokens, known);
    let looks_at = autoscaler.map(looked_at).unwrap_or_default();
    let mut rights = Vec::new();
    for right in needed(installed, activators) {
        let allowed = review(api, installed, &looks_at, &right).await?;
        rights.push((right, allowed));
    }
    Ok(rights)
}

/// Every object of a collection, page by page.
async fn list(api: &ApiServer, path: &str) -> Result<Found<Vec<Value>>, AskError> {
    let mut items = Vec::new();
    let mut next = String::new();
    for _ in 0..PAGES_MAX {
        let question = if path.contains('?') { '&' } else { '?' };
        let token: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = api.get(&format!("{path}{question}limit={PAGE}&continue={token}")).await?;
        let mut page = match read(&page) {
            Ok(page) => page,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Value::Array(found) = page["items"].take() {
            // What is no object is nothing that can be looked at.
            items.extend(found.into_iter().filter(Value::is_object));
        }
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => token.clone_into(&mut next),
            _ => return Ok(Ok(items)),
        }
    }
    let message = format!("there are more than {} of them", PAGE * PAGES_MAX);
    Ok(Err(Refused { status: 200, message }))
}

fn read(answer: &Answer) -> Found<Value> {
    let status = answer.status;
    if let Some(message) = refusal(answer) {
        return Err(Refused { status, message });
    }
    match serde_json::from_slice(&answer.body) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Err(Refused { status, message: NO_OBJECT.to_owned() }),
    }
}

/// A Lease that is not there names nobody.
fn lease(answer: &Answer) -> Found<Value> {
    match read(answer) {
        Err(refused) if refused.status == 404 => Ok(Value::Null),
        found => found,
    }
}

/// A kind that the cluster does not know has no objects.
fn absent_is_none(found: Found<Vec<Value>>) -> Found<Vec<Value>> {
    match found {
        Err(refused) if refused.status == 404 => Ok(Vec::new()),
        found => found,
    }
}

/// Those that ask for Dormouse, each with its kind, which items of a list do not say.
fn opted_in(kind: &'static str, items: Vec<Value>) -> impl Iterator<Item = Value> {
    use dormouse_policy::settings::{OptIn, is_enabled};
    let texts = |map: &Value| -> BTreeMap<String, String> {
        serde_json::from_value(map.clone()).unwrap_or_default()
    };
    items.into_iter().filter_map(move |mut item| {
        let metadata = &item["metadata"];
        let asks = is_enabled(&texts(&metadata["annotations"]), &texts(&metadata["labels"]));
        item["kind"] = kind.into();
        matches!(asks, Ok(OptIn::Yes)).then_some(item)
    })
}
