//! What can be typed. Values that need checking stay text here; `up::Config` checks them all at
//! once, so that one run shows every mistake.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::activator::ActivatorArgs;
use crate::autoscaler::AutoscalerArgs;
use crate::demo::DemoArgs;
use crate::flags::ServingArgs;
use crate::sim::SimCommand;

const EXAMPLES: &str = "\
Examples:
  dormouse up -f deploy/examples/hello.yaml     run the functions of a manifest, without a cluster
  curl -i http://127.0.0.1:8080/ -H 'Host: hello.default.localhost'
                                                wake one (up prints the exact line)
  dormouse status                               what each function is doing
  dormouse explain hello                        why it has the replicas it has";

const UP_EXAMPLES: &str = "\
Examples:
  dormouse up -f app.yaml                       one file
  dormouse up -f deploy/ -f extra.yaml          every manifest of a folder, and a file
  dormouse up -f app.yaml --gateway 127.0.0.1:0 any free port; up prints which
  dormouse up -f app.yaml --json | jq .         one JSON object per change, on stdout
  dormouse up -f app.yaml --record up.jsonl     and every decision with all that led to it

Ctrl-C drains: requests that are held or open are answered, then the replicas stop. A second Ctrl-C
ends at once.";

const STATUS_EXAMPLES: &str = "\
Examples:
  dormouse status                               a table
  dormouse status --json | jq '.[].state'       the same for a program
  dormouse status --context prod -n shop        one namespace of a cluster
  kubectl dormouse status                       the same program, asking the cluster first";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  dormouse explain hello                        by name, if it is the only one of that name
  dormouse explain default/hello                by namespace and name
  dormouse explain hello --last 3               the newest ones
  dormouse explain hello --since 5m             those of the last five minutes
  dormouse explain hello --json | jq .          with every figure that led to each decision";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  dormouse doctor                               the current context's cluster
  dormouse doctor --context prod --json | jq .  the same for a program

Exit 0: nothing worse than a note was found, 1: something was, 2: bad usage, 3: the API server
cannot be asked.";

/// Scale plain Deployments to zero and back, by annotation alone.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the log is written.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Least level logged to stderr: error, warn, info, debug or trace; or a filter per part, as in
    /// `warn,dormouse_autoscaler=debug`
    #[arg(long, global = true, value_name = "LEVEL", env = "DORMOUSE_LOG", default_value = "warn")]
    pub(crate) log: String,
    /// Shape of a log line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "DORMOUSE_LOG_FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
}

/// The shapes of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run annotated manifests here, without a cluster: each replica is a child process
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Watch a cluster's annotated workloads, decide on their replicas, and scale them
    Autoscaler(AutoscalerArgs),
    /// Hold and forward the requests for them
    Activator(ActivatorArgs),
    /// Show what each function is doing, of `dormouse up` here or of a cluster
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show the last decisions on a function and the figures that led to each
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Look for what stands in Dormouse's way in a cluster
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Run a small web server whose start, speed and failures are chosen
    Demo(DemoArgs),
    /// Run the policy in an invented world, and what was recorded of it
    Sim {
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Print a completion script
    #[command(after_help = "Example:\n  source <(dormouse completions bash)")]
    Completions {
        /// The shell it is for
        shell: clap_complete::Shell,
    },
    /// Mind the processes of one replica; `up` runs it
    #[command(hide = true)]
    Nanny {
        /// For people who list processes
        replica: String,
    },
}

/// Arguments of `dormouse up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Manifest file, or folder of .yaml, .yml and .json files; may be given several times
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,
    /// Where every function answers by its Host name; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_GATEWAY", default_value = "127.0.0.1:8080")]
    pub(crate) gateway: String,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// Where `dormouse status` and `explain` are answered; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_ADMIN", default_value = "127.0.0.1:0")]
    pub(crate) admin: String,
    /// Where the activator answers `/metrics`, `/livez` and `/readyz`; port 0 takes any free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "DORMOUSE_ACTIVATOR_ADMIN",
        default_value = "127.0.0.1:0"
    )]
    pub(crate) activator_admin: String,
    /// Where the autoscaler listens for the activator; port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_LINK_LISTEN", default_value = "127.0.0.1:0")]
    pub(crate) link_listen: String,
    /// Where the activator dials the autoscaler, if not where it listens (for a proxy between them)
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_LINK_DIAL")]
    pub(crate) link_dial: Option<String>,
    /// Record every decision, with all that led to it, in a new file of one JSON object a line
    #[arg(long, value_name = "FILE", env = "DORMOUSE_RECORD")]
    pub(crate) record: Option<PathBuf>,
    /// Write one JSON object per change to stdout, instead of the account on stderr
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who is asked: a `dormouse up` on this machine, or the Dormouse of a cluster.
#[derive(Debug, Args)]
pub(crate) struct AskedArgs {
    /// Ask the one at that admin address [default: the `dormouse up` here, else the cluster]
    #[arg(long, value_name = "ADDR", env = "DORMOUSE_ADMIN",
        conflicts_with_all = ["kubeconfig", "context", "autoscaler"])]
    pub(crate) admin: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Only the functions of that namespace
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// Which cluster, and where Dormouse is in it.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Ask a cluster, found by that file [default: $KUBECONFIG, ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Ask the cluster of that context [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Ask the cluster for that Service of the autoscaler [default: dormouse/dormouse-autoscaler]
    #[arg(long, value_name = "NAMESPACE/NAME", env = "DORMOUSE_AUTOSCALER")]
    pub(crate) autoscaler: Option<String>,
}

/// Arguments of `dormouse status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dormouse explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The function: NAME or NAMESPACE/NAME
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// Show the last N decisions; 64 are kept, fewer of a function that was asleep for long
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) last: usize,
    /// Show those of the last DURATION alone, as in 10m
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was typed, checked, or all its faults at once.
pub(crate) fn checked<A, B>(
    one: Result<A, UsageError>,
    other: Result<B, UsageError>,
) -> Result<(A, B), UsageError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => {
            let faults = one.err().into_iter().chain(other.err());
            Err(UsageError(faults.flat_map(|error| error.0).collect()))
        }
    }
}

/// Arguments of `dormouse doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was typed, or what a manifest says, cannot hold. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\ndormouse: "))]
pub(crate) struct UsageError(pub(crate) Vec<String>);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_misspelt_flag_is_answered_with_the_right_one() {
        let typed = ["dormouse", "up", "-f", "app.yaml", "--gatway", "127.0.0.1:0"];
        let error = Cli::try_parse_from(typed).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--gateway"), "{error}");
    }
}
