//! The activator between a scripted autoscaler and scripted pods, on loopback.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dormouse_activator::activator::Activator;
use dormouse_activator::config::{Config, Gateway, IfTaken, Token};
use dormouse_link::activator_side::Identity;
use dormouse_link::frame::{Down, EndpointEntry, Entry, Failure, Pod, Retiring, Up, VERSION};
use dormouse_policy::burst::StartUps;
use dormouse_policy::function::{FunctionName, Probe};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Autoscaler {
    listener: TcpListener,
    link: Framed<TcpStream, LengthDelimitedCodec>,
}

impl Autoscaler {
    /// Takes the connection that an activator makes, and hears whose it is.
    async fn accept(listener: TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = accepted.expect("the activator dials").unwrap();
        let link = Framed::new(stream, LengthDelimitedCodec::new());
        let mut autoscaler = Self { listener, link };
        let token = autoscaler
            .hear(|frame| match frame {
                Up::Hello { version: VERSION, token, .. } => Some(token),
                _ => None,
            })
            .await;
        assert_eq!(token, "secret");
        autoscaler
    }

    async fn say(&mut self, frame: Down) {
        self.link.send(Bytes::from(serde_json::to_vec(&frame).unwrap())).await.unwrap();
    }

    /// The next frame that `wanted` picks, past all others.
    async fn hear<T>(&mut self, mut wanted: impl FnMut(Up) -> Option<T>) -> T {
        let heard = async {
            loop {
                let bytes = self.link.next().await.expect("the link stands").unwrap();
                if let Some(found) = wanted(serde_json::from_slice(&bytes).unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("the activator says it")
    }

    async fn hear_wake(&mut self) {
        self.hear(|frame| match frame {
            Up::WakesChanged { added, .. } if added == [hello()] => Some(()),
            _ => None,
        })
        .await;
    }

    async fn table(&mut self, entry: Entry) {
        self.say(Down::Table { whole: true, functions: vec![entry], removed: vec![] }).await;
    }
}

fn hello() -> FunctionName {
    FunctionName::new("default", "hello")
}

fn entry(pods: &[(&str, SocketAddr)]) -> Entry {
    Entry {
        function: hello(),
        endpoints: vec![EndpointEntry {
            name: "default/hello:80".into(),
            pod_port: 0,
            hosts: ["hello.test".into()].into(),
            listen: None,
        }],
        pods: pods
            .iter()
            .map(|(name, address)| Pod {
                name: (*name).into(),
                addresses: vec![*address],
                ready: true,
            })
            .collect(),
        probe: Probe::Connect,
        queue_depth: 2,
        container_concurrency: 0,
        queue_timeout_ms: 10_000,
        request_timeout_ms: 10_000,
        pressure: None,
        start_ups: StartUps::default(),
        gaps: Default::default(),
        failure: None,
    }
}

/// An activator with one worker, its autoscaler, and where its gateway listens.
async fn start() -> (Activator, Autoscaler, SocketAddr) {
    start_with(1).await
}

async fn start_with(workers: usize) -> (Activator, Autoscaler, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let identity = Identity { reporter: "local".into(), boot: 1 };
    let place = listener.local_addr().unwrap().to_string();
    let mut config = Config::new(vec![place], Token::Fixed("secret".into()), identity);
    config.workers = workers;
    let address = "127.0.0.1:0".parse().unwrap();
    config.gateway = Some(Gateway { address, if_taken: IfTaken::Fail });
    let activator = Activator::start(config).unwrap();
    let gateway = activator.gateway_address().unwrap();
    let mut autoscaler = Autoscaler::accept(listener).await;
    autoscaler.say(Down::Welcome { version: VERSION, leads: Some(1) }).await;
    (activator, autoscaler, gateway)
}

/// A pod that answers each connection's first request with `answer` and then closes; it hands out
/// what it received.
async fn pod(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), pod_at(listener, answer))
}

/// The same where that listens.
fn pod_at(
    listener: TcpListener,
    answer: &'static str,
) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                sender.send(String::from_utf8(request).unwrap()).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    received
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

async fn get(gateway: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: hello.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn status(stream: TcpStream) -> String {
    answer(stream).await.split_whitespace().nth(1).unwrap_or("none").to_owned()
}

#[tokio::test]
async fn a_request_at_zero_is_held_wakes_and_is_answered_once() {
    let (_activator, mut autoscaler, gateway) = start().await;
    asleep(&mut autoscaler, entry(&[]), &mut 0).await;
    let held = get(gateway).await;
    autoscaler.hear_wake().await;
    let (address, mut received) = pod(OK).await;
    autoscaler.table(entry(&[("a", address)])).await;
    assert!(answer(held).await.ends_with("ok"));
    assert!(received.recv().await.unwrap().starts_with("GET / HTTP/1.1\r\n"));
    assert!(received.try_recv().is_err(), "sent once");
}

#[tokio::test]
async fn many_held_requests_on_many_workers_ask_for_one_wake_and_the_next_is_not_forgotten() {
    let (_activator, mut autoscaler, gateway) = start_with(3).await;
    let mut epoch = 0;
    for container_concurrency in [0, 1] {
        let entry = |pods: &[(&str, SocketAddr)]| Entry {
            queue_depth: 30,
            container_concurrency,
            ..entry(pods)
        };
        asleep(&mut autoscaler, entry(&[]), &mut epoch).await;
        let mut held = Vec::new();
        for _ in 0..12 {
            held.push(get(gateway).await);
        }
        let mut asked = 0;
        let all_held = |frame: Up| match frame {
            Up::WakesChanged { added, .. } => {
                asked += added.len();
                None
            }
            Up::Report { readings, .. } => readings.iter().any(|it| it.held == 12).then_some(()),
            _ => None,
        };
        autoscaler.hear(all_held).await;
        assert_eq!(asked, 1, "one wake for twelve requests");
        let (address, mut received) = pod(OK).await;
        autoscaler.table(entry(&[("a", address)])).await;
        for request in held {
            assert_eq!(status(request).await, "200");
            received.try_recv().expect("each was sent once");
        }
        assert!(received.try_recv().is_err(), "and only once");
        asleep(&mut autoscaler, entry(&[]), &mut epoch).await;
        let next = get(gateway).await;
        autoscaler.hear_wake().await;
        autoscaler.table(entry(&[("a", address)])).await;
        assert_eq!(status(next).await, "200");
    }
}

/// Sends a table without pods and returns once it holds: a retirement is acknowledged after it.
async fn asleep(autoscaler: &mut Autoscaler, entry: Entry, epoch: &mut u64) {
    *epoch += 1;
    autoscaler.table(entry).await;
    retire(autoscaler, *epoch).await;
    autoscaler.say(Down::Commit { function: hello(), epoch: *epoch }).await;
}

async fn retire(autoscaler: &mut Autoscaler, epoch: u64) {
    let function = hello();
    autoscaler.say(Down::Prepare { function, epoch, pods: Retiring::All, hold_ms: 5_000 }).await;
    autoscaler
        .hear(|frame| match frame {
            Up::Prepared { epoch: prepared, .. } => (prepared == epoch).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn an_arrival_during_a_retirement_recalls_it_and_goes_on_after_the_abort() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let (address, mut received) = pod(OK).await;
    autoscaler.table(entry(&[("a", address)])).await;
    retire(&mut autoscaler, 4).await;
    let held = get(gateway).await;
    autoscaler
        .hear(|frame| match frame {
            Up::Recall { epoch: 4, .. } => Some(()),
            _ => None,
        })
        .await;
    assert!(received.try_recv().is_err(), "nothing is sent to a retiring pod");
    autoscaler.say(Down::Abort { function: hello(), epoch: 4 }).await;
    assert_eq!(status(held).await, "200");
}

#[tokio::test]
async fn a_full_queue_sheds_with_retry_after_while_the_others_are_still_held() {
    let (_activator, mut autoscaler, gateway) = start().await;
    autoscaler.table(entry(&[])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Commit { function: hello(), epoch: 1 }).await;
    let first = get(gateway).await;
    autoscaler.hear_wake().await;
    let second = get(gateway).await;
    autoscaler
        .hear(|frame| match frame {
            Up::Report { readings, .. } => readings.iter().any(|r| r.held == 2).then_some(()),
            _ => None,
        })
        .await;
    let shed = answer(get(gateway).await).await;
    assert!(shed.starts_with("HTTP/1.1 503"), "{shed}");
    assert!(shed.contains("retry-after: "), "{shed}");
    assert!(shed.contains("problems/queue-full"), "{shed}");
    let (address, _received) = pod(OK).await;
    autoscaler.table(entry(&[("a", address)])).await;
    assert_eq!((status(first).await, status(second).await), ("200".into(), "200".into()));
}

#[tokio::test]
async fn what_cannot_start_refuses_the_held_and_the_new() {
    let (_activator, mut autoscaler, gateway) = start().await;
    autoscaler.table(entry(&[])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Commit { function: hello(), epoch: 1 }).await;
    let held = get(gateway).await;
    autoscaler.hear_wake().await;
    let failure = Some(Failure { code: "crash-loop".into(), retry_ms: 60_000 });
    autoscaler.table(Entry { failure, ..entry(&[]) }).await;
    let refused = answer(held).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("problems/crash-loop"), "{refused}");
    assert_eq!(status(get(gateway).await).await, "503");
}

#[tokio::test]
async fn no_host_is_unknown_while_no_autoscaler_tells_which_there_are() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let refused = answer(get(gateway).await).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("problems/no-table"), "{refused}");
    autoscaler.say(Down::Table { whole: true, functions: vec![], removed: vec![] }).await;
    let no_longer = async |known: &str| loop {
        let text = answer(get(gateway).await).await;
        if !text.contains(known) {
            return text;
        }
        tokio::task::yield_now().await;
    };
    let empty = no_longer("problems/no-table").await;
    assert!(empty.starts_with("HTTP/1.1 404"), "{empty}");
    // Whatever came while it is away nobody would have told.
    drop(autoscaler);
    let away = no_longer("problems/unknown-host").await;
    assert!(away.contains("problems/no-table"), "{away}");
}

#[tokio::test]
async fn garbage_on_the_link_ends_it_and_the_last_table_serves_until_the_next() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let (address, _received) = pod(OK).await;
    autoscaler.table(entry(&[("a", address)])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Abort { function: hello(), epoch: 1 }).await;
    assert_eq!(status(get(gateway).await).await, "200");
    // No JSON, no frame of ours, longer than any frame, another protocol.
    let garbage: [&[u8]; 4] =
        [b"\0\0\0\x02{]", b"\0\0\0\x02{}", b"\x7f\xff\xff\xff", b"HTTP/1.1 400 Bad\r\n\r\n"];
    for bytes in garbage {
        autoscaler.link.get_mut().write_all(bytes).await.unwrap();
        // It says its Hello anew, and serves before anybody answered it.
        let Autoscaler { listener, link } = autoscaler;
        autoscaler = Autoscaler::accept(listener).await;
        assert_eq!(status(get(gateway).await).await, "200", "{bytes:?}");
        drop(link);
    }
    autoscaler.say(Down::Welcome { version: VERSION, leads: Some(1) }).await;
    autoscaler.say(Down::Table { whole: true, functions: vec![], removed: vec![] }).await;
    let gone = async {
        while status(get(gateway).await).await != "404" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the next table holds");
}

#[tokio::test]
async fn an_undelivered_request_goes_to_another_pod() {
    let (_activator, mut autoscaler, gateway) = start().await;
    // Ready by a probe of its own says its manager, yet nothing listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (address, _received) = pod(OK).await;
    let mut both = entry(&[("gone", nobody), ("here", address)]);
    both.probe = Probe::Tcp { pod_port: 0, timeout_ms: 100 };
    autoscaler.table(both).await;
    let host = async || loop {
        match status(get(gateway).await).await.as_str() {
            "503" => tokio::task::yield_now().await,
            status => return status.to_owned(),
        }
    };
    for _ in 0..20 {
        assert_eq!(host().await, "200");
    }
}

/// Its manager calls it ready, and alone can make its probe; for a while nobody listens there.
#[tokio::test]
async fn a_pod_of_its_managers_word_that_fell_in_doubt_is_used_again() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut reported = entry(&[("a", address)]);
    reported.probe = Probe::Reported;
    autoscaler.table(reported).await;
    // Answered once it has the table.
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Abort { function: hello(), epoch: 1 }).await;
    let held = get(gateway).await;
    autoscaler.hear_wake().await;
    let mut received = pod_at(TcpListener::bind(address).await.unwrap(), OK);
    assert_eq!(status(held).await, "200");
    assert!(received.try_recv().is_ok());
}

#[tokio::test]
async fn a_pod_of_its_managers_word_is_not_tried_before() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut reported = entry(&[("a", listener.local_addr().unwrap())]);
    (reported.probe, reported.pods[0].ready) = (Probe::Reported, false);
    autoscaler.table(reported.clone()).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Abort { function: hello(), epoch: 1 }).await;
    let held = get(gateway).await;
    autoscaler.hear_wake().await;
    let tried = tokio::time::timeout(Duration::from_millis(100), listener.accept());
    assert!(tried.await.is_err(), "nobody called it ready");
    let _received = pod_at(listener, OK);
    reported.pods[0].ready = true;
    autoscaler.table(reported).await;
    assert_eq!(status(held).await, "200");
}

#[tokio::test]
async fn what_may_have_been_delivered_is_answered_502_and_never_sent_again() {
    let (_activator, mut autoscaler, gateway) = start().await;
    // Answers nothing and closes.
    let (first, mut received_first) = pod("").await;
    let (second, mut received_second) = pod("").await;
    autoscaler.table(entry(&[("a", first), ("b", second)])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Abort { function: hello(), epoch: 1 }).await;
    let answer = answer(get(gateway).await).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("problems/upstream-ambiguous"), "{answer}");
    let received = usize::from(received_first.try_recv().is_ok())
        + usize::from(received_second.try_recv().is_ok());
    assert_eq!(received, 1);
}

#[tokio::test]
async fn a_held_upload_whose_client_leaves_frees_its_place() {
    let (_activator, mut autoscaler, gateway) = start().await;
    autoscaler.table(entry(&[])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Commit { function: hello(), epoch: 1 }).await;
    let mut upload = TcpStream::connect(gateway).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: hello.test\r\ncontent-length: 1000\r\n\r\nbegun";
    upload.write_all(head.as_bytes()).await.unwrap();
    autoscaler.hear_wake().await;
    drop(upload);
    autoscaler
        .hear(|frame| match frame {
            Up::WakesChanged { removed, .. } if removed == [hello()] => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn the_drain_answers_what_is_held_and_then_every_thread_ends() {
    let (activator, mut autoscaler, gateway) = start().await;
    autoscaler.table(entry(&[])).await;
    retire(&mut autoscaler, 1).await;
    autoscaler.say(Down::Commit { function: hello(), epoch: 1 }).await;
    let held = get(gateway).await;
    autoscaler.hear_wake().await;
    activator.drain();
    let (address, _received) = pod(OK).await;
    autoscaler.table(entry(&[("a", address)])).await;
    assert_eq!(status(held).await, "200");
    tokio::time::timeout(PATIENCE, activator.stopped()).await.unwrap().unwrap();
    assert!(TcpStream::connect(gateway).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_pod_is_tried_though_one_of_its_name_in_another_namespace_is_tried_in_vain() {
    let (_activator, mut autoscaler, gateway) = start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let staging = Entry {
        function: FunctionName::new("staging", "hello"),
        endpoints: vec![EndpointEntry {
            name: "staging/hello:80".into(),
            hosts: ["staging.test".into()].into(),
            ..entry(&[]).endpoints.remove(0)
        }],
        ..entry(&[("hello-0", nobody)])
    };
    autoscaler.table(staging.clone()).await;
    let (address, _received) = pod(OK).await;
    let functions = vec![staging, entry(&[("hello-0", address)])];
    autoscaler.say(Down::Table { whole: true, functions, removed: vec![] }).await;
    let answered = async {
        while status(get(gateway).await).await != "200" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("it is answered");
}
