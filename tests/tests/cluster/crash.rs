//! However a run ends, nothing of its cluster stays.
//!
//! The run that is killed is this program again, with [`DOOMED`] in its environment; the one that
//! hangs, with [`HANGING`].

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use dormouse_tests::cluster::Cluster;
use dormouse_tests::cluster::bundle::RUNS;
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::cluster::suite::{self, Company, LIMIT_WANTED};
use dormouse_tests::program::checkout;
use dormouse_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::functions::{deploy, ready_pods};

/// Makes this program start a cluster with a pod, say so and wait for its end.
pub(crate) const DOOMED: &str = "DORMOUSE_TEST_DOOMED";

/// Makes this program run one test, which never ends.
pub(crate) const HANGING: &str = "DORMOUSE_TEST_HANGING";

/// What a cluster would write on the host if its namespaces leaked.
const HOST_PATHS: [&str; 5] = [
    "/opt/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
];

/// What a kubelet would change for the whole machine.
const SETTINGS: [&str; 4] = [
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
];

/// Answers on stdout with the process that keeps the namespaces.
pub(crate) fn run_doomed(logs: &Path) -> ExitCode {
    let cluster = Cluster::start(logs);
    let stage = Stage::enter(&cluster, "doomed");
    deploy(&stage, "one", 1);
    ready_pods(&stage, "one", 1);
    let said = writeln!(io::stdout(), "{}", cluster.namespaces().keeper());
    said.and_then(|()| io::stdin().read_line(&mut String::new())).unwrap();
    ExitCode::SUCCESS
}

pub(crate) fn run_hanging(logs: &Path) -> ExitCode {
    suite::run(
        logs,
        &[("never_ends", Company::Welcome, |_| {
            loop {
                std::thread::park();
            }
        })],
    )
}

/// A run about to be killed, its cluster up and a pod in it.
struct Doomed {
    run: Child,
    /// The process namespace of its cluster.
    processes: PathBuf,
}

impl Doomed {
    fn start() -> Self {
        let mut run = Command::new(std::env::current_exe().unwrap())
            .env(DOOMED, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut keeper = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut keeper).unwrap();
        let processes = fs::read_link(format!("/proc/{}/ns/pid", keeper.trim_end())).unwrap();
        let doomed = Self { run, processes };
        // etcd, the API server, a shim, a pod … and all that the next lines will miss.
        assert!(doomed.alive() > 8);
        assert!(!doomed.cgroups().is_empty());
        assert!(doomed.folder().exists());
        doomed
    }

    fn kill(&mut self) {
        self.run.kill().unwrap();
        self.run.wait().unwrap();
    }

    /// So many processes live in its cluster.
    fn alive(&self) -> usize {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let namespace = |entry: fs::DirEntry| fs::read_link(entry.path().join("ns/pid")).ok();
        processes.filter_map(namespace).filter(|it| *it == self.processes).count()
    }

    fn folder(&self) -> PathBuf {
        Path::new(RUNS).join(self.run.id().to_string())
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("dormouse-tests-{}", self.run.id());
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
        let groups = hierarchies.chain([root.to_owned()]).map(|path| path.join(&name));
        groups.filter(|path| path.exists()).collect()
    }

    fn left(&self) -> Option<()> {
        let left = self.alive() > 0 || !self.cgroups().is_empty() || self.folder().exists();
        (!left).then_some(())
    }
}

/// What a cluster might have changed on the host.
fn host() -> (Vec<bool>, Vec<String>, String) {
    let paths = HOST_PATHS.iter().map(|path| Path::new(path).exists()).collect();
    let settings = SETTINGS.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    (paths, settings, fs::read_to_string("/proc/self/mountinfo").unwrap())
}

pub(crate) fn a_killed_run_leaves_nothing(_: &Stage<'_>) {
    let before = host();
    let mut doomed = Doomed::start();
    doomed.kill();
    wait::until("everything to be gone", || doomed.left());
    assert_eq!(host(), before);
}

pub(crate) fn the_next_run_sweeps_what_is_left(_: &Stage<'_>) {
    let mut doomed = Doomed::start();
    // Its script, which would clean up, dies first.
    let children = format!("/proc/{0}/task/{0}/children", doomed.run.id());
    let children = fs::read_to_string(children).unwrap();
    let command = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let is_script = |pid: &&str| command(pid).contains("tests/cluster/bundle\0up");
    let script = children.split_whitespace().find(is_script).unwrap();
    kill(Pid::from_raw(script.parse().unwrap()), Signal::SIGKILL).unwrap();
    doomed.kill();
    wait::until("its processes to be gone", || (doomed.alive() == 0).then_some(()));
    assert!(!doomed.cgroups().is_empty());

    let next = Command::new(checkout().join("tests/cluster/bundle"))
        .args(["up", "next"])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(next.success());
    assert!(doomed.left().is_some(), "{:?}", doomed.cgroups());
}

pub(crate) fn a_test_that_hangs_ends_the_run_by_its_name(_: &Stage<'_>) {
    let run = Command::new(std::env::current_exe().unwrap())
        .env(HANGING, "yes")
        .env(LIMIT_WANTED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.ends_with("test never_ends hangs: it runs for 1s\n"), "{said}");
    assert!(said.contains("kubelet1.log"), "{said}");
}
