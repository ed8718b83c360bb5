//! The loop over real sockets on loopback, and a peer's ways of misbehaving.

use std::sync::Arc;

use dormouse_link::frame::{Down, Entry, Up, VERSION};
use dormouse_policy::function::{Function, Probe, WorkloadKind};
use dormouse_policy::record::Line;
use dormouse_policy::settings::{self, Annotations, ClusterDefaults};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::cluster::{Activators, Fact, Note, PodFact, PodPhase, Pods};
use crate::status::{Explanation, FunctionStatus, State};

struct Told(mpsc::Receiver<Fact>);

impl Facts for Told {
    async fn next(&mut self) -> Option<Fact> {
        self.0.recv().await
    }
}

struct Recorded(mpsc::Sender<Scale>);

impl Hands for Recorded {
    async fn scale(&self, scale: Scale) -> Result<(), ScaleError> {
        let function = scale.function.clone();
        let placed = self.0.send(scale).await;
        placed.map_err(|_| ScaleError::Gone(function))
    }

    fn lead_through(&self, _: Arc<Activators>) {}

    fn note(&self, _: Note) {}
}

fn name() -> FunctionName {
    FunctionName::new("default", "hello")
}

pub(super) fn function() -> Fact {
    let none = Annotations::new();
    let parsed = settings::parse(&none, &none, &ClusterDefaults::default()).unwrap();
    Fact::Function(Arc::new(Function {
        name: name(),
        kind: WorkloadKind::Deployment,
        created: 0,
        replicas: 0,
        settings: parsed.settings,
        pod_ports: vec![],
        endpoints: vec![],
        probe: Probe::Connect,
    }))
}

fn pods(replicas: u32) -> Fact {
    let pod = |number| PodFact {
        name: format!("hello-{number}"),
        addresses: vec![([127, 0, 0, 1], 9).into()],
        phase: PodPhase::Ready,
        waiting_for: None,
    };
    let pods = Pods { replicas, pods: (0..replicas).map(pod).collect(), ..Pods::default() };
    Fact::Pods(name(), pods)
}

fn hello(token: &str) -> Up {
    Up::Hello { version: 1, token: token.into(), reporter: "local".into(), boot: 1 }
}

/// An autoscaler that runs, seen from all sides.
struct Running {
    link: SocketAddr,
    admin: SocketAddr,
    status: watch::Receiver<Statuses>,
    facts: mpsc::Sender<Fact>,
    orders: mpsc::Receiver<Scale>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
}

async fn start() -> Running {
    let config = Config { gate: Gate::Secret("secret".into()), ..Config::default() };
    let bound = Autoscaler::bind(config).await.unwrap();
    let (facts, told) = mpsc::channel(4);
    let (recorded, orders) = mpsc::channel(4);
    let shutdown = CancellationToken::new();
    Running {
        link: bound.link_address(),
        admin: bound.admin_address(),
        status: bound.status(),
        facts,
        orders,
        shutdown: shutdown.clone(),
        task: tokio::spawn(bound.run(Told(told), Recorded(recorded), shutdown)),
    }
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// What the admin port answers, as head and body.
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

async fn send(stream: &mut TcpStream, frame: &Up) {
    let frame = serde_json::to_vec(frame).unwrap();
    let length = u32::try_from(frame.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(&frame).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Down {
    let length = stream.read_u32().await.unwrap();
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut frame).await.unwrap();
    serde_json::from_slice(&frame).unwrap()
}

/// Whether the other end closes without a word.
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // An end with unread bytes resets the connection.
    stream.read_to_end(&mut rest).await.map_or(true, |_| rest.is_empty())
}

#[tokio::test]
async fn a_wake_on_the_link_is_a_call_to_the_hands() {
    let mut running = start().await;
    // Let in before all is told, it would be given a table that lacks the function.
    let mut link = TcpStream::connect(running.link).await.unwrap();
    send(&mut link, &hello("secret")).await;
    running.facts.send(function()).await.unwrap();
    running.facts.send(pods(0)).await.unwrap();
    let is_asleep = |all: &Statuses| all.iter().any(|it| it.state == State::Asleep);
    running.status.wait_for(is_asleep).await.unwrap();

    running.facts.send(Fact::Complete).await.unwrap();
    let welcome = receive(&mut link).await;
    assert!(matches!(welcome, Down::Welcome { version: VERSION, leads: Some(_) }), "{welcome:?}");
    let Down::Table { whole, functions, .. } = receive(&mut link).await else {
        panic!("no table");
    };
    let names: Vec<&Entry> = functions.iter().collect();
    assert!(whole && names.len() == 1 && names[0].function == name());

    let wakes = Up::Wakes { functions: vec![name()] };
    send(&mut link, &wakes).await;
    let order = running.orders.recv().await.unwrap();
    assert_eq!((order.function, order.replicas), (name(), 1));
    running.facts.send(pods(1)).await.unwrap();
    let is_ready = |all: &Statuses| all.iter().any(|it| it.state == State::Ready);
    running.status.wait_for(is_ready).await.unwrap();
    let Down::Table { functions, .. } = receive(&mut link).await else {
        panic!("no table");
    };
    assert_eq!(functions[0].pods.len(), 1);
    running.stop().await;
    assert!(is_cut(&mut link).await);
}

#[tokio::test]
async fn the_admin_port_tells_what_is_and_why() {
    let mut running = start().await;
    assert!(running.get("/livez").await.0.starts_with("HTTP/1.1 200"));
    assert!(running.get("/readyz").await.0.starts_with("HTTP/1.1 503"));
    running.facts.send(function()).await.unwrap();
    running.facts.send(pods(1)).await.unwrap();
    running.status.wait_for(|all| !all.is_empty()).await.unwrap();
    assert!(running.get("/readyz").await.0.starts_with("HTTP/1.1 503"));
    running.facts.send(Fact::Complete).await.unwrap();
    // The channel holds four, so that these are taken in after it.
    for _ in 0..5 {
        running.facts.send(pods(1)).await.unwrap();
    }
    assert!(running.get("/readyz").await.0.starts_with("HTTP/1.1 200"));

    let (_, body) = running.get("/api/v1/functions").await;
    let all: Vec<FunctionStatus> = serde_json::from_str(&body).unwrap();
    assert_eq!(all[0].name, name());
    let (_, body) = running.get("/api/v1/functions/default/hello").await;
    let explanation: Explanation = serde_json::from_str(&body).unwrap();
    assert!(explanation.decisions[0].reproduced);

    for path in ["/api/v1/functions/default/nobody", "/nowhere"] {
        let (head, body) = running.get(path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert!(body.contains("\"status\":404"), "{body}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_misbehaves_is_cut_and_the_others_stay() {
    let running = start().await;
    running.facts.send(Fact::Complete).await.unwrap();
    let mut good = TcpStream::connect(running.link).await.unwrap();
    send(&mut good, &hello("secret")).await;
    receive(&mut good).await;

    let mut stranger = TcpStream::connect(running.link).await.unwrap();
    send(&mut stranger, &hello("guess")).await;
    assert!(matches!(receive(&mut stranger).await, Down::Refused { .. }));
    assert!(is_cut(&mut stranger).await);

    let garbage: [&[u8]; 3] = [b"\0\0\0\x02{]", b"\x7f\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in garbage {
        let mut peer = TcpStream::connect(running.link).await.unwrap();
        peer.write_all(bytes).await.unwrap();
        assert!(is_cut(&mut peer).await, "{bytes:?}");
    }
    assert!(matches!(receive(&mut good).await, Down::Table { .. }));
    running.stop().await;
}

#[tokio::test]
async fn the_end_of_the_facts_is_a_good_end() {
    let Running { facts, task, .. } = start().await;
    drop(facts);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config { admin_listen: address, ..Config::default() };
    let error = Autoscaler::bind(config).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("admin"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_has_an_unknown_outcome() {
    struct Mute;
    impl Hands for Mute {
        async fn scale(&self, _: Scale) -> Result<(), ScaleError> {
            std::future::pending().await
        }

        fn lead_through(&self, _: Arc<Activators>) {}

        fn note(&self, _: Note) {}
    }
    let scale = Scale { function: name(), replicas: 1, victims: vec![] };
    let (_, order, result) = call(&Mute, 7, scale).await;
    assert_eq!(order, 7);
    assert!(matches!(result, Err(ScaleError::Unknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lost_lines_begins_each_function_anew() {
    let mut bound = Autoscaler::bind(Config::default()).await.unwrap();
    let (recorder, lines) = Recorder::unwritten(2);
    bound.recorder = Some(recorder);
    let mut server = Server::new(bound, Arc::new(Vec::new()));
    let drain = || -> Vec<&'static str> {
        let kind = |line: Line| match line {
            Line::Decided(_) => "decided",
            Line::Snapshot(_) => "snapshot",
            _ => "another",
        };
        lines.try_iter().map(|(_, line)| kind(line)).collect()
    };
    for fact in [function(), pods(1)] {
        server.apply(Happening::Event(Event::Fact(fact))).unwrap();
    }
    tick(&mut server).await;
    assert_eq!(drain(), ["snapshot", "decided"], "there was no room for the tick's");
    tick(&mut server).await;
    assert_eq!(drain(), ["decided", "snapshot"]);
    tick(&mut server).await;
    assert_eq!(drain(), ["decided"]);
}

async fn tick(server: &mut Server) {
    tokio::time::advance(Duration::from_secs(2)).await;
    server.apply(Happening::Due).unwrap();
}
