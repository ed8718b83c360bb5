//! From a wish to an order: retirement before pods go, one order of a function at a time.

use dormouse_link::autoscaler_side::Patched;
use dormouse_link::frame::Retiring as Pods;
use dormouse_policy::decision::Why;
use dormouse_policy::settings::Paused;

use crate::world::SECOND_NS;
use crate::world::engine::Sim;
use crate::world::queue::{Class, Event};

/// A retirement under way, and the order it is for.
#[derive(Clone)]
pub(super) struct Retiring {
    pub(super) epoch: u64,
    replicas: u32,
    victims: Vec<u64>,
}

/// A call to scale under way.
#[derive(Debug)]
pub(in crate::world) struct Call {
    pub(super) function: usize,
    replicas: u32,
    victims: Vec<u64>,
    epoch: Option<u64>,
    leader: u32,
}

impl Sim<'_> {
    /// Brings what is asked for nearer to what is wanted.
    pub(super) fn pursue(&mut self, at: usize) {
        let asked = self.asked(at);
        let function = &self.functions[at];
        let name = &function.spec.name;
        let Some(leader) = &mut self.leader else {
            return;
        };
        let decider = &leader.deciders[at];
        if function.spec.settings.scaling.paused == Paused::Yes || decider.order.is_some() {
            return;
        }
        let wish = decider.wish;
        let retiring = decider.retiring.as_ref().map(|retiring| retiring.replicas);
        if retiring.is_some_and(|replicas| replicas < wish) {
            leader.link.recall(name);
        }
        if wish > asked {
            self.place(at, wish, Vec::new(), None);
        } else if wish < asked && retiring.is_none() {
            self.lower(at, wish);
        }
    }

    /// Starts to retire the pods that are too many; the order follows their retirement.
    fn lower(&mut self, at: usize, replicas: u32) {
        let now_us = self.now_us();
        let victims = self.victims(at, replicas as usize);
        let victims: Vec<u64> =
            victims.into_iter().map(|id| self.pods[id.at as usize].serial).collect();
        let pods = match replicas {
            0 => Pods::All,
            _ if victims.is_empty() => return self.place(at, replicas, victims, None),
            _ => Pods::Named(victims.iter().map(u64::to_string).collect()),
        };
        let name = &self.functions[at].spec.name;
        if let Some(leader) = &mut self.leader
            && let Ok(epoch) = leader.link.retire(name, pods, now_us)
        {
            leader.deciders[at].retiring = Some(Retiring { epoch, replicas, victims });
        }
    }

    /// Every activator acknowledged: the pods may be stopped.
    pub(super) fn patch(&mut self, at: usize, epoch: u64) {
        let retiring = self.decider(at).and_then(|decider| decider.retiring.clone());
        if let Some(retiring) = retiring.filter(|it| it.epoch == epoch) {
            self.place(at, retiring.replicas, retiring.victims, Some(epoch));
        }
    }

    fn place(&mut self, at: usize, replicas: u32, victims: Vec<u64>, epoch: Option<u64>) {
        let (now_ns, asked) = (self.now_ns, self.asked(at));
        let function = &mut self.functions[at];
        let Some(leader) = &mut self.leader else {
            return;
        };
        let decider = &mut leader.deciders[at];
        decider.expecting_us = match (replicas, function.seen_ready) {
            (1.., 0) => decider.expecting_us.or(Some(decider.decided_us)),
            _ => None,
        };
        decider.order = Some(replicas);
        let stable_s = function.spec.settings.scaling.stable_window_s;
        match replicas > asked {
            true => {
                let stable_ns = u64::from(stable_s) * SECOND_NS;
                function.ledger.raise(asked, replicas, stable_ns, now_ns);
            }
            false => function.ledger.lower(asked, replicas, now_ns),
        }
        let api = self.setup.world.api;
        let sent_ns = match api.rate {
            // Wakes have a lane of their own.
            Some(rate) if asked > 0 => self.cluster.admit(rate, now_ns),
            _ => now_ns,
        };
        let call = Call { function: at, replicas, victims, epoch, leader: leader.number };
        let place = self.calls.put(call);
        let taken_ns = sent_ns.saturating_add(api.latency_ns);
        self.queue.push(taken_ns, Class::Timer, at as u32, Event::Scaled(place));
    }

    /// The API server has taken an order: its pods are gone or on their way, and what was wanted
    /// meanwhile comes next.
    pub(in crate::world) fn scaled(&mut self, place: u32) {
        let Some(call) = self.calls.take(place) else {
            return;
        };
        let at = call.function;
        self.set_replicas(at, call.replicas, &call.victims);
        let name = &self.functions[at].spec.name;
        let Some(leader) = &mut self.leader else {
            return;
        };
        if leader.number != call.leader {
            // The leader that asked is gone; this one sees what has become of it.
            return self.set_tick(at);
        }
        leader.deciders[at].order = None;
        if let Some(epoch) = call.epoch {
            leader.link.patched(name, epoch, Patched::Placed);
        }
        let wants_waking = leader.link.wants_waking(name);
        if call.replicas == 0 && wants_waking {
            self.decide(at, Why::Wake);
        } else if leader.deciders[at].wish > call.replicas {
            self.pursue(at);
        }
        self.set_tick(at);
        self.follow_link();
    }
}
