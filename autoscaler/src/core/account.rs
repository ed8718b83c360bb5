//! What the core tells of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_link::frame::Listening;
use dormouse_policy::decision::Decision;
use dormouse_policy::function::FunctionName;

use super::Core;
use super::claims::Claim;
use super::function::FunctionState;
use crate::cluster::{self, Topic};
use crate::status::{
    DecisionSummary, EndpointStatus, Explanation, FailureStatus, FunctionStatus, Kept, PodPhase,
    PodStatus, State, Statuses,
};

/// In-flight requests that do not pass an activator would be unknown, and unknown is never zero.
const ALWAYS_IN_PATH: &str = "always through the activators, for nothing else says how many \
                              requests are in flight: to read that of the pods themselves \
                              (dormouse.dev/metrics) is not yet supported";

impl Core {
    /// Whether statuses may have changed since [`Core::news`] told them.
    pub(crate) fn has_news(&self) -> bool {
        self.is_news
    }

    /// Every function's status, for who follows them.
    pub(crate) fn news(&mut self, now_us: u64) -> Statuses {
        self.is_news = false;
        self.statuses(now_us)
    }

    /// Every function's status. None is kept: ten thousand that sleep are seldom asked about.
    pub(super) fn statuses(&self, now_us: u64) -> Statuses {
        self.functions.values().map(|state| self.status(state, now_us)).collect()
    }

    /// A function's status and kept decisions, each made again; none if there is no such function.
    pub(super) fn explain(&self, name: &FunctionName, now_us: u64) -> Option<Explanation> {
        let state = self.functions.get(name)?;
        let decisions = self.decisions(name).map(|decision| Kept {
            at_ms: self.wall_ms(decision),
            line: decision.to_string(),
            reproduced: decision.replay() == **decision,
            decision: (**decision).clone(),
        });
        Some(Explanation {
            status: self.status(state, now_us),
            path: ALWAYS_IN_PATH.to_owned(),
            decisions: decisions.collect(),
        })
    }

    /// A function's kept decisions, oldest first.
    pub(super) fn decisions(&self, name: &FunctionName) -> impl Iterator<Item = &Arc<Decision>> {
        let scaling = self.functions.get(name).and_then(|state| state.scaling.as_ref());
        let last = scaling.and_then(|scaling| scaling.last.as_ref());
        self.history.of(name).chain(last)
    }

    /// Takes in where endpoints listen. Of several activators' listeners an address is shown that
    /// one has, and why another has none.
    pub(super) fn look_at_listeners(&mut self, now_us: u64) {
        let mut listening: BTreeMap<Arc<str>, Listening> = BTreeMap::new();
        for listener in self.link.listening() {
            match listening.get_mut(&listener.endpoint) {
                Some(shown) => {
                    shown.address = shown.address.or(listener.address);
                    shown.error = shown.error.take().or_else(|| listener.error.clone());
                }
                None => {
                    listening.insert(listener.endpoint.clone(), listener.clone());
                }
            }
        }
        let endpoints = listening.keys().chain(self.listening.keys());
        let changed = endpoints.filter(|it| listening.get(*it) != self.listening.get(*it));
        let changed = changed.map(|endpoint| Claim::Endpoint(Arc::clone(endpoint)));
        let changed = changed.flat_map(|claim| self.claims.claimants(claim));
        let changed: BTreeSet<FunctionName> = changed.cloned().collect();
        self.listening = listening;
        for name in &changed {
            self.listen_for(name);
            self.say(name, now_us);
        }
        self.is_news |= !changed.is_empty();
    }

    /// Whether every activator that is to listen for a function can.
    fn listen_for(&mut self, name: &FunctionName) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let endpoints = state.description.endpoints.iter();
        let mut refused = endpoints.filter_map(|endpoint| {
            let error = self.listening.get(&endpoint.name)?.error.as_ref()?;
            let name = &endpoint.name;
            Some(format!("an activator cannot listen for {name} and gets none of it: {error}"))
        });
        state.deaf = refused.next();
    }

    pub(super) fn status(&self, state: &FunctionState, now_us: u64) -> FunctionStatus {
        let figures = state.load.figures();
        let scaling = state.scaling.as_ref();
        let last = scaling.and_then(|scaling| scaling.last.as_ref());
        let endpoints = state.description.endpoints.iter().map(|endpoint| {
            let listener = self.listening.get(&endpoint.name);
            EndpointStatus {
                name: endpoint.name.to_string(),
                hosts: endpoint.hosts.iter().map(ToString::to_string).collect(),
                listening: listener.and_then(|it| it.address),
                error: listener.and_then(|it| it.error.clone()),
            }
        });
        FunctionStatus {
            name: state.name().clone(),
            kind: state.description.kind,
            state: lifecycle(state, now_us),
            ready: state.ready(),
            desired: scaling.map_or(state.asked(now_us), |scaling| scaling.wish),
            pods: state.pods().iter().map(pod_status).collect(),
            in_flight: figures.in_flight,
            held: figures.held,
            rps: figures.rps,
            coverage: scaling.map_or(0.0, |scaling| scaling.coverage),
            endpoints: endpoints.collect(),
            failure: state.failing().map(|failure| FailureStatus {
                code: failure.code.clone(),
                message: failure.message.clone(),
            }),
            message: message(state, now_us),
            last: last.map(|decision| DecisionSummary {
                at_ms: self.wall_ms(decision),
                line: decision.to_string(),
            }),
        }
    }

    fn wall_ms(&self, decision: &Decision) -> u64 {
        (self.surroundings.wall_us + decision.inputs.now_us) / 1_000
    }
}

fn lifecycle(state: &FunctionState, now_us: u64) -> State {
    let asked = state.asked(now_us);
    let scaling = state.scaling.as_ref();
    let retiring = scaling.and_then(|scaling| scaling.retiring.as_ref());
    let is_going = retiring.is_some_and(|retiring| retiring.scale.replicas == 0);
    if state.set_aside.is_some() {
        State::SetAside
    } else if state.failing().is_some() {
        State::Failing
    } else if is_going || (asked == 0 && !state.pods().is_empty()) {
        State::Retiring
    } else if state.ready() > 0 {
        State::Ready
    } else if asked > 0 || scaling.is_some_and(|scaling| scaling.wish > 0) {
        State::Waking
    } else {
        State::Asleep
    }
}

fn message(state: &FunctionState, now_us: u64) -> Option<String> {
    let aside = state.set_aside.clone();
    let failing = || state.failing().map(|failure| failure.message.clone());
    let zero = || state.note(Topic::ScaledToZero, now_us);
    let reapplied = || state.note(Topic::Reapplied, now_us);
    let paused = || state.is_paused().then(|| "paused: replicas are left as they are".to_owned());
    let waiting = || {
        let mut pods = state.pods().iter();
        pods.find_map(|pod| Some(format!("{}: {}", pod.name, pod.waiting_for.as_ref()?)))
    };
    aside.or_else(zero).or_else(failing).or_else(paused).or_else(reapplied).or_else(waiting)
}

fn pod_status(pod: &cluster::PodFact) -> PodStatus {
    PodStatus {
        name: pod.name.clone(),
        phase: match pod.phase {
            cluster::PodPhase::Starting => PodPhase::Starting,
            cluster::PodPhase::Ready => PodPhase::Ready,
            cluster::PodPhase::Terminating => PodPhase::Terminating,
        },
        addresses: pod.addresses.clone(),
        waiting_for: pod.waiting_for.clone(),
    }
}
