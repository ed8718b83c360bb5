//! The namespaces that hold a cluster, and a way into them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sched::{CloneFlags, setns};

use crate::program::checkout;
use crate::wait;

/// Where the script keeps the folders of runs, each named after its process.
pub const RUNS: &str = "/tmp/dormouse-tests";

/// Namespaces, known by a process that lives in them.
#[derive(Clone, Copy, Debug)]
pub struct Namespaces(i32);

impl Namespaces {
    /// Those of this process.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        Self(pid)
    }

    /// The process that keeps them, by the number this process knows it by.
    #[must_use]
    pub fn keeper(self) -> i32 {
        self.0
    }

    /// A command that runs inside, as a child of a process outside.
    #[must_use]
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.0))
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--wd=/", "--"])
            .arg(program);
        command
    }

    /// Takes the calling thread, and the threads and processes it will start, into the network.
    ///
    /// # Panics
    /// If the namespaces are gone.
    pub fn enter_network(self) {
        File::open(format!("/proc/{}/ns/net", self.0))
            .and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWNET)?))
            .unwrap_or_else(|error| panic!("cannot enter the network: {error}"));
    }

    /// A path inside, as seen from outside.
    #[must_use]
    pub fn path(self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.0))
    }
}

/// The namespaces of one cluster; they end with the value, or with this process.
pub struct Bundle {
    script: Child,
    stdin: Option<ChildStdin>,
    name: String,
    folder: PathBuf,
    logs: PathBuf,
    namespaces: Namespaces,
}

impl Bundle {
    /// Makes them. What a killed run left behind is removed on the way.
    ///
    /// # Panics
    /// If the script fails; its words are in `logs`.
    #[must_use]
    pub fn start(logs: &Path) -> Self {
        let name = format!("{}", std::process::id());
        let log = File::create(logs.join("bundle.log")).expect("the folder for logs is writable");
        let mut script = Command::new(checkout().join("tests/cluster/bundle"))
            .args(["up", &name, "node1", "node2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the script can be run");
        let mut pid = String::new();
        let stdout = script.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut pid).expect("a pipe can be read");
        let pid = pid.trim_end().parse().unwrap_or_else(|_| {
            let said = std::fs::read_to_string(logs.join("bundle.log")).unwrap_or_default();
            panic!("no namespaces:\n{said}")
        });
        Self {
            stdin: script.stdin.take(),
            script,
            folder: Path::new(RUNS).join(&name),
            name,
            logs: logs.to_owned(),
            namespaces: Namespaces(pid),
        }
    }

    /// The namespaces.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// The folder of this run, outside; it goes with the namespaces.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder for logs, which stays.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The control group of a node, as the kubelet names it.
    #[must_use]
    pub fn cgroup(&self, node: u8) -> String {
        format!("/dormouse-tests-{}/node{node}", self.name)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // The end of its stdin is the script's order to end everything.
        self.stdin.take();
        let ended = wait::at_most(wait::DEADLINE, || self.script.try_wait().ok().flatten());
        if ended.is_none() && !std::thread::panicking() {
            panic!("the namespaces did not end in {:?}", wait::DEADLINE);
        }
    }
}
