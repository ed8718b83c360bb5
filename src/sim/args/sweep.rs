//! What can be typed after `dormouse sim sweep` and `merge`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dormouse_sim::baseline;
use dormouse_sim::metric::Metric;
use dormouse_sim::report::SweepKind;
use dormouse_sim::sweep::{Axis, Lower, Slice};

use super::{ChangeArgs, WorkArgs, metric, output};

pub(super) const SWEEP_EXAMPLES: &str = "\
Examples:
  dormouse sim sweep shop.toml --grid autoscaling.knative.dev/window=15s,30s,60s,120s
  dormouse sim sweep shop.toml --seed 1..10 --random 200 \\
      --range autoscaling.knative.dev/window=6s..10m --range autoscaling.knative.dev/target=1..50
  dormouse sim sweep shop.toml --grid … --partition slice:2/4 -o json=2.json
  dormouse sim merge 1.json 2.json 3.json 4.json

The first policy is the baseline. Candidates are chosen on the first half of the scored time, and
judged by the second half with as many fresh seeds. Exit 0: it ran, 2: what was typed or read cannot
be used, 3: nothing arrived, 70: a fault of the program, 74: a report could not be written,
130: interrupted.";

pub(super) const MERGE_EXAMPLES: &str = "\
Examples:
  dormouse sim merge slices/*.json              the frontier, and what is suggested
  dormouse sim merge slices/*.json -o json=whole.json -o md

What comes of all slices together is what one run without --partition gives, to the byte. Exit 0: it
is whole, 2: a file cannot be read, or they are not all slices of one sweep, 74: a report could not
be written.";

/// Arguments of `dormouse sim sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// The scenario, TOML; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) scenario: String,
    /// Annotation that is varied, and its values; may be given several times
    #[arg(long, value_name = "KEY=V1,V2,…", value_parser = Axis::listed)]
    pub(crate) grid: Vec<Axis>,
    /// Annotation that is drawn, and from where to where; may be given several times
    #[arg(long, value_name = "KEY=LO..HI", value_parser = Axis::drawn, requires = "random")]
    pub(crate) range: Vec<Axis>,
    /// Draw so many combinations instead of trying all
    #[arg(long, value_name = "N")]
    pub(crate) random: Option<NonZeroU32>,
    /// What is paid
    #[arg(long, value_name = "METRIC", default_value = "pod_seconds", value_parser = metric)]
    pub(crate) cost: Metric,
    /// What is suffered
    #[arg(long, value_name = "METRIC", default_value = "waited", value_parser = metric)]
    pub(crate) waiting: Metric,
    /// Which of the two is to be lowered without the other being raised
    #[arg(long, value_name = "WHICH", default_value = "cost")]
    pub(crate) lower: LowerArg,
    /// By how much the other may be above the baseline's and still count as not raised
    /// [default: 2%]
    #[arg(long, value_name = "PERCENT", value_parser = baseline::share_of)]
    pub(crate) margin: Option<f64>,
    /// Only every so many-th candidate, as in slice:1/4; index:0/4 is the same, counted from 0
    #[arg(long, value_name = "slice:N/M", default_value_t = Slice::WHOLE)]
    pub(crate) partition: Slice,
    /// A report: text, json, md, svg or html, on stdout or in a file; may be given several times
    #[arg(
        short,
        long,
        value_name = "KIND[=PATH]",
        value_parser = |text: &str| output(text, SweepKind::parse)
    )]
    pub(crate) output: Vec<SweepOutput>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// Arguments of `dormouse sim merge`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The JSON reports of all slices
    #[arg(value_name = "FILE", required = true)]
    pub(crate) slices: Vec<PathBuf>,
    /// A report: text, json, md, svg or html, on stdout or in a file; may be given several times
    #[arg(
        short,
        long,
        value_name = "KIND[=PATH]",
        value_parser = |text: &str| output(text, SweepKind::parse)
    )]
    pub(crate) output: Vec<SweepOutput>,
}

/// A report of a sweep and where it goes.
pub(crate) type SweepOutput = super::Output<SweepKind>;

/// Which figure is to be lowered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LowerArg {
    /// What is paid.
    Cost,
    /// What is suffered.
    Waiting,
}

impl From<LowerArg> for Lower {
    fn from(which: LowerArg) -> Self {
        match which {
            LowerArg::Cost => Self::Cost,
            LowerArg::Waiting => Self::Waiting,
        }
    }
}
