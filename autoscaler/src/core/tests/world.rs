//! A world for the core: a cluster that takes orders, activators that count and acknowledge, and a
//! clock that is moved by hand.

use std::collections::BTreeMap;

use dormouse_link::activator_side::{self, ActivatorSide, Identity};
use dormouse_link::frame::{Reading, Retiring};
use dormouse_policy::function::{Endpoint, PodPort, Probe, WorkloadKind};
use dormouse_policy::record::{self, Header};
use dormouse_policy::settings::{self, Annotations, ClusterDefaults};

use super::super::*;
use crate::cluster::{PodFact, PodPhase};
use crate::server::{Leadership, Victims};
use crate::status::{FunctionStatus, Statuses};

pub(super) const SECOND_US: u64 = 1_000_000;

/// How the hands answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hands {
    /// At once; pods come and go at once too.
    Quick,
    /// Not at all: the call goes on.
    Busy,
    /// With an error after which the outcome is not known.
    Failing,
}

pub(super) struct World {
    pub(super) core: Core,
    pub(super) now_us: u64,
    pub(super) hands: Hands,
    /// Orders placed or tried, each with its number.
    pub(super) orders: Vec<(u64, Scale)>,
    /// Through whom traffic was last to be led.
    pub(super) led: Arc<Activators>,
    pub(super) sent: Vec<(Connection, Down)>,
    /// What was said of functions.
    pub(super) notes: Vec<Note>,
    /// Activators to be looked for.
    pub(super) looked_for: Vec<String>,
    pub(super) activators: BTreeMap<Connection, Activator>,
    pub(super) cluster: BTreeMap<FunctionName, Pods>,
    connections: u64,
    pods: u64,
    /// What was written down, replayed at the end of every test.
    pub(super) record: Vec<Line>,
    /// What was last told of every function.
    statuses: Statuses,
}

/// An activator that counts requests and acknowledges what it is asked to when nothing is in
/// flight.
pub(super) struct Activator {
    pub(super) load: BTreeMap<FunctionName, Reading>,
    /// Whether it ever says that retiring pods are empty.
    pub(super) acknowledges: bool,
}

pub(super) fn name(name: &str) -> FunctionName {
    FunctionName::new("default", name)
}

/// A function with one Service on port 8080, at `spec.replicas`, window 6 s.
pub(in crate::core) fn function(name: &str, annotations: &[(&str, &str)]) -> Function {
    let mut all = Annotations::new();
    all.insert("autoscaling.knative.dev/window".into(), "6s".into());
    for (key, value) in annotations {
        all.insert(format!("autoscaling.knative.dev/{key}"), (*value).into());
    }
    let parsed = settings::parse(&all, &Annotations::new(), &ClusterDefaults::default());
    Function {
        name: self::name(name),
        kind: WorkloadKind::Deployment,
        created: 0,
        replicas: 1,
        settings: parsed.unwrap().settings,
        pod_ports: vec![PodPort { name: "http".into(), number: 80 }],
        endpoints: vec![Endpoint {
            name: format!("default/{name}:8080").into(),
            service_port: 8080,
            pod_port: 0,
            hosts: [format!("{name}.default.localhost").into()].into(),
            own_port: None,
        }],
        probe: Probe::Connect,
    }
}

/// Whatever a test did: from what was heard alone, the policy decides the same again.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let replayed = self.replay(0);
            assert!(replayed.skipped == 0 || replayed.gaps > 0, "{replayed:?}");
        }
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::among(Leadership::Alone)
    }

    fn among(leadership: Leadership) -> Self {
        Self {
            core: Core::new(Surroundings {
                endpoint_listen: Some([127, 0, 0, 1].into()),
                victims: Victims::Ours,
                leadership,
                wall_us: 1_700_000_000 * SECOND_US,
                seed: 1,
                record: Record::Kept,
            }),
            now_us: SECOND_US / 3,
            hands: Hands::Quick,
            orders: Vec::new(),
            led: Arc::default(),
            sent: Vec::new(),
            notes: Vec::new(),
            looked_for: Vec::new(),
            activators: BTreeMap::new(),
            cluster: BTreeMap::new(),
            connections: 0,
            pods: 0,
            record: vec![Line::Header(Header::new(0))],
            statuses: Statuses::default(),
        }
    }

    /// One of several autoscalers, which does not lead.
    pub(super) fn follower(function: Function, replicas: u32) -> Self {
        let mut world = Self::among(Leadership::Elected);
        world.connect("a");
        world.add(function, replicas);
        world
    }

    /// With one activator and one function that has `replicas` replicas, all of them ready.
    pub(super) fn with(function: Function, replicas: u32) -> Self {
        let mut world = Self::new();
        world.connect("a");
        world.add(function, replicas);
        world
    }

    pub(super) fn add(&mut self, function: Function, replicas: u32) {
        let name = function.name.clone();
        self.cluster.insert(name.clone(), Pods::default());
        self.obey(&name, replicas, &[]);
        self.apply(Event::Fact(Fact::Function(Arc::new(function))));
        self.tell(&name);
    }

    pub(super) fn connect(&mut self, reporter: &str) -> Connection {
        self.connections += 1;
        let connection = Connection(self.connections);
        let load = BTreeMap::new();
        self.activators.insert(connection, Activator { load, acknowledges: true });
        let hello =
            Up::Hello { version: 1, token: "secret".into(), reporter: reporter.into(), boot: 1 };
        self.hear(connection, hello);
        connection
    }

    /// Cuts the link; what the activator counted is handed over for a later connection.
    pub(super) fn cut(&mut self, connection: Connection) -> Activator {
        let activator = self.activators.remove(&connection).unwrap();
        self.apply(Event::Disconnected(connection));
        activator
    }

    /// An activator that heard all that `before` sent connects, and says what it knows.
    pub(super) fn inherit(&mut self, before: &Self) -> Connection {
        let identity = Identity { reporter: "a".into(), boot: 1 };
        let mut activator = ActivatorSide::new(identity, Vec::new());
        let told = Connection(1);
        drop(activator.connect(told, String::new()));
        let frames = before.sent.iter().map(|(_, frame)| frame.clone());
        frames.for_each(|frame| drop(activator.receive(told, frame, 0)));
        drop(activator.disconnect(told));
        let connection = Connection(99);
        let said = [activator.connect(connection, String::new()), activator.tick(1, &[])];
        for action in said.concat() {
            if let activator_side::Action::Send(_, frame) = action {
                self.hear(connection, frame);
            }
        }
        connection
    }

    pub(super) fn hear(&mut self, connection: Connection, frame: Up) {
        self.apply(Event::Frame(connection, frame));
    }

    /// From now on so many requests are in flight in every activator, of which `held` are held.
    pub(super) fn load(&mut self, function: &str, in_flight: u64, held: u64) {
        for activator in self.activators.values_mut() {
            let reading = Reading {
                function: name(function),
                area_us: 0,
                started: 0,
                in_flight: 0,
                held: 0,
                refused: 0,
            };
            let reading = activator.load.entry(name(function)).or_insert(reading);
            reading.started += in_flight.saturating_sub(reading.in_flight);
            reading.in_flight = in_flight;
            reading.held = held;
        }
    }

    pub(super) fn wake(&mut self, function: &str) {
        let connection = *self.activators.keys().next().unwrap();
        self.hear(connection, Up::WakesChanged { added: vec![name(function)], removed: vec![] });
    }

    /// Lets time pass: reports each full second, timers when they are due.
    pub(super) fn run(&mut self, seconds: u64) {
        let end_us = self.now_us + seconds * SECOND_US;
        while self.now_us < end_us {
            let report_us = (self.now_us / SECOND_US + 1) * SECOND_US;
            let due_us = self.core.due_us().unwrap_or(u64::MAX).max(self.now_us);
            let next_us = report_us.min(due_us).min(end_us);
            self.pass(next_us - self.now_us);
            if next_us == report_us {
                self.report();
            }
            if self.core.due_us().is_some_and(|due_us| due_us <= next_us) {
                self.apply(Event::Due);
            }
            self.check_statuses();
        }
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        for activator in self.activators.values_mut() {
            for reading in activator.load.values_mut() {
                reading.area_us += reading.in_flight * us;
            }
        }
    }

    pub(super) fn report(&mut self) {
        let reports = self.activators.iter().map(|(connection, activator)| {
            let readings = activator.load.values().cloned().collect();
            (*connection, readings)
        });
        let at_us = self.now_us;
        for (connection, readings) in reports.collect::<Vec<_>>() {
            self.hear(connection, Up::Report { at_us, readings, learnt: vec![] });
        }
    }

    /// Says that an attempt at the last order ended like that.
    pub(super) fn answer(&mut self, result: Result<(), ScaleError>) {
        let (order, scale) = self.orders.last().cloned().unwrap();
        let function = scale.function.clone();
        if result.is_ok() {
            self.obey(&function, scale.replicas, &scale.victims);
            self.cluster.get_mut(&function).unwrap().set_by = None;
        }
        self.apply(Event::Scaled { function: function.clone(), order, result });
        self.tell(&function);
    }

    /// Applies an event to the core and keeps what is written down; the rest is the caller's.
    pub(super) fn happens(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.core.apply(event, self.now_us);
        let lines = actions.extract_if(.., |action| matches!(action, Action::Record(_)));
        self.record.extend(lines.filter_map(|action| match action {
            Action::Record(line) => Some(line),
            _ => None,
        }));
        actions
    }

    pub(super) fn apply(&mut self, event: Event) {
        for action in self.happens(event) {
            match action {
                Action::Send(connection, frame) => {
                    self.sent.push((connection, frame.clone()));
                    self.receive(connection, &frame);
                }
                Action::Record(_) => unreachable!("taken out"),
                Action::LeadThrough(activators) => self.led = activators,
                Action::Note(note) => self.notes.push(note),
                Action::LookFor { activator } => self.looked_for.push(activator),
                Action::Close(connection, fault) => panic!("{connection:?} closed: {fault}"),
                Action::Scale { order, scale } => {
                    self.orders.push((order, scale));
                    let unknown = || ScaleError::Unknown("none".into());
                    match self.hands {
                        Hands::Quick => self.answer(Ok(())),
                        Hands::Busy => {}
                        Hands::Failing => self.answer(Err(unknown())),
                    }
                }
            }
        }
    }

    fn receive(&mut self, connection: Connection, frame: &Down) {
        let Down::Prepare { function, epoch, pods, .. } = frame else {
            return;
        };
        let Some(activator) = self.activators.get(&connection) else {
            return;
        };
        if !activator.acknowledges {
            return;
        }
        let load = activator.load.get(function);
        let is_idle = load.is_none_or(|load| load.in_flight == 0);
        if is_idle || matches!(pods, Retiring::Named(_)) {
            let prepared = Up::Prepared { function: function.clone(), epoch: *epoch };
            self.hear(connection, prepared);
        }
    }

    pub(super) fn obey(&mut self, function: &FunctionName, replicas: u32, victims: &[String]) {
        let pods = self.cluster.get_mut(function).unwrap();
        pods.replicas = replicas;
        let count = usize::try_from(replicas).unwrap();
        if pods.pods.len() > count {
            pods.pods.retain(|pod| !victims.contains(&pod.name));
            pods.pods.truncate(count);
        }
        while pods.pods.len() < count {
            self.pods += 1;
            pods.pods.push(PodFact {
                name: format!("pod-{}", self.pods),
                addresses: vec![([127, 0, 0, 1], 20_000).into()],
                phase: PodPhase::Ready,
                waiting_for: None,
            });
        }
    }

    /// Tells the core of the pods as they are.
    pub(super) fn tell(&mut self, function: &FunctionName) {
        let pods = self.cluster[function].clone();
        self.apply(Event::Fact(Fact::Pods(function.clone(), pods)));
    }

    /// Replays what was written down, from the first snapshots at `from_us` or later.
    pub(super) fn replay(&mut self, from_us: u64) -> record::Summary {
        self.record.extend(self.core.end_record());
        let mut bytes = Vec::new();
        for line in &self.record {
            line.write_to(&mut bytes).unwrap();
        }
        record::replay(&bytes, from_us).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Replicas of the orders so far.
    pub(super) fn ordered(&self) -> Vec<u32> {
        self.orders.iter().map(|(_, scale)| scale.replicas).collect()
    }

    pub(super) fn status(&self, function: &str) -> FunctionStatus {
        self.core.status(&self.core.functions[&name(function)], self.now_us)
    }

    /// What was told of every function is what it would be if it were made now.
    fn check_statuses(&mut self) {
        if self.core.has_news() {
            self.statuses = self.core.news(self.now_us);
        }
        assert_eq!(self.statuses, self.core.statuses(self.now_us));
    }

    /// The last entry of a function sent to anyone.
    pub(super) fn entry(&self, function: &str) -> dormouse_link::frame::Entry {
        let tables = self.sent.iter().rev().filter_map(|(_, frame)| match frame {
            Down::Table { functions, .. } => Some(functions),
            _ => None,
        });
        let mut entries = tables.flatten();
        entries.find(|entry| entry.function == name(function)).unwrap().clone()
    }
}
