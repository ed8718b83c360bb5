//! The cluster's name server: the addresses of Services, `<service>.<namespace>.svc.cluster.local`,
//! and no other name. Like a real one it goes on with what it knew while the API server is away.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::HOST;
use super::background::Background;
use super::bundle::Namespaces;
use super::control_plane::{Identity, connect};

/// The port of name servers.
const PORT: u16 = 53;

/// Longest query and answer without extensions (RFC 1035, 4.2.1).
const BYTES_MAX: usize = 512;

/// So many addresses fit into an answer beside the longest name.
const ADDRESSES_MAX: usize = 14;

/// Longest wait for the API server: below the 5 s after which a resolver asks again.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// How long an answer may be kept: as long as in most clusters.
const TTL_S: u32 = 5;

const HEADER_BYTES: usize = 12;
/// Where the header ends: a name is put by its place (RFC 1035, 4.1.4).
const NAME_IN_QUESTION: [u8; 2] = [0xc0, 12];
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// The running server. It ends with the value.
pub struct NameServer {
    _task: Background,
}

/// What a query asks.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// In lower case, without the final dot.
    name: String,
    kind: u16,
    /// Where it ends in the query.
    end: usize,
}

/// What is known of a name; none if it leads nowhere.
type Found = Option<Vec<Ipv4Addr>>;

struct Server {
    client: Client,
    socket: UdpSocket,
    known: Mutex<BTreeMap<String, Found>>,
}

impl NameServer {
    /// Starts it at [`HOST`].
    ///
    /// # Panics
    /// If it cannot listen there.
    #[must_use]
    pub fn start(network: Namespaces, kubeconfig: PathBuf) -> Self {
        let (task, ()) = Background::start(network, |listens| async move {
            let socket = UdpSocket::bind((HOST, PORT)).await.expect("nobody else serves names");
            let client = connect(&kubeconfig, Identity::OfTheFile).await;
            listens.send(()).expect("the starter waits");
            let known = Mutex::default();
            serve(Arc::new(Server { client, socket, known })).await;
        });
        Self { _task: task }
    }
}

async fn serve(server: Arc<Server>) {
    let queries = TaskTracker::new();
    let mut buffer = [0; BYTES_MAX];
    // Only a closed socket fails, and this one is not.
    while let Ok((length, from)) = server.socket.recv_from(&mut buffer).await {
        let query = buffer[..length].to_vec();
        let server = Arc::clone(&server);
        queries.spawn(async move {
            // What is no question gets no answer.
            let Some(question) = Question::read(&query) else { return };
            let found = server.find(&question.name).await;
            // Who does not hear it asks again.
            server.socket.send_to(&answer(&query, &question, found.as_ref()), from).await.ok();
        });
    }
}

impl Server {
    /// None if nobody knows.
    async fn find(&self, name: &str) -> Option<Found> {
        let found = match service(name) {
            None => return Some(None),
            Some((service, namespace)) => {
                timeout(LOOK_UP_MAX, look_up(&self.client, service, namespace)).await
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(Ok(found)) => {
                known.insert(name.to_owned(), found.clone());
                Some(found)
            }
            _ => known.get(name).cloned(),
        }
    }
}

/// Service and namespace of a name.
fn service(name: &str) -> Option<(&str, &str)> {
    let (service, namespace) = name.strip_suffix(".svc.cluster.local")?.split_once('.')?;
    (!namespace.contains('.')).then_some((service, namespace))
}

async fn look_up(client: &Client, name: &str, namespace: &str) -> Result<Found, kube::Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let Some(service) = services.get_opt(name).await? else { return Ok(None) };
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    if address != "None" {
        return Ok(address.parse().ok().map(|address| vec![address]));
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    let slices = slices.list(&labelled).await?.items.into_iter();
    let endpoints = slices.flat_map(|slice| slice.endpoints);
    let ready = endpoints.filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    });
    let addresses = ready.flat_map(|endpoint| endpoint.addresses);
    Ok(Some(addresses.filter_map(|address| address.parse().ok()).collect()))
}

impl Question {
    fn read(query: &[u8]) -> Option<Self> {
        let is_query = query.get(2)? & 0xf8 == 0;
        if !is_query || query.get(4..6)? != [0, 1] {
            return None;
        }
        let mut labels = Vec::new();
        let mut at = HEADER_BYTES;
        loop {
            let length = usize::from(*query.get(at)?);
            let label = query.get(at + 1..at + 1 + length)?;
            at += 1 + length;
            if length == 0 {
                break;
            }
            labels.push(std::str::from_utf8(label).ok()?.to_ascii_lowercase());
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        let class = query.get(at + 2..at + 4)?;
        let is_ours = class == CLASS_IN.to_be_bytes();
        is_ours.then_some(Self { name: labels.join("."), kind, end: at + 4 })
    }
}

fn answer(query: &[u8], question: &Question, found: Option<&Found>) -> Vec<u8> {
    let (code, addresses) = match found {
        None => (SERVER_FAILURE, [].as_slice()),
        Some(None) => (NO_SUCH_NAME, [].as_slice()),
        Some(Some(addresses)) if question.kind == TYPE_A => (NO_ERROR, addresses.as_slice()),
        Some(Some(_)) => (NO_ERROR, [].as_slice()),
    };
    let addresses = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    let count = u16::try_from(addresses.len()).expect("a few");
    let mut answer = query[..2].to_vec();
    // An answer, with authority; recursion was wished for or not.
    answer.extend([0x84 | (query[2] & 1), code]);
    answer.extend([0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(&query[HEADER_BYTES..question.end]);
    for address in addresses {
        // The name is the question's.
        answer.extend(NAME_IN_QUESTION);
        answer.extend(TYPE_A.to_be_bytes());
        answer.extend(CLASS_IN.to_be_bytes());
        answer.extend(TTL_S.to_be_bytes());
        answer.extend(4_u16.to_be_bytes());
        answer.extend(address.octets());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C library asks: number 7, recursion wished for.
    const QUERY: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\
        \x03Hop\x04shop\x03svc\x07cluster\x05local\0\0\x01\0\x01";

    #[test]
    fn a_question_is_read_and_answered() {
        let question = Question::read(QUERY).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("hop.shop.svc.cluster.local", 1));
        assert_eq!(service(&question.name), Some(("hop", "shop")));
        let found = Some(vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        let answer = answer(QUERY, &question, Some(&found));
        assert_eq!(answer[..8], [0, 7, 0x85, 0, 0, 1, 0, 2]);
        assert_eq!(answer[12..QUERY.len()], QUERY[12..]);
        let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x0a\0\0\x01";
        assert_eq!(&answer[QUERY.len()..QUERY.len() + record.len()], record);
        assert_eq!(answer.len(), QUERY.len() + 2 * record.len());
    }

    #[test]
    fn what_is_not_known_not_there_and_not_asked_for_differ() {
        let question = Question::read(QUERY).unwrap();
        let code = |found: Option<&Found>| answer(QUERY, &question, found)[3];
        assert_eq!(code(None), SERVER_FAILURE);
        assert_eq!(code(Some(&None)), NO_SUCH_NAME);
        let there = Some(vec![Ipv4Addr::LOCALHOST]);
        let other = Question { kind: 28, ..Question::read(QUERY).unwrap() };
        let answer = answer(QUERY, &other, Some(&there));
        assert_eq!((answer[3], answer[7]), (NO_ERROR, 0));
    }

    #[test]
    fn names_of_others_and_damaged_questions_are_left_alone() {
        for name in ["example.org", "hop.svc.cluster.local", "pod.hop.shop.svc.cluster.local"] {
            assert_eq!(service(name), None, "{name}");
        }
        for length in 0..QUERY.len() {
            assert_eq!(Question::read(&QUERY[..length]), None, "{length}");
        }
    }
}
