//! What learning when to sleep is worth: requests that wait beside pod-seconds, on recorded
//! functions, under KPA, fixed idle times, the hybrid histogram, the floor and
//! `dormouse.dev/idle-cost` at a grid of λ. And the waits at equal pod-seconds and at 20 and 45 %
//! more, interpolated in the grid, with intervals over functions.
//!
//! Policies learn as they go through the first four hours, the next four are scored. Whoever
//! chooses constants does it with `--tune`, which learns in the first two hours and scores the next
//! two.
//!
//!     cargo bench -p dormouse-sim --bench idle_cost -- [--counts FILE --durations FILE]
//!         [--place uniform|even|clump] [--seeds N] [--tune]

#![allow(clippy::print_stdout, reason = "a bench reports to stdout")]
#![allow(clippy::disallowed_methods, reason = "a bench reads files and its arguments")]

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::thread;

use dormouse_sim::input::{Inputs, Manifest};
use dormouse_sim::plan::{Options, Plan};
use dormouse_sim::statistics::bootstrap;

/// The values of λ that are tried, in pod-seconds.
const GRID: [u32; 10] = [30, 60, 120, 200, 300, 450, 600, 900, 1200, 2000];

/// Pod-seconds beyond KPA's at which waits are compared, as shares of KPA's.
const MORE: [f64; 3] = [0.0, 0.2, 0.45];

const FIXED_MINUTES: [u32; 3] = [5, 10, 20];

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/traces/azure-2019-sample-");

struct Args {
    counts: String,
    durations: String,
    place: String,
    seeds: String,
    /// What is lived through, and what is scored as long.
    half: &'static str,
}

struct Files;

impl Inputs for Files {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(name)?))
    }

    fn manifest(&self, _: &str) -> Result<Manifest, Vec<String>> {
        Err(vec!["there is none".to_owned()])
    }
}

/// What a policy came to with one function, on average over seeds.
#[derive(Clone, Copy, Default)]
struct Cost {
    waited: f64,
    pod_s: f64,
    arrived: f64,
    pre_warms: f64,
}

struct Row {
    policy: String,
    by_function: Vec<Cost>,
}

impl Row {
    /// Over functions, each counted so often.
    fn sum(&self, counts: &[u32]) -> Cost {
        let mut sum = Cost::default();
        for (cost, count) in self.by_function.iter().zip(counts) {
            let count = f64::from(*count);
            sum.waited += cost.waited * count;
            sum.pod_s += cost.pod_s * count;
            sum.arrived += cost.arrived * count;
            sum.pre_warms += cost.pre_warms * count;
        }
        sum
    }
}

fn args() -> Args {
    let mut parsed = Args {
        counts: format!("{TRACES}counts.csv.gz"),
        durations: format!("{TRACES}durations.csv.gz"),
        place: "uniform".to_owned(),
        seeds: "10".to_owned(),
        half: "4h",
    };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{name} wants a value"));
        match name.as_str() {
            "--counts" => parsed.counts = value(),
            "--durations" => parsed.durations = value(),
            "--place" => parsed.place = value(),
            "--seeds" => parsed.seeds = value(),
            "--tune" => parsed.half = "2h",
            _ => panic!("{name}: there is no such flag"),
        }
    }
    parsed
}

fn scenario(args: &Args) -> String {
    let Args { counts, durations, place, seeds, half } = args;
    let mut policies = String::from(
        "[policy.kpa]\n[policy.floor]\nkind = \"floor\"\n\
         [policy.hybrid-histogram]\nkind = \"hybrid-histogram\"\n",
    );
    for minutes in FIXED_MINUTES {
        policies +=
            &format!("[policy.fixed-{minutes}m]\nkind = {{ fixed-idle = \"{minutes}m\" }}\n");
    }
    for cost in GRID {
        policies +=
            &format!("[policy.idle-cost-{cost}.set]\n\"dormouse.dev/idle-cost\" = {cost}\n");
    }
    format!(
        "schema = 1\nname = \"when to sleep\"\nseeds = {seeds}\nwarmup = \"{half}\"\n\
         length = \"{half}\"\n{policies}[function.\"fleet/*\"]\ncapacity = \"unlimited\"\n\
         start_up = {{ boot = \"2s\" }}\n[function.\"fleet/*\".trace]\nformat = \"azure-2019\"\n\
         counts = {counts:?}\ndurations = {durations:?}\nwhere = \"trigger = http\"\n\
         place = {place:?}\n",
    )
}

fn rows(plan: &Plan) -> Vec<Row> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let cards = plan.run(&plan.jobs(), threads, |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let (seeds, scored) = (plan.seeds.len(), plan.scored());
    let row = |(policy, cards): (&dormouse_sim::scenario::Policy, &[_])| {
        let mut by_function = vec![Cost::default(); plan.functions.len()];
        for card in cards {
            let card: &dormouse_sim::world::Scorecard = card;
            for (cost, function) in by_function.iter_mut().zip(&card.functions) {
                let score = function.from(scored);
                cost.waited += score.waited.total() as f64 / seeds as f64;
                cost.pod_s += score.pod_ns as f64 / 1e9 / seeds as f64;
                cost.arrived += score.arrived as f64 / seeds as f64;
                cost.pre_warms += score.pre_warms as f64 / seeds as f64;
            }
        }
        Row { policy: policy.name.clone(), by_function }
    };
    plan.scenario.policies.iter().zip(cards.chunks(seeds)).map(row).collect()
}

/// The waits beside KPA's, less one, at so many pod-seconds more than KPA's, in a straight line
/// between the two policies of the grid on either side; NaN beyond the grid.
fn interpolated(kpa: &Row, grid: &[Row], more: f64, counts: &[u32]) -> f64 {
    let kpa = kpa.sum(counts);
    let wanted = kpa.pod_s * (1.0 + more);
    let sums: Vec<Cost> = grid.iter().map(|row| row.sum(counts)).collect();
    let around = sums.windows(2).find(|pair| pair[0].pod_s <= wanted && wanted <= pair[1].pod_s);
    around.map_or(f64::NAN, |pair| {
        let share = (wanted - pair[0].pod_s) / (pair[1].pod_s - pair[0].pod_s);
        let waited = pair[0].waited + share * (pair[1].waited - pair[0].waited);
        waited / kpa.waited - 1.0
    })
}

fn main() {
    let args = args();
    let plan = Plan::new("idle_cost", &scenario(&args), &Options::default(), &Files);
    let plan = plan.unwrap_or_else(|faults| panic!("{faults}"));
    let rows = rows(&plan);
    let once = vec![1; plan.functions.len()];
    let kpa = rows[0].sum(&once);
    println!(
        "{} functions, {:.0} requests, place {}, {} seeds",
        once.len(),
        kpa.arrived,
        args.place,
        plan.seeds.len(),
    );
    for row in &rows {
        let sum = row.sum(&once);
        println!(
            "{:15} {:7.1} waited {:+6.1} %   {:9.0} pod-seconds {:+6.1} %   {:5.0} pre-warms",
            row.policy,
            sum.waited,
            (sum.waited / kpa.waited - 1.0) * 100.0,
            sum.pod_s,
            (sum.pod_s / kpa.pod_s - 1.0) * 100.0,
            sum.pre_warms,
        );
    }
    let grid = rows.len() - GRID.len();
    for more in MORE {
        let figure = |counts: &[u32]| interpolated(&rows[0], &rows[grid..], more, counts) * 100.0;
        let waits = figure(&once);
        // Of a draw that the grid does not reach nothing is known: it is as bad as KPA.
        let known = |counts: &[u32]| Some(figure(counts)).filter(|it| !it.is_nan()).unwrap_or(0.0);
        match bootstrap(once.len(), known) {
            Some(interval) => println!(
                "idle-cost at {:+.0} % pod-seconds: {waits:+.1} % waits ({:+.1} to {:+.1})",
                more * 100.0,
                interval.low,
                interval.high,
            ),
            None => println!("idle-cost at {:+.0} %: {waits:+.1} % waits", more * 100.0),
        }
    }
}
