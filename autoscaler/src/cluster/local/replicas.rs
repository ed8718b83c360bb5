//! The replicas of one function as a state machine: what happened goes in, what to do comes out.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_policy::function::WorkloadKind;
use tokio::time::Instant;

use super::attempt::Refusal;
use super::back_off::BackOff;
use super::identity::{Draw, Identity};
use super::launch::port_variable;
use super::nanny::Ending;
use super::process::Stop;
use crate::cluster::manifest::LocalFunction;
use crate::cluster::{FailureFact, PodFact, PodPhase, Pods};

/// Most replicas of one function that run at once, whatever is asked for: each is a process with a
/// nanny, and a mistyped number must not take the machine down.
const REPLICAS_MAX: u32 = 256;

/// A replica that is not ready this long after its start is said to lack what it lacks.
const PATIENCE: Duration = Duration::from_secs(3);

/// The code of a failure that is repeated ends.
const CRASH_LOOP: &str = "crash-loop";

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// That many replicas are wanted; of surplus ones, these go first.
    Scale { replicas: u32, victims: Vec<String> },
    /// All replicas are to go and none is to come.
    Stop,
    /// A replica was tried for readiness.
    Tried { replica: String, result: Result<(), Refusal> },
    /// A replica and all its processes are gone.
    Ended { replica: String, ending: Ending },
    /// Time has passed.
    Due,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a replica.
    Start(Identity),
    /// Stop a replica.
    Stop(String, Stop),
    /// Try a replica for readiness, at these addresses.
    Try(String, Vec<SocketAddr>),
    /// Tell a person: this replica lacks something.
    Complain(String, String),
}

/// The replicas of one function.
pub(super) struct Replicas {
    function: LocalFunction,
    wanted: u32,
    is_stopping: bool,
    /// Oldest first.
    replicas: Vec<Replica>,
    back_off: BackOff,
    last_end: String,
}

struct Replica {
    identity: Identity,
    ordinal: Option<u32>,
    addresses: Vec<SocketAddr>,
    /// The back-off's round in which it was started.
    round: u32,
    started: Instant,
    phase: Phase,
    /// None while a try is under way, and once it is to stop.
    next_try: Option<Instant>,
    successes: u32,
    failures: u32,
    waiting_for: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    /// To be killed at that time, unless it was.
    Terminating(Option<Instant>),
}

impl Replicas {
    pub(super) fn new(function: LocalFunction) -> Self {
        Self {
            function,
            wanted: 0,
            is_stopping: false,
            replicas: Vec::new(),
            back_off: BackOff::default(),
            last_end: String::new(),
        }
    }

    pub(super) fn function(&self) -> &LocalFunction {
        &self.function
    }

    /// Whether no replica is left, terminating ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// Takes in what happened and says what to do now.
    pub(super) fn apply(
        &mut self,
        event: Event,
        now: Instant,
        draw: &mut impl Draw,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut victims = Vec::new();
        match event {
            Event::Scale { replicas, victims: named } if !self.is_stopping => {
                self.wanted = replicas;
                victims = named;
            }
            Event::Stop => {
                self.is_stopping = true;
                self.wanted = 0;
            }
            Event::Tried { replica, result } => self.note_try(&replica, result, now, &mut actions),
            Event::Ended { replica, ending } => self.note_end(&replica, &ending, now, draw),
            Event::Scale { .. } | Event::Due => {}
        }
        self.stop_surplus(&victims, now, &mut actions);
        self.start_missing(now, draw, &mut actions);
        self.do_what_is_due(now, &mut actions);
        actions
    }

    /// When [`Event::Due`] is next to be applied.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let replicas = self.replicas.iter().flat_map(|replica| {
            let kill = match replica.phase {
                Phase::Terminating(at) => at,
                Phase::Starting | Phase::Ready => None,
            };
            [kill, replica.next_try]
        });
        let times = replicas.chain([self.back_off.waits_until(now)]);
        times.flatten().min()
    }

    /// The replicas as facts.
    pub(super) fn pods(&self, now: Instant) -> Pods {
        let pods = self.replicas.iter().map(|replica| PodFact {
            name: replica.identity.name.clone(),
            addresses: replica.addresses.clone(),
            phase: match replica.phase {
                Phase::Starting => PodPhase::Starting,
                Phase::Ready => PodPhase::Ready,
                Phase::Terminating(_) => PodPhase::Terminating,
            },
            waiting_for: replica.waiting_for.clone(),
        });
        Pods {
            replicas: self.wanted,
            pods: pods.collect(),
            failure: self.failure(now).map(Box::new),
            ..Pods::default()
        }
    }

    /// While the next start waits and nobody can answer meanwhile.
    fn failure(&self, now: Instant) -> Option<FailureFact> {
        let until = self.back_off.waits_until(now)?;
        let is_ready = |replica: &Replica| replica.phase == Phase::Ready;
        if self.replicas.iter().any(is_ready) {
            return None;
        }
        let wait = until.duration_since(now);
        Some(FailureFact {
            code: CRASH_LOOP.to_owned(),
            message: self.last_end.clone(),
            retry_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            patience_ms: 0,
        })
    }

    fn note_try(
        &mut self,
        name: &str,
        result: Result<(), Refusal>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let readiness = self.function.readiness;
        let Some(replica) = find(&mut self.replicas, name) else {
            return;
        };
        match result {
            Ok(()) => {
                replica.successes = replica.successes.saturating_add(1);
                replica.failures = 0;
                replica.waiting_for = None;
                if replica.successes >= readiness.success_threshold {
                    replica.phase = Phase::Ready;
                }
            }
            Err(refusal) => {
                replica.successes = 0;
                replica.failures = replica.failures.saturating_add(1);
                if replica.failures >= readiness.failure_threshold {
                    replica.phase = Phase::Starting;
                }
                if replica.phase == Phase::Starting && now >= replica.started + PATIENCE {
                    let complaint = complaint(&self.function, &replica.identity, &refusal);
                    if replica.waiting_for.is_none() {
                        actions.push(Action::Complain(name.to_owned(), complaint.clone()));
                    }
                    replica.waiting_for = Some(complaint);
                }
            }
        }
        let period = match replica.phase {
            Phase::Ready => readiness.period_ready,
            Phase::Starting | Phase::Terminating(_) => readiness.period_unready,
        };
        replica.next_try = Some(now + period);
    }

    fn note_end(&mut self, name: &str, ending: &Ending, now: Instant, draw: &mut impl Draw) {
        let Some(index) = (self.replicas.iter()).position(|known| known.identity.name == name)
        else {
            return;
        };
        let replica = self.replicas.remove(index);
        draw.give_back(&replica.identity.ports);
        if !matches!(replica.phase, Phase::Terminating(_)) {
            self.last_end = format!("{name} {ending}");
            self.back_off.note_end(replica.round, now);
        }
    }

    /// The named ones first, then the newest.
    fn stop_surplus(&mut self, victims: &[String], now: Instant, actions: &mut Vec<Action>) {
        let mut surplus = self.running().saturating_sub(self.wanted);
        let grace = self.function.launch.termination_grace;
        let is_named = |replica: &Replica| victims.contains(&replica.identity.name);
        for only_named in [true, false] {
            for replica in self.replicas.iter_mut().rev() {
                let is_chosen = !only_named || is_named(replica);
                if surplus == 0 || !replica.is_running() || !is_chosen {
                    continue;
                }
                surplus -= 1;
                replica.phase = Phase::Terminating(Some(now + grace));
                replica.next_try = None;
                replica.waiting_for = None;
                let name = replica.identity.name.clone();
                actions.push(Action::Stop(name, Stop::Terminate));
            }
        }
    }

    fn start_missing(&mut self, now: Instant, draw: &mut impl Draw, actions: &mut Vec<Action>) {
        let wanted = self.wanted.min(REPLICAS_MAX);
        while self.running() < wanted && self.back_off.waits_until(now).is_none() {
            let ordinal = match self.function.function.kind {
                WorkloadKind::Deployment => None,
                // Two replicas never share an ordinal: what it names (a folder, a lock) is theirs
                // alone, so a new one waits until the old one is gone.
                WorkloadKind::StatefulSet => match self.free_ordinal(wanted) {
                    Some(ordinal) => Some(ordinal),
                    None => return,
                },
            };
            let identity = match draw.draw(&self.function.function, ordinal) {
                Ok(identity) => identity,
                Err(error) => {
                    self.last_end = error;
                    self.back_off.note_end(self.back_off.round(), now);
                    continue;
                }
            };
            self.replicas.push(Replica {
                ordinal,
                addresses: identity.addresses(),
                identity: identity.clone(),
                round: self.back_off.round(),
                started: now,
                phase: Phase::Starting,
                next_try: Some(now + self.function.readiness.initial_delay),
                successes: 0,
                failures: 0,
                waiting_for: None,
            });
            actions.push(Action::Start(identity));
        }
    }

    fn do_what_is_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for replica in &mut self.replicas {
            let name = &replica.identity.name;
            if let Phase::Terminating(Some(at)) = replica.phase
                && at <= now
            {
                replica.phase = Phase::Terminating(None);
                actions.push(Action::Stop(name.clone(), Stop::Kill));
            }
            if replica.next_try.is_some_and(|at| at <= now) {
                replica.next_try = None;
                actions.push(Action::Try(name.clone(), replica.addresses.clone()));
            }
        }
    }

    /// Replicas not asked to stop.
    fn running(&self) -> u32 {
        let running = self.replicas.iter().filter(|replica| replica.is_running());
        u32::try_from(running.count()).unwrap_or(u32::MAX)
    }

    /// The lowest ordinal below `wanted` that no replica has, terminating ones included.
    fn free_ordinal(&self, wanted: u32) -> Option<u32> {
        let is_taken = |ordinal| (self.replicas.iter()).any(|known| known.ordinal == Some(ordinal));
        (0..wanted).find(|&ordinal| !is_taken(ordinal))
    }
}

impl Replica {
    fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Terminating(_))
    }
}

/// The replica of that name, unless it is gone or to stop.
fn find<'a>(replicas: &'a mut [Replica], name: &str) -> Option<&'a mut Replica> {
    let mut running = replicas.iter_mut().filter(|replica| replica.is_running());
    running.find(|replica| replica.identity.name == name)
}

fn complaint(function: &LocalFunction, identity: &Identity, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotListening(pod_port) => {
            let variable = port_variable(&function.function.pod_ports, *pod_port);
            match identity.ports.get(*pod_port) {
                Some(port) => format!("does not listen on {variable}={port}"),
                None => "has no port to be tried at".to_owned(),
            }
        }
        Refusal::Answer(answer) => format!("is not ready: {answer}"),
    }
}

#[cfg(test)]
mod tests;
