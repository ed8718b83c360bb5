//! What breaks, and what comes back.

use super::activator::{Activator, Known, Presence};
use super::cluster::NodeState;
use super::engine::{Place, Sim};
use super::ledger::Fate;
use super::pod::Phase;
use super::queue::{Class, Event, Id};
use super::setup::Kill;

impl Sim<'_> {
    /// A fault begins.
    pub(super) fn breaks(&mut self, number: usize) {
        let fault = &self.setup.world.faults[number];
        let mended_ns = self.now_ns.saturating_add(fault.for_ns);
        self.queue.push(mended_ns, Class::Fault, 0, Event::Mends(number as u32));
        match fault.kill {
            Kill::Activator(which) => self.kill_activator(which as usize),
            Kill::Leader => self.cease_to_lead(),
            Kill::Pod(at) => {
                let pods = &self.functions[at].pods;
                let ready = pods.iter().find(|id| self.pods[id.at as usize].ready);
                if let Some(&ready) = ready {
                    self.break_pod(ready);
                }
            }
            Kill::Node(node) => self.turn_node(node, NodeState::Down),
        }
    }

    /// A fault is over, unless another like it is not.
    pub(super) fn mends(&mut self, number: usize) {
        let faults = &self.setup.world.faults;
        let fault = &faults[number];
        let lasts = faults.iter().any(|other| {
            other.kill == fault.kill
                && other.at_ns <= self.now_ns
                && other.at_ns.saturating_add(other.for_ns) > self.now_ns
        });
        if lasts {
            return;
        }
        match fault.kill {
            Kill::Activator(which) => self.start_activator(which as usize),
            Kill::Leader if self.leader.is_none() => self.lead(),
            Kill::Leader | Kill::Pod(_) => {}
            Kill::Node(node) => self.turn_node(node, NodeState::Up),
        }
    }

    /// An activator is gone with what it holds and has in flight.
    fn kill_activator(&mut self, way: usize) {
        let activator = &mut self.activators[way];
        if activator.presence == Presence::Away {
            return;
        }
        activator.presence = Presence::Away;
        let connection = activator.connection.take();
        if let Some(connection) = connection {
            // It does nothing about it: it is gone.
            drop(activator.side.disconnect(connection));
        }
        // Those held first: they must not be sent to the slots that the others leave.
        for held in [true, false] {
            for place in 0..self.requests.len() {
                let request = &self.requests[place];
                let is_held = matches!(request.place, Place::Held(_));
                if usize::from(request.activator) == way
                    && request.place != Place::Free
                    && is_held == held
                {
                    let life = request.life;
                    self.give_up(Id { at: place as u32, life }, Fate::Lost);
                }
            }
        }
        if let Err(what) = self.reconcile(way) {
            self.fault = Some(what);
        }
        let boot = self.activators[way].boot + 1;
        match Activator::new(self.setup, way as u16, boot) {
            Ok(fresh) => self.activators[way] = Activator { presence: Presence::Away, ..fresh },
            Err(error) => self.fault = Some(error.to_string()),
        }
        if let Some(connection) = connection {
            self.lead_loses(connection);
        }
    }

    /// An activator is back, and learns of the pods there are.
    fn start_activator(&mut self, way: usize) {
        if self.activators[way].presence == Presence::There {
            return;
        }
        self.activators[way].presence = Presence::There;
        for at in 0..self.functions.len() {
            for id in self.functions[at].pods.clone() {
                let pod = &self.pods[id.at as usize];
                let (phase, told_ready, serial) = (pod.phase, pod.told_ready, pod.serial);
                if phase != Phase::Pending {
                    self.list(way, at, Known::new(id, serial));
                }
                if told_ready {
                    self.use_pod(way, at, id);
                }
            }
        }
        self.start_reporting(way);
        if self.leader.is_some() {
            self.connect(way);
        }
    }
}
