//! The API server: how it is found, how long it may take, and what its refusals mean.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::time::timeout;

use super::counting::Counting;
use super::pausing::Pausing;
use crate::cluster::Calls;

/// Longest wait for a TCP connection: a packet lost once is sent again after one second.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Longest pause an API server may ask for: beyond it we look again by ourselves.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig that cannot be used.
    #[error("kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// A context that no kubeconfig has, or that cannot be used.
    #[error("context {context:?} cannot be used")]
    Context {
        /// Its name.
        context: String,
        /// Why.
        source: KubeconfigError,
    },
    /// Neither a kubeconfig nor a pod's own credentials.
    #[error("no kubeconfig was found, and this is no pod of a cluster")]
    Nowhere(#[source] InferConfigError),
    /// Credentials or certificates that cannot be used.
    #[error("the credentials for the API server cannot be used")]
    Credentials(#[source] kube::Error),
}

/// An API server, and the credentials to ask it with; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    pub(super) client: Client,
    url: String,
}

impl ApiServer {
    /// The one of that kubeconfig and context, each as `kubectl` has them if not given: by
    /// `KUBECONFIG`, `~/.kube/config` or, if no context is named, the pod's own service account.
    /// Calls are counted. Nothing is sent yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`]: there is no way to it.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
        calls: &Calls,
    ) -> Result<Self, ConnectError> {
        let mut config = find(kubeconfig, context).await?;
        // Every caller has its own bound and back-off; the library's would hide inside them.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_MAX);
        let url = config.cluster_url.to_string();
        let builder = ClientBuilder::try_from(config).map_err(ConnectError::Credentials)?;
        let client = builder.with_layer(&Pausing).with_layer(&Counting(calls.clone())).build();
        Ok(Self { client, url })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn find(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ConnectError> {
    let options =
        KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    match (kubeconfig, context) {
        (Some(path), _) => {
            let failed = |source| ConnectError::Kubeconfig { path: path.to_owned(), source };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
        }
        (None, Some(context)) => {
            let failed = |source| ConnectError::Context { context: context.to_owned(), source };
            Config::from_kubeconfig(&options).await.map_err(failed)
        }
        (None, None) => Config::infer().await.map_err(ConnectError::Nowhere),
    }
}

/// The right that a call needs, as a Role would grant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// None for the whole cluster.
    pub(super) namespace: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, namespace } = self;
        write!(f, "{{apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verb:?}]}} ")?;
        match namespace {
            Some(namespace) => write!(f, "in a Role of namespace {namespace}"),
            None => write!(f, "in a ClusterRole"),
        }
    }
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// 401: the credentials are not, or no longer, valid.
    #[error("the API server does not accept our credentials: {0}")]
    Unknown(String),
    /// 403.
    #[error("not allowed; this rule is missing: {0}")]
    Forbidden(Right),
    /// 404.
    #[error("it does not exist")]
    Absent,
    /// 409.
    #[error("it was changed meanwhile")]
    Conflict,
    /// 409 to who creates it.
    #[error("there is one of that name already")]
    Taken,
    /// 410: what was asked for is too long ago.
    #[error("the version asked for is too old")]
    Expired,
    /// 400 or 422.
    #[error("the API server does not take this: {0}")]
    Invalid(String),
    /// 429, or 503 with a pause.
    #[error("the API server asks for a pause of {0:?}")]
    Busy(Duration),
    /// Not sent: another replica may be leading before it would have ended.
    #[error("not sent, for this replica does not lead for long enough")]
    NotLeading,
    /// No answer, or one of no use.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// For how long the server wants to be left alone.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Busy(pause) => *pause,
            _ => Duration::ZERO,
        }
    }
}

/// Waits for a call, but not for ever.
pub(super) async fn bounded<T>(
    longest: Duration,
    right: &Right,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Refusal> {
    match timeout(longest, call).await {
        Ok(answer) => answer.map_err(|error| refusal(error, right)),
        Err(_) => Err(Refusal::Failed(format!("no answer within {longest:?}"))),
    }
}

/// What an error means to a caller that needs `right`.
pub(super) fn refusal(error: kube::Error, right: &Right) -> Refusal {
    let kube::Error::Api(status) = &error else {
        return Refusal::Failed(chain(&error));
    };
    let after = status.details.as_ref().map(|details| details.retry_after_seconds);
    let after = after.filter(|seconds| *seconds > 0);
    match (status.code, after) {
        (401, _) => Refusal::Unknown(status.message.clone()),
        (403, _) => Refusal::Forbidden(right.clone()),
        (404, _) => Refusal::Absent,
        (409, _) => Refusal::Conflict,
        (410, _) => Refusal::Expired,
        (400 | 422, _) => Refusal::Invalid(status.message.clone()),
        (429 | 503, Some(seconds)) => {
            Refusal::Busy(Duration::from_secs(seconds.into()).min(RETRY_AFTER_MAX))
        }
        (code, _) => Refusal::Failed(format!("{code}: {}", status.message)),
    }
}

/// An error and its causes in one line, but for those that the text before repeats.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some layers print their cause themselves.
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_403_names_the_rule_that_is_missing() {
        let right = Right {
            verb: "patch",
            group: "apps",
            resource: "deployments/scale",
            namespace: Some("shop".to_owned()),
        };
        let status = Status::failure("forbidden", "Forbidden").with_code(403).boxed();
        let text = refusal(kube::Error::Api(status), &right).to_string();
        let rule = r#"{apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"]}"#;
        assert!(text.contains(rule) && text.contains("namespace shop"), "{text}");
    }

    #[test]
    fn a_pause_asked_for_is_bounded() {
        let right = Right { verb: "list", group: "apps", resource: "deployments", namespace: None };
        let busy = |seconds| {
            let answer = json!({
                "status": "Failure", "code": 429, "message": "busy", "reason": "TooManyRequests",
                "details": {"retryAfterSeconds": seconds},
            });
            let status: Status = serde_json::from_value(answer).unwrap();
            refusal(kube::Error::Api(status.boxed()), &right)
        };
        assert_eq!(busy(2), Refusal::Busy(Duration::from_secs(2)));
        assert_eq!(busy(9_000), Refusal::Busy(RETRY_AFTER_MAX));
        assert!(matches!(busy(0), Refusal::Failed(_)));
    }
}
