//! One worker on in-memory streams and a paused clock: what is bounded by time ends at its time.

mod admission;
mod clients;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_link::activator_side::Identity;
use dormouse_link::frame::{EndpointEntry, Entry, Pod};
use dormouse_metrics::registry::Registry;
use dormouse_policy::admission::{Amount, CommonBound};
use dormouse_policy::burst::StartUps;
use dormouse_policy::function::{FunctionName, Probe};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{Config, Token};
use crate::control::table::Table;
use crate::crowd::Crowd;
use crate::function::Function;
use crate::hold::limited::Limited;
use crate::network::{Look, Network, Peer, Stream};
use crate::route::Entrance;
use crate::worker::{Parts, Signal, Worker};

/// Pods in memory: each connection goes to the one that listens.
#[derive(Clone, Default)]
struct Memory {
    pod: Rc<RefCell<Option<mpsc::UnboundedSender<DuplexStream>>>>,
    connects: Rc<Cell<u32>>,
    /// Connects still to be refused, whoever listens.
    refusals: Rc<Cell<u32>>,
}

struct MemoryStream(DuplexStream, Look);

/// Always the same look.
struct Unchanging(Look);

impl Peer for Unchanging {
    fn look(&self) -> Look {
        self.0
    }
}

impl Network for Memory {
    type Stream = MemoryStream;

    async fn connect(&self, _: SocketAddr) -> io::Result<MemoryStream> {
        self.connects.set(self.connects.get() + 1);
        if let Some(left) = self.refusals.get().checked_sub(1) {
            self.refusals.set(left);
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (here, there) = tokio::io::duplex(64 * 1024);
        let pod = self.pod.borrow();
        let sent = pod.as_ref().map(|pod| pod.send(there).is_ok());
        match sent {
            Some(true) => Ok(MemoryStream(here, Look::Quiet)),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Stream for MemoryStream {
    type Peer = Unchanging;

    fn peer(&self) -> Unchanging {
        Unchanging(self.1)
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Workers, their function, and the pods' side of their network.
struct World {
    workers: Vec<Rc<Worker<Memory>>>,
    table: Table,
    registry: Arc<Registry>,
    network: Memory,
    clock: Clock,
    signals: mpsc::Receiver<Signal>,
}

fn hello() -> FunctionName {
    FunctionName::new("default", "hello")
}

fn entry(pods: Vec<Pod>) -> Entry {
    Entry {
        function: hello(),
        endpoints: vec![EndpointEntry {
            name: "default/hello:80".into(),
            pod_port: 0,
            hosts: ["hello.test".into()].into(),
            listen: None,
        }],
        pods,
        // The manager's word, so that no prober is needed here.
        probe: Probe::Reported,
        queue_depth: 10,
        container_concurrency: 0,
        queue_timeout_ms: 10_000,
        request_timeout_ms: 30_000,
        pressure: None,
        start_ups: StartUps::default(),
        gaps: Default::default(),
        failure: None,
    }
}

fn ready_pod() -> Pod {
    let addresses = vec!["192.0.2.1:80".parse().unwrap()];
    Pod { name: "a".into(), addresses, ready: true }
}

impl World {
    fn new(entry: &Entry) -> Self {
        Self::with_workers(1, entry)
    }

    fn with_workers(workers: usize, entry: &Entry) -> Self {
        let identity = Identity { reporter: String::new(), boot: 0 };
        let (signals, received) = mpsc::channel(64);
        let (clock, registry) = (Clock::start(), Arc::new(Registry::new(workers)));
        let routes = Arc::default();
        let held_max = Amount { requests: 100, bytes: 64 * 1024 };
        let common = Arc::new(CommonBound::new(held_max));
        let mut table = Table::new(Arc::clone(&routes), Arc::clone(&common), workers);
        table.update(entry, 0, &registry);
        assert!(table.publish_routes());
        let limited = Arc::new(Limited::new(Arc::clone(&common)));
        let config = Arc::new(Config::new(Vec::new(), Token::Fixed(String::new()), identity));
        let network = Memory::default();
        let (crowd, _) = Crowd::new(workers);
        let workers = (0..workers).map(|number| {
            let parts = Parts {
                config: Arc::clone(&config),
                clock,
                routes: Arc::clone(&routes),
                common: Arc::clone(&common),
                limited: Arc::clone(&limited),
                crowd: Arc::clone(&crowd),
                signals: signals.clone(),
            };
            let worker = Worker::new(parts, registry.writer(number).unwrap(), network.clone(), 1);
            let held = Rc::clone(&worker);
            tokio::task::spawn_local(async move { held.held.keep_deadlines().await });
            let swept = Rc::clone(&worker);
            tokio::task::spawn_local(async move { swept.upstream.sweep().await });
            worker
        });
        let workers = workers.collect();
        Self { workers, table, registry, network, clock, signals: received }
    }

    fn function(&self) -> &Arc<Function> {
        self.table.function(&hello()).unwrap()
    }

    /// The table changes, and every worker is told.
    fn change(&mut self, entry: &Entry) {
        self.table.update(entry, 0, &self.registry);
        self.look();
    }

    fn look(&self) {
        for worker in &self.workers {
            worker.look(self.function());
        }
    }

    fn connect(&self) -> DuplexStream {
        self.connect_to(0)
    }

    fn connect_to(&self, worker: usize) -> DuplexStream {
        self.connect_by(worker, Entrance::Gateway, Look::Quiet)
    }

    fn connect_by(&self, worker: usize, entrance: Entrance, look: Look) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let address = "192.0.2.9:1".parse().unwrap();
        let worker = Rc::clone(&self.workers[worker]);
        tokio::task::spawn_local(worker.serve(MemoryStream(server, look), address, entrance));
        client
    }

    /// Answers every request of every connection with `answer`, never closing one by itself.
    fn pod(&self, answer: &'static str) {
        let (sender, mut connections) = mpsc::unbounded_channel::<DuplexStream>();
        *self.network.pod.borrow_mut() = Some(sender);
        tokio::task::spawn_local(async move {
            while let Some(mut stream) = connections.recv().await {
                tokio::task::spawn_local(async move {
                    while read_head(&mut stream).await.is_some() {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
    }

    fn counted(&self) -> dormouse_metrics::counts::Reading {
        self.function().counters.read(self.clock.now_us()).unwrap()
    }
}

async fn read_head(stream: &mut DuplexStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: hello.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn head_of_answer(client: &mut DuplexStream) -> String {
    let mut head = read_head(client).await.unwrap();
    head.make_ascii_lowercase();
    head
}

#[tokio::test(start_paused = true)]
async fn a_held_request_ends_at_its_queue_deadline() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![]));
            let began = Instant::now();
            let mut client = world.connect();
            client.write_all(GET).await.unwrap();
            let head = head_of_answer(&mut client).await;
            assert!(head.starts_with("http/1.1 504"), "{head}");
            assert_eq!(began.elapsed().as_secs(), 10);
            let counted = world.counted();
            assert_eq!((counted.in_flight, counted.held), (0, 0));
            assert_eq!(counted.refused, [0, 1, 0, 0, 0, 0]);
            assert_eq!(world.function().bound.taken(), Amount::default(), "its place is free");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_begin_ends_at_the_request_timeout() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            world.pod("");
            let began = Instant::now();
            let mut client = world.connect();
            client.write_all(GET).await.unwrap();
            let head = head_of_answer(&mut client).await;
            assert!(head.starts_with("http/1.1 504"), "{head}");
            assert_eq!(began.elapsed().as_secs(), 30);
            assert_eq!(world.counted().refused, [0, 0, 0, 1, 0, 0]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_cut_at_the_request_timeout() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            world.pod("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun");
            let began = Instant::now();
            let mut client = world.connect();
            client.write_all(GET).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert!(answer.ends_with(b"begun"));
            assert_eq!(began.elapsed().as_secs(), 30);
            assert_eq!(world.counted().in_flight, 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_a_pod_is_used_again_within_a_second_and_a_half_of_idleness() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            world.pod(OK);
            let mut client = world.connect();
            let mut body = [0; 2];
            for (idle_ms, connects) in [(0, 1), (1_400, 1), (1_400, 1), (1_600, 2)] {
                tokio::time::sleep(Duration::from_millis(idle_ms)).await;
                client.write_all(GET).await.unwrap();
                let head = head_of_answer(&mut client).await;
                assert!(head.starts_with("http/1.1 200"), "{head}");
                client.read_exact(&mut body).await.unwrap();
                assert_eq!(world.network.connects.get(), connects, "after {idle_ms} ms");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_cut_at_the_header_read_timeout() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![]));
            let began = Instant::now();
            let mut client = world.connect();
            client.write_all(b"GET / HT").await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(began.elapsed().as_secs(), 60);
            assert!(answer.is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_its_bound_is_answered_431() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![]));
            let mut client = world.connect();
            let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(70_000));
            let (mut read, mut write) = tokio::io::split(&mut client);
            let sent = write.write_all(long.as_bytes());
            let mut answer = Vec::new();
            let (_, got) = tokio::join!(sent, read.read_to_end(&mut answer));
            got.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn held_requests_leave_first_in_first_out_when_a_pod_appears() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(&entry(vec![]));
            let (sender, mut connections) = mpsc::unbounded_channel::<DuplexStream>();
            *world.network.pod.borrow_mut() = Some(sender);
            let mut clients = Vec::new();
            for number in 0..5 {
                let mut client = world.connect();
                let request = format!("GET /{number} HTTP/1.1\r\nhost: hello.test\r\n\r\n");
                client.write_all(request.as_bytes()).await.unwrap();
                while world.counted().held != number + 1 {
                    tokio::task::yield_now().await;
                }
                clients.push(client);
            }
            world.change(&entry(vec![ready_pod()]));
            for number in 0..5 {
                let head = read_head(&mut connections.recv().await.unwrap()).await.unwrap();
                assert!(head.starts_with(&format!("GET /{number} ")), "{head}");
            }
        })
        .await;
}
