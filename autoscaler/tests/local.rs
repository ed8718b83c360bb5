//! The local cluster with real processes. The binary plays every part: it is the test runner, and
//! executed again it is the nanny, a small server, or a process that is killed outright.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dormouse_autoscaler::cluster::local::{LocalCluster, LocalHands, NannyCommand, Options, nanny};
use dormouse_autoscaler::cluster::manifest::{self, Programs, Source};
use dormouse_autoscaler::cluster::{
    Fact, Facts, Hands, PodPhase, Pods, Scale, ScaleError, TaskFacts,
};
use dormouse_policy::function::FunctionName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest wait for anything; a machine under load takes seconds, a broken promise takes forever.
const PATIENCE: Duration = Duration::from_secs(60);

type Test = (&'static str, fn());

/// Pairs each test with its name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[Test] = tests![
    a_replica_starts_answers_and_stops,
    a_named_victim_goes_first,
    a_command_that_ends_at_once_is_a_crash_loop,
    what_a_command_leaves_behind_is_killed,
    sigterm_reaches_the_shells_children,
    a_replica_deaf_to_sigterm_is_killed,
    a_killed_owner_leaves_no_process,
    a_terminated_nanny_takes_its_replica_along,
    unknown_functions_and_late_orders_are_refused,
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("nanny") => return nanny::run(),
        Some("serve") => return serve(),
        Some("own") => return own(&args[1]),
        // What editors ask a test binary for.
        Some("--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let is_chosen = |(name, _): &&Test| filter.is_none_or(|filter| name.contains(filter));
    let chosen: Vec<_> = TESTS.iter().filter(is_chosen).collect();
    for (name, test) in &chosen {
        test();
        say(&format!("test {name} ... ok"));
    }
    let (passed, left_out) = (chosen.len(), TESTS.len() - chosen.len());
    say(&format!(
        "\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; \
         {left_out} filtered out\n"
    ));
    ExitCode::SUCCESS
}

#[allow(clippy::print_stdout, reason = "a test runner reports on stdout")]
fn say(line: &str) {
    println!("{line}");
}

/// Listens on `PORT` and accepts.
fn serve() -> ExitCode {
    let port: u16 = env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    say(&format!("{} serves on {port}", env::var("HOSTNAME").unwrap()));
    for stream in listener.incoming() {
        drop(stream);
    }
    ExitCode::SUCCESS
}

/// Runs the shell line as a replica until killed.
fn own(line: &str) -> ExitCode {
    run(async {
        let mut world = World::start(line, "", 1);
        loop {
            world.facts.next().await.unwrap();
        }
    })
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() })
}

struct World {
    facts: TaskFacts,
    hands: LocalHands,
    output: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// One function `a` of that command line, with so many replicas.
    fn start(command: &str, pod: &str, replicas: u32) -> Self {
        let line = command.replace('\'', "''");
        let text = format!(
            "
apiVersion: v1
kind: Service
metadata: {{name: a}}
spec: {{selector: {{app: a}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  annotations:
    dormouse.dev/enabled: 'true'
    dormouse.dev/local-command: '{line}'
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a}}}}
    spec: {{{pod} containers: [{{name: a, env: [{{name: PORT, value: '1'}}]}}]}}
"
        );
        let path = env::temp_dir().join("a.yaml");
        let manifests = manifest::read(&[Source { path, text }], &Programs::default());
        assert_eq!(manifests.faults, []);
        let output = Arc::new(Mutex::new(Vec::new()));
        let lines = output.clone();
        let options = Options {
            nanny: NannyCommand {
                program: env::current_exe().unwrap(),
                args: vec!["nanny".into()],
            },
            output: Arc::new(move |replica, line| {
                let line = format!("{replica}| {}", String::from_utf8_lossy(line));
                lines.lock().unwrap().push(line);
            }),
            complaints: Vec::new(),
        };
        let (facts, hands) = LocalCluster::start(manifests.functions, options);
        Self { facts, hands, output }
    }

    /// The pods as soon as they are so.
    async fn until(&mut self, is_so: impl Fn(&Pods) -> bool) -> Pods {
        loop {
            match self.facts.next().await.expect("the facts go on") {
                Fact::Pods(_, pods) if is_so(&pods) => return pods,
                _ => {}
            }
        }
    }

    async fn scale(&self, replicas: u32, victims: Vec<String>) -> Result<(), ScaleError> {
        let function = FunctionName::new("default", "a");
        let scale = Scale { function, replicas, victims };
        self.hands.scale(scale).await
    }

    /// Stops everything; returns the output.
    async fn shut_down(mut self) -> Vec<String> {
        self.hands.shutdown();
        while self.facts.next().await.is_some() {}
        self.hands.stopped().await;
        let output = self.output.lock().unwrap();
        output.clone()
    }
}

fn ready(pods: &Pods) -> usize {
    let is_ready = |phase: PodPhase| phase == PodPhase::Ready;
    pods.pods.iter().filter(|pod| is_ready(pod.phase)).count()
}

fn server() -> String {
    format!("exec '{}' serve", env::current_exe().unwrap().display())
}

/// A named pipe: whoever writes to it is alive until its end is read.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("dormouse-{}-{name}", std::process::id()));
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self(path)
    }

    /// A shell line whose processes all hold the pipe open; it says `up` when they run.
    fn held_by(&self, line: &str) -> String {
        format!("exec 3>'{}'; {line}", self.0.display())
    }

    /// Opens the pipe once a writer is there and waits for it to say `up`.
    fn wait_up(path: &Path) -> File {
        let mut pipe = File::open(path).unwrap();
        let mut word = [0; 3];
        pipe.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"up\n");
        pipe
    }

    /// Waits until nobody holds the pipe any more.
    fn wait_gone(mut pipe: File) -> String {
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        rest
    }

    async fn up(&self) -> File {
        let path = self.0.clone();
        let up = tokio::task::spawn_blocking(move || Self::wait_up(&path));
        up.await.unwrap()
    }

    async fn gone(pipe: File) -> String {
        let gone = tokio::task::spawn_blocking(move || Self::wait_gone(pipe));
        gone.await.unwrap()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn a_replica_starts_answers_and_stops() {
    run(async {
        let mut world = World::start(&server(), "", 1);
        let pods = world.until(|pods| ready(pods) == 1).await;
        let pod = &pods.pods[0];
        let SocketAddr::V4(address) = pod.addresses[0] else {
            panic!("{pod:?}");
        };
        assert!(address.ip().is_loopback());
        world.scale(0, Vec::new()).await.unwrap();
        let stopping = world.until(|pods| pods.replicas == 0).await;
        assert_eq!(stopping.pods[0].phase, PodPhase::Terminating);
        world.until(|pods| pods.pods.is_empty()).await;
        world.scale(1, Vec::new()).await.unwrap();
        let again = world.until(|pods| ready(pods) == 1).await;
        assert_ne!(again.pods[0].name, pod.name);
        assert_ne!(again.pods[0].addresses, pod.addresses);
        let name = &pod.name;
        let expected = format!("{name}| {name} serves on {}", address.port());
        assert_eq!(world.shut_down().await[0], expected);
    });
}

fn a_named_victim_goes_first() {
    run(async {
        let mut world = World::start(&server(), "", 3);
        let pods = world.until(|pods| ready(pods) == 3).await;
        let names: Vec<_> = pods.pods.iter().map(|pod| pod.name.clone()).collect();
        world.scale(2, vec![names[0].clone()]).await.unwrap();
        let left = world.until(|pods| pods.pods.len() == 2).await;
        let left: Vec<_> = left.pods.iter().map(|pod| pod.name.clone()).collect();
        assert_eq!(left, names[1..]);
        world.shut_down().await;
    });
}

fn a_command_that_ends_at_once_is_a_crash_loop() {
    run(async {
        let mut world = World::start("echo no; exit 3", "", 1);
        let pods = world.until(|pods| pods.failure.is_some()).await;
        let failure = pods.failure.unwrap();
        assert_eq!(failure.code, "crash-loop");
        assert!(failure.message.ends_with(" exited with status 3"), "{}", failure.message);
        assert!(failure.retry_ms <= 10_000);
        let output = world.shut_down().await;
        assert_eq!(output.len(), 2, "{output:?}");
    });
}

fn what_a_command_leaves_behind_is_killed() {
    run(async {
        let fifo = Fifo::new("behind");
        let line = "setsid sleep 1000 & (sleep 1000 &) ; sleep 1000 & echo up >&3";
        let world = World::start(&fifo.held_by(line), "", 1);
        Fifo::gone(fifo.up().await).await;
        world.shut_down().await;
    });
}

fn sigterm_reaches_the_shells_children() {
    run(async {
        let fifo = Fifo::new("shell");
        let child = "trap \"echo closes >&3; exit\" TERM; echo up >&3; while :; do sleep 1; done";
        let line = format!("sh -c '{child}' & wait");
        let world = World::start(&fifo.held_by(&line), "", 1);
        let pipe = fifo.up().await;
        world.shut_down().await;
        assert_eq!(Fifo::gone(pipe).await, "closes\n");
    });
}

fn a_replica_deaf_to_sigterm_is_killed() {
    run(async {
        let fifo = Fifo::new("deaf");
        let line = "trap '' TERM; echo up >&3; while :; do sleep 1000; done";
        let pod = "terminationGracePeriodSeconds: 0,";
        let world = World::start(&fifo.held_by(line), pod, 1);
        let pipe = fifo.up().await;
        world.shut_down().await;
        Fifo::gone(pipe).await;
    });
}

/// The process that has the replica's name as its last argument.
fn nanny_of(replica: &str) -> Pid {
    let is_nanny = |process: &fs::DirEntry| {
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        line.ends_with(&format!("\0nanny\0{replica}\0"))
    };
    let processes = fs::read_dir("/proc").unwrap();
    let nanny = processes.map(Result::unwrap).find(is_nanny).unwrap();
    Pid::from_raw(nanny.file_name().to_str().unwrap().parse().unwrap())
}

const FAMILY: &str = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & wait' &) ; \
                      sh -c 'sleep 1000 & echo up >&3; wait' & wait";

fn a_killed_owner_leaves_no_process() {
    run(async {
        let fifo = Fifo::new("owner");
        let mut owner = Command::new(env::current_exe().unwrap())
            .args(["own", &fifo.held_by(FAMILY)])
            .spawn()
            .unwrap();
        let pipe = fifo.up().await;
        owner.kill().unwrap();
        owner.wait().unwrap();
        Fifo::gone(pipe).await;
    });
}

fn a_terminated_nanny_takes_its_replica_along() {
    run(async {
        let fifo = Fifo::new("nanny");
        let pod = "terminationGracePeriodSeconds: 0,";
        let mut world = World::start(&fifo.held_by(FAMILY), pod, 1);
        let pipe = fifo.up().await;
        let pods = world.until(|pods| !pods.pods.is_empty()).await;
        kill(nanny_of(&pods.pods[0].name), Signal::SIGTERM).unwrap();
        world.scale(0, Vec::new()).await.unwrap();
        world.shut_down().await;
        Fifo::gone(pipe).await;
    });
}

fn unknown_functions_and_late_orders_are_refused() {
    run(async {
        let world = World::start("exec sleep 1000", "", 0);
        let function = FunctionName::new("default", "b");
        let scale = Scale { function: function.clone(), replicas: 1, victims: Vec::new() };
        let refused = world.hands.scale(scale.clone()).await;
        assert_eq!(refused, Err(ScaleError::Gone(function)));
        let hands = world.hands.clone();
        world.shut_down().await;
        let late = hands.scale(scale).await;
        assert!(matches!(late, Err(ScaleError::Unknown(_))), "{late:?}");
    });
}
