//! How functions went through a run, for those who look at it: under every policy, with one seed.

use std::cmp::Reverse;
use std::num::NonZeroUsize;

use crate::judge::Outcome;
use crate::run::{Broken, Job};
use crate::world::{Log, Recording, Series};

/// Bins of a run: a screen's width has hardly more points that can be told apart.
const BINS: u32 = 600;

/// Ways through a run, functions times policies: what people still look through, and a page of a
/// few megabytes at most.
const COURSES_MAX: usize = 24;

/// How functions went through a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Courses {
    /// The seed, the first.
    pub seed: u64,
    /// The functions' places in the plan, the one with the most requests that waited first.
    pub functions: Vec<usize>,
    /// Functions that are not among them.
    pub left_out: usize,
    /// By policy, in the order of the functions; none under a policy that is worked out, not run.
    pub policies: Vec<Vec<Series>>,
}

impl Outcome<'_> {
    /// Runs the first seed of every policy again and records it. Of many functions those are
    /// recorded that had the most requests that waited, and of equals those that had the most pods.
    ///
    /// # Errors
    /// Such a run is broken.
    pub fn courses(&self, threads: NonZeroUsize) -> Result<Courses, Broken> {
        let plan = self.plan;
        let policies = plan.scenario.policies.len();
        let Some(&seed) = plan.seeds.first().filter(|_| policies > 0) else {
            return Ok(Courses {
                seed: 0,
                functions: Vec::new(),
                left_out: plan.functions.len(),
                policies: Vec::new(),
            });
        };
        let mut functions: Vec<usize> = (0..plan.functions.len()).collect();
        functions.sort_by_cached_key(|at| {
            let rows = (0..policies).map(|policy| &self.card(policy, 0).functions[*at]);
            let scores: Vec<_> = rows.map(|row| row.from(plan.scored())).collect();
            let waited: u64 = scores.iter().map(|score| score.waited.total()).sum();
            let pod_ns: u128 = scores.iter().map(|score| score.pod_ns).sum();
            Reverse((waited, pod_ns))
        });
        functions.truncate((COURSES_MAX / policies).max(1));
        let job = |policy| Job { policy, seed, cuts_ns: plan.cuts_ns.clone(), log: Log::None };
        let jobs: Vec<_> = (0..policies).map(job).collect();
        let recording = Recording { functions, bins: BINS };
        let policies = plan.record(&jobs, &recording, threads)?;
        let left_out = plan.functions.len() - recording.functions.len();
        Ok(Courses { seed, functions: recording.functions, left_out, policies })
    }
}
