//! The tests of one cluster, run by the rules of `cargo test`: `--list`, a filter, `--exact`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Trial};

use super::Cluster;
use super::requirements::objection;
use super::stage::Stage;

/// So many lines of each log are shown when a test failed; the files have all of them.
const SHOWN_LINES_MAX: usize = 40;

/// Seconds after which a test is taken to hang, and the run with it; else [`LIMIT`].
pub const LIMIT_WANTED: &str = "DORMOUSE_TEST_LIMIT";

/// More than twice what the longest test takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(600);

/// A test.
pub type Test = fn(&Stage<'_>);

/// Whether a test bears others beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// It keeps to its namespace.
    Welcome,
    /// It harms a component, or measures.
    Alone,
}

/// Runs the tests, a cluster around them, and says what took how long. Logs are written to `logs`.
///
/// Where they are not to run, each is listed as ignored with the [`objection`].
///
/// # Panics
/// If a cluster is required and cannot run here, or does not end.
#[must_use]
pub fn run(logs: &Path, tests: &[(&'static str, Company, Test)]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|it| it.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    let suite = Arc::new(Suite::new(logs));
    let trials = tests.iter().map(|&(name, company, test)| {
        let suite = Arc::clone(&suite);
        Trial::ignorable_test(name, move || Ok(suite.perform(name, company, test)))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let suite = Arc::into_inner(suite).expect("every test has ended");
    suite.end(conclusion.has_failed());
    conclusion.exit_code()
}

type Start = Box<dyn FnOnce() -> Cluster + Send>;

struct Suite {
    objection: Option<String>,
    /// Starts with the first test; if that fails, all fail.
    cluster: LazyLock<Cluster, Start>,
    company: RwLock<()>,
    took: Mutex<Vec<(String, Duration)>>,
    limit: Duration,
    logs: PathBuf,
}

impl Suite {
    fn new(logs: &Path) -> Self {
        let folder = logs.to_owned();
        Self {
            objection: objection(),
            cluster: LazyLock::new(Box::new(move || Cluster::start(&folder))),
            company: RwLock::new(()),
            took: Mutex::new(Vec::new()),
            limit: limit(),
            logs: logs.to_owned(),
        }
    }

    fn perform(&self, name: &str, company: Company, test: Test) -> Completion {
        if let Some(reason) = &self.objection {
            return Completion::ignored_with(reason);
        }
        // A test that failed has let go of its place all the same.
        let mut alone = None;
        let mut beside = None;
        match company {
            Company::Alone => {
                alone = Some(self.company.write().unwrap_or_else(PoisonError::into_inner));
            }
            Company::Welcome => {
                beside = Some(self.company.read().unwrap_or_else(PoisonError::into_inner));
            }
        }
        let cluster = &*self.cluster;
        let started = Instant::now();
        let _limited = Limited::start(name.to_owned(), self.limit, self.logs.clone());
        test(&Stage::enter(cluster, name));
        let took = (name.to_owned(), started.elapsed());
        self.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        drop((alone, beside));
        Completion::Completed
    }

    fn end(self, failed: bool) {
        let mut report = String::new();
        if failed {
            report.push_str(&last_words(&self.logs));
        }
        for (name, took) in self.took.into_inner().unwrap_or_else(PoisonError::into_inner) {
            report.push_str(&format!("{:7.1} s  {name}\n", took.as_secs_f64()));
        }
        let started = LazyLock::get(&self.cluster).map(Cluster::started_in);
        let ending = Instant::now();
        drop(self.cluster);
        if let Some(started) = started {
            report.push_str(&format!("{:7.1} s  cluster up\n", started.as_secs_f64()));
            let down = ending.elapsed().as_secs_f64();
            report.push_str(&format!("{down:7.1} s  cluster down\n"));
        }
        std::io::stderr().write_all(report.as_bytes()).expect("somebody reads the report");
    }
}

/// [`LIMIT_WANTED`], else [`LIMIT`].
fn limit() -> Duration {
    let Ok(wanted) = std::env::var(LIMIT_WANTED) else { return LIMIT };
    let seconds = wanted.parse();
    Duration::from_secs(seconds.unwrap_or_else(|_| panic!("{LIMIT_WANTED}={wanted}: seconds")))
}

/// A test that has to end before its time is up. One that hangs cannot be broken off, and those
/// that want to be alone would wait for it: the whole run ends with it, saying which it was.
struct Limited {
    _ended: mpsc::Sender<()>,
}

impl Limited {
    fn start(name: String, limit: Duration, logs: PathBuf) -> Self {
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let words = last_words(&logs);
                let words = format!("{words}\ntest {name} hangs: it runs for {limit:?}\n");
                std::io::stderr().write_all(words.as_bytes()).ok();
                #[allow(clippy::disallowed_methods, reason = "main waits for the test that hangs")]
                std::process::exit(1);
            }
        });
        Self { _ended: sender }
    }
}

/// The end of every component's and pod's log, also of those of a cluster that never was whole.
fn last_words(logs: &Path) -> String {
    let mut words = format!("whole logs: {}\n", logs.display());
    for log in files(logs) {
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..];
        words.push_str(&format!("\n--- {}\n{}\n", log.display(), end.join("\n")));
    }
    words
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}
