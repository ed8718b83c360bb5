//! A simulation that is made in code, for tests of settings of one's own.
//!
//! It is a [`Scenario`] all the same, and held to the same rules as one that is written down.
//! Settings that must keep a promise whatever the load can be held to it by a property test:
//!
//! ```
//! use std::time::Duration;
//!
//! use dormouse_sim::metric::Metric;
//! use dormouse_sim::scenario::{Capacity, Function, Load, Rate};
//! use dormouse_sim::simulation::Simulation;
//! use proptest::prelude::*;
//!
//! // What ships: five pods at most, each with ten requests at once.
//! let shop = |per_second: f64| {
//!     let load = Load::poisson(Rate::from_per_second(per_second));
//!     let shop = Function::new("shop", load, Duration::from_millis(50));
//!     Simulation::new(Duration::from_secs(300))
//!         .function(shop.capacity(Capacity::Slots(10)))
//!         .annotate("dormouse.dev/container-concurrency", "10")
//!         .annotate("autoscaling.knative.dev/max-scale", "5")
//! };
//!
//! // What it promises at any rate of up to 100 requests a second, in each of two worlds.
//! let wait = Metric::parse("wait.p99")?;
//! proptest!(ProptestConfig::with_cases(12), |(per_second in 0.1..100.0)| {
//!     for score in shop(per_second).seeds(2).run()? {
//!         prop_assert_eq!(score.refused + score.timed_out + score.lost, 0);
//!         prop_assert!(score.pods_most <= 5);
//!         let waited_ns = wait.of(&score, None).unwrap_or(0.0);
//!         prop_assert!(waited_ns <= 3e9, "{} s at {per_second}/s", waited_ns / 1e9);
//!     }
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::input::{Inputs, Manifest};
use crate::judge::Outcome;
use crate::plan::{Options, Plan};
use crate::run::Error;
use crate::scenario::{Function, Scenario, World};
use crate::world::Score;

/// What faults call it, where a file would have a name.
const NAME: &str = "simulation";

/// A scenario that is being made.
#[derive(Clone, Debug)]
pub struct Simulation {
    scenario: Scenario,
    set: Vec<(String, String)>,
}

/// What is made in code names no files.
struct NoFiles;

impl Inputs for NoFiles {
    fn open(&self, _: &str) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>> {
        Err(vec![format!("{name}: there are no files")])
    }
}

impl Simulation {
    /// That much time, all of it scored, in an ideal world, with one seed and no function yet.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { scenario: Scenario::new(length.into()), set: Vec::new() }
    }

    /// Lives through that much time first, without scoring it.
    #[must_use]
    pub fn warmup(mut self, warmup: Duration) -> Self {
        self.scenario.warmup = warmup.into();
        self
    }

    /// Runs with the seeds 1 to `count` instead of 1 alone.
    #[must_use]
    pub fn seeds(mut self, count: u64) -> Self {
        self.scenario.seeds = count;
        self
    }

    /// Adds a function.
    #[must_use]
    pub fn function(mut self, function: Function) -> Self {
        self.scenario.functions.push(function);
        self
    }

    /// Annotates every function.
    #[must_use]
    pub fn annotate(mut self, key: &str, value: &str) -> Self {
        self.set.push((key.to_owned(), value.to_owned()));
        self
    }

    /// What the functions run in, instead of an ideal world.
    #[must_use]
    pub fn world(mut self, world: World) -> Self {
        self.scenario.world = world;
        self
    }

    /// Runs it, on this thread: the score of all functions together, of each seed.
    ///
    /// # Errors
    /// [`Error`]
    pub fn run(&self) -> Result<Vec<Score>, Error> {
        // Written down and read again, so that there is one place that knows the rules.
        let text = toml::to_string(&self.scenario).expect("a scenario can be written");
        let options = Options { set: self.set.clone(), ..Options::default() };
        let plan = Plan::new(NAME, &text, &options, &NoFiles)?;
        let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {})?;
        let outcome = Outcome { plan: &plan, cards };
        let cut = plan.scored();
        Ok(outcome.cards.iter().map(|card| outcome.score(card, None, cut)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Capacity, Load, Rate, Spread, Time};

    fn api(per_second: f64) -> Function {
        let load = Load::poisson(Rate::from_per_second(per_second));
        Function::new("api", load, Duration::from_millis(50))
    }

    #[test]
    fn it_comes_out_as_the_same_scenario_that_is_written_down() {
        let text = "schema = 1\nseeds = 2\nwarmup = \"1m\"\nlength = \"5m\"\n\
                    [policy.default.set]\n\"autoscaling.knative.dev/min-scale\" = 2\n\
                    [function.api]\nload = { poisson = \"2.5/s\" }\nservice = \"50ms\"\n\
                    replicas = 1\ncapacity = { share = 3 }\n\
                    start_up = { boot = { exponential = \"2s\" } }\n\
                    [world]\nactivators = 3\n";
        let plan = Plan::new("x.toml", text, &Options::default(), &NoFiles).unwrap();
        let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
        let outcome = Outcome { plan: &plan, cards };
        let written: Vec<_> =
            outcome.cards.iter().map(|card| outcome.score(card, None, plan.scored())).collect();
        let function = api(2.5)
            .capacity(Capacity::Share(3))
            .boot(Spread::Exponential(Time(2_000_000_000)))
            .replicas(1);
        let made = Simulation::new(Duration::from_secs(300))
            .warmup(Duration::from_secs(60))
            .seeds(2)
            .function(function)
            .annotate("autoscaling.knative.dev/min-scale", "2")
            .world(World { activators: 3, ..World::default() });
        assert_eq!(made.run().unwrap(), written);
        assert!(written.iter().all(|score| score.pods_most >= 2 && score.arrived > 500));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let second = Duration::from_secs(1);
        let check = |simulation: Simulation, rule: &str| {
            let told = simulation.run().unwrap_err().to_string();
            assert!(told.contains(rule), "{rule:?} is not in {told:?}");
        };
        check(Simulation::new(second), "there must be 1 to 10000 functions");
        check(Simulation::new(Duration::ZERO).function(api(1.0)), "length: must be above 0s");
        check(Simulation::new(Duration::MAX).function(api(1.0)), "must be at most 8784h");
        check(Simulation::new(second).function(api(f64::INFINITY)), "must be at most 10000000/s");
        check(Simulation::new(second).function(api(1.0)).seeds(0), "seeds: 0: must be a whole");
        let wrong = Simulation::new(second).function(api(1.0));
        check(wrong.annotate("autoscaling.knative.dev/window", "1s"), "must be a duration");
        let named = Function { name: "A b".to_owned(), ..api(1.0) };
        check(Simulation::new(second).function(named), "must be named as Kubernetes names things");
        assert_eq!(Rate::from_per_second(f64::NAN), Rate(0));
        assert_eq!(Rate::from_per_second(-1.0), Rate(0));
    }
}
