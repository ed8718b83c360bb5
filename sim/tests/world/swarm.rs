//! Random worlds, each checked after every event. One that breaks a rule is made smaller as long as
//! it breaks it, and is saved as a scenario.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a world that breaks a rule is saved, and how long the search took is told"
)]

pub(crate) mod plan;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use dormouse_sim::input::{Inputs, Manifest};
use dormouse_sim::plan::{self as scenario, Options};
use dormouse_sim::world::{Ended, Log, Policy, Scorecard, Setup, run, run_checked};

use plan::Plan;

/// Events of one world: enough for a wake, a burst, some faults and the way back to zero.
const EVENTS_MAX: u64 = 5_000;

/// Worlds in the ordinary run; `DORMOUSE_SWARM_SEEDS` asks for more. How long ten thousand take:
/// `DORMOUSE_SWARM_SEEDS=10000 cargo test --release -p dormouse-sim --test world random_worlds --
/// --nocapture`.
const SEEDS: u64 = 300;

/// What a world must not do, in words if it does it.
type Rule = fn(&Setup, u64) -> Option<String>;

struct NoFiles;

impl Inputs for NoFiles {
    fn open(&self, _: &str) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn manifest(&self, _: &str) -> Result<Manifest, Vec<String>> {
        Ok(Manifest::default())
    }
}

pub(crate) fn setup(text: &str) -> Setup {
    let plan = scenario::Plan::new("swarm.toml", text, &Options::default(), &NoFiles);
    let plan = plan.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let mut setup = plan.setup(0, plan.cuts_ns.clone(), Log::None);
    setup.events_max = EVENTS_MAX;
    setup
}

/// The rules of the world itself, and that no schedule in which nobody waits is cheaper than the
/// floor.
fn keeps_every_rule(setup: &Setup, seed: u64) -> Option<String> {
    match run_checked(setup, seed) {
        Err(error) => Some(error.to_string()),
        Ok(card) => beats_the_floor(setup, &card),
    }
}

fn beats_the_floor(setup: &Setup, card: &Scorecard) -> Option<String> {
    let mut least = setup.clone();
    least.functions.iter_mut().for_each(|function| function.policy = Policy::Floor);
    let mut least = (card.ended == Ended::Time).then(|| run(&least, card.seed).unwrap())?;
    let rows = least.functions.iter_mut().zip(&card.functions).zip(&setup.functions);
    for ((least, row), function) in rows {
        let (score, least) = (row.from(0), least.from(0));
        let nobody_waited = score.wait.sum_ns == 0 && score.wait.infinite == 0;
        // Pods that are there when the world begins have cost nothing until then.
        let start_up = &function.start_up;
        let given_ns = u128::from(function.replicas)
            * u128::from(start_up.image.at(0.5) + start_up.boot.at(0.5));
        if nobody_waited && score.under_ns == 0 && score.pod_ns + given_ns < least.pod_ns {
            return Some(format!("{}: nobody waited, below the floor", row.name));
        }
    }
    None
}

/// The smallest world found among these seeds that breaks a rule, and what it breaks.
fn search(seeds: u64, rule: Rule) -> Option<(Plan, String)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let broken = thread::scope(|scope| {
        let look = |first: usize| {
            let mut seeds = (first as u64..seeds).step_by(threads);
            seeds.find(|&seed| rule(&setup(&Plan::draw(seed).scenario()), seed).is_some())
        };
        let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || look(first))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).min()
    })?;
    let breaks = |plan: &Plan| rule(&setup(&plan.scenario()), plan.seed);
    let plan = Plan::draw(broken).shrink(|plan| breaks(plan).is_some());
    let what = breaks(&plan).unwrap();
    Some((plan, what))
}

/// Saves a world as a scenario that breaks the same rule again.
fn save(plan: &Plan, what: &str, folder: &Path) -> PathBuf {
    let path = folder.join(format!("swarm-{}.toml", plan.seed));
    let again = format!("dormouse sim run {} --seed {} --check-events", path.display(), plan.seed);
    fs::write(&path, format!("# {what}\n# {again}\n{}", plan.scenario())).unwrap();
    path
}

#[test]
fn random_worlds_keep_every_rule() {
    let seeds = std::env::var("DORMOUSE_SWARM_SEEDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let began = Instant::now();
    let broken = search(seeds, keeps_every_rule);
    println!("{seeds} worlds in {:.1} s", began.elapsed().as_secs_f64());
    if let Some((plan, what)) = broken {
        let path = save(&plan, &what, Path::new(env!("CARGO_TARGET_TMPDIR")));
        panic!("{what}\nsaved as {}, which says how to see it again", path.display());
    }
}

/// As if no world could lose a request: those with a fault at the wrong moment do.
#[test]
fn a_rule_that_is_broken_is_found_made_small_and_saved() {
    let nothing_is_lost: Rule = |setup, seed| {
        let card = run_checked(setup, seed).unwrap();
        let lost: u64 = card.functions.iter().map(|row| row.from(0).lost).sum();
        (lost > 0).then(|| format!("{lost} are lost"))
    };
    let (plan, what) = search(SEEDS, nothing_is_lost).unwrap();
    assert_eq!((plan.faults.len(), plan.functions.len()), (1, 1), "{plan:#?}");
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(save(&plan, &what, folder.path())).unwrap();
    assert!(text.starts_with(&format!("# {what}\n# dormouse sim run ")), "{text}");
    assert_eq!(nothing_is_lost(&setup(&text), plan.seed), Some(what));
}
