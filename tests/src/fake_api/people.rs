//! What people's programs ask of an API server: its version, reviews of rights, its proxy to pods
//! and Services.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer::{Body, refuse, respond};
use super::state::{Request, Shared};
use crate::http::Client;

/// The answer, if it is one of these.
pub(super) async fn answer(shared: &Shared, request: &Request) -> Option<Response<Body>> {
    if request.path == "/version" {
        return Some(respond(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})));
    }
    if request.path.ends_with("/subjectaccessreviews") {
        return Some(respond(201, &json!({"status": {"allowed": true}})));
    }
    let (target, path) = request.path.split_once("/proxy/")?;
    let Some(admin) = shared.look(|state| state.proxied) else {
        return Some(refuse(404, &format!("{target} not found"), 0));
    };
    let path = format!("/{path}");
    let asked = tokio::task::spawn_blocking(move || Client::connect(admin).get("proxy", &path));
    Some(match asked.await {
        Ok(Ok(answer)) => {
            let mut response = Response::new(Full::from(Bytes::from(answer.body)).boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
            response
        }
        _ => refuse(503, "the proxied does not answer", 0),
    })
}
