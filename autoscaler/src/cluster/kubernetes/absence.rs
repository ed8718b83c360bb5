//! Whether an activator's pod is gone for good.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde::de::IgnoredAny;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::api::{Refusal, Right, bounded};

/// Longest wait for an answer; nothing depends on it.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Between two looks: a node that died keeps its pods for minutes.
const AGAIN: Duration = Duration::from_secs(30);

/// Returns once no pod of that name is in our own namespace.
pub(super) async fn gone(client: &Client, pod: &str) {
    loop {
        match look(client, pod).await {
            Err(Refusal::Absent) => return,
            Ok(()) => debug!(pod, "is still there"),
            // Until that is mended its pods are kept, and whoever can mend it has to know.
            Err(refusal @ Refusal::Forbidden(_)) => {
                warn!(pod, why = %refusal, "not known whether it is still there");
            }
            Err(refusal) => debug!(pod, why = %refusal, "not known whether it is still there"),
        }
        sleep(AGAIN).await;
    }
}

async fn look(client: &Client, pod: &str) -> Result<(), Refusal> {
    let namespace = client.default_namespace();
    let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{pod}"))
        .body(Vec::new())
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let namespace = Some(namespace.to_owned());
    let right = Right { verb: "get", group: "", resource: "pods", namespace };
    bounded(CALL_MAX, &right, client.request::<IgnoredAny>(request)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with that, and returns its first line.
    async fn answer(listener: &TcpListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap().lines().next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_pod_is_gone_once_the_api_server_does_not_know_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let client = || Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
        let there = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let (asked, found) = (answer(&listener, there), client());
        let (asked, found) = tokio::join!(asked, look(&found, "activator-1"));
        assert_eq!(asked, "GET /api/v1/namespaces/default/pods/activator-1 HTTP/1.1");
        assert!(found.is_ok());

        let status = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
        let length = status.len();
        let absent = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{status}");
        let client = client();
        tokio::join!(answer(&listener, &absent), gone(&client, "activator-1"));
    }
}
