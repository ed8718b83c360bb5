//! Tokens of activators, as the API server judges them. What it said is kept for as long as the
//! token lasts, so that an activator that connects again does not need it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use http::header::CONTENT_TYPE;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::api::{ApiServer, Refusal, Right, bounded};
use crate::{NotAdmitted, Vouch};

/// Whom the tokens are for: one made for the API server, or for anybody else, is none here.
const AUDIENCE: &str = "dormouse";

/// Where a review names the pod that the token was given to.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// Longest wait for an answer, well within the time a peer has for its Hello.
const CALL_MAX: Duration = Duration::from_secs(3);

/// Reviews at once: whoever can connect can ask for one.
const CALLS_MAX: usize = 4;

/// Reviews kept, each of an activator: more than there are connections.
const KEPT_MAX: usize = 512;

/// Judges tokens by `TokenReview`.
pub struct TokenReviews {
    client: Client,
    /// The service account that activators run as, as the API server names it.
    user: String,
    calls: Semaphore,
    /// By the token's hash, for a token is nothing to keep.
    kept: Mutex<BTreeMap<[u8; 32], Kept>>,
}

#[derive(Clone)]
struct Kept {
    reporter: String,
    /// When the token ends, in Unix seconds.
    until_s: u64,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    audiences: Vec<String>,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    extra: BTreeMap<String, Vec<String>>,
}

/// The part of a token's claims that is looked at.
#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

impl TokenReviews {
    /// Reviews by that API server; activators run as the service account `account` of our own
    /// namespace.
    #[must_use]
    pub fn new(api: &ApiServer, account: &str) -> Self {
        Self::by(api.client.clone(), account)
    }

    fn by(client: Client, account: &str) -> Self {
        let user = format!("system:serviceaccount:{}:{account}", client.default_namespace());
        let kept = Mutex::default();
        Self { client, user, calls: Semaphore::new(CALLS_MAX), kept }
    }

    async fn check(&self, token: &str, reporter: &str) -> Result<(), NotAdmitted> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(owner) = self.recall(&hash, now_s) {
            return is_same(&owner, reporter);
        }
        let asked = async {
            // It is never closed.
            let _permit = self.calls.acquire().await;
            review(&self.client, token).await
        };
        let status = asked.await.map_err(|refusal| NotAdmitted::Unchecked(refusal.to_string()))?;
        let owner = self.owner(&status)?;
        if let Some(until_s) = end(token) {
            self.keep(hash, Kept { reporter: owner.clone(), until_s }, now_s);
        }
        is_same(&owner, reporter)
    }

    /// The pod that the token belongs to.
    fn owner(&self, status: &Status) -> Result<String, NotAdmitted> {
        if !status.authenticated || !status.audiences.iter().any(|it| it == AUDIENCE) {
            return Err(NotAdmitted::Token);
        }
        if status.user.username != self.user {
            return Err(NotAdmitted::Other(status.user.username.clone()));
        }
        let pods = status.user.extra.get(POD).map_or(&[][..], Vec::as_slice);
        match pods {
            [pod] => Ok(pod.clone()),
            _ => Err(NotAdmitted::Other(format!("{}, but to no pod", self.user))),
        }
    }

    fn recall(&self, hash: &[u8; 32], now_s: u64) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(hash).filter(|kept| now_s < kept.until_s).map(|kept| kept.reporter.clone())
    }

    fn keep(&self, hash: [u8; 32], review: Kept, now_s: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| now_s < kept.until_s);
        if kept.len() < KEPT_MAX {
            kept.insert(hash, review);
        }
    }
}

impl Vouch for TokenReviews {
    fn vouch<'a>(
        &'a self,
        token: &'a str,
        reporter: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotAdmitted>> + Send + 'a>> {
        Box::pin(self.check(token, reporter))
    }
}

fn is_same(owner: &str, reporter: &str) -> Result<(), NotAdmitted> {
    match owner == reporter {
        true => Ok(()),
        false => Err(NotAdmitted::Other(format!("pod {owner}"))),
    }
}

/// When a token ends that was found to be good, in Unix seconds: as it says itself.
fn end(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.exp)
}

async fn review(client: &Client, token: &str) -> Result<Status, Refusal> {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    });
    let request = Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let right = Right {
        verb: "create",
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        namespace: None,
    };
    let review: Review = bounded(CALL_MAX, &right, client.request(request)).await?;
    Ok(review.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reviews() -> TokenReviews {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(nowhere).unwrap();
        TokenReviews::by(client, "dormouse-activator")
    }

    fn status(review: serde_json::Value) -> Status {
        serde_json::from_value(review).unwrap()
    }

    #[tokio::test]
    async fn only_the_activators_own_tokens_for_us_are_good() {
        let reviews = reviews();
        let ours = json!({
            "authenticated": true, "audiences": ["dormouse"],
            "user": {
                "username": "system:serviceaccount:default:dormouse-activator",
                "extra": {POD: ["activator-1"], "other": ["x"]},
            },
        });
        assert_eq!(reviews.owner(&status(ours.clone())), Ok("activator-1".to_owned()));
        let with = |path: &str, value: serde_json::Value| {
            let mut changed = ours.clone();
            *changed.pointer_mut(path).unwrap() = value;
            reviews.owner(&status(changed)).unwrap_err().to_string()
        };
        assert_eq!(with("/authenticated", json!(false)), "wrong token");
        assert_eq!(with("/audiences", json!(["https://kubernetes.default.svc"])), "wrong token");
        let other = "system:serviceaccount:shop:cart";
        assert!(with("/user/username", json!(other)).contains(other));
        assert!(with("/user/extra", json!({})).contains("to no pod"));
        assert!(is_same("activator-1", "activator-2").unwrap_err().to_string().contains('1'));
    }

    #[tokio::test]
    async fn a_review_is_kept_for_as_long_as_its_token_lasts() {
        let reviews = reviews();
        let token = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(end(&token(r#"{"exp": 90, "aud": ["dormouse"]}"#)), Some(90));
        assert_eq!((end("secret"), end("a.b.c"), end(&token("{}"))), (None, None, None));
        let kept = |until_s| Kept { reporter: "activator-1".into(), until_s };
        reviews.keep([1; 32], kept(90), 50);
        assert_eq!(reviews.recall(&[1; 32], 89).as_deref(), Some("activator-1"));
        assert_eq!(reviews.recall(&[1; 32], 90), None);
        assert_eq!(reviews.recall(&[2; 32], 50), None);
        let refused = reviews.check("unknown", "activator-1").await;
        assert!(matches!(refused, Err(NotAdmitted::Unchecked(_))), "{refused:?}");
        for number in 0..600_u16 {
            let mut hash = [9; 32];
            hash[..2].copy_from_slice(&number.to_be_bytes());
            reviews.keep(hash, kept(60), 50);
        }
        let len = reviews.kept.lock().unwrap().len();
        assert_eq!(len, KEPT_MAX, "bounded");
        reviews.keep([3; 32], kept(99), 91);
        assert_eq!(reviews.kept.lock().unwrap().len(), 1, "what has ended makes room");
    }
}
