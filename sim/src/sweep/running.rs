//! The runs of a sweep.

use std::num::NonZeroUsize;

use dormouse_policy::settings::{ANNOTATIONS, Annotations};

use super::{Basis, Candidate, Figures, Goal, Half, Judged, SCHEMA, Search, Slice, Subject, Sweep};
use crate::input::Inputs;
use crate::metric::Metric;
use crate::plan::{Options, Plan, SeedRange};
use crate::run::{self, Job};
use crate::scenario::{Fault, Faults, Time};
use crate::world::{Log, Score, Scorecard};

/// Faults told of a sweep: of thousands of candidates each may have the same.
const FAULTS_MAX: usize = 10;

/// Why there is no sweep.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario or a flag cannot be used, or a run is broken.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// There is nothing to judge by.
    #[error("{0}")]
    Nothing(String),
}

/// What is tried, what is wanted of it, and which part of it is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What is tried.
    pub search: Search,
    /// What is wanted.
    pub goal: Goal,
    /// Which part.
    pub slice: Slice,
}

/// Is told how many runs are done, and of how many known so far.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Runs the candidates of a slice beside the scenario's first policy, on so many threads. `file`
/// names the scenario, whose text is `text`; the seeds of `options` are those that are chosen with.
///
/// # Errors
/// [`Error`]
pub fn run(
    (file, text): (&str, &str),
    options: &Options,
    inputs: &dyn Inputs,
    Order { search, goal, slice }: Order,
    threads: NonZeroUsize,
    progress: Progress<'_>,
) -> Result<Sweep, Error> {
    for (key, _) in &options.set {
        let name = ANNOTATIONS.lookup(key).map_or(key.as_str(), |key| key.name);
        if search.axes().iter().any(|axis| axis.key == name) {
            let fault = Fault::whole("--set", format!("{key}: is varied"));
            return Err(run::Error::Faults(fault.into()).into());
        }
    }
    let all = search.candidates(options.seeds.map_or(1, |seeds| seeds.first));
    let count = all.len();
    let numbered = (1..).zip(all).filter(|(number, _)| slice.has(*number));
    let (numbers, candidates): (Vec<_>, Vec<_>) = numbered.unzip();
    let options = Options { candidates: Some(candidates.clone()), ..options.clone() };
    let faults = |faults| run::Error::Faults(few(faults));
    let plan = Plan::new(file, text, &options, inputs).map_err(faults)?;
    let subject = Subject::new(&plan, &options, (search, goal), count).map_err(faults)?;
    let mut trial = Trial { plan, subject, threads, progress };
    let mut sweep = trial.choose(numbers.into_iter().zip(candidates), slice)?;
    trial.judge(&mut sweep)?;
    Ok(sweep)
}

/// The first few of many faults.
fn few(Faults(mut faults): Faults) -> Faults {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    if more > 0 {
        faults.truncate(FAULTS_MAX);
        faults.push(Fault::whole("sweep", format_args!("{more} more are wrong")));
    }
    Faults(faults)
}

/// The half that is chosen on, and the one that is judged by, with as many seeds after the others.
fn halves(plan: &Plan) -> Result<(Half, Half), Faults> {
    let (warmup, end) = (plan.scenario.warmup, plan.scenario.end());
    let middle = Time(warmup.0 + plan.scenario.length.0 / 2);
    let [Some(&first_seed), Some(&last_seed)] = [plan.seeds.first(), plan.seeds.last()] else {
        return Err(Fault::whole("--seed", "there is no seed").into());
    };
    let fresh = last_seed.checked_add(1).zip(last_seed.checked_add(plan.seeds.len() as u64));
    let Some((fresh, last)) = fresh else {
        return Err(Fault::whole("--seed", "there must be as many seeds after it").into());
    };
    Ok((
        Half { from: warmup, until: middle, first_seed, last_seed },
        Half { from: middle, until: end, first_seed: fresh, last_seed: last },
    ))
}

impl Subject {
    fn new(
        plan: &Plan,
        options: &Options,
        (search, goal): (Search, Goal),
        candidates: usize,
    ) -> Result<Self, Faults> {
        let (chosen_on, judged_on) = halves(plan)?;
        let mut scenario = plan.scenario.clone();
        scenario.score.assertions.clear();
        scenario.policies.truncate(1);
        Ok(Self {
            baseline: scenario.policies.first().map_or_else(String::new, |it| it.name.clone()),
            scenario: serde_json::to_value(&scenario).expect("a scenario can be JSON"),
            inputs: plan.inputs.clone(),
            set: options.set.clone(),
            search,
            candidates,
            basis: Basis::of(&scenario),
            goal,
            chosen_on,
            judged_on,
        })
    }
}

/// A sweep that is being made. The first policy of its plan is the baseline, the others are the
/// candidates.
struct Trial<'a> {
    plan: Plan,
    subject: Subject,
    threads: NonZeroUsize,
    progress: Progress<'a>,
}

impl Trial<'_> {
    /// Runs every candidate on the first half.
    fn choose(
        &mut self,
        candidates: impl Iterator<Item = (usize, Annotations)>,
        slice: Slice,
    ) -> Result<Sweep, Error> {
        // What comes after that half cannot matter to it.
        let (half, whole) = (self.subject.chosen_on.clone(), self.plan.scenario.length);
        self.plan.scenario.length = Time(half.until.0 - half.from.0);
        let everybody: Vec<_> = (0..self.plan.scenario.policies.len()).collect();
        let made = self.run(&everybody, &half, 0, &|trial, card| trial.figures(card))?;
        self.plan.scenario.length = whole;
        let candidate = |((number, set), chosen)| Candidate { number, set, chosen, judged: None };
        let mut made = made.into_iter();
        let baseline = candidate(((0, Annotations::new()), made.next().unwrap_or_default()));
        Ok(Sweep {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            partition: slice,
            of: self.subject.clone(),
            baseline,
            candidates: candidates.zip(made).map(candidate).collect(),
        })
    }

    /// Runs the baseline and the frontier with fresh seeds, and looks at the second half.
    fn judge(&self, sweep: &mut Sweep) -> Result<(), Error> {
        let numbers: Vec<_> = sweep.frontier().iter().map(|it| it.number).collect();
        let is_judged =
            |candidate: &Candidate| candidate.number == 0 || numbers.contains(&candidate.number);
        let all = sweep.all().enumerate().filter(|(_, candidate)| is_judged(candidate));
        let places: Vec<_> = all.map(|(place, _)| place).collect();
        let half = &self.subject.judged_on;
        let done = self.plan.scenario.policies.len() * self.plan.seeds.len();
        let made = self.run(&places, half, done, &|trial, card| {
            Some((trial.figures(card)?, trial.by_function(card)))
        })?;
        for (place, seeds) in places.into_iter().zip(made) {
            let (seeds, functions): (Vec<_>, Vec<_>) = seeds.into_iter().unzip();
            let candidate = match place.checked_sub(1) {
                Some(place) => &mut sweep.candidates[place],
                None => &mut sweep.baseline,
            };
            candidate.judged = Some(Judged { seeds, functions: means(&functions) });
        }
        Ok(())
    }

    /// What `of` gives of each run of some policies with the seeds of a half, policy by policy.
    fn run<T: Send>(
        &self,
        policies: &[usize],
        half: &Half,
        before: usize,
        of: &(dyn Fn(&Self, &Scorecard) -> Option<T> + Sync),
    ) -> Result<Vec<Vec<T>>, Error> {
        let SeedRange { first, last } = half.seeds();
        let job = |policy, seed| {
            let cuts_ns = vec![half.from.0];
            Job { policy, seed, cuts_ns, log: Log::None }
        };
        let jobs = policies.iter().flat_map(|&it| (first..=last).map(move |seed| job(it, seed)));
        let jobs: Vec<_> = jobs.collect();
        let done = |done| (self.progress)(before + done, before + jobs.len());
        let keep = |card: Scorecard| of(self, &card);
        let made = self.plan.run_for(&jobs, self.threads, done, keep).map_err(run::Error::from)?;
        let mut all = Vec::new();
        let mut made = made.into_iter().zip(&jobs);
        for _ in policies {
            let seeds = made.by_ref().take(self.plan.seeds.len());
            let seeds = seeds.map(|(made, job)| made.ok_or_else(|| self.nothing(half, job)));
            all.push(seeds.collect::<Result<_, _>>()?);
        }
        Ok(all)
    }

    fn nothing(&self, half: &Half, job: &Job) -> Error {
        let Goal { cost, waiting, .. } = self.subject.goal;
        let policy = &self.plan.scenario.policies[job.policy].name;
        Error::Nothing(format!(
            "policy {policy}, seed {}: there is no {cost} or no {waiting} from {} to {}: did \
             anything arrive?",
            job.seed, half.from, half.until,
        ))
    }

    /// The figures of all functions together.
    fn figures(&self, card: &Scorecard) -> Option<Figures> {
        let mut scores = card.functions.iter().map(|row| row.from(0));
        let mut sum = scores.next()?;
        scores.for_each(|score| sum.merge(&score));
        self.of(&sum)
    }

    /// Those of each function, where intervals are made over functions, whose figures must then be
    /// sums; what there is no figure of is 0.
    fn by_function(&self, card: &Scorecard) -> Vec<Figures> {
        let Goal { cost, waiting, .. } = self.subject.goal;
        let has_sums = cost.adds_up() && waiting.adds_up();
        if self.subject.basis == Basis::Seeds || !has_sums {
            return Vec::new();
        }
        let none = Figures { cost: 0.0, waiting: 0.0 };
        card.functions.iter().map(|row| self.of(&row.from(0)).unwrap_or(none)).collect()
    }

    fn of(&self, score: &Score) -> Option<Figures> {
        let Goal { cost, waiting, .. } = self.subject.goal;
        let price = self.plan.scenario.score.price.as_ref();
        let figure = |metric: Metric| metric.of(score, price);
        Some(Figures { cost: figure(cost)?, waiting: figure(waiting)? })
    }
}

impl Half {
    /// Its seeds.
    #[must_use]
    pub fn seeds(&self) -> SeedRange {
        SeedRange { first: self.first_seed, last: self.last_seed }
    }
}

/// The mean of each function over the seeds.
fn means(seeds: &[Vec<Figures>]) -> Vec<Figures> {
    let count = seeds.first().map_or(0, Vec::len);
    let of = |place: usize| seeds.iter().map(|seed| seed[place]).collect::<Vec<_>>();
    (0..count).map(|place| Figures::mean(&of(place))).collect()
}
