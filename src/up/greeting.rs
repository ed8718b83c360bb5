//! What a person is told once everything listens: where, and what to type.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_autoscaler::status::{FunctionStatus, State};
use tokio::time::timeout;

use crate::console::Statuses;

/// Longest wait for the functions' own listeners. They need the link and one table, which take
/// milliseconds; with a cut link they may never come, and the gateway is told all the same.
const LISTENERS_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits until each of so many functions can be reached, or is known not to be.
pub(super) async fn settled(statuses: &mut Statuses, functions: usize) {
    let settled = statuses
        .wait_for(|statuses| statuses.len() == functions && statuses.iter().all(is_settled));
    // Settled or not, things go on.
    timeout(LISTENERS_TIMEOUT, settled).await.ok();
}

fn is_settled(status: &FunctionStatus) -> bool {
    status.state == State::SetAside
        || status
            .endpoints
            .iter()
            .all(|endpoint| endpoint.listening.is_some() || endpoint.error.is_some())
}

/// The words, as far as listeners are known.
pub(super) fn greeting(gateway: SocketAddr, statuses: &[FunctionStatus]) -> String {
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
