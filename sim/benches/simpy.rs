//! An equal queue in SimPy, the best known library for discrete events: M/M/c of the same arrival
//! and service rates and as many requests, by the processor's time of both, and both mean waits
//! beside the closed form. Brings SimPy from its registry into an environment of its own; without
//! Python or the registry it says so and measures nothing.

#![allow(clippy::print_stdout, reason = "a bench reports to stdout")]
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "kit/timing.rs"]
#[allow(dead_code, reason = "medians are taken elsewhere")]
mod timing;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_sim::scenario::{Capacity, Function, Load, Rate, Spread};
use dormouse_sim::simulation::Simulation;

use timing::ran_s;

const SIMPY: &str = "simpy==4.1.1";

/// Servers, their load, and requests of a round: a few seconds of SimPy's.
const C: u32 = 10;
const RHO: f64 = 0.7;
const REQUESTS: u32 = 200_000;

/// Erlang's C ÷ (c (1 − ρ)): the mean wait in mean service times.
const MEAN_WAIT: f64 = 0.221_73 / (C as f64 * (1.0 - RHO));

const ROUNDS: u32 = 3;

/// Seconds of the processor for a request, and the mean wait in mean service times.
type Round = (f64, f64);

fn main() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/simpy/queue.py");
    let python = match install(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(python) => python,
        Err(why) => return println!("skipped: {why}"),
    };
    let rounds: Vec<(Round, Round)> = (0..ROUNDS)
        .map(|seed| {
            let (c, rho, requests) = (C.to_string(), RHO.to_string(), REQUESTS.to_string());
            let mut simpy = Command::new(&python);
            simpy.arg(&script).args([&seed.to_string(), &requests, &c, &rho]);
            (ours(), theirs(&said(&mut simpy).expect("SimPy runs")))
        })
        .collect();
    let figure = |of: fn(&(Round, Round)) -> f64| Figure::of(rounds.iter().map(of).collect());
    heading(&format!("M/M/{C} at {RHO} of its capacity, {REQUESTS} requests"));
    let ours = figure(|(ours, _)| ours.0 * 1e6);
    let theirs = figure(|(_, theirs)| theirs.0 * 1e6);
    row("Dormouse, a request", ours, "µs", Goal::None);
    row("SimPy 4.1.1, a request", theirs, "µs", Goal::None);
    row("SimPy ÷ Dormouse", theirs.over(ours), "×", Goal::None);
    row("Dormouse, mean wait ÷ Erlang's", figure(|it| it.0.1 / MEAN_WAIT), "×", Goal::None);
    row("SimPy, mean wait ÷ Erlang's", figure(|it| it.1.1 / MEAN_WAIT), "×", Goal::None);
}

/// A Python that has SimPy.
fn install(folder: &Path) -> Result<String, String> {
    let environment = folder.join("simpy");
    let python = environment.join("bin/python").to_string_lossy().into_owned();
    let has_it = |python: &str| said(Command::new(python).args(["-c", "import simpy"])).is_ok();
    if !has_it(&python) {
        said(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SIMPY];
        said(Command::new(&python).args(pip))?;
    }
    Ok(python)
}

/// What a program says, or why it says nothing.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn theirs(line: &str) -> Round {
    let mut numbers = line.split_whitespace().map(|word| word.parse().expect("it prints numbers"));
    let mut next = || numbers.next().unwrap_or(f64::NAN);
    (next() / f64::from(REQUESTS), next())
}

/// The same queue in worlds of as many seeds as there are rounds: one pod that is always there,
/// with a slot for each server.
fn ours() -> Round {
    let per_s = f64::from(C) * RHO;
    let load = Load::poisson(Rate::from_per_second(per_s));
    let station = Function::new("station", load, Duration::from_secs(1))
        .service(Spread::Exponential(Duration::from_secs(1).into()))
        .capacity(Capacity::Slots(C))
        .replicas(1);
    let simulation = Simulation::new(Duration::from_secs_f64(f64::from(REQUESTS) / per_s))
        .seeds(ROUNDS.into())
        .function(station)
        .annotate("autoscaling.knative.dev/min-scale", "1")
        .annotate("autoscaling.knative.dev/max-scale", "1")
        .annotate("dormouse.dev/container-concurrency", &C.to_string())
        .annotate("dormouse.dev/queue-depth", "100000")
        .annotate("dormouse.dev/queue-timeout", "1h")
        .annotate("dormouse.dev/request-timeout", "1h");
    let began_s = ran_s();
    let scores = simulation.run().unwrap_or_else(|error| panic!("{error}"));
    let took_s = ran_s() - began_s;
    let requests: u64 = scores.iter().map(|score| score.wait.count).sum();
    let wait_ns: u128 = scores.iter().map(|score| score.wait.sum_ns).sum();
    (took_s / requests as f64, wait_ns as f64 / requests as f64 / 1e9)
}
