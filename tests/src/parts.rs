//! `dormouse autoscaler` and `dormouse activator` as processes of their own, beside an API server.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::http::{Client, Response};
use crate::journal::Journal;
use crate::program::{self, Scratch};
use crate::wait;

/// The secret that both parts share.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The Lease of who leads. It is there from the start, released, so that nobody waits for a leader
/// of before who might still write.
const LEASE: &str = "dormouse-autoscaler";

/// One process and its log.
pub struct Part {
    child: Child,
    log: Journal<Value>,
}

/// Autoscalers that watch a cluster, and activators that dial them.
pub struct Parts {
    scratch: Scratch,
    arguments: Vec<String>,
    activators_further: Vec<String>,
    autoscalers: Vec<Part>,
    activators: Vec<Part>,
    /// Where functions answer by their Host name, at each activator.
    pub gateways: Vec<SocketAddr>,
    /// The first of these.
    pub gateway: SocketAddr,
    /// Where the first autoscaler is asked.
    pub admin: SocketAddr,
    /// Where the first activator is.
    pub activator_admin: SocketAddr,
    link: SocketAddr,
}

impl Part {
    #[track_caller]
    fn start(scratch: &Scratch, command: &str, arguments: &[String]) -> Self {
        let mut child = Command::new(program::dormouse())
            .args([command, "--log", "debug,hyper=info,tower=info,kube=info"])
            .args(["--log-format", "json"])
            .args(arguments)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dormouse starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
        Self { child, log: Journal::of(stderr, parse) }
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> &Journal<Value> {
        &self.log
    }

    /// Waits until it logs that message, and returns the line.
    ///
    /// # Panics
    /// At the deadline, or if it ends before.
    #[track_caller]
    pub fn wait_log(&self, message: &str) -> Value {
        self.log.wait(message, |lines| lines.iter().find(|it| it["message"] == message).cloned())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        signal::kill(Pid::from_raw(pid), signal).expect("dormouse runs");
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait::until("dormouse to end", || self.child.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Errors mean that there is nothing left to stop.
        self.child.kill().ok();
        self.child.wait().ok();
        self.log.finish();
        if std::thread::panicking() {
            show(&self.log.entries());
        }
    }
}

impl Parts {
    /// One of both, on free ports, with a cluster that is `api`.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn start(api: &FakeApi) -> Self {
        Self::with(api, &[])
    }

    /// The same, with further flags for the autoscaler.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn with(api: &FakeApi, further: &[&str]) -> Self {
        Self::several(api, further, 1)
    }

    /// So many of each, with further flags for the autoscalers.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn several(api: &FakeApi, further: &[&str], count: usize) -> Self {
        let further = [&["--token-file=token"], further].concat();
        Self::showing(api, &further, &vec![TOKEN; count])
    }

    /// With an autoscaler and an activator for each token that is shown, and these flags for the
    /// autoscalers.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn showing(api: &FakeApi, further: &[&str], tokens: &[&str]) -> Self {
        Self::of(|folder| led_before(api, folder), further, &[], tokens)
    }

    /// One of both, with the cluster that a kubeconfig leads to.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn beside(kubeconfig: &Path) -> Self {
        Self::of(|_| kubeconfig.to_owned(), &["--token-file=token"], &[], &[TOKEN])
    }

    /// With a certificate in that folder by which activators know the autoscaler: `certificate`,
    /// `key` and `authorities`.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    #[track_caller]
    pub fn secured(api: &FakeApi, folder: &Path) -> Self {
        let file =
            |flag: &str, name: &str| format!("--link-{flag}={}", folder.join(name).display());
        let (certificate, key) = (file("certificate", "certificate"), file("key", "key"));
        let further = ["--token-file=token", &certificate, &key];
        let authorities = file("authorities", "authorities");
        Self::of(|folder| led_before(api, folder), &further, &[&authorities], &[TOKEN])
    }

    /// With what `kubeconfig` makes of the parts' folder.
    #[track_caller]
    fn of(
        kubeconfig: impl FnOnce(&Path) -> PathBuf,
        further: &[&str],
        activators_further: &[&str],
        tokens: &[&str],
    ) -> Self {
        let scratch = Scratch::new();
        write(&scratch, "token", TOKEN);
        let kubeconfig = kubeconfig(scratch.path()).to_string_lossy().into_owned();
        let mut arguments = vec!["--kubeconfig".to_owned(), kubeconfig];
        arguments.extend(further.iter().map(|text| (*text).to_owned()));
        let (mut autoscalers, mut links, mut admins) = (Vec::new(), Vec::new(), Vec::new());
        for _ in tokens {
            let (part, link, admin) = autoscaler(&scratch, &arguments, "127.0.0.1:0");
            autoscalers.push(part);
            links.push(link);
            admins.push(admin);
        }
        let dial: Vec<String> = links.iter().map(SocketAddr::to_string).collect();
        let start = |(number, token): (usize, &&str)| {
            let (name, file) = (format!("activator-{number}"), token_file(number));
            write(&scratch, &file, token);
            let at = address_of_its_own();
            let part = activator(&scratch, &dial.join(","), &name, &file, at, activators_further);
            let listens = part.wait_log("listening");
            (part, (address(&listens, "gateway"), address(&listens, "admin")))
        };
        let (activators, listen): (Vec<_>, Vec<_>) = (1..).zip(tokens).map(start).unzip();
        let activator_admin = listen[0].1;
        let gateways: Vec<SocketAddr> = listen.into_iter().map(|(gateway, _)| gateway).collect();
        let (gateway, admin, link) = (gateways[0], admins[0], links[0]);
        let activators_further = activators_further.iter().map(|it| (*it).to_owned()).collect();
        Self {
            scratch,
            arguments,
            activators_further,
            autoscalers,
            activators,
            gateways,
            gateway,
            admin,
            activator_admin,
            link,
        }
    }

    /// The first autoscaler.
    #[must_use]
    pub fn autoscaler(&mut self) -> &mut Part {
        &mut self.autoscalers[0]
    }

    /// The first activator.
    #[must_use]
    pub fn activator(&mut self) -> &mut Part {
        &mut self.activators[0]
    }

    /// Every autoscaler.
    #[must_use]
    pub fn autoscalers(&self) -> &[Part] {
        &self.autoscalers
    }

    /// Every activator.
    #[must_use]
    pub fn activators(&self) -> &[Part] {
        &self.activators
    }

    /// Gives the activator of that number, from 1, another token to show from now on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_token(&self, number: usize, token: &str) {
        write(&self.scratch, &token_file(number), token);
    }

    /// Kills the autoscaler and starts another at the same address.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    #[track_caller]
    pub fn succeed(&self) -> Part {
        self.autoscalers[0].signal(Signal::SIGKILL);
        wait::until("its port to be free", || TcpStream::connect(self.link).err());
        autoscaler(&self.scratch, &self.arguments, &self.link.to_string()).0
    }

    /// Starts one more activator, at an address of its own at which Services can lead to it.
    #[must_use]
    #[track_caller]
    pub fn add_activator(&self, name: &str, at: Ipv4Addr) -> Part {
        let further: Vec<&str> = self.activators_further.iter().map(String::as_str).collect();
        activator(&self.scratch, &self.link.to_string(), name, "token", at, &further)
    }

    /// The same, knowing of no certificate.
    #[must_use]
    #[track_caller]
    pub fn add_plain_activator(&self, name: &str, at: Ipv4Addr) -> Part {
        activator(&self.scratch, &self.link.to_string(), name, "token", at, &[])
    }

    /// Sends one GET to a function's gateway host on a connection of its own.
    ///
    /// # Panics
    /// If no whole answer comes.
    #[must_use]
    #[track_caller]
    pub fn get(&self, host: &str, path: &str) -> Response {
        Client::connect(self.gateway)
            .get(host, path)
            .unwrap_or_else(|error| panic!("GET {path} of {host}: {error}"))
    }

    /// Waits until the gateway knows a host: until then it answers 404, before its first table 503.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_route(&self, host: &str) -> Response {
        wait::until(&format!("a route to {host}"), || {
            let answer = self.get(host, "/");
            let is_known = answer.status != 404 && !answer.text().contains("no-table");
            is_known.then_some(answer)
        })
    }

    /// Waits until the autoscaler's word on a function is as wanted.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_function(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("{name} to be {what}"), || {
            let answer = Client::connect(self.admin).get("localhost", "/api/v1/functions").ok()?;
            let all: Vec<Value> = serde_json::from_slice(&answer.body).ok()?;
            all.into_iter().find(|function| function["name"] == name).filter(&is)
        })
    }
}

fn token_file(number: usize) -> String {
    format!("token-{number}")
}

fn write(folder: &Scratch, name: &str, token: &str) {
    std::fs::write(folder.path().join(name), token).expect("the folder is writable");
}

fn autoscaler(
    scratch: &Scratch,
    arguments: &[String],
    link: &str,
) -> (Part, SocketAddr, SocketAddr) {
    let mut all = vec![format!("--link-listen={link}"), "--admin=127.0.0.1:0".to_owned()];
    all.extend_from_slice(arguments);
    let part = Part::start(scratch, "autoscaler", &all);
    let runs = part.wait_log("autoscaler runs");
    let (link, admin) = (address(&runs, "link"), address(&runs, "admin"));
    (part, link, admin)
}

/// An activator that dials these places.
#[track_caller]
fn activator(
    scratch: &Scratch,
    dial: &str,
    name: &str,
    token: &str,
    at: Ipv4Addr,
    further: &[&str],
) -> Part {
    let mut arguments = vec![
        "--gateway=127.0.0.1:0".to_owned(),
        "--admin=127.0.0.1:0".to_owned(),
        format!("--link-dial={dial}"),
        format!("--token-file={token}"),
        format!("--name={name}"),
        format!("--pod-ips={at}"),
        "--drain-delay=0".to_owned(),
    ];
    arguments.extend(further.iter().map(|text| (*text).to_owned()));
    Part::start(scratch, "activator", &arguments)
}

/// A loopback address that no other test of this machine uses, as pods have: ports there are free.
#[must_use]
pub fn address_of_its_own() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A kubeconfig in `folder` that leads to `api`, where somebody led before and gave it up.
fn led_before(api: &FakeApi, folder: &Path) -> PathBuf {
    if api.get("leases", LEASE).is_none() {
        api.put("leases", json!({"metadata": {"name": LEASE}}));
    }
    api.kubeconfig(folder)
}

/// The address in that field of a line of a log.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn address(line: &Value, field: &str) -> SocketAddr {
    let text = line[field].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("no address {field:?} in {line}"))
}

#[allow(
    clippy::print_stderr,
    reason = "the test runner captures it, and shows it where the test failed"
)]
fn show(log: &[Value]) {
    eprintln!("--- the log of a part");
    for line in log {
        eprintln!("{line}");
    }
}
