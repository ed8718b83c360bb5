//! What learning when to sleep is worth: requests that wait beside pod-seconds, on recorded
//! functions, under KPA, fixed idle times, the hybrid histogram, the floor and
//! `dormouse.dev/idle-cost` at a grid of λ. And the waits at equal pod-seconds and at 20 and 45 %
//! more, interpolated in the grid, with intervals over functions: the README's table, a column for
//! each way to place the requests of a minute.
//!
//! Policies learn as they go through the first four hours, the next four are scored. Whoever
//! chooses constants does it with `--tune`, which learns in the first two hours and scores the next
//! two, and with other traces.
//!
//!     cargo bench -p dormouse-sim --bench idle_cost -- [--counts FILE --durations FILE]
//!         [--where RULE] [--place uniform|even|clump] [--seeds N] [--tune]

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

/// How many fewer waits are to be reached there when places are drawn, in percent.
const GOALS: [u32; 3] = [60, 80, 90];

/// Where in its minute a request comes, and the table's words for it.
const PLACES: [(&str, &str); 3] =
    [("uniform", "drawn"), ("even", "evenly spread"), ("clump", "all at one time")];

const FIXED_MINUTES: [u32; 3] = [5, 10, 20];

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/traces/azure-2019-sample-");

struct Args {
    counts: String,
    durations: String,
    /// Which functions.
    which: String,
    /// None = one after the other.
    place: Option<String>,
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
        which: "trigger = http".to_owned(),
        place: None,
        seeds: "10".to_owned(),
        half: "4h",
    };
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{name} wants a value"));
        match name.as_str() {
            "--counts" => parsed.counts = value(),
            "--durations" => parsed.durations = value(),
            "--where" => parsed.which = value(),
            "--place" => parsed.place = Some(value()),
            "--seeds" => parsed.seeds = value(),
            "--tune" => parsed.half = "2h",
            _ => panic!("{name}: there is no such flag"),
        }
    }
    parsed
}

fn scenario(args: &Args, place: &str) -> String {
    let Args { counts, durations, which, seeds, half, .. } = args;
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
         counts = {counts:?}\ndurations = {durations:?}\nwhere = {which:?}\n\
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

/// The waits beside KPA's at so many pod-seconds more than KPA's, in percent, in a straight line
/// between the two policies of the grid on either side. Where none costs so much, those of the
/// dearest: more pod-seconds would not be more waits. None where all of them cost more.
fn interpolated(kpa: &Row, grid: &[Row], more: f64, counts: &[u32]) -> Option<f64> {
    let kpa = kpa.sum(counts);
    let wanted = kpa.pod_s * (1.0 + more);
    let sums: Vec<Cost> = grid.iter().map(|row| row.sum(counts)).collect();
    let around = sums.windows(2).find(|pair| pair[0].pod_s <= wanted && wanted <= pair[1].pod_s);
    let waited = match around {
        Some(pair) => {
            let share = (wanted - pair[0].pod_s) / (pair[1].pod_s - pair[0].pod_s);
            pair[0].waited + share * (pair[1].waited - pair[0].waited)
        }
        None => sums.last().filter(|dearest| dearest.pod_s < wanted)?.waited,
    };
    Some(percent(waited, kpa.waited))
}

/// How much more than the other, in percent.
fn percent(figure: f64, other: f64) -> f64 {
    (figure / other - 1.0) * 100.0
}

/// Prints what each policy came to, and gives the table's column: requests that wait and
/// pod-seconds beside KPA's.
fn column(args: &Args, place: &str) -> Vec<String> {
    let plan = Plan::new("idle_cost", &scenario(args, place), &Options::default(), &Files);
    let rows = rows(&plan.unwrap_or_else(|faults| panic!("{faults}")));
    let once = vec![1; rows[0].by_function.len()];
    let kpa = rows[0].sum(&once);
    println!("{} functions, {:.0} requests, place {place}", once.len(), kpa.arrived);
    let beside = |row: &Row| {
        let sum = row.sum(&once);
        let (waits, pod_s) = (percent(sum.waited, kpa.waited), percent(sum.pod_s, kpa.pod_s));
        println!(
            "{:16} {:7.1} waited {waits:+6.1} %   {:9.0} pod-s {pod_s:+6.1} %   {:5.0} pre-warms",
            row.policy, sum.waited, sum.pod_s, sum.pre_warms,
        );
        format!("{waits:+.1} %, {pod_s:+.1} %")
    };
    let mut beside: Vec<String> = rows.iter().map(beside).collect();
    let grid = rows.len() - GRID.len();
    let mut column: Vec<String> = MORE
        .iter()
        .map(|more| {
            let waits = |counts: &[u32]| interpolated(&rows[0], &rows[grid..], *more, counts);
            // Of a draw in which every policy of the grid costs more nothing is known.
            let interval = bootstrap(once.len(), |counts| waits(counts).unwrap_or(0.0));
            match (waits(&once), interval) {
                (Some(waits), Some(it)) => {
                    format!(
                        "{waits:+.1} % ({:+.1} to {:+.1}), {:+.0} %",
                        it.low,
                        it.high,
                        more * 100.0
                    )
                }
                (Some(waits), None) => format!("{waits:+.1} %, {:+.0} %", more * 100.0),
                (None, _) => "every λ tried costs more".to_owned(),
            }
        })
        .collect();
    column.extend(beside.drain(1..grid));
    column
}

fn main() {
    let args = args();
    let is_wanted = |place: &str| args.place.as_deref().is_none_or(|wanted| wanted == place);
    let places: Vec<_> = PLACES.into_iter().filter(|(place, _)| is_wanted(place)).collect();
    let columns: Vec<_> = places.iter().map(|(place, _)| column(&args, place)).collect();
    let mut names = Vec::new();
    for (more, goal) in MORE.iter().zip(GOALS) {
        names.push(format!("`idle-cost`, {:+.0} % pod-seconds (goal −{goal} %)", more * 100.0));
    }
    names.extend(["floor: nobody waits", "hybrid histogram"].map(str::to_owned));
    names.extend(FIXED_MINUTES.map(|minutes| format!("fixed idle time of {minutes} min")));
    let words: Vec<_> = places.iter().map(|(_, words)| *words).collect();
    println!("| waits and pod-seconds beside KPA, places in a minute: | {} |", words.join(" | "));
    println!("| --- |{}", " --- |".repeat(words.len()));
    for (at, name) in names.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|column| column[at].as_str()).collect();
        println!("| {name} | {} |", cells.join(" | ").replace('-', "−"));
    }
}
