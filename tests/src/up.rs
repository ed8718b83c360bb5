//! A running `dormouse up`: started on manifests of the test's own, watched by its account and its
//! log, always stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use dormouse_policy::record;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::http::{Client, Response};
use crate::journal::Journal;
use crate::link_proxy::LinkProxy;
use crate::manifest::{self, Function};
use crate::program::{self, MARK, Scratch};
use crate::wait;

/// What nannies get to end their replicas once `dormouse` is gone; they need milliseconds.
const NANNIES_TIMEOUT: Duration = Duration::from_secs(2);

/// The record's file in the test's folder.
const RECORD: &str = "record.jsonl";

/// How a `dormouse up` is to be started.
pub struct Start<'a> {
    scratch: Scratch,
    arguments: Vec<String>,
    files: usize,
    log: String,
    core: Option<String>,
    link: Option<&'a LinkProxy>,
    is_recorded: bool,
}

/// A `dormouse up` that listens.
pub struct Up {
    child: Child,
    scratch: Scratch,
    account: Journal<Value>,
    log: Journal<String>,
    is_recorded: bool,
    /// Where functions answer by their Host name.
    pub gateway: SocketAddr,
    /// Where the autoscaler listens for the activator.
    pub link: SocketAddr,
    /// Where `status` and `explain` are answered.
    pub admin: SocketAddr,
    /// Where the activator answers `/metrics`.
    pub activator_admin: SocketAddr,
}

impl<'a> Start<'a> {
    /// With nothing but free ports.
    #[must_use]
    pub fn new() -> Self {
        Self {
            scratch: Scratch::new(),
            arguments: Vec::new(),
            files: 0,
            log: "debug".to_owned(),
            core: None,
            link: None,
            is_recorded: true,
        }
        .argument("--gateway", "127.0.0.1:0")
        .argument("--admin", "127.0.0.1:0")
    }

    /// Logging that instead of everything from debug on.
    #[must_use]
    pub fn log(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log);
        self
    }

    /// Running on that core alone, its children too unless they choose another.
    #[must_use]
    pub fn on_core(mut self, core: usize) -> Self {
        self.core = Some(core.to_string());
        self
    }

    /// Without a record of its decisions: where its speed is measured.
    #[must_use]
    pub fn unrecorded(mut self) -> Self {
        self.is_recorded = false;
        self
    }

    /// The test's own folder; the manifests lie there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// With that flag.
    #[must_use]
    pub fn argument(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// With that proxy between activator and autoscaler.
    #[must_use]
    pub fn through(mut self, proxy: &'a LinkProxy) -> Self {
        self.link = Some(proxy);
        self.argument("--link-dial", &proxy.address().to_string())
    }

    /// With a manifest file of that text.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn manifest(mut self, text: &str) -> Self {
        self.files += 1;
        let path = self.scratch.path().join(format!("app{}.yaml", self.files));
        std::fs::write(&path, text).expect("the scratch folder is writable");
        self.argument("-f", &path.to_string_lossy())
    }

    /// With these functions in one file.
    #[must_use]
    pub fn functions(self, functions: &[&Function]) -> Self {
        self.manifest(&manifest::file(functions))
    }

    /// Starts it and waits until it says where requests go.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    #[track_caller]
    pub fn up(self) -> Up {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dormouse starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        let runtime_file = self.scratch.path().join(format!("up-{}.json", child.id()));
        let mut up = Up {
            child,
            scratch: self.scratch,
            account: Journal::of(stdout, |line| {
                serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))
            }),
            log: Journal::of(stderr, str::to_owned),
            is_recorded: self.is_recorded,
            gateway: none,
            link: none,
            admin: none,
            activator_admin: none,
        };
        let listening = wait::until("the runtime file", || {
            let ended = up.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "dormouse ended: {ended:?}");
            serde_json::from_slice::<Value>(&std::fs::read(&runtime_file).ok()?).ok()
        });
        let address = |part: &str| {
            let text = listening[part].as_str().unwrap_or_default();
            text.parse().unwrap_or_else(|_| panic!("no address {part:?} in {listening}"))
        };
        (up.gateway, up.link, up.admin) = (address("gateway"), address("link"), address("admin"));
        up.activator_admin = address("activator_admin");
        if let Some(proxy) = self.link {
            proxy.forward_to(up.link);
        }
        up.log.wait("the greeting", |lines| {
            let greeted = |line: &String| line.starts_with("gateway http://");
            lines.iter().any(greeted).then_some(())
        });
        up
    }

    /// Runs it to its own end: for what it must refuse.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn output(self) -> Output {
        self.command().output().expect("dormouse starts")
    }

    fn command(&self) -> Command {
        let mut command = match &self.core {
            None => Command::new(program::dormouse()),
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", core]).arg(program::dormouse());
                pinned
            }
        };
        command
            .args(["up", "--json", "--log", &self.log])
            .args(&self.arguments)
            .args(self.is_recorded.then_some(["--record", RECORD]).into_iter().flatten())
            .env("XDG_RUNTIME_DIR", self.scratch.path())
            .env(MARK, self.scratch.name())
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        command
    }
}

impl Default for Start<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Up {
    /// What it says on stderr: its log, what children print, what it refuses.
    #[must_use]
    pub fn log(&self) -> &Journal<String> {
        &self.log
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The account's lines on `function`, oldest first.
    #[must_use]
    pub fn account(&self, function: &str) -> Vec<Value> {
        let changes = self.account.entries();
        let of_function = |change: &Value| names(change, function);
        changes.into_iter().filter(of_function).collect()
    }

    /// What the admin port says of `function` now; none if it knows no such function.
    ///
    /// # Panics
    /// If the admin port does not answer in JSON.
    #[must_use]
    #[track_caller]
    pub fn now(&self, function: &str) -> Option<Value> {
        let answer = Client::connect(self.admin)
            .get("localhost", "/api/v1/functions")
            .expect("the admin port answers");
        let all: Vec<Value> = serde_json::from_slice(&answer.body).expect("it answers in JSON");
        all.into_iter().find(|status| names(status, function))
    }

    /// Waits until what the admin port says of `function` is as wanted, and returns it.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait(&self, function: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("{function} to be {what}"), || {
            self.now(function).filter(|now| is(now))
        })
    }

    /// Waits until so many requests for `function` are held.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_held(&self, function: &str, held: u64) {
        self.wait(function, &format!("holding {held}"), |now| now["held"] == held);
    }

    /// Waits until `function` has no replica left.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_asleep(&self, function: &str) {
        self.wait(function, "asleep", |now| now["state"] == "asleep" && pods(now) == 0);
    }

    /// Waits until `function`, in use just now, has gone back to sleep. What is said of it may be a
    /// moment old, so that it is seen awake first.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_asleep_again(&self, function: &str) {
        self.wait(function, "awake", |now| pods(now) > 0);
        self.wait_asleep(function);
    }

    /// Sends one GET to the function's gateway host on a connection of its own.
    ///
    /// # Panics
    /// If no whole answer comes.
    #[track_caller]
    #[must_use]
    pub fn get(&self, function: &str, path: &str) -> Response {
        Client::connect(self.gateway)
            .get(&host(function), path)
            .unwrap_or_else(|error| panic!("GET {path} of {function}: {error}"))
    }

    /// Runs another `dormouse` command that asks this one.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(program::dormouse())
            .args(arguments)
            .env("XDG_RUNTIME_DIR", self.scratch.path())
            .output()
            .expect("dormouse starts")
    }

    /// The same, its answer read as JSON.
    ///
    /// # Panics
    /// If it fails or does not answer in JSON.
    #[track_caller]
    #[must_use]
    pub fn ask_json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("the answer is JSON")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        signal::kill(Pid::from_raw(pid), signal).expect("dormouse runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait::until("dormouse to end", || self.ended())
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// Never: a child can be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until no process of this test is left.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_nobody_left(&self) {
        let mark = self.scratch.name();
        wait::until("every child to be gone", || program::marked(mark).is_empty().then_some(()));
    }

    /// The record of its decisions so far.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        std::fs::read(self.scratch.path().join(RECORD)).expect("it records")
    }

    /// The processes of this test, `dormouse` itself included.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        program::marked(self.scratch.name())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Errors mean that there is nothing left to stop.
        self.child.kill().ok();
        self.child.wait().ok();
        // The nannies end the replicas first: a replica that hides its environment would not be
        // found by its mark.
        wait::at_most(NANNIES_TIMEOUT, || self.processes().is_empty().then_some(()));
        for (pid, _) in self.processes() {
            signal::kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        if std::thread::panicking() {
            show(&self.account.entries(), &self.log.entries());
        } else {
            self.account.finish();
            self.log.finish();
            if self.is_recorded {
                replay(&self.record());
            }
        }
    }
}

/// Whatever a test did, the policy decides the same again from what was recorded.
fn replay(record: &[u8]) {
    let replayed = record::replay(record, 0).unwrap_or_else(|error| panic!("the record: {error}"));
    assert!(replayed.gaps == 0 && replayed.skipped == 0, "the record has gaps: {replayed:?}");
}

/// The gateway's Host for a function of the default namespace.
#[must_use]
pub fn host(function: &str) -> String {
    format!("{function}.default.localhost")
}

/// How many pods the account's line lists.
#[must_use]
pub fn pods(change: &Value) -> usize {
    change["pods"].as_array().map_or(0, Vec::len)
}

fn names(change: &Value, function: &str) -> bool {
    let name = change["name"].as_str().unwrap_or_default();
    name == function || name.strip_prefix("default/") == Some(function)
}

#[allow(
    clippy::print_stderr,
    reason = "the test runner captures it, and shows it where the test failed"
)]
fn show(account: &[Value], log: &[String]) {
    eprintln!("--- the account");
    for change in account {
        eprintln!("{change}");
    }
    eprintln!("--- the log");
    for line in log {
        eprintln!("{line}");
    }
}
