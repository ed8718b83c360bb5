//! The autoscaler: readings in, decisions by the live policy, orders out; retirement before pods
//! go, one order of a function at a time, as the live one does it.

mod ticks;
mod link;
mod instead;
mod orders;

use std::sync::Arc;

use dormouse_link::autoscaler_side::AutoscalerSide;
use dormouse_link::frame::{Entry, Learnt};
use dormouse_policy::burst::{self, StartUps};
use dormouse_policy::decision::{Decision, Missing, Observation, Rule, Scaler, Why};
use dormouse_policy::function::Probe;
use dormouse_policy::idle::{Gaps, Shared};
use dormouse_policy::readings::{Counters, Meter, Reporters, Span};
use dormouse_policy::settings::Burst;

pub(super) use orders::Call;
use orders::Retiring;
use ticks::Ticks;

use super::engine::Sim;
use super::hpa::Controller;
use super::queue::{Class, Event};
use super::setup::{Log, Policy};

/// Who decides.
pub(super) struct Leader {
    number: u32,
    link: AutoscalerSide,
    reporters: Reporters,
    deciders: Vec<Decider>,
    /// By activator: how many reports of it were heard.
    heard: Vec<u64>,
    link_due_ns: u64,
}

/// What the autoscaler keeps of a function.
struct Decider {
    scaler: Scaler,
    meter: Meter,
    start_ups: StartUps,
    /// What a decision goes by of these: worked out when they change, not at each tick.
    start_up_us: Option<u64>,
    shared: Shared,
    /// When the pods were decided on that are to be its first ready ones.
    expecting_us: Option<u64>,
    decided_us: u64,
    /// Replicas wanted by the last decision.
    wish: u32,
    /// Replicas of the order under way.
    order: Option<u32>,
    retiring: Option<Retiring>,
    ticks: Ticks,
    /// When a pod is to be ordered ahead, while it sleeps.
    pre_warm_us: Option<u64>,
    /// The policy in place of the live one, if it is that.
    hpa: Option<Controller>,
    /// By activator: the number of its last report that named the function, and the requests in
    /// flight by it.
    reported: Vec<(u64, u64)>,
}

impl Leader {
    /// The only activator reported at `at_us` that nothing happened but that requests of these
    /// functions went on.
    pub(super) fn hear_silence(
        &mut self,
        name: &str,
        boot: u32,
        at_us: u64,
        steady: impl Iterator<Item = (usize, Counters)>,
    ) {
        let span = self.reporters.report(name, boot.into(), at_us, at_us);
        self.heard[0] += 1;
        for (at, counters) in steady {
            self.deciders[at].hear(0, self.heard[0], span, counters);
        }
    }
}

impl Decider {
    /// An activator's report of that number names the function.
    fn hear(&mut self, way: usize, number: u64, span: Option<Span>, counters: Counters) {
        let concurrency = span.and_then(|span| self.meter.read(span, counters));
        self.reported[way] = (number, counters.in_flight);
        self.ticks.hear(concurrency);
    }

    fn learn(&mut self, more: impl FnOnce(&mut StartUps)) {
        more(&mut self.start_ups);
        self.start_up_us = self.start_ups.quantile_us();
    }
}

impl Sim<'_> {
    /// Somebody begins to lead, with what the API server knows and nothing else.
    pub(super) fn lead(&mut self) {
        let now_us = self.now_us();
        self.leaders += 1;
        let mut link = AutoscalerSide::new();
        link.lead(self.leaders.into());
        let mut deciders = Vec::with_capacity(self.functions.len());
        for function in &self.functions {
            let mut scaling = (*function.spec.settings.scaling).clone();
            let (ready, replicas) = (function.seen_ready, function.replicas);
            let hpa = match function.spec.policy {
                Policy::Hpa(hpa) => {
                    scaling.stable_window_s = hpa.window_s;
                    scaling.panic_window_s = scaling.panic_window_s.min(hpa.window_s);
                    Some(Controller::new(hpa, now_us, replicas))
                }
                _ => None,
            };
            let scaling = Arc::new(scaling);
            deciders.push(Decider {
                scaler: Scaler::new(scaling, Missing::Unknown, ready, replicas, now_us),
                meter: Meter::new(now_us),
                start_ups: StartUps::default(),
                start_up_us: None,
                shared: Shared::default(),
                expecting_us: None,
                decided_us: now_us,
                wish: replicas,
                order: None,
                retiring: None,
                ticks: Ticks::default(),
                pre_warm_us: None,
                hpa,
                reported: vec![(0, 0); self.activators.len()],
            });
            link.put(entry(function.spec, replicas, &StartUps::default(), &Gaps::default()));
        }
        self.leader = Some(Leader {
            number: self.leaders,
            link,
            reporters: Reporters::new(),
            deciders,
            heard: vec![0; self.activators.len()],
            link_due_ns: u64::MAX,
        });
        for at in 0..self.functions.len() {
            if self.functions[at].spec.policy != Policy::Floor {
                self.decide(at, Why::Start);
                self.set_tick(at);
            }
        }
        for way in self.there().collect::<Vec<_>>() {
            self.connect(way);
        }
    }

    /// Nobody leads any more.
    pub(super) fn cease_to_lead(&mut self) {
        self.leader = None;
        for activator in &mut self.activators {
            if let Some(connection) = activator.connection.take() {
                // There is nobody else to follow.
                drop(activator.side.disconnect(connection));
            }
        }
    }

    /// A report arrives.
    pub(super) fn heard(&mut self, place: u32) {
        let now_us = self.now_us();
        let Some(message) = self.messages.take(place) else {
            return;
        };
        let activator = &self.activators[message.activator];
        let Some(leader) = &mut self.leader else {
            return;
        };
        if activator.connection != Some(message.connection) {
            return;
        }
        let (name, boot) = (&activator.name, message.boot.into());
        let span = leader.reporters.report(name, boot, message.at_us, now_us);
        leader.heard[message.activator] += 1;
        let number = leader.heard[message.activator];
        for (at, counters) in &message.readings {
            leader.deciders[*at as usize].hear(message.activator, number, span, *counters);
        }
        for (at, _) in message.readings {
            self.set_tick(at as usize);
        }
        self.take_over(message.learnt);
    }

    /// The time has come at which a pod of a function that sleeps was to be ordered ahead.
    pub(super) fn pre_warm(&mut self, at: usize, leader: u32) {
        let now_us = self.now_us();
        if self.leader.as_ref().is_some_and(|it| it.number == leader)
            && let Some(decider) = self.decider(at)
            && decider.pre_warm_us == Some(now_us)
            && self.asked(at) == 0
        {
            self.decide(at, Why::Tick);
            self.set_tick(at);
        }
    }

    fn set_pre_warm(&mut self, at: usize, pre_warm_us: Option<u64>) {
        let Some(leader) = &mut self.leader else {
            return;
        };
        let known_us = std::mem::replace(&mut leader.deciders[at].pre_warm_us, pre_warm_us);
        if let Some(us) = pre_warm_us.filter(|_| known_us != pre_warm_us) {
            let event = Event::PreWarm { function: at as u32, leader: leader.number };
            self.queue.push(us.saturating_mul(1_000), Class::Tick, at as u32, event);
        }
    }

    fn is_awake(&self, at: usize) -> bool {
        let Some(leader) = &self.leader else {
            return false;
        };
        let decider = &leader.deciders[at];
        let reported = decider.reported.iter().zip(&leader.heard);
        self.asked(at) > 0
            || decider.wish > 0
            || decider.scaler.is_falling_asleep()
            || decider.order.is_some()
            || decider.retiring.is_some()
            || !self.functions[at].pods.is_empty()
            || reported
                .into_iter()
                .any(|((number, in_flight), heard)| number == heard && *in_flight > 0)
            || self.wants_waking(at)
            || self.comes_back(at)
    }

    pub(super) fn wants_waking(&self, at: usize) -> bool {
        let name = &self.functions[at].spec.name;
        self.leader.as_ref().is_some_and(|leader| leader.link.wants_waking(name))
    }

    /// Replicas asked for: by an order under way, else by what the API server has.
    pub(super) fn asked(&self, at: usize) -> u32 {
        let order = self.leader.as_ref().and_then(|leader| leader.deciders[at].order);
        order.unwrap_or(self.functions[at].replicas)
    }

    fn decider(&mut self, at: usize) -> Option<&mut Decider> {
        self.leader.as_mut().map(|leader| &mut leader.deciders[at])
    }

    /// Decides on a function by the live policy and pursues what it wants.
    fn decide(&mut self, at: usize, why: Why) {
        let (now_us, replicas) = (self.now_us(), self.asked(at));
        let is_kept = self.setup.log != Log::None && self.is_awake(at);
        let ready = self.functions[at].seen_ready;
        let Some(leader) = &mut self.leader else {
            return;
        };
        leader.reporters.advance(now_us);
        let decider = &mut leader.deciders[at];
        let load = decider.scaler.settle(&mut decider.meter, &leader.reporters);
        let seen = Observation {
            start_up_us: decider.start_up_us,
            ..Observation::new(now_us, why, ready, replicas, load)
        };
        let mut decision = decider.scaler.decide(&seen);
        let standing = decider.scaler.standing(&seen, &decision);
        if let Some(what) = falls_blindly(&decision) {
            self.fault = Some(what);
        }
        self.decide_instead(at, &mut decision);
        let (desired, pre_warm_us) = (decision.desired, decision.pre_warm_us());
        self.set_pre_warm(at, pre_warm_us);
        if is_kept || desired != replicas {
            self.keep(at, decision);
        }
        if let Some(decider) = self.decider(at) {
            (decider.wish, decider.decided_us) = (desired, now_us);
        }
        self.pursue(at);
        self.stand(at, standing);
        self.share(at);
        self.follow_link();
    }

    /// Takes over what others learnt before this leader began, and tells every activator.
    fn take_over(&mut self, learnt: Vec<Learnt>) {
        for Learnt { function, start_ups, gaps } in learnt {
            if let Some(at) = self.number(&function)
                && let Some(decider) = self.decider(at)
            {
                decider.learn(|known| known.merge(&start_ups));
                decider.shared.hear(&gaps);
                decider.scaler.learn(&gaps);
                self.put_entry(at);
                self.follow_link();
            }
        }
    }

    /// Tells the activators what is new of a function.
    fn put_entry(&mut self, at: usize) {
        let asked = self.asked(at);
        let spec = self.functions[at].spec;
        if let Some(leader) = &mut self.leader {
            let Decider { start_ups, shared, .. } = &leader.deciders[at];
            leader.link.put(entry(spec, asked, start_ups, shared.gaps()));
        }
    }

    /// The threshold of pressure follows what was asked for, and what was learnt is told in time.
    fn share(&mut self, at: usize) {
        let now_us = self.now_us();
        let has_learnt = self.decider(at).is_some_and(|Decider { scaler, shared, .. }| {
            scaler.gaps().is_some_and(|gaps| shared.is_told(gaps, now_us))
        });
        if has_learnt || self.functions[at].spec.settings.scaling.burst != Burst::Kpa {
            self.put_entry(at);
        }
    }

    /// Learns how long a function was without a ready pod after pods were decided on.
    pub(super) fn learn_start_up(&mut self, at: usize) {
        let now_us = self.now_us();
        if let Some(decider) = self.decider(at)
            && let Some(since_us) = decider.expecting_us.take()
        {
            decider.learn(|known| known.record(now_us - since_us));
            self.put_entry(at);
            self.follow_link();
        }
    }

    /// Whether anything is under way that may give a function a pod.
    pub(super) fn is_pursued(&self, at: usize) -> bool {
        let is_tick_set =
            self.leader.as_ref().is_some_and(|it| it.deciders[at].ticks.next_us.is_some());
        is_tick_set
            || !self.functions[at].pods.is_empty()
            || self.calls.iter().any(|call| call.function == at)
    }
}

/// A function's row of the table. Pods are told of by another way.
fn entry(function: &super::Function, asked: u32, start_ups: &StartUps, gaps: &Gaps) -> Entry {
    let settings = &function.settings;
    Entry {
        function: function.name.clone(),
        endpoints: Vec::new(),
        pods: Vec::new(),
        probe: Probe::Reported,
        queue_depth: settings.admission.queue_depth,
        container_concurrency: settings.admission.container_concurrency,
        queue_timeout_ms: settings.admission.queue_timeout_ms,
        request_timeout_ms: settings.timeouts.request_ms,
        pressure: burst::pressure_threshold(&settings.scaling, asked),
        start_ups: start_ups.clone(),
        gaps: gaps.clone(),
        failure: None,
    }
}

/// What is wrong with a decision that lowers replicas although part of the stable window is not
/// known. An upper bound may always lower them.
fn falls_blindly(decision: &Decision) -> Option<String> {
    let inputs = &decision.inputs;
    let known_s = inputs.averages.map_or(0, |averages| averages.stable.known_s);
    let within = inputs.scaling.max_scale == 0 || inputs.replicas <= inputs.scaling.max_scale;
    let blind = known_s < inputs.scaling.stable_window_s && inputs.why != Why::Start;
    // By plan it goes by what is open now, and is as certain.
    let planned = decision.reasons.iter().any(|it| matches!(it.rule, Rule::IdleCost(_)));
    (blind && within && !planned && decision.desired < inputs.replicas)
        .then(|| format!("scaled down with {known_s} s of the stable window known: {decision}"))
}

#[cfg(test)]
mod tests {
    use dormouse_policy::decision::{Average, Averages};
    use dormouse_policy::readings::Load;
    use dormouse_policy::settings::Scaling;

    use super::*;

    impl Leader {
        /// Decides on a function by that scaler from now on.
        pub(in crate::world) fn go_by(&mut self, at: usize, scaler: Scaler) {
            self.deciders[at].scaler = scaler;
        }
    }

    /// What is wrong with going from three replicas to so many with so much known.
    fn fault(why: Why, known_s: u32, desired: u32, max_scale: u32) -> Option<String> {
        let scaling = Arc::new(Scaling { max_scale, ..Scaling::default() });
        let mut scaler = Scaler::new(scaling, Missing::Unknown, 3, 3, 0);
        let mut decision = scaler.decide(&Observation::new(1, why, 3, 3, Load::default()));
        let stable = Average { value: 0.0, known_s };
        decision.inputs.averages = Some(Averages { stable, panic: stable });
        falls_blindly(&Decision { desired, ..decision })
    }

    #[test]
    fn nothing_is_lowered_while_part_of_the_window_is_not_known() {
        assert!(fault(Why::Tick, 59, 2, 0).unwrap().contains("with 59 s of the stable window"));
        assert!(fault(Why::Wake, 0, 0, 0).is_some());
        assert_eq!(fault(Why::Tick, 60, 2, 0), None);
        assert_eq!(fault(Why::Tick, 59, 3, 0), None, "it stays");
        assert_eq!(fault(Why::Tick, 59, 2, 2), None, "an upper bound may lower it");
        assert_eq!(fault(Why::Start, 0, 2, 0), None);
    }
}
