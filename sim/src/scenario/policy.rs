//! The policies that a scenario is run under.

use dormouse_policy::settings::{ANNOTATIONS, Annotations};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::document::{Node, Place, Section};
use super::function::Function;
use super::value::{Time, only};
use crate::world;

/// Most policies of a scenario: what a table still shows side by side.
const POLICIES_MAX: usize = 16;

/// The bounds of what concurrency is averaged over: those of a stable window.
const HPA_WINDOW_MIN: Time = Time(6_000_000_000);
const HPA_WINDOW_MAX: Time = Time(3_600_000_000_000);

/// A policy: an algorithm, and the annotations that it goes by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// What people call it.
    #[serde(skip)]
    pub name: String,
    /// The algorithm.
    pub kind: Kind,
    /// The manifest whose workloads' annotations hold, as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Where that is named.
    #[serde(skip)]
    pub place: Place,
    /// Annotations in place of the manifest's.
    #[serde(serialize_with = "set_as_table")]
    pub set: Vec<Set>,
}

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The one that ships, which is Knative's.
    Kpa,
    /// As many pods as are needed, each kept for that long after it was last needed.
    FixedIdle(Time),
    /// Kubernetes' own, on mean concurrency per pod: never below one.
    Hpa(Hpa),
    /// The one that ships but for the way to zero and back, which go by earlier idle times.
    HybridHistogram,
    /// The least pod-seconds of any schedule in which no request waits.
    Floor,
}

/// What can be set of Kubernetes' own autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hpa {
    /// What concurrency is averaged over, in whole seconds.
    pub window: Time,
    /// How far from its target it may be without anything being done, as a share of that.
    pub tolerance: f64,
    /// For how long the highest wish holds.
    pub stabilisation: Time,
}

impl Default for Hpa {
    fn default() -> Self {
        Self { window: Time(15_000_000_000), tolerance: 0.1, stabilisation: Time(300_000_000_000) }
    }
}

impl Hpa {
    /// What it goes by.
    pub(crate) fn rule(self) -> world::Hpa {
        world::Hpa {
            window_s: u32::try_from(self.window.0 / Time::SECOND.0).unwrap_or(u32::MAX),
            tolerance: self.tolerance,
            stabilisation_us: self.stabilisation.0 / 1_000,
        }
    }
}

/// An annotation in place of the manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The function whose it is; none = all.
    pub function: Option<String>,
    /// The annotation.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where it stands.
    pub place: Place,
}

impl Default for Policy {
    /// The live policy without annotations.
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            kind: Kind::Kpa,
            manifest: None,
            place: Place::default(),
            set: Vec::new(),
        }
    }
}

impl Policy {
    /// The same with annotations in place of all others, those of single functions too; it is named
    /// after them.
    #[must_use]
    pub fn with(&self, annotations: &Annotations) -> Self {
        let is_other = |set: &Set| {
            let key = ANNOTATIONS.lookup(&set.key).map_or(set.key.as_str(), |key| key.name);
            !annotations.contains_key(key)
        };
        let mut set: Vec<_> = self.set.iter().filter(|set| is_other(set)).cloned().collect();
        set.extend(annotations.iter().map(|(key, value)| Set {
            function: None,
            key: key.clone(),
            value: value.clone(),
            place: self.place,
        }));
        let words = annotations.iter().map(|(key, value)| format!("{}={value}", short(key)));
        let name = words.collect::<Vec<_>>().join(" ");
        Self { name, set, ..self.clone() }
    }
}

/// An annotation without its prefix.
#[must_use]
pub fn short(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, own)| own)
}

/// Reads `[policy.*]`. Without any there is one, by the defaults.
pub(super) fn read_all(root: &Section<'_>, functions: &[Function]) -> Vec<Policy> {
    let Some(node) = root.get("policy") else {
        return vec![Policy::default()];
    };
    let Some(section) = node.section() else {
        return Vec::new();
    };
    let entries = section.entries();
    if entries.is_empty() || entries.len() > POLICIES_MAX {
        section.fault(format_args!("there must be 1 to {POLICIES_MAX} policies"));
    }
    entries.into_iter().filter_map(|(name, node)| read(name, &node, functions)).collect()
}

fn read(name: String, node: &Node<'_>, functions: &[Function]) -> Option<Policy> {
    let section = node.section()?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || !name.bytes().all(is_word) {
        node.fault("a policy's name must be of letters, digits, - and _");
    }
    if functions.iter().any(|function| function.name == name) {
        node.fault("a function has this name, so that no assertion could tell them apart");
    }
    let kind = section.get("kind").and_then(|node| kind(&node));
    let manifest = section.get("manifest");
    let place = manifest.as_ref().map_or_else(|| section.place(), Node::place);
    let manifest = manifest.and_then(|node| node.text()).map(str::to_owned);
    let set = section.get("set").map(|node| sets(&node, functions));
    section.finish();
    Some(Policy {
        name,
        kind: kind.unwrap_or(Kind::Kpa),
        manifest,
        place,
        set: set.unwrap_or_default(),
    })
}

fn kind(node: &Node<'_>) -> Option<Kind> {
    if node.is_text() {
        return node.read(|text| match text {
            "kpa" => Ok(Kind::Kpa),
            "hpa" => Ok(Kind::Hpa(Hpa::default())),
            "hybrid-histogram" => Ok(Kind::HybridHistogram),
            "floor" => Ok(Kind::Floor),
            _ => Err("must be \"kpa\", \"hpa\", { hpa = { window = \"15s\" } }, \
                     \"hybrid-histogram\", \"floor\" or { fixed-idle = \"10m\" }"
                .to_owned()),
        });
    }
    let section = node.section()?;
    let is_hpa = section.has("hpa");
    let kind = only(&section, &["fixed-idle", "hpa"]).and_then(|node| match is_hpa {
        true => hpa(&node).map(Kind::Hpa),
        false => node.read(str::parse).map(Kind::FixedIdle),
    });
    section.finish();
    kind
}

fn hpa(node: &Node<'_>) -> Option<Hpa> {
    let section = node.section()?;
    let usual = Hpa::default();
    let time = |name| section.get(name).and_then(|node| node.read(str::parse::<Time>));
    let window = section.get("window").and_then(|node| node.read(window));
    let tolerance = section.get("tolerance").and_then(|node| node.number(0.0..=1.0));
    let hpa = Hpa {
        window: window.unwrap_or(usual.window),
        tolerance: tolerance.unwrap_or(usual.tolerance),
        stabilisation: time("stabilisation").unwrap_or(usual.stabilisation),
    };
    section.finish();
    Some(hpa)
}

fn window(text: &str) -> Result<Time, String> {
    let window: Time = text.parse()?;
    let is_known = (HPA_WINDOW_MIN..=HPA_WINDOW_MAX).contains(&window);
    match is_known && window.0.is_multiple_of(Time::SECOND.0) {
        true => Ok(window),
        false => {
            Err(format!("must be from {HPA_WINDOW_MIN} to {HPA_WINDOW_MAX}, in whole seconds"))
        }
    }
}

fn sets(node: &Node<'_>, functions: &[Function]) -> Vec<Set> {
    let mut sets = Vec::new();
    let Some(section) = node.section() else {
        return sets;
    };
    for (key, node) in section.entries() {
        if !node.is_table() {
            sets.extend(set(None, key, &node));
            continue;
        }
        if !functions.iter().any(|function| function.name == key) {
            node.fault("there is no function of this name");
        }
        let own = node.section().map(|section| section.entries()).unwrap_or_default();
        sets.extend(own.into_iter().filter_map(|(own, node)| set(Some(&key), own, &node)));
    }
    sets
}

fn set(function: Option<&String>, key: String, node: &Node<'_>) -> Option<Set> {
    if let Err(rule) = ANNOTATIONS.known(&key) {
        node.fault(rule);
    }
    let value = node.written()?;
    Some(Set { function: function.cloned(), key, value, place: node.place() })
}

pub(super) fn as_table<S: Serializer>(all: &[Policy], serializer: S) -> Result<S::Ok, S::Error> {
    let mut table = serializer.serialize_map(Some(all.len()))?;
    for policy in all {
        table.serialize_entry(&policy.name, policy)?;
    }
    table.end()
}

fn set_as_table<S: Serializer>(all: &[Set], serializer: S) -> Result<S::Ok, S::Error> {
    let mut table = serializer.serialize_map(None)?;
    for set in all.iter().filter(|set| set.function.is_none()) {
        table.serialize_entry(&set.key, &set.value)?;
    }
    let mut functions: Vec<_> = all.iter().filter_map(|set| set.function.as_deref()).collect();
    functions.sort_unstable();
    functions.dedup();
    for name in functions {
        let own = all.iter().filter(|set| set.function.as_deref() == Some(name));
        let own: std::collections::BTreeMap<_, _> = own.map(|set| (&set.key, &set.value)).collect();
        table.serialize_entry(name, &own)?;
    }
    table.end()
}
