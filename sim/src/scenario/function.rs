//! The functions of a scenario: their load, and what serving it takes.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::document::{Node, Place, Section};
use super::load::Load;
use super::value::{Spread, Time, only};
use crate::trace::{COUNTS_COLUMNS, INDEXED_COLUMNS};

/// Most functions that one scenario lists.
const FUNCTIONS_MAX: usize = 10_000;

/// Most slots of a pod, as in `dormouse.dev/container-concurrency`.
const SLOTS_MAX: u64 = 1000;

/// Most replicas at the beginning.
const REPLICAS_MAX: u64 = 100_000;

const MINUTE: Time = Time(60_000_000_000);

/// What stands for every row of a trace.
const EACH_ROW: &str = "/*";

/// A function, or one for each row of a trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// Its key: a workload's `name` or `namespace/name`; `namespace/*` for each row of a trace.
    #[serde(skip)]
    pub name: String,
    /// Where it stands in the scenario.
    #[serde(skip)]
    pub place: Place,
    /// What arrives.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// How long a request is served by a pod that does nothing else; none = as traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Spread>,
    /// Replicas at the beginning, ready; none = the manifest's, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How many requests a pod serves at once.
    pub capacity: Capacity,
    /// What starting and stopping takes.
    pub start_up: StartUp,
}

/// What arrives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// The sum of these loads.
    Load(Vec<Load>),
    /// Counts that were recorded.
    Trace(Trace),
    /// Arrivals that were recorded.
    #[serde(rename = "trace")]
    Arrivals(ArrivalTrace),
}

/// A recorded load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// What its files look like.
    pub format: Format,
    /// The file of counts.
    pub counts: FileName,
    /// The file of durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durations: Option<FileName>,
    /// Which rows count: `column = value` or `column != value`, joined by `and`.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where in a minute its requests are.
    pub place: Placing,
    /// What of the trace is left out before the run begins.
    pub skip: Time,
}

/// A file that is read with the scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FileName {
    /// Its name, as it is written.
    pub name: String,
    /// Where that stands.
    #[serde(skip)]
    pub place: Place,
}

/// Recorded arrivals: a trace with an index.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArrivalTrace {
    /// What its file looks like.
    pub format: ArrivalFormat,
    /// The file.
    pub file: FileName,
    /// Which of its functions; none = the one that there is, or of the key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Which functions count, of those of a fleet.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where in a unit of the trace's resolution its requests are.
    pub place: Placing,
    /// What of the trace is left out before the run begins.
    pub skip: Time,
}

/// The formats of traces with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalFormat {
    /// What `dormouse sim import` makes.
    Dormouse,
}

/// The formats of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Azure Functions 2019, whole or sampled: a row per function, a column per minute.
    #[serde(rename = "azure-2019")]
    Azure2019,
    /// A row per minute: `period,count`.
    Periods,
}

/// Where in a minute, or a unit of the resolution, its requests are. Timers fire at a fixed offset,
/// whatever is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placing {
    /// Each anywhere.
    Uniform,
    /// At equal distances.
    Even,
    /// All at one moment.
    Clump,
}

/// How many requests a pod serves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capacity {
    /// That many, each at full speed; others wait in the pod.
    Slots(u32),
    /// That many at full speed; beyond, all are slowed alike.
    Share(u32),
    /// Any number at full speed.
    Unlimited,
}

/// What starting and stopping a pod takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StartUp {
    /// Fetching the image.
    pub image: Spread,
    /// From the container's start until it answers.
    pub boot: Spread,
    /// From being told to stop until it is gone.
    pub stop: Spread,
}

impl Default for StartUp {
    fn default() -> Self {
        Self {
            image: Spread::Constant(Time::ZERO),
            boot: Spread::Constant(Time::SECOND),
            stop: Spread::Constant(Time::SECOND),
        }
    }
}

impl Function {
    /// One that gets this load and takes that long for a request; any number at once, without
    /// replicas at the beginning. Its pods take a second to start and one to stop.
    #[must_use]
    pub fn new(name: &str, load: Load, service: std::time::Duration) -> Self {
        Self {
            name: name.to_owned(),
            place: Place::default(),
            traffic: Traffic::Load(vec![load]),
            service: Some(Spread::Constant(service.into())),
            replicas: None,
            capacity: Capacity::Unlimited,
            start_up: StartUp::default(),
        }
    }

    /// The same, but a request takes as long as is drawn.
    #[must_use]
    pub fn service(self, service: Spread) -> Self {
        Self { service: Some(service), ..self }
    }

    /// The same, but its pods serve so many at once.
    #[must_use]
    pub fn capacity(self, capacity: Capacity) -> Self {
        Self { capacity, ..self }
    }

    /// The same, but its pods take so long from their container's start until they answer.
    #[must_use]
    pub fn boot(mut self, boot: Spread) -> Self {
        self.start_up.boot = boot;
        self
    }

    /// The same, but it has that many replicas, ready, at the beginning.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        Self { replicas: Some(replicas), ..self }
    }

    /// The namespace of the functions that the rows of its trace are; none if it is one function.
    #[must_use]
    pub fn each_row(&self) -> Option<&str> {
        self.name.strip_suffix(EACH_ROW)
    }
}

/// Reads `[function.*]`.
pub(super) fn read_all(root: &Section<'_>, end: Time) -> Vec<Function> {
    let Some(section) = root.need("function").and_then(|node| node.section()) else {
        return Vec::new();
    };
    let entries = section.entries();
    if entries.is_empty() || entries.len() > FUNCTIONS_MAX {
        section.fault(format_args!("there must be 1 to {FUNCTIONS_MAX} functions"));
    }
    entries.into_iter().filter_map(|(name, node)| read(name, &node, end)).collect()
}

fn read(name: String, node: &Node<'_>, end: Time) -> Option<Function> {
    let section = node.section()?;
    if let Err(rule) = check_name(&name) {
        node.fault(rule);
    }
    let traffic = traffic(&section, end);
    let service = section.get("service");
    let spread = service.as_ref().and_then(Spread::read);
    match &traffic {
        Some(Traffic::Trace(trace)) => {
            let is_each_row = name.ends_with(EACH_ROW);
            if is_each_row != (trace.format == Format::Azure2019) {
                section.fault(match is_each_row {
                    true => "a trace of periods is one function: its key must not end in /*",
                    false => "a trace of many functions needs a key that ends in /*",
                });
            }
            if trace.durations.is_none() && service.is_none() {
                section.fault("service is missing, for the trace has no durations");
            }
        }
        Some(Traffic::Arrivals(trace)) => {
            if name.ends_with(EACH_ROW) && trace.function.is_some() {
                section.fault("a trace of one function: its key must not end in /*");
            }
            if !name.ends_with(EACH_ROW) && trace.filter.is_some() {
                section.fault("where chooses among many functions: the key must end in /*");
            }
        }
        Some(Traffic::Load(_)) if name.ends_with(EACH_ROW) => {
            section.fault("a key that ends in /* needs a trace, whose rows are the functions");
        }
        _ if service.is_none() => section.fault("service is missing"),
        _ => {}
    }
    let capacity = section.get("capacity").and_then(|node| capacity(&node));
    let start_up = section.get("start_up").and_then(|node| start_up(&node));
    let replicas = section.get("replicas").and_then(|node| node.whole_number(0..=REPLICAS_MAX));
    let place = section.place();
    section.finish();
    Some(Function {
        name,
        place,
        traffic: traffic?,
        service: spread,
        replicas: replicas.and_then(|replicas| u32::try_from(replicas).ok()),
        capacity: capacity.unwrap_or(Capacity::Unlimited),
        start_up: start_up.unwrap_or_default(),
    })
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let own = name.strip_suffix(EACH_ROW).unwrap_or(name);
    let (namespace, own) = own.split_once('/').unwrap_or(("default", own));
    let is_name = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    match is_name(namespace) && is_name(own) {
        true => Ok(()),
        false => Err("must be named as Kubernetes names things: a-z, 0-9, - and ., \
                      perhaps with a namespace and / before"),
    }
}

fn traffic(section: &Section<'_>, end: Time) -> Option<Traffic> {
    let node = only(section, &["load", "trace"])?;
    if section.has("load") {
        return Some(Traffic::Load(Load::read_sum(&node, end)));
    }
    let section = node.section()?;
    let format = section.need("format").and_then(|node| {
        node.read(|text| match text {
            "azure-2019" | "invitro" => Ok(Some(Format::Azure2019)),
            "periods" | "worldcup98" => Ok(Some(Format::Periods)),
            "dormouse" => Ok(None),
            _ => Err("must be azure-2019, invitro, periods, worldcup98 or dormouse".to_owned()),
        })
    });
    let traffic = match format {
        Some(None) => arrival_trace(&section).map(Traffic::Arrivals),
        Some(format) => trace(&section, format).map(Traffic::Trace),
        None => trace(&section, None).map(Traffic::Trace),
    };
    section.finish();
    traffic
}

fn file(node: Node<'_>) -> Option<FileName> {
    node.read(|name| match name {
        "" => Err("must name a file".to_owned()),
        name => Ok(FileName { name: name.to_owned(), place: node.place() }),
    })
}

fn place(section: &Section<'_>) -> Option<Placing> {
    section.get("place")?.read(|text| match text {
        "uniform" => Ok(Placing::Uniform),
        "even" => Ok(Placing::Even),
        "clump" => Ok(Placing::Clump),
        _ => Err("must be uniform, even or clump".to_owned()),
    })
}

fn filter(node: &Node<'_>, columns: &[&'static str]) -> Option<String> {
    node.read(|text| crate::trace::Filter::parse(text, columns).map(|_| text.to_owned()))
}

fn arrival_trace(section: &Section<'_>) -> Option<ArrivalTrace> {
    let own = section.need("file").and_then(file);
    let function = section.get("function").and_then(|node| node.text().map(str::to_owned));
    let filter = section.get("where").and_then(|node| filter(&node, INDEXED_COLUMNS));
    let place = place(section);
    let skip = section.get("skip").and_then(|node| node.read(str::parse));
    Some(ArrivalTrace {
        format: ArrivalFormat::Dormouse,
        file: own?,
        function,
        filter,
        place: place.unwrap_or(Placing::Uniform),
        skip: skip.unwrap_or_default(),
    })
}

fn trace(section: &Section<'_>, format: Option<Format>) -> Option<Trace> {
    let counts = section.need("counts").and_then(file);
    let durations = section.get("durations");
    let filter = section.get("where");
    if format == Some(Format::Periods) {
        for node in [&durations, &filter].into_iter().flatten() {
            node.fault("a trace of periods has none");
        }
    }
    let place = place(section);
    let filter = filter.and_then(|node| self::filter(&node, COUNTS_COLUMNS));
    let skip = section.get("skip").and_then(|node| {
        let skip: Time = node.read(str::parse)?;
        if !skip.0.is_multiple_of(MINUTE.0) {
            node.fault("must be full minutes, for the trace has only those");
        }
        Some(skip)
    });
    Some(Trace {
        format: format?,
        counts: counts?,
        durations: durations.and_then(file),
        filter,
        place: place.unwrap_or(Placing::Uniform),
        skip: skip.unwrap_or_default(),
    })
}

fn capacity(node: &Node<'_>) -> Option<Capacity> {
    if node.is_text() {
        return node.read(|text| match text {
            "unlimited" => Ok(Capacity::Unlimited),
            _ => Err("must be \"unlimited\", { slots = N } or { share = N }".to_owned()),
        });
    }
    let section = node.section()?;
    let number = only(&section, &["slots", "share"]);
    let is_slots = section.has("slots");
    section.finish();
    let number = number?.whole_number(1..=SLOTS_MAX)?;
    let number = u32::try_from(number).ok()?;
    Some(if is_slots { Capacity::Slots(number) } else { Capacity::Share(number) })
}

fn start_up(node: &Node<'_>) -> Option<StartUp> {
    let section = node.section()?;
    let spread = |name| section.get(name).and_then(|node| Spread::read(&node));
    let (image, boot, stop) = (spread("image"), spread("boot"), spread("stop"));
    section.finish();
    let default = StartUp::default();
    Some(StartUp {
        image: image.unwrap_or(default.image),
        boot: boot.unwrap_or(default.boot),
        stop: stop.unwrap_or(default.stop),
    })
}

pub(super) fn as_table<S: Serializer>(all: &[Function], serializer: S) -> Result<S::Ok, S::Error> {
    let mut table = serializer.serialize_map(Some(all.len()))?;
    for function in all {
        table.serialize_entry(&function.name, function)?;
    }
    table.end()
}
