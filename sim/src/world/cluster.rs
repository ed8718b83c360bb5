//! The cluster: pods come and go as replicas are asked for, on nodes that have room.

use std::collections::VecDeque;

use super::activator::{Known, Presence};
use super::engine::{Place, Sim};
use super::ledger::Fate;
use super::pod::{Phase, Pod, Server};
use super::queue::{Class, Event, Id};
use super::setup::{Capacity, Rate, World};

/// How long a pod that was asked to stop may take, in nanoseconds: Kubernetes' default grace
/// period.
const GRACE_NS: u64 = 30_000_000_000;

/// Draws per pod: image, boot, stop, the kubelet's probe, and an activator's tries.
const DRAWS: u64 = 8;

/// Nodes, and what the API server lets through.
pub(super) struct Cluster {
    /// By node: whether it is there, and how many pods it has.
    pub(super) nodes: Vec<(NodeState, u32)>,
    /// Pods without a place, in order.
    pub(super) pending: VecDeque<Id>,
    /// When a bucket that was never empty would be full again.
    full_ns: u64,
}

/// Whether a node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeState {
    Up,
    Down,
}

impl Cluster {
    pub(super) fn new(world: &World) -> Self {
        let nodes = world.nodes.map_or(0, |nodes| nodes.count.get());
        Self {
            nodes: vec![(NodeState::Up, 0); nodes as usize],
            pending: VecDeque::new(),
            full_ns: 0,
        }
    }

    /// When a call asked for now is let through.
    pub(super) fn admit(&mut self, rate: Rate, now_ns: u64) -> u64 {
        let ahead_ns = rate.every_ns.saturating_mul(u64::from(rate.burst.max(1)) - 1);
        let at_ns = now_ns.max(self.full_ns.saturating_sub(ahead_ns));
        self.full_ns = self.full_ns.max(at_ns).saturating_add(rate.every_ns);
        at_ns
    }
}

impl Sim<'_> {
    /// The replicas that a function has when the world begins are there and ready.
    pub(super) fn found_replicas(&mut self, at: usize) {
        self.functions[at].replicas = self.functions[at].spec.replicas;
        for _ in 0..self.functions[at].replicas {
            let id = self.make_pod(at);
            self.settle_on_node(id);
            if self.setup.world.nodes.is_some() && self.pods[id.at as usize].node.is_none() {
                self.cluster.pending.push_back(id);
                continue;
            }
            self.arrive_on_node(id);
            let pod = &mut self.pods[id.at as usize];
            (pod.phase, pod.seen_ready) = (Phase::Listening, true);
            self.functions[at].seen_ready += 1;
            self.count_ready(id);
            self.told_ready(id);
        }
    }

    /// The API server has taken an order.
    pub(super) fn set_replicas(&mut self, at: usize, replicas: u32, victims: &[u64]) {
        self.functions[at].replicas = replicas;
        let keep = replicas as usize;
        for serial in victims {
            let pods = &self.functions[at].pods;
            let victim = pods.iter().find(|id| self.pods[id.at as usize].serial == *serial);
            if pods.len() > keep
                && let Some(&victim) = victim
            {
                self.stop(victim);
            }
        }
        while self.functions[at].pods.len() > keep {
            let Some(victim) = self.victims(at, keep).first().copied() else {
                break;
            };
            self.stop(victim);
        }
        self.fill_up(at);
    }

    /// The pods to stop so that `keep` are left: first those not ready, then the newest.
    pub(super) fn victims(&self, at: usize, keep: usize) -> Vec<Id> {
        let pods = &self.functions[at].pods;
        let surplus = pods.len().saturating_sub(keep);
        let mut pods: Vec<Id> = pods.iter().rev().copied().collect();
        pods.sort_by_key(|id| self.pods[id.at as usize].seen_ready);
        pods.truncate(surplus);
        pods
    }

    fn fill_up(&mut self, at: usize) {
        while self.functions[at].pods.len() < self.functions[at].replicas as usize {
            let id = self.make_pod(at);
            self.settle_on_node(id);
            match self.setup.world.nodes {
                None => self.placed(id),
                Some(nodes) if self.pods[id.at as usize].node.is_some() => {
                    let placed_ns = self.now_ns.saturating_add(nodes.schedule_ns);
                    self.queue.push(placed_ns, Class::Pod, at as u32, Event::Placed(id));
                }
                Some(_) => self.cluster.pending.push_back(id),
            }
        }
    }

    fn make_pod(&mut self, at: usize) -> Id {
        let function = &mut self.functions[at];
        let pod = Pod {
            life: 0,
            function: at as u32,
            serial: function.pods_made,
            phase: Phase::Pending,
            node: None,
            seen_ready: false,
            ready: false,
            told_ready: false,
            killed_ns: 0,
            requests: 0,
            server: Server::new(function.spec.capacity),
        };
        function.pods_made += 1;
        let id = match self.free_pods.pop() {
            Some(place) => {
                let life = self.pods[place as usize].life;
                self.pods[place as usize] = Pod { life, ..pod };
                Id { at: place, life }
            }
            None => {
                self.pods.push(pod);
                Id { at: (self.pods.len() - 1) as u32, life: 0 }
            }
        };
        self.functions[at].pods.push(id);
        id
    }

    /// Reserves a place on the node with the fewest pods, if one has room.
    fn settle_on_node(&mut self, id: Id) {
        let Some(nodes) = self.setup.world.nodes else {
            return;
        };
        let room =
            |(state, pods): &(NodeState, u32)| *state == NodeState::Up && *pods < nodes.pods.get();
        let with_room = self.cluster.nodes.iter().enumerate().filter(|(_, node)| room(node));
        let node = with_room.min_by_key(|(_, (_, pods))| *pods).map(|(number, _)| number);
        if let Some(node) = node {
            self.cluster.nodes[node].1 += 1;
            self.pods[id.at as usize].node = Some(node as u32);
        }
    }

    fn seek_places(&mut self) {
        let Some(nodes) = self.setup.world.nodes else {
            return;
        };
        while let Some(&id) = self.cluster.pending.front() {
            if self.is_pod(id) {
                self.settle_on_node(id);
                if self.pods[id.at as usize].node.is_none() {
                    return;
                }
                let placed_ns = self.now_ns.saturating_add(nodes.schedule_ns);
                let function = self.pods[id.at as usize].function;
                self.queue.push(placed_ns, Class::Pod, function, Event::Placed(id));
            }
            self.cluster.pending.pop_front();
        }
    }

    fn draw(&self, id: Id, which: u64) -> f64 {
        let pod = &self.pods[id.at as usize];
        self.functions[pod.function as usize].starts.unit(pod.serial * DRAWS + which)
    }

    fn draw_below(&self, id: Id, which: u64, bound: u64) -> u64 {
        let pod = &self.pods[id.at as usize];
        self.functions[pod.function as usize].starts.below(pod.serial * DRAWS + which, bound)
    }

    /// A pod has its place: its image is fetched, then it boots.
    pub(super) fn placed(&mut self, id: Id) {
        if !self.is_pod(id) || self.pods[id.at as usize].phase != Phase::Pending {
            return;
        }
        self.arrive_on_node(id);
        let function = self.pods[id.at as usize].function;
        let start_up = &self.functions[function as usize].spec.start_up;
        let takes_ns = start_up.image.at(self.draw(id, 0)) + start_up.boot.at(self.draw(id, 1));
        let listens_ns = self.now_ns.saturating_add(takes_ns);
        self.queue.push(listens_ns, Class::Pod, function, Event::Listens(id));
    }

    fn arrive_on_node(&mut self, id: Id) {
        let pod = &mut self.pods[id.at as usize];
        pod.phase = Phase::Starting;
        let (at, serial) = (pod.function as usize, pod.serial);
        let ledger = &mut self.functions[at].ledger;
        ledger.set_pods(ledger.pods() + 1, self.now_ns);
        for activator in self.there().collect::<Vec<_>>() {
            self.list(activator, at, Known::new(id, serial));
        }
    }

    /// A pod accepts connections; those who look find out.
    pub(super) fn listens(&mut self, id: Id) {
        if !self.is_pod(id) || self.pods[id.at as usize].phase != Phase::Starting {
            return;
        }
        let pod = &mut self.pods[id.at as usize];
        pod.phase = Phase::Listening;
        let function = pod.function;
        let probe_ns = self.setup.world.readiness.probe_ns;
        let ready_ns = self.now_ns + self.draw_below(id, 3, probe_ns.saturating_add(1));
        self.queue.push(ready_ns, Class::Pod, function, Event::Ready(id));
        for activator in self.there().collect::<Vec<_>>() {
            if self.activators[activator].held(function as usize) > 0 {
                self.try_pods(activator, function as usize);
            }
        }
    }

    /// An activator that holds requests tries the pods that it does not know to take them.
    pub(super) fn try_pods(&mut self, activator: usize, at: usize) {
        let Some(pause_ns) = self.setup.world.readiness.shortcut_ns else {
            return;
        };
        for place in 0..self.activators[activator].views[at].pods.len() {
            let known = &self.activators[activator].views[at].pods[place];
            let id = known.pod;
            if known.tried || known.trying || self.pods[id.at as usize].phase != Phase::Listening {
                continue;
            }
            self.activators[activator].views[at].pods[place].trying = true;
            let tried_ns = self.now_ns + self.draw_below(id, 4 + activator as u64 % 4, pause_ns);
            let event = Event::Tried { pod: id, activator: activator as u16 };
            self.queue.push(tried_ns, Class::Pod, at as u32, event);
        }
    }

    /// An activator's try of a pod succeeds.
    pub(super) fn tried(&mut self, id: Id, activator: usize) {
        if !self.is_pod(id) || self.activators[activator].presence == Presence::Away {
            return;
        }
        let at = self.pods[id.at as usize].function as usize;
        if self.pods[id.at as usize].phase == Phase::Listening {
            self.count_ready(id);
            self.use_pod(activator, at, id);
        }
    }

    /// The kubelet calls a pod ready.
    pub(super) fn ready(&mut self, id: Id) {
        if !self.is_pod(id) || self.pods[id.at as usize].phase != Phase::Listening {
            return;
        }
        self.count_ready(id);
        let function = self.pods[id.at as usize].function;
        let seen_ns = self.now_ns.saturating_add(self.setup.world.api.latency_ns);
        self.queue.push(seen_ns, Class::Pod, function, Event::SeenReady(id));
        let told_ns = seen_ns.saturating_add(self.setup.world.report.delay_ns);
        self.queue.push(told_ns, Class::Pod, function, Event::ToldReady(id));
    }

    fn count_ready(&mut self, id: Id) {
        let pod = &mut self.pods[id.at as usize];
        if !pod.ready {
            pod.ready = true;
            let ledger = &mut self.functions[pod.function as usize].ledger;
            ledger.set_ready(ledger.ready() + 1, self.now_ns);
        }
    }

    /// The autoscaler sees that a pod is ready.
    pub(super) fn seen_ready(&mut self, id: Id) {
        if !self.is_pod(id) || self.pods[id.at as usize].phase != Phase::Listening {
            return;
        }
        let pod = &mut self.pods[id.at as usize];
        pod.seen_ready = true;
        let at = pod.function as usize;
        self.functions[at].seen_ready += 1;
        self.learn_start_up(at);
    }

    /// The activators hear that a pod is ready.
    pub(super) fn told_ready(&mut self, id: Id) {
        if !self.is_pod(id) || self.pods[id.at as usize].phase != Phase::Listening {
            return;
        }
        self.pods[id.at as usize].told_ready = true;
        let at = self.pods[id.at as usize].function as usize;
        for activator in self.there().collect::<Vec<_>>() {
            self.use_pod(activator, at, id);
        }
    }

    /// A pod is asked to stop.
    fn stop(&mut self, id: Id) {
        let now_ns = self.now_ns;
        let before = self.pods[id.at as usize].phase;
        self.withdraw(id);
        if before == Phase::Pending {
            return self.leave_node(id);
        }
        let at = self.pods[id.at as usize].function as usize;
        let stop_ns = self.functions[at].spec.start_up.stop.at(self.draw(id, 2)).min(GRACE_NS);
        let pod = &mut self.pods[id.at as usize];
        pod.phase = Phase::Terminating;
        pod.killed_ns = now_ns.saturating_add(GRACE_NS);
        for activator in self.there().collect::<Vec<_>>() {
            self.shun(activator, at, id);
        }
        let stopped_ns = now_ns.saturating_add(stop_ns);
        self.queue.push(stopped_ns, Class::Pod, at as u32, Event::Stopped(id));
    }

    /// A pod does not count any more.
    fn withdraw(&mut self, id: Id) {
        let pod = &mut self.pods[id.at as usize];
        let function = &mut self.functions[pod.function as usize];
        function.pods.retain(|other| *other != id);
        if std::mem::take(&mut pod.seen_ready) {
            function.seen_ready -= 1;
        }
        if std::mem::take(&mut pod.ready) {
            let ready = function.ledger.ready() - 1;
            function.ledger.set_ready(ready, self.now_ns);
        }
    }

    /// A pod's containers have stopped but for open requests.
    pub(super) fn stopped(&mut self, id: Id) {
        if !self.is_pod(id) {
            return;
        }
        let pod = &mut self.pods[id.at as usize];
        pod.phase = Phase::Stopped;
        if pod.requests == 0 {
            return self.vanish(id);
        }
        let event = Event::Killed(id);
        self.queue.push(pod.killed_ns, Class::Pod, pod.function, event);
    }

    /// A pod's grace period is over: whatever it still served is lost.
    pub(super) fn killed(&mut self, id: Id) {
        if self.is_pod(id) {
            self.lose(id);
            self.vanish(id);
        }
    }

    /// A pod breaks, and another takes its place.
    pub(super) fn break_pod(&mut self, id: Id) {
        if !self.is_pod(id) {
            return;
        }
        let at = self.pods[id.at as usize].function as usize;
        let was_placed = self.pods[id.at as usize].phase != Phase::Pending;
        self.withdraw(id);
        match was_placed {
            true => {
                self.lose(id);
                self.vanish(id);
            }
            false => self.leave_node(id),
        }
        self.fill_up(at);
    }

    /// Loses the requests in a pod that nobody can reach any more.
    fn lose(&mut self, id: Id) {
        let at = self.pods[id.at as usize].function as usize;
        for activator in 0..self.activators.len() {
            self.unlist(activator, at, id);
        }
        for place in 0..self.requests.len() {
            let request = &self.requests[place];
            if request.pod == id && matches!(request.place, Place::InLine | Place::Served) {
                self.conclude(Id { at: place as u32, life: request.life }, Fate::Lost);
            }
        }
    }

    /// A pod's last container is gone.
    pub(super) fn vanish(&mut self, id: Id) {
        let at = self.pods[id.at as usize].function as usize;
        for activator in 0..self.activators.len() {
            self.unlist(activator, at, id);
        }
        let ledger = &mut self.functions[at].ledger;
        ledger.set_pods(ledger.pods() - 1, self.now_ns);
        self.leave_node(id);
    }

    fn leave_node(&mut self, id: Id) {
        let pod = &mut self.pods[id.at as usize];
        pod.life = pod.life.wrapping_add(1);
        pod.phase = Phase::Gone;
        pod.server = Server::new(Capacity::Unlimited);
        let node = pod.node.take();
        self.free_pods.push(id.at);
        if let Some(node) = node {
            self.cluster.nodes[node as usize].1 -= 1;
            self.seek_places();
        }
    }

    /// A node is gone, with its pods; or it is back.
    pub(super) fn turn_node(&mut self, number: u32, state: NodeState) {
        self.cluster.nodes[number as usize].0 = state;
        if state == NodeState::Down {
            for place in 0..self.pods.len() {
                let pod = &self.pods[place];
                let id = Id { at: place as u32, life: pod.life };
                if pod.node == Some(number) && pod.phase != Phase::Gone {
                    self.break_pod(id);
                }
            }
        }
        self.seek_places();
    }
}
