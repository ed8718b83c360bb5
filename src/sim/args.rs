//! What can be typed after `dormouse sim`.

mod import;
mod sweep;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use dormouse_sim::baseline::{self, Tolerance};
use dormouse_sim::compare;
use dormouse_sim::metric::{Better, Metric};
use dormouse_sim::plan::{Checks, Options, SeedRange};
use dormouse_sim::report::{Kind, comparison};
use dormouse_sim::scenario::Time;

use super::suite;
pub(crate) use import::ImportArgs;
use sweep::{MERGE_EXAMPLES, SWEEP_EXAMPLES};
pub(crate) use sweep::{MergeArgs, SweepArgs, SweepOutput};

/// Most runs at once, each on a thread of its own: more than the cores of any machine.
const JOBS_MAX: usize = 1_024;

const RUN_EXAMPLES: &str = "\
Examples:
  dormouse sim init > shop.toml                 a scenario to begin with
  dormouse sim run shop.toml                    what comes of it, for people
  dormouse sim run shop.toml -o junit=out.xml   and its assertions for CI
  dormouse sim run shop.toml --set autoscaling.knative.dev/window=30s --seed 1..20
  dormouse sim run shop.toml --assert 'wait.p99 <= 300ms' --baseline was.json

Exit 0: all holds, 1: an assertion does not, or a figure is not the baseline's, 2: what was typed or
read cannot be used, 3: nothing was asserted and nothing arrived, 70: a fault of the program,
74: a report could not be written, 130: interrupted.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  dormouse sim compare shop.toml                   the policies of a scenario, beside the first
  dormouse sim compare main.toml change.toml       those of two scenarios of one load
  dormouse sim compare shop.toml -o md=comment.md  for a pull request
  dormouse sim compare shop.toml --metric waited --metric pod_seconds --margin 5%

Each figure is better, worse, the same (inside the margin) or undecided, by an interval of 95 %:
over seeds, at least 10, where loads are invented; over functions, at least 8, where they are
recorded. Whether the verdicts hold with start-ups half and twice as long is looked at, too. Exit as
of `run`; 1 also: a figure is worse.";

const TEST_EXAMPLES: &str = "\
Examples:
  dormouse sim test sim/scenarios               every scenario of a folder
  dormouse sim test sim/scenarios -o junit=out.xml    for CI
  dormouse sim test sim/scenarios --bless       and take what comes of them as right
  dormouse sim test sim/scenarios --set autoscaling.knative.dev/window=30s
                                                what would no longer hold

Each NAME.toml is run; its assertions must hold, and every figure must be that of NAME.json beside
it, where there is one. That is of the scenario as it stands: with --manifest, --set, --policy,
--seed or --only, its assertions alone are judged. Exit as of `run`; 3: there is no scenario, or one
with nothing to judge.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  dormouse sim verify kpa.jsonl                 one recording
  dormouse sim verify *.jsonl more.jsonl.gz     several, packed or not
  zcat all.gz | dormouse sim verify -           from standard input

Each figure that comes out otherwise than recorded is a line, the first 20 of them; the last line
counts. Exit 0: none came out otherwise, 1: some did, 2: a file could not be read.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  dormouse up -f app.yaml --record day.jsonl     a record to replay
  dormouse sim replay day.jsonl                  every decision comes out as it did
  dormouse sim replay day.jsonl --set autoscaling.knative.dev/window=30s

Each decision that comes out otherwise is a line, the first 20 of them: when (since the recording
process began), the function, the field, what was recorded, what it is now. The last line counts.
With --set the readings and pods stay those that the recorded settings led to, and what differs is
the answer. Exit 0: none differs, or --set was given, 1: some do, 2: a record cannot be replayed.";

/// The simulator's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run a scenario and say what came of it
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Compare policies in one world, and say what is better, worse or the same
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Run every scenario of a folder, beside what came of it before
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Try many annotations, and find those that cost less or let less wait
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep(SweepArgs),
    /// Put the slices of a sweep together
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Read a scenario and all it names, and print it with every default filled in
    Check(CheckArgs),
    /// Print a scenario to begin with
    Init(InitArgs),
    /// Print the JSON Schema of what `run`, `compare`, `sweep` and `merge` write as JSON
    Schema,
    /// Show the decision that held at a moment of a scenario, and the figures that led to it
    Explain(ExplainArgs),
    /// Replay recorded runs and compare every figure
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Make the decisions of a record again and compare them
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Make a trace of a log, of another trace or of a record of decisions
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArgs),
}

/// What changes a scenario.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Manifest in place of every policy's
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<String>,
    /// Annotation in place of all others; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Only this policy; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Vec<String>,
    /// Only this seed, or these, as in 1..10
    #[arg(long, value_name = "N|A..B")]
    pub(crate) seed: Option<SeedRange>,
    /// Only this function; may be given several times
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) only: Vec<String>,
    /// Another assertion, as in 'wait.p99 <= 300ms'; may be given several times
    #[arg(long = "assert", value_name = "ASSERTION")]
    pub(crate) assertions: Vec<String>,
    /// Most events of a run, so that none is endless
    #[arg(
        long,
        value_name = "N",
        default_value_t = Options::EVENTS_MAX,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) max_events: u64,
    /// Check the world's own rules after every event: slow, for who looks for a fault in it
    #[arg(long)]
    pub(crate) check_events: bool,
}

/// How runs are made.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Runs at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Say on stderr how many runs are done, also where it is no terminal: a line each there
    #[arg(long)]
    pub(crate) progress: bool,
    /// Say nothing but what is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `dormouse sim run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The scenario, TOML; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) scenario: String,
    /// A report: text, json, junit, csv, md, prom, svg or html, on stdout or in a file; may be
    /// given several times
    #[arg(
        short,
        long,
        value_name = "KIND[=PATH]",
        value_parser = |text: &str| output(text, Kind::parse)
    )]
    pub(crate) output: Vec<Output<Kind>>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// JSON report whose figures must come out again, within `score.tolerance`
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// By how much a figure may differ from the baseline's, as in wait.p99=5%; may be given several
    /// times, and comes before `score.tolerance`
    #[arg(long, value_name = "METRIC=PERCENT", requires = "baseline")]
    pub(crate) tolerance: Vec<Tolerance>,
    /// Write the baseline anew instead of comparing with it
    #[arg(long, requires = "baseline")]
    pub(crate) bless: bool,
}

/// Arguments of `dormouse sim compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The scenarios, TOML, which may differ in their policies alone; the first policy of the first
    /// is the baseline
    #[arg(value_name = "FILE", required = true)]
    pub(crate) scenarios: Vec<String>,
    /// A report: text, json, md, svg or html, on stdout or in a file; may be given several times
    #[arg(
        short,
        long,
        value_name = "KIND[=PATH]",
        value_parser = |text: &str| output(text, comparison::Kind::parse)
    )]
    pub(crate) output: Vec<Output<comparison::Kind>>,
    /// Within which share of the baseline's a figure is the same [default: 2%]
    #[arg(long, value_name = "PERCENT", value_parser = baseline::share_of)]
    pub(crate) margin: Option<f64>,
    /// A figure to compare by; may be given several times [default: waits, latency, failures, cold
    /// starts, pod-seconds, cost]
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    pub(crate) metric: Vec<Metric>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// Arguments of `dormouse sim test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// A report: text, or junit with a suite for each scenario, on stdout or in a file; may be
    /// given several times
    #[arg(
        short,
        long,
        value_name = "KIND[=PATH]",
        value_parser = |text: &str| output(text, suite::Kind::parse)
    )]
    pub(crate) output: Vec<Output<suite::Kind>>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// By how much a figure may differ from what it was, as in wait.p99=5%; may be given several
    /// times, and comes before `score.tolerance`
    #[arg(long, value_name = "METRIC=PERCENT")]
    pub(crate) tolerance: Vec<Tolerance>,
    /// Write what comes of each scenario beside it, as right
    #[arg(long)]
    pub(crate) bless: bool,
}

/// Arguments of `dormouse sim check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The scenario, TOML; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) scenario: String,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Print nothing but what is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `dormouse sim init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// A new file for it [default: stdout]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Arguments of `dormouse sim explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The scenario, TOML; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) scenario: String,
    /// The moment, counted from the scenario's start, as in 2h30m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Time,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// Arguments of `dormouse sim verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Recordings, .jsonl or .jsonl.gz; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<String>,
}

/// Arguments of `dormouse sim replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Records of decisions, packed or not; - is standard input
    #[arg(value_name = "RECORD", required = true)]
    pub(crate) records: Vec<String>,
    /// Annotation in place of what was recorded of it; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Refused, with what does it instead
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) policy: Option<String>,
}

/// A report and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output<K> {
    /// Which one.
    pub(crate) kind: K,
    /// The file; none = stdout.
    pub(crate) path: Option<PathBuf>,
}

impl CompareArgs {
    /// The figures to compare by.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        match self.metric.as_slice() {
            [] => Metric::compared(),
            metrics => metrics.to_vec(),
        }
    }

    /// Within which share of the baseline's a figure is the same.
    pub(crate) fn margin(&self) -> f64 {
        self.margin.unwrap_or(compare::MARGIN)
    }
}

impl ChangeArgs {
    /// The flags given that make other runs of a scenario than it has itself.
    pub(crate) fn other_runs(&self) -> Vec<&'static str> {
        let given = [
            ("--manifest", self.manifest.is_some()),
            ("--set", !self.set.is_empty()),
            ("--policy", !self.policy.is_empty()),
            ("--seed", self.seed.is_some()),
            ("--only", !self.only.is_empty()),
        ];
        given.into_iter().filter_map(|(flag, is_given)| is_given.then_some(flag)).collect()
    }

    /// The flags given that make another report of it: those, and what is asked of its runs.
    pub(crate) fn other_reports(&self) -> Vec<&'static str> {
        let asserts = (!self.assertions.is_empty()).then_some("--assert");
        let checks = self.check_events.then_some("--check-events");
        self.other_runs().into_iter().chain(asserts).chain(checks).collect()
    }

    /// The same for the simulator.
    pub(crate) fn options(&self) -> Options {
        Options {
            // By this folder, not by the scenario's.
            manifest: self.manifest.as_ref().map(|path| {
                std::path::absolute(path).map_or(path.clone(), |it| it.display().to_string())
            }),
            set: self.set.clone(),
            policies: self.policy.clone(),
            only: self.only.clone(),
            seeds: self.seed,
            assertions: self.assertions.clone(),
            events_max: self.max_events,
            candidates: None,
            checks: match self.check_events {
                true => Checks::EveryEvent,
                false => Checks::AtEnd,
            },
        }
    }
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZeroUsize| jobs.get() <= JOBS_MAX);
    jobs.ok_or_else(|| format!("must be a whole number from 1 to {JOBS_MAX}"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn metric(text: &str) -> Result<Metric, String> {
    let metric = Metric::parse(text)?;
    match metric.better() {
        Better::Neither => Err("is the load's, not the policy's".to_owned()),
        Better::Less | Better::More => Ok(metric),
    }
}

fn output<K>(text: &str, parse: fn(&str) -> Result<K, String>) -> Result<Output<K>, String> {
    let (kind, path) = match text.split_once('=') {
        Some((kind, path)) => (kind, Some(path)),
        None => (text, None),
    };
    let kind = parse(kind)?;
    match path {
        Some("") => Err("names no file".to_owned()),
        path => Ok(Output { kind, path: path.filter(|path| *path != "-").map(PathBuf::from) }),
    }
}
