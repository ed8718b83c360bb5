//! Runs of a plan: every policy with every seed, on as many threads as asked for.
//!
//! A run is the world of one policy and one seed, and knows of no other, so that how many threads
//! there are changes nothing but the time it takes.

use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::plan::Plan;
use crate::world::{Ended, Log, Scorecard, Setup};

/// What makes a scorecard of a world and a seed.
pub type Engine = fn(&Setup, u64) -> Scorecard;

/// One world to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The policy's place in the scenario.
    pub policy: usize,
    /// The seed.
    pub seed: u64,
    /// Where its score is cut, in nanoseconds.
    pub cuts_ns: Vec<u64>,
    /// Which decisions are kept.
    pub log: Log,
}

/// Why a world has no scorecard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something that must always hold did not.
    #[error("policy {policy}, seed {seed}: {what}")]
    Invariant {
        /// The policy.
        policy: String,
        /// The seed.
        seed: u64,
        /// What did not hold.
        what: String,
    },
    /// It had more events than it may.
    #[error(
        "policy {policy}, seed {seed}: more than {events_max} events by {at}; \
         shorten the run, lower its load, or raise --max-events"
    )]
    Endless {
        /// The policy.
        policy: String,
        /// The seed.
        seed: u64,
        /// The most events.
        events_max: u64,
        /// When it was cut short.
        at: crate::scenario::Time,
    },
}

impl Plan {
    /// Every policy with every seed, policy by policy.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        let policies = 0..self.scenario.policies.len();
        let job = |policy, seed| {
            let cuts_ns = self.cuts_ns.clone();
            Job { policy, seed, cuts_ns, log: Log::None }
        };
        policies.flat_map(|policy| self.seeds.iter().map(move |&seed| job(policy, seed))).collect()
    }

    /// Runs jobs on that many threads, and tells of each one that is done how many are. The
    /// scorecards are in the order of the jobs.
    ///
    /// # Errors
    /// The first of the jobs that is broken.
    pub fn run(
        &self,
        engine: Engine,
        jobs: &[Job],
        threads: NonZeroUsize,
        done: impl Fn(usize) + Sync,
    ) -> Result<Vec<Scorecard>, Broken> {
        let cards: Vec<_> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            // Each job is taken once, whatever the order.
            while let Some((job, card)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(at).zip(cards.get(at))
            } {
                let made = self.run_one(engine, job);
                if let Ok(mut card) = card.lock() {
                    *card = Some(made);
                }
                done(finished.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.get().min(jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        let made = cards.into_iter().map(|card| card.into_inner().ok().flatten());
        made.map(|card| card.expect("every job was taken")).collect()
    }

    fn run_one(&self, engine: Engine, job: &Job) -> Result<Scorecard, Broken> {
        let policy = || self.scenario.policies[job.policy].name.clone();
        let setup = self.setup(job.policy, job.cuts_ns.clone(), job.log);
        let card = panic::catch_unwind(AssertUnwindSafe(|| engine(&setup, job.seed)));
        let card = card.map_err(|cause| {
            let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
            let what = text.unwrap_or_else(|| "panicked".to_owned());
            Broken::Invariant { policy: policy(), seed: job.seed, what }
        })?;
        match card.ended {
            Ended::Time => Ok(card),
            Ended::Events(at_ns) => Err(Broken::Endless {
                policy: policy(),
                seed: job.seed,
                events_max: self.events_max,
                at: crate::scenario::Time(at_ns),
            }),
        }
    }
}
