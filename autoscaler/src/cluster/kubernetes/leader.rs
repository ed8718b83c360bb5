//! The pod that leads, by the Lease: for questions that are passed on to it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use http::Request;
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::debug;

use super::api::{ApiServer, Refusal, Right, bounded};
use crate::FindLeader;

/// Longest wait for each of two answers.
const CALL_MAX: Duration = Duration::from_secs(1);

/// Finds it by asking the API server each time, for people rarely ask.
pub struct Leader {
    client: Client,
    lease: String,
}

impl Leader {
    /// By the Lease of that name in our own namespace.
    #[must_use]
    pub fn new(api: &ApiServer, lease: &str) -> Self {
        Self { client: api.client.clone(), lease: lease.to_owned() }
    }

    async fn find(&self) -> Result<Option<IpAddr>, Refusal> {
        let group = "coordination.k8s.io";
        let path = format!("/apis/{group}/v1");
        let lease: Value = self.get(&path, group, "leases", &self.lease).await?;
        let Some(pod) = pod_of(&lease) else {
            return Ok(None);
        };
        let pod: Value = self.get("/api/v1", "", "pods", &pod).await?;
        Ok(pod["status"]["podIP"].as_str().and_then(|address| address.parse().ok()))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        group_path: &str,
        group: &'static str,
        resource: &'static str,
        name: &str,
    ) -> Result<T, Refusal> {
        let namespace = self.client.default_namespace();
        let path = format!("{group_path}/namespaces/{namespace}/{resource}/{name}");
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Refusal::Failed(error.to_string()))?;
        let right = Right { verb: "get", group, resource, namespace: Some(namespace.to_owned()) };
        bounded(CALL_MAX, &right, self.client.request(request)).await
    }
}

impl FindLeader for Leader {
    fn find_leader(&self) -> Pin<Box<dyn Future<Output = Option<IpAddr>> + Send + '_>> {
        Box::pin(async {
            let found = self.find().await;
            found.unwrap_or_else(|refusal| {
                debug!(lease = self.lease, why = %refusal, "not known who leads");
                None
            })
        })
    }
}

/// The pod named by a Lease's holder, which is `<pod>_<number of the process>`.
pub(super) fn pod_of(lease: &Value) -> Option<String> {
    let (pod, _) = lease["spec"]["holderIdentity"].as_str()?.rsplit_once('_')?;
    // Nothing that would lead elsewhere in a path.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    (!pod.is_empty() && pod.bytes().all(is_name)).then(|| pod.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_leases_holder_is_a_pod_and_a_number() {
        let held = |by: &str| pod_of(&json!({"spec": {"holderIdentity": by}}));
        assert_eq!(held("dormouse-autoscaler-7f-x_00ff"), Some("dormouse-autoscaler-7f-x".into()));
        for not_ours in ["", "_", "nobody", "../../secrets_1", "a/b_1", "a%2Fb_1"] {
            assert_eq!(held(not_ours), None, "{not_ours}");
        }
        assert_eq!(pod_of(&json!({"kind": "Status"})), None);
    }
}
