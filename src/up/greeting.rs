//! What a person is told once everything listens: where, and what to type.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dormouse_autoscaler::status::{self, FunctionStatus, State};
use tokio::time::timeout;

use crate::console::{Console, Statuses};

/// How long the functions' own listeners may take before a person is told. They need the link and
/// one table, which take milliseconds; without a link they take until it is there.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Waits until each of so many functions can be reached, or is known not to be; then says where.
pub(super) async fn greet(
    console: &Console,
    gateway: SocketAddr,
    statuses: &mut Statuses,
    functions: usize,
) {
    let settled = async |statuses: &mut Statuses| {
        let settled = |now: &status::Statuses| now.len() == functions && now.iter().all(is_settled);
        match statuses.wait_for(settled).await {
            Ok(now) => console.print(greeting(gateway, &now)),
            // The autoscaler has ended; whoever waits for it says so.
            Err(_) => pending().await,
        }
    };
    if timeout(SILENCE_MAX, settled(statuses)).await.is_err() {
        console.print("dormouse: waiting for the activator to listen for every function\n");
        settled(statuses).await;
    }
}

fn is_settled(status: &FunctionStatus) -> bool {
    status.state == State::SetAside
        || status
            .endpoints
            .iter()
            .all(|endpoint| endpoint.listening.is_some() || endpoint.error.is_some())
}

/// The words, as far as listeners are known.
fn greeting(gateway: SocketAddr, statuses: &[FunctionStatus]) -> String {
    let mut text = format!("gateway http://{gateway}\n");
    let mut example = None;
    let served = statuses.iter().filter(|status| status.state != State::SetAside);
    for endpoint in served.flat_map(|status| &status.endpoints) {
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
        let mut here = gateway;
        if gateway.ip().is_unspecified() {
            here.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        text += &format!("try     curl -i -H 'Host: {host}' http://{here}/\n");
    }
    text
}
