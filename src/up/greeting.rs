//! What a person is told once everything listens: where, and what to type.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_autoscaler::status::FunctionStatus;
use tokio::time::timeout;

use crate::console::Statuses;

/// Longest wait for the functions' own listeners. They need the link and one table, which take
/// milliseconds; with a cut link they may never come, and the gateway is told all the same.
const LISTENERS_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits until the functions' ports are open and words the greeting.
pub(super) async fn greeting(gateway: SocketAddr, mut statuses: Statuses) -> String {
    let settled =
        statuses.wait_for(|statuses| !statuses.is_empty() && statuses.iter().all(is_settled));
    // Settled or not, what is known by now is told.
    timeout(LISTENERS_TIMEOUT, settled).await.ok();
    let known = statuses.borrow();
    words(gateway, &known)
}

fn is_settled(status: &FunctionStatus) -> bool {
    status
        .endpoints
        .iter()
        .all(|endpoint| endpoint.listening.is_some() || endpoint.error.is_some())
}

fn words(gateway: SocketAddr, statuses: &[FunctionStatus]) -> String {
    let mut text = format!("gateway http://{gateway}\n");
    let mut example = None;
    for endpoint in statuses.iter().flat_map(|status| &status.endpoints) {
        text += &endpoint.name;
        match (endpoint.listening, &endpoint.error) {
            (Some(address), _) => text += &format!(" http://{address}"),
            (None, Some(error)) => text += &format!(" has no port of its own: {error}"),
            (None, None) => text += " has no port of its own yet",
        }
        for host in &endpoint.hosts {
            text += &format!(" http://{host}:{}", gateway.port());
            example = example.or(Some(host));
        }
        text.push('\n');
    }
    if let Some(host) = example {
        text += &format!("try     curl -i -H 'Host: {host}' http://{gateway}/\n");
    }
    text
}
