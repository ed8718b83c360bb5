//! The tests of one cluster, run by the rules of `cargo test`: `--list`, a filter, `--exact`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Trial};

use super::Cluster;
use super::requirements::objection;
use super::stage::Stage;

/// So many lines of each log are shown when a test failed; the files have all of them.
const SHOWN_LINES_MAX: usize = 40;

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
        test(&Stage::enter(cluster, name));
        let took = (name.to_owned(), started.elapsed());
        self.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        drop((alone, beside));
        Completion::Completed
    }

    fn end(self, failed: bool) {
        let mut report = String::new();
        if failed {
            report.push_str(&self.last_words());
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

    /// The end of every component's and pod's log, also of those of a cluster that never was whole.
    fn last_words(&self) -> String {
        let mut words = format!("whole logs: {}\n", self.logs.display());
        for log in files(&self.logs) {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let end = &lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..];
            words.push_str(&format!("\n--- {}\n{}\n", log.display(), end.join("\n")));
        }
        words
    }
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}
