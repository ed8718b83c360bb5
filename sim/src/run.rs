//! Runs of a plan: every policy with every seed, on as many threads as asked for.
//!
//! A run is the world of one policy and one seed, and knows of no other, so that how many threads
//! there are changes nothing but the time it takes.

use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::plan::{Checks, Plan};
use crate::scenario::{Faults, Time};
use crate::world::{self, Ended, Log, Recording, RunError, Scorecard, Series, Setup};

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

/// Why a scenario has no scores.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It, or a flag, cannot be used: each fault names the part and the rule.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// A run of it broke.
    #[error(transparent)]
    Broken(#[from] Broken),
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
    /// It cannot be, or had more events than it may.
    #[error("policy {policy}, seed {seed}: {what}")]
    Refused {
        /// The policy.
        policy: String,
        /// The seed.
        seed: u64,
        /// Why.
        what: String,
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

    /// Runs jobs on that many threads, and tells of each one that is done how many are: one after
    /// the other, upwards. The scorecards are in the order of the jobs.
    ///
    /// # Errors
    /// The first of the jobs that is broken.
    pub fn run(
        &self,
        jobs: &[Job],
        threads: NonZeroUsize,
        done: impl Fn(usize) + Sync,
    ) -> Result<Vec<Scorecard>, Broken> {
        self.run_for(jobs, threads, done, |card| card)
    }

    /// The same, but of each scorecard only what `keep` makes of it is kept: many jobs' scorecards
    /// would not fit in memory.
    ///
    /// # Errors
    /// The first of the jobs that is broken.
    pub fn run_for<T: Send>(
        &self,
        jobs: &[Job],
        threads: NonZeroUsize,
        done: impl Fn(usize) + Sync,
        keep: impl Fn(Scorecard) -> T + Sync,
    ) -> Result<Vec<T>, Broken> {
        let run = match self.checks {
            Checks::AtEnd => world::run,
            Checks::EveryEvent => world::run_checked,
        };
        self.live(jobs, threads, done, &|setup, seed| {
            run(setup, seed).map(|card| (card.ended, keep(card)))
        })
    }

    /// Runs jobs once more, and records how functions went through them: for each job a series for
    /// each function that has one.
    ///
    /// # Errors
    /// The first of the jobs that is broken.
    pub fn record(
        &self,
        jobs: &[Job],
        recording: &Recording,
        threads: NonZeroUsize,
    ) -> Result<Vec<Vec<Series>>, Broken> {
        self.live(jobs, threads, |_| {}, &|setup, seed| {
            world::record(setup, seed, recording).map(|(card, series)| (card.ended, series))
        })
    }

    fn live<T: Send>(
        &self,
        jobs: &[Job],
        threads: NonZeroUsize,
        done: impl Fn(usize) + Sync,
        live: &(impl Fn(&Setup, u64) -> Result<(Ended, T), RunError> + Sync),
    ) -> Result<Vec<T>, Broken> {
        let cards: Vec<_> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (next, finished) = (AtomicUsize::new(0), Mutex::new(0));
        let work = || {
            // Each job is taken once, whatever the order.
            while let Some((job, card)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(at).zip(cards.get(at))
            } {
                let made = self.live_one(job, live);
                if let Ok(mut card) = card.lock() {
                    *card = Some(made);
                }
                // Told under the lock, so that who is told never hears of fewer than before.
                if let Ok(mut finished) = finished.lock() {
                    *finished += 1;
                    done(*finished);
                }
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

    fn live_one<T>(
        &self,
        job: &Job,
        live: &impl Fn(&Setup, u64) -> Result<(Ended, T), RunError>,
    ) -> Result<T, Broken> {
        let (policy, seed) = (self.scenario.policies[job.policy].name.clone(), job.seed);
        let setup = self.setup(job.policy, job.cuts_ns.clone(), job.log);
        let made = guarded(|| match live(&setup, seed) {
            Err(RunError::Broken { what, at_ns, .. }) => {
                Err(Fate::Broken(format!("{what}, at {}", Time(at_ns))))
            }
            Err(error) => Err(Fate::Refused(error.to_string())),
            Ok(_) if let Some(why) = self.unreadable() => {
                Err(Fate::Refused(format!("a trace cannot be read any more: {why}")))
            }
            Ok((Ended::Time, made)) => Ok(made),
            Ok((Ended::Events(at_ns), _)) => Err(Fate::Refused(format!(
                "more than {} events by {}; shorten the run, lower its load, or raise \
                 --max-events",
                self.events_max,
                Time(at_ns),
            ))),
        });
        made.map_err(|fate| match fate {
            Fate::Broken(what) => Broken::Invariant { policy, seed, what },
            Fate::Refused(what) => Broken::Refused { policy, seed, what },
        })
    }
}

/// Why a world has no scorecard, without its name.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Broken(String),
    Refused(String),
}

/// What `work` gives; a panic in it is something that did not hold.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fate>) -> Result<T, Fate> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
        Err(Fate::Broken(text.unwrap_or_else(|| "panicked".to_owned())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_something_that_did_not_hold() {
        let broken = guarded::<()>(|| panic!("{} is not {}", 1, 2));
        assert_eq!(broken, Err(Fate::Broken("1 is not 2".to_owned())));
        assert_eq!(guarded(|| Ok(3)), Ok(3));
    }
}
