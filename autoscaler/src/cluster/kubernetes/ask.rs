//! What people ask of a cluster: its API server, and behind that Dormouse's own admin port.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;

use super::api::ApiServer;
use super::leader;

/// A person waits for this answer. A page of five hundred objects takes a busy server seconds.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Ten thousand functions with their decisions, as text.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The admin port of the autoscaler's pods.
const ADMIN_PORT: u16 = 9002;

/// Where in a cluster Dormouse is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The namespace of its parts.
    pub namespace: String,
    /// The name of the autoscaler's Service, and of all that is the autoscaler's: its service
    /// account, and the Lease that names the pod that leads.
    pub service: String,
}

/// What was answered, good or bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not within the time that a person waits.
    #[error("no answer of the API server at {url} within {} s", ANSWER_MAX.as_secs())]
    Late {
        /// Where it is.
        url: String,
    },
    /// The way there or back is broken.
    #[error("the API server at {url} cannot be asked")]
    Broken {
        /// Where it is.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server itself answered, not the autoscaler behind it.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl ApiServer {
    /// Asks for a path.
    ///
    /// # Errors
    /// [`AskError::Late`] or [`AskError::Broken`]; a refusal is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer, AskError> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Posts an object, as reviews are asked for.
    ///
    /// # Errors
    /// The same.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, AskError> {
        self.send(Method::POST, path, body.to_string().into_bytes()).await
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, AskError> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(CONTENT_TYPE, "application/json").body(Body::from(body));
        let exchange = async {
            let response = self.client.send(request?).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status, body })
        };
        let url = || self.url().to_owned();
        match timeout(ANSWER_MAX, exchange).await {
            Ok(answer) => answer.map_err(|source| AskError::Broken { url: url(), source }),
            Err(_) => Err(AskError::Late { url: url() }),
        }
    }

    /// Asks the admin port of the autoscaler that leads, through the API server's proxy; if that is
    /// not known, or the pod is gone, any that is ready, which passes it on.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, installed: &Installed, path: &str) -> Result<Answer, AskError> {
        let Installed { namespace, service } = installed;
        let within = format!("/api/v1/namespaces/{namespace}");
        if let Some(leader) = self.leader(installed).await? {
            let proxied = format!("{within}/pods/{leader}:{ADMIN_PORT}/proxy{path}");
            let answer = self.get(&proxied).await?;
            if refusal(&answer).is_none() {
                return Ok(answer);
            }
        }
        let answer = self.get(&format!("{within}/services/{service}:admin/proxy{path}")).await?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(message) => Err(AskError::Refused { status: answer.status, message }),
        }
    }

    /// The pod that leads, if that can be known.
    async fn leader(&self, installed: &Installed) -> Result<Option<String>, AskError> {
        let lease = self.lease(installed).await?;
        let lease = serde_json::from_slice::<Value>(&lease.body).ok();
        Ok(lease.as_ref().and_then(leader::pod_of))
    }

    /// The Lease that says who leads.
    pub(super) async fn lease(&self, installed: &Installed) -> Result<Answer, AskError> {
        let Installed { namespace, service } = installed;
        let group = "/apis/coordination.k8s.io/v1";
        self.get(&format!("{group}/namespaces/{namespace}/leases/{service}")).await
    }
}

/// The words of an API server that answered in its own name.
pub(super) fn refusal(answer: &Answer) -> Option<String> {
    if answer.status < 400 {
        return None;
    }
    let status: Value = serde_json::from_slice(&answer.body).ok()?;
    let message = status["message"].as_str().unwrap_or("no reason given");
    (status["kind"] == "Status").then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, body: body.to_string().into() }
    }

    #[test]
    fn the_autoscalers_own_404_is_an_answer_and_the_api_servers_a_refusal() {
        let ours = answer(404, &json!({"type": "about:blank", "detail": "no function"}));
        assert_eq!(refusal(&ours), None);
        let theirs = answer(404, &json!({"kind": "Status", "message": "no such service"}));
        assert_eq!(refusal(&theirs), Some("no such service".to_owned()));
        assert_eq!(refusal(&answer(200, &json!({"kind": "Status"}))), None);
    }
}
