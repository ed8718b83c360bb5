//! A program of the cluster: started, killed, frozen and started again.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bundle::{Bundle, Namespaces};
use crate::wait;

/// A program that runs in the cluster's namespaces.
pub struct Component {
    name: String,
    namespaces: Namespaces,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    /// `nsenter`, whose child is `setsid`, whose child is the program: `nsenter` stops with its
    /// child, and nobody would reap what a stopped one leaves.
    running: Mutex<Child>,
}

impl Component {
    /// Starts it; what it says goes to a file of that name.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(
        bundle: &Bundle,
        namespaces: Namespaces,
        name: &str,
        program: PathBuf,
        arguments: impl IntoIterator<Item: Into<String>>,
    ) -> Self {
        let log = bundle.logs().join(format!("{name}.log"));
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let running = Mutex::new(spawn(namespaces, &program, &arguments, &log));
        Self { name: name.to_owned(), namespaces, program, arguments, log, running }
    }

    /// What it is called: `etcd`, `kubelet2`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it as a crash would, and returns when it is gone. What it started goes on.
    ///
    /// # Panics
    /// If it does not go.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.running().wait().expect("a child can be waited for");
    }

    /// Starts it again with the same arguments after [`Component::kill`].
    ///
    /// # Panics
    /// If it still runs, or cannot be started.
    pub fn start_again(&self) {
        assert!(self.has_ended(), "{} still runs", self.name);
        *self.running() = spawn(self.namespaces, &self.program, &self.arguments, &self.log);
    }

    /// Stops it where it is; its sockets stay open.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Component::freeze`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Its process, by the number this process knows it by.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let nsenter = i32::try_from(self.running().id()).expect("process ids are small");
        // Between its start and its fork neither has a child yet.
        wait::until(&format!("{} to run", self.name), || child(child(nsenter)?))
    }

    /// Whether it has ended, by itself or killed.
    ///
    /// # Panics
    /// Never: a child can be asked for.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.running().try_wait().expect("a child can be asked for").is_some()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid();
        kill(Pid::from_raw(pid), signal)
            .unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    fn running(&self) -> MutexGuard<'_, Child> {
        // A child is as good after a panic as before it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one child of a process.
fn child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn spawn(namespaces: Namespaces, program: &PathBuf, arguments: &[String], log: &PathBuf) -> Child {
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let errors = log.try_clone().expect("a descriptor can be duplicated");
    namespaces
        .command("setsid")
        .args(["--fork", "--wait"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
