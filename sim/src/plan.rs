//! A scenario with all that it names brought in: what exactly is to be run.
//!
//! What counts for a function's settings, the first that says anything: a flag, the policy's `set`
//! for this function, its `set` for all, the manifest, the defaults.

mod options;
mod settings;
mod traffic;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::sync::Arc;

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Settings;
use sha2::{Digest, Sha256};

use crate::assertion::{Judged, Names};
use crate::draw::Distribution;
use crate::input::{Hashed, Inputs, Manifest};
use crate::metric::Span;
use crate::scenario::{self, Capacity, Fault, Faults, FileName, Kill, Kind, Rate, Scenario, Time};
use crate::trace::indexed::{Faulty, Indexed};
use crate::world::{self, Log, Setup, Ticking};

pub use options::{Checks, Options, SeedRange, unknown};

/// Everything that is to be run.
#[derive(Clone)]
pub struct Plan {
    /// The scenario, as the flags left it.
    pub scenario: Scenario,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The functions, those of a trace one by one.
    pub functions: Vec<Function>,
    /// For each policy of the scenario, the settings of each of its functions' keys.
    pub settings: Vec<BTreeMap<String, Arc<Settings>>>,
    /// The files that took part, by name.
    pub inputs: Vec<Hashed>,
    /// What is asked for and has no effect.
    pub notices: Vec<String>,
    /// What is asserted of something that the flags left out.
    pub unjudged: Vec<String>,
    /// The most events of a run.
    pub events_max: u64,
    /// When a world's own rules are checked.
    pub checks: Checks,
    /// Where the score is cut, in nanoseconds, ascending.
    pub cuts_ns: Vec<u64>,
    wait_bounds_ns: Vec<u64>,
    latency_bounds_ns: Vec<u64>,
    /// Those that are read while it runs.
    traces: Vec<Arc<Indexed>>,
}

/// A function of a plan.
#[derive(Clone)]
pub struct Function {
    /// Its key in the scenario.
    pub key: String,
    /// Its name.
    pub name: FunctionName,
    /// Replicas at the beginning, by policy.
    pub replicas: Vec<u32>,
    load: Arc<dyn world::Load>,
    service: Distribution,
    spec: scenario::Function,
}

/// A reader that hashes what passes.
struct Hashing<R> {
    input: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files as they are read, with their hashes.
struct Files<'a> {
    /// The scenario's, as messages have it.
    scenario: &'a str,
    inputs: &'a dyn Inputs,
    hashed: BTreeMap<String, String>,
    manifests: BTreeMap<String, Manifest>,
    traces: BTreeMap<String, Arc<Indexed>>,
}

impl Files<'_> {
    /// What `read` makes of a file, which it reads to the end.
    fn read<T>(
        &mut self,
        file: &FileName,
        read: impl FnOnce(&str, &mut dyn Read) -> Result<T, crate::trace::Fault>,
    ) -> Result<T, Fault> {
        let FileName { name, .. } = file;
        let input = self.inputs.open(name).map_err(|error| self.not_had(file, &error))?;
        let mut input = Hashing { input, hash: Sha256::new() };
        let made = read(name, &mut input).map_err(|fault| Fault {
            place: scenario::Place { line: fault.line, column: 0 },
            rule: match fault.column.as_str() {
                "" => fault.rule,
                column => format!("column {column}: {}", fault.rule),
            },
            file: fault.file,
        })?;
        self.hashed.insert(name.clone(), hex(&input.hash.finalize()));
        Ok(made)
    }

    /// A file cannot be had at all, for which there is no place but where it is named.
    fn not_had(&self, file: &FileName, error: &io::Error) -> Fault {
        let rule = format!("{}: cannot be read: {error}", file.name);
        Fault { file: self.scenario.to_owned(), place: file.place, rule }
    }

    /// A trace with an index, which is checked and hashed when it is first wanted.
    fn trace(&mut self, file: &FileName) -> Result<Arc<Indexed>, Fault> {
        let FileName { name, .. } = file;
        if let Some(trace) = self.traces.get(name) {
            return Ok(Arc::clone(trace));
        }
        let unusable = |error: Faulty| Fault::whole(name, error);
        let input = self.inputs.open_at(name).map_err(|error| self.not_had(file, &error))?;
        let mut hash = Sha256::new();
        let trace = Indexed::open(input, |bytes| hash.update(bytes)).map_err(unusable)?;
        let trace = Arc::new(trace);
        self.hashed.insert(name.clone(), hex(&hash.finalize()));
        self.traces.insert(name.clone(), Arc::clone(&trace));
        Ok(trace)
    }
}

impl Plan {
    /// Reads a scenario and all that it names; `file` names it in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the scenario and the flags; else with what it names.
    pub fn new(
        file: &str,
        text: &str,
        options: &Options,
        inputs: &dyn Inputs,
    ) -> Result<Self, Faults> {
        let mut scenario = scenario::read(file, text)?;
        let unjudged = options.amend(&mut scenario)?;
        let mut files = Files {
            scenario: file,
            inputs,
            hashed: BTreeMap::new(),
            manifests: BTreeMap::new(),
            traces: BTreeMap::new(),
        };
        // By its own name, so that a report is the same from wherever it is made.
        let own = file.rsplit('/').next().unwrap_or(file);
        files.hashed.insert(own.to_owned(), sha256(text.as_bytes()));
        let mut plan = Self {
            seeds: options.seeds(&scenario),
            functions: Vec::new(),
            settings: Vec::new(),
            inputs: Vec::new(),
            notices: Vec::new(),
            unjudged,
            events_max: options.events_max,
            checks: options.checks,
            cuts_ns: cuts_ns(&scenario),
            wait_bounds_ns: bounds_ns(&scenario, Span::Wait),
            latency_bounds_ns: bounds_ns(&scenario, Span::Latency),
            traces: Vec::new(),
            scenario,
        };
        let mut faults = Vec::new();
        plan.take_settings(file, options, &mut files, &mut faults);
        for spec in plan.scenario.functions.clone() {
            match traffic::functions(file, &spec, &plan.scenario, &mut files) {
                Ok(functions) => plan.functions.extend(functions),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            plan.set_replicas(&files);
            faults.extend(plan.is_there_twice(file));
            faults.extend(plan.is_too_much(file));
        }
        plan.traces = files.traces.into_values().collect();
        let hashed = files.hashed.into_iter();
        plan.inputs = hashed.map(|(name, sha256)| Hashed { name, sha256 }).collect();
        if faults.is_empty() { Ok(plan) } else { Err(Faults(faults)) }
    }

    /// The world of the policy of that place.
    ///
    /// # Panics
    /// There is no such policy.
    #[must_use]
    pub fn setup(&self, policy: usize, cuts_ns: Vec<u64>, log: Log) -> Setup {
        let kind = match self.scenario.policies[policy].kind {
            Kind::Kpa => world::Policy::Kpa,
            Kind::FixedIdle(keep) => world::Policy::FixedIdle { keep_ns: keep.0 },
            Kind::Hpa(hpa) => world::Policy::Hpa(hpa.rule()),
            Kind::HybridHistogram => world::Policy::HybridHistogram,
            Kind::Floor => world::Policy::Floor,
        };
        let functions = self.functions.iter().map(|function| world::Function {
            name: function.name.clone(),
            settings: Arc::clone(&self.settings[policy][&function.key]),
            policy: kind,
            replicas: function.replicas[policy],
            load: Arc::clone(&function.load),
            service: function.service.clone(),
            capacity: match function.spec.capacity {
                Capacity::Slots(slots) => world::Capacity::Slots(at_least_one(slots)),
                Capacity::Share(share) => world::Capacity::Share(at_least_one(share)),
                Capacity::Unlimited => world::Capacity::Unlimited,
            },
            start_up: world::StartUp {
                image: function.spec.start_up.image.distribution(),
                boot: function.spec.start_up.boot.distribution(),
                stop: function.spec.start_up.stop.distribution(),
            },
            wait_bounds_ns: self.wait_bounds_ns.clone(),
            latency_bounds_ns: self.latency_bounds_ns.clone(),
        });
        Setup {
            functions: functions.collect(),
            world: self.world(),
            end_ns: self.scenario.end().0,
            cuts_ns,
            waited_over_ns: self.scenario.score.waited_over.0,
            events_max: self.events_max,
            log,
            ticking: Ticking::Awake,
        }
    }

    fn world(&self) -> world::World {
        let world = &self.scenario.world;
        let faults = world.fault.iter().map(|event| world::Fault {
            at_ns: event.at.0,
            kill: match event.kill {
                Kill::Activator => world::Kill::Activator(event.number),
                Kill::Leader => world::Kill::Leader,
                Kill::Node => world::Kill::Node(event.number),
                Kill::Pod => {
                    let is_it =
                        |function: &Function| Some(&function.key) == event.function.as_ref();
                    world::Kill::Pod(self.functions.iter().position(is_it).unwrap_or(0))
                }
            },
            for_ns: event.lasts.0,
        });
        world::World {
            activators: at_least_one(world.activators),
            report: world::Report {
                every_ns: world.report.every.0,
                delay_ns: world.report.delay.0,
                loss: world.report.loss,
            },
            api: world::Api {
                latency_ns: world.api.latency.0,
                rate: world.api.rate.map(|rate| world::Rate {
                    every_ns: distance_ns(rate),
                    burst: world.api.burst.unwrap_or(1),
                }),
            },
            readiness: world::Readiness {
                shortcut_ns: match world.readiness.shortcut {
                    Time::ZERO => None,
                    shortcut => Some(shortcut.0),
                },
                probe_ns: world.readiness.probe.0,
            },
            nodes: world.nodes.map(|nodes| world::Nodes {
                count: at_least_one(nodes.count),
                pods: at_least_one(nodes.pods),
                schedule_ns: nodes.schedule.0,
            }),
            faults: faults.collect(),
        }
    }

    /// The same with the start-ups of all functions at so many percent of their time: each pod's is
    /// drawn as before.
    #[must_use]
    pub fn with_start_up(&self, percent: u32) -> Self {
        let mut plan = self.clone();
        for function in &mut plan.functions {
            let start_up = &mut function.spec.start_up;
            for spread in [&mut start_up.image, &mut start_up.boot] {
                *spread = spread.at_percent(percent);
            }
        }
        plan
    }

    /// What a score from that cut on was made with.
    #[must_use]
    pub fn judged(&self, cut_ns: u64) -> Judged<'_> {
        Judged {
            price: self.scenario.score.price.as_ref(),
            time_ns: self.scenario.end().0 - cut_ns,
            wait_bounds_ns: &self.wait_bounds_ns,
            latency_bounds_ns: &self.latency_bounds_ns,
        }
    }

    /// The place of the cut from which on it is scored: the end of the warm-up.
    #[must_use]
    pub fn scored(&self) -> usize {
        let warmup_ns = self.scenario.warmup.0;
        self.cuts_ns.iter().position(|cut_ns| *cut_ns == warmup_ns).unwrap_or(0)
    }

    /// Why a trace could not be read while it was run, if one could not: then no score counts.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        self.traces.iter().find_map(|trace| trace.failure())
    }

    /// What assertions may name.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names {
            policies: &self.scenario.policies,
            functions: &self.scenario.functions,
            end: self.scenario.end(),
        }
    }

    /// Two keys may stand for one function: with its namespace and without, or by a row of a trace.
    /// The first one that is there twice.
    fn is_there_twice(&self, file: &str) -> Option<Fault> {
        let mut keys = BTreeMap::new();
        self.functions.iter().find_map(|Function { key, name, spec, .. }| {
            let first = keys.insert(name, key)?;
            let rule = format!(
                "function.{key}: stands for {name}, as function.{first} does; a function has one \
                 key"
            );
            Some(Fault { file: file.to_owned(), place: spec.place, rule })
        })
    }

    /// More requests than a run may have events would never be all of them; and what looks for the
    /// next one at every change of a rate must find it in time, too.
    fn is_too_much(&self, file: &str) -> Option<Fault> {
        let end = self.scenario.end();
        let invented =
            self.scenario.functions.iter().flat_map(|function| match &function.traffic {
                scenario::Traffic::Load(loads) => loads.as_slice(),
                scenario::Traffic::Trace(_) | scenario::Traffic::Arrivals(_) => &[],
            });
        let requests: u128 = invented.clone().map(|load| load.requests_max(end)).sum();
        let changes: u128 = invented.map(|load| load.changes_max(end)).sum();
        let each = [(requests, "requests"), (changes, "changes of a rate")];
        let (most, what) = each.into_iter().find(|(most, _)| *most > self.events_max.into())?;
        let rule = format!(
            "length: up to {most} {what} are more than the {} events that a run may have; shorten \
             it, lower the rates, or raise --max-events",
            self.events_max,
        );
        Some(Fault { file: file.to_owned(), place: self.scenario.length_at, rule })
    }
}

/// Where the score is cut: at the end of the warm-up, and where an assertion begins.
fn cuts_ns(scenario: &Scenario) -> Vec<u64> {
    let after = scenario.score.assertions.iter().filter_map(|assertion| assertion.after);
    let mut cuts_ns: Vec<_> = after.chain([scenario.warmup]).map(|time| time.0).collect();
    cuts_ns.sort_unstable();
    cuts_ns.dedup();
    cuts_ns
}

fn bounds_ns(scenario: &Scenario, span: Span) -> Vec<u64> {
    let assertions = scenario.score.assertions.iter();
    let mut bounds: Vec<_> =
        assertions.filter_map(|assertion| assertion.bounds_ns(span)).flatten().collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn distance_ns(rate: Rate) -> u64 {
    let distance = 1_000_000_000_000_000_000 / u128::from(rate.0.max(1));
    u64::try_from(distance).unwrap_or(u64::MAX).max(1)
}
