//! Policies in place of the live one: each takes its decision and changes what it comes to, so that
//! everything before and after is the same for all.

use dormouse_policy::decision::{Decision, Outcome, Why};

use super::Decider;
use crate::world::engine::{Sim, State};
use crate::world::histogram::{Histogram, Plan};
use crate::world::hpa::Seen;
use crate::world::setup::Policy;

impl Sim<'_> {
    /// What another policy than the live one makes of a decision.
    pub(super) fn decide_instead(&mut self, at: usize, decision: &mut Decision) {
        let desired = match self.functions[at].spec.policy {
            Policy::Kpa | Policy::Floor => return,
            Policy::FixedIdle { keep_ns } => self.kept(at, decision, 0, keep_ns),
            Policy::Hpa(_) => self.decider(at).and_then(|it| it.by_concurrency(decision)),
            Policy::HybridHistogram => {
                let plan = self.functions[at].plan();
                plan.and_then(|plan| self.kept(at, decision, plan.from_ns, plan.until_ns))
            }
        };
        let Some(desired) = desired else {
            return;
        };
        decision.desired = desired;
        if desired != decision.inputs.replicas {
            decision.outcome = Outcome::ScaleTo(desired);
        }
    }

    /// Replicas wanted if an idle function has pods from so long after its last request until so
    /// long after it; none where the live policy may have its way.
    fn kept(&self, at: usize, decision: &Decision, from_ns: u64, until_ns: u64) -> Option<u32> {
        let function = &self.functions[at];
        let min_scale = function.spec.settings.scaling.min_scale;
        let replicas = decision.inputs.replicas;
        let is_tick = decision.inputs.why == Why::Tick;
        match function.idle_ns(self.now_ns).filter(|_| is_tick) {
            Some(idle_ns) if idle_ns >= until_ns || idle_ns < from_ns => Some(min_scale),
            Some(_) if from_ns > 0 => Some(decision.desired.max(1)),
            _ => (replicas > 0).then(|| decision.desired.max(1)),
        }
    }

    /// Whether a function without pods is to have some again by the mere passing of time.
    pub(super) fn comes_back(&self, at: usize) -> bool {
        let function = &self.functions[at];
        let plan = function.plan().filter(|plan| plan.from_ns > 0);
        let idle_ns = function.idle_ns(self.now_ns);
        plan.zip(idle_ns).is_some_and(|(plan, idle_ns)| idle_ns < plan.until_ns)
    }
}

impl State<'_> {
    /// A request is about to arrive: what there was to learn from the pause before it is learnt.
    pub(in crate::world) fn learn_pause(&mut self, now_ns: u64) {
        let idle_ns = self.idle_ns(now_ns).filter(|_| self.ledger.ended_ns > 0);
        if let Some((histogram, idle_ns)) = self.histogram.as_mut().zip(idle_ns) {
            histogram.record(idle_ns);
        }
    }

    /// When it has pods while it is idle, as far as that was learnt.
    fn plan(&self) -> Option<Plan> {
        self.histogram.as_ref().and_then(Histogram::plan)
    }

    /// For how long nothing has been here, in nanoseconds; none while something is.
    pub(super) fn idle_ns(&self, now_ns: u64) -> Option<u64> {
        (self.ledger.inside() == 0).then(|| now_ns - self.ledger.ended_ns)
    }
}

impl Decider {
    fn by_concurrency(&mut self, decision: &Decision) -> Option<u32> {
        let inputs = &decision.inputs;
        let stable = inputs.averages.map(|averages| averages.stable);
        self.hpa.as_mut().map(|hpa| {
            hpa.wanted(&Seen {
                now_us: inputs.now_us,
                concurrency: stable.filter(|it| it.known_s > 0).map(|it| it.value),
                target: inputs.scaling.target,
                ready: inputs.ready,
                replicas: inputs.replicas,
                min: inputs.scaling.min_scale,
                max: inputs.scaling.max_scale,
            })
        })
    }
}
