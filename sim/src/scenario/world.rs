//! What the functions run in.

use serde::Serialize;

use super::document::{Node, Section};
use super::function::Function;
use super::load::{at_least, moment};
use super::value::{Rate, Time};

/// Most activators.
const ACTIVATORS_MAX: u64 = 256;

/// Shortest time between reports: ten times as often as the live activators.
const REPORT_EVERY_MIN: Time = Time(100_000_000);

/// Longest time between reports: a reporter silent for longer is lost.
const REPORT_EVERY_MAX: Time = Time(60_000_000_000);

/// Most nodes, as Kubernetes documents for one cluster.
const NODES_MAX: u64 = 5_000;

/// Most pods of one node: beyond any kubelet's setting.
const PODS_MAX: u64 = 10_000;

/// Shortest time for which something is away.
const FAULT_MIN: Time = Time(1_000_000);

/// Most faults of one run.
const FAULTS_MAX: usize = 1_000;

/// What the functions run in. Without a word of it: ideal, with one activator, no delay, no loss,
/// no fault and room for every pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct World {
    /// How many activators there are.
    pub activators: u32,
    /// What they tell the autoscaler.
    pub report: Report,
    /// What a call of the API server takes.
    pub api: Api,
    /// How pods are found ready.
    pub readiness: Readiness,
    /// Where pods run; none = there is always room, and nothing to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// What goes wrong, in order of time.
    pub fault: Vec<Event>,
}

/// What activators tell the autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How often.
    pub every: Time,
    /// How long it is on its way.
    pub delay: Time,
    /// How many never arrive, as a share of all, 0–1.
    pub loss: f64,
}

/// What a call of the API server takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Api {
    /// How long it takes.
    pub latency: Time,
    /// How many there may be; none = any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many at once before the rate counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// How pods are found ready.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Readiness {
    /// How often the kubelet probes.
    pub probe: Time,
    /// How often an activator that holds requests tries; 0 = it waits for the kubelet's word.
    pub shortcut: Time,
}

/// Where pods run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nodes {
    /// How many nodes there are.
    pub count: u32,
    /// Most pods of each.
    pub pods: u32,
    /// How long it takes to find one for a pod.
    pub schedule: Time,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kill: Kill,
    /// Which of the activators or nodes, counted from 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub number: u32,
    /// Whose pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// How long until it is back; a pod does not come back, another takes its place.
    #[serde(rename = "for", skip_serializing_if = "is_none")]
    pub lasts: Time,
}

/// What can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kill {
    /// An activator, with everything it held and counted.
    Activator,
    /// The leading autoscaler: nothing is decided until there is another.
    Leader,
    /// A ready pod of a function.
    Pod,
    /// A node, with its pods.
    Node,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_none(time: &Time) -> bool {
    *time == Time::ZERO
}

impl Default for World {
    fn default() -> Self {
        Self {
            activators: 1,
            report: Report { every: Time::SECOND, delay: Time::ZERO, loss: 0.0 },
            api: Api { latency: Time::ZERO, rate: None, burst: None },
            readiness: Readiness { probe: Time::SECOND, shortcut: Time(10_000_000) },
            nodes: None,
            fault: Vec::new(),
        }
    }
}

impl World {
    /// Reads `[world]`.
    pub(super) fn read(root: &Section<'_>, functions: &[Function], end: Time) -> Self {
        let mut world = Self::default();
        let Some(section) = root.get("world").and_then(|node| node.section()) else {
            return world;
        };
        let mut there = There { end, functions, activators: world.activators, nodes: 0 };
        if let Some(node) = section.get("activators") {
            let count = small(&node, ACTIVATORS_MAX);
            world.activators = count.unwrap_or(world.activators);
            there.activators = count.unwrap_or(There::UNKNOWN);
        }
        if let Some(node) = section.get("report") {
            report(&node, &mut world.report);
        }
        if let Some(node) = section.get("api") {
            api(&node, &mut world.api);
        }
        if let Some(section) = section.get("readiness").and_then(|node| node.section()) {
            let Readiness { probe, shortcut } = &mut world.readiness;
            *probe = time(&section, "probe").unwrap_or(*probe);
            *shortcut = time(&section, "shortcut").unwrap_or(*shortcut);
            section.finish();
        }
        if let Some(node) = section.get("nodes") {
            world.nodes = nodes(&node);
            there.nodes = world.nodes.map_or(There::UNKNOWN, |nodes| nodes.count);
        }
        if let Some(node) = section.get("fault") {
            let events = node.elements();
            if events.len() > FAULTS_MAX {
                node.fault(format_args!("must be at most {FAULTS_MAX} faults"));
            }
            world.fault = events.iter().filter_map(|node| event(node, &there)).collect();
            world.fault.sort_by_key(|event| event.at);
        }
        section.finish();
        world
    }
}

fn time(section: &Section<'_>, name: &'static str) -> Option<Time> {
    section.get(name)?.read(str::parse)
}

fn small(node: &Node<'_>, most: u64) -> Option<u32> {
    u32::try_from(node.whole_number(1..=most)?).ok()
}

fn report(node: &Node<'_>, report: &mut Report) {
    let Some(section) = node.section() else {
        return;
    };
    if let Some(node) = section.get("every") {
        report.every = node.read(str::parse).unwrap_or(report.every);
        if !(REPORT_EVERY_MIN..=REPORT_EVERY_MAX).contains(&report.every) {
            node.fault(format_args!("must be from {REPORT_EVERY_MIN} to {REPORT_EVERY_MAX}"));
        }
    }
    report.delay = time(&section, "delay").unwrap_or(report.delay);
    let loss = section.get("loss").and_then(|node| node.number(0.0..=1.0));
    report.loss = loss.unwrap_or(report.loss);
    section.finish();
}

fn api(node: &Node<'_>, api: &mut Api) {
    let Some(section) = node.section() else {
        return;
    };
    api.latency = time(&section, "latency").unwrap_or(api.latency);
    api.rate = section.get("rate").and_then(|node| {
        let rate: Rate = node.read(str::parse)?;
        if rate == Rate(0) {
            node.fault("must be above 0/s: nothing could ever be scaled");
        }
        Some(rate)
    });
    api.burst = section.get("burst").and_then(|node| small(&node, u64::from(u32::MAX)));
    if api.burst.is_some() && api.rate.is_none() {
        section.fault("burst needs a rate beside it");
    }
    if api.rate.is_some() {
        api.burst = api.burst.or(Some(1));
    }
    section.finish();
}

fn nodes(node: &Node<'_>) -> Option<Nodes> {
    let section = node.section()?;
    let count = section.need("count").and_then(|node| small(&node, NODES_MAX));
    let pods = section.need("pods").and_then(|node| small(&node, PODS_MAX));
    let schedule = time(&section, "schedule");
    section.finish();
    Some(Nodes { count: count?, pods: pods?, schedule: schedule.unwrap_or_default() })
}

/// What there is to be killed, and until when.
struct There<'a> {
    end: Time,
    functions: &'a [Function],
    activators: u32,
    /// 0 = there are none that could be told apart.
    nodes: u32,
}

impl There<'_> {
    /// How many there are where that itself is at fault: nothing is said about their numbers then.
    const UNKNOWN: u32 = u32::MAX;
}

fn event(node: &Node<'_>, there: &There<'_>) -> Option<Event> {
    let section = node.section()?;
    let at = moment(&section, "at", there.end);
    let kill = section.need("kill").and_then(|node| {
        let kill = node.read(|text| match text {
            "activator" => Ok(Kill::Activator),
            "leader" => Ok(Kill::Leader),
            "pod" => Ok(Kill::Pod),
            "node" => Ok(Kill::Node),
            _ => Err("must be activator, leader, pod or node".to_owned()),
        })?;
        if kill == Kill::Node && there.nodes == 0 {
            node.fault("needs world.nodes");
        }
        Some(kill)
    });
    let (mut function, mut lasts) = (None, Some(Time::ZERO));
    let number = match kill {
        Some(Kill::Activator) => number(&section, there.activators, "world.activators"),
        Some(Kill::Node) => number(&section, there.nodes, "world.nodes.count"),
        _ => None,
    };
    match kill {
        Some(Kill::Pod) => {
            function = section.need("function").and_then(|node| {
                let name = node.text()?;
                let is_one = |function: &&Function| function.name == name;
                if !there.functions.iter().any(|function| is_one(&function)) || name.ends_with("/*")
                {
                    node.fault("must be the key of one function");
                }
                Some(name.to_owned())
            })
        }
        _ => lasts = at_least(&section, "for", FAULT_MIN),
    }
    section.finish();
    Some(Event { at: at?, kill: kill?, number: number.unwrap_or(0), function, lasts: lasts? })
}

/// Which one is killed, of as many as `of` says that there are.
fn number(section: &Section<'_>, count: u32, of: &str) -> Option<u32> {
    let node = section.get("number")?;
    let number = u32::try_from(node.whole_number(0..=NODES_MAX)?).ok()?;
    if number >= count {
        node.fault(format_args!("must be below {of} ({count})"));
    }
    Some(number)
}
