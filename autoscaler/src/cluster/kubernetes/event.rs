//! One complaint as an Event on its object.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_policy::fingerprint::fnv1a;
use http::Request;
use http::header::CONTENT_TYPE;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde::de::IgnoredAny;
use serde_json::json;

use super::api::{Refusal, Right, bounded};
use super::complaints::{Complaint, REPEATED};

/// Longest wait for an answer; nothing depends on it.
const CALL_MAX: Duration = Duration::from_secs(5);

/// The longest note that an Event may carry, in bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// Posts it; one of its [`name`] that is there already will do.
pub(super) async fn post(client: &Client, complaint: &Complaint) -> Result<(), Refusal> {
    let Complaint { regarding, reason, uid, note } = complaint;
    let namespace = &regarding.namespace;
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timestamp::try_from(now).map_err(|error| Refusal::Failed(error.to_string()))?;
    let body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "name": name(complaint, since)},
        "eventTime": format!("{time:.6}"),
        "type": "Warning",
        "reason": reason,
        "action": "Configure",
        "reportingController": "dormouse.dev/autoscaler",
        "reportingInstance": "dormouse-autoscaler",
        "regarding": {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "namespace": namespace,
            "name": regarding.name,
            "uid": uid,
        },
        "note": shortened(note),
    });
    let uri = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let request = Request::post(uri)
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let right = Right {
        verb: "create",
        group: "events.k8s.io",
        resource: "events",
        namespace: Some(namespace.clone()),
    };
    match bounded(CALL_MAX, &right, client.request::<IgnoredAny>(request)).await {
        Ok(_) | Err(Refusal::Conflict) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// What the Event is called, so long after 1970. The same complaint on the same object has the
/// same name for as long as it is not to be repeated, so that restarts and further replicas do not
/// say it again at once.
fn name(complaint: &Complaint, since: Duration) -> String {
    let Complaint { regarding, reason, uid, note } = complaint;
    let period = since.as_secs() / REPEATED.as_secs();
    let hash = fnv1a(&format!("{uid}\n{reason}\n{note}\n{period}"));
    format!("{}.{hash:016x}", regarding.name)
}

/// The text, cut at a character if it is too long.
fn shortened(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::super::complaints::Regarding;
    use super::*;

    #[test]
    fn the_same_complaint_has_another_name_once_it_is_to_be_repeated() {
        let regarding = Regarding {
            namespace: "shop".into(),
            name: "cart".into(),
            kind: "Deployment",
            api_version: "apps/v1",
        };
        let of = |note: &str| {
            let (regarding, uid, note) = (regarding.clone(), "u".to_owned(), note.to_owned());
            Complaint { regarding, reason: "SetAside", uid, note }
        };
        let first = name(&of("bad window"), REPEATED);
        assert_eq!(name(&of("bad window"), REPEATED * 2 - Duration::from_secs(1)), first);
        assert_ne!(name(&of("bad window"), REPEATED * 2), first);
        assert_ne!(name(&of("another"), REPEATED), first);
        assert!(first.starts_with("cart."), "{first}");
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "ü".repeat(NOTE_BYTES_MAX);
        assert_eq!(shortened(&long).len(), NOTE_BYTES_MAX);
        assert_eq!(shortened(&format!("x{long}")).len(), NOTE_BYTES_MAX - 1);
    }
}
