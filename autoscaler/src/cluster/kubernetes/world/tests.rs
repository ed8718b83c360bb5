//! Changes in, facts and outputs out.

mod others;
mod sharing;

use dormouse_policy::function::FunctionName;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::cluster::PodPhase;

/// A world of Deployments, StatefulSets and Services, and what it told.
struct Told {
    world: World,
    now: Instant,
}

fn source(listing: Listing) -> Source {
    Source { listing, namespace: None }
}

fn name() -> FunctionName {
    FunctionName::new("shop", "cart")
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn workload(version: u64, replicas: u32) -> Value {
    json!({
        "metadata": {
            "namespace": "shop", "name": "cart", "uid": "u",
            "resourceVersion": version.to_string(),
            "annotations": {"dormouse.dev/enabled": "true"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "cart"}},
            "template": {
                "metadata": {"labels": {"app": "cart"}},
                "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

fn service() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "cart", "uid": "s", "resourceVersion": "1"},
        "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80}]},
    })
}

fn pod(name: &str, fields: Value) -> Change<Pod> {
    let mut pod = json!({"metadata": {"namespace": "shop", "name": name}, "status": {}});
    pod["status"] = fields;
    Change::Is(of(pod))
}

impl Told {
    fn new() -> Self {
        let listings =
            [Listing::Deployments, Listing::StatefulSets, Listing::Services, Listing::Slices];
        let world = World::new(listings.map(source));
        let mut told = Self { world, now: Instant::now() };
        told.sync(Listing::StatefulSets, vec![]);
        told.sync(Listing::Slices, vec![]);
        told
    }

    /// With one function of that many replicas.
    fn with(replicas: u32) -> Self {
        let mut told = Self::new();
        told.sync(Listing::Services, vec![service()]);
        told.sync(Listing::Deployments, vec![workload(5, replicas)]);
        told
    }

    /// A source tells everything there is.
    fn sync(&mut self, listing: Listing, objects: Vec<Value>) {
        self.change(listing, None);
        for object in objects {
            self.is(listing, object);
        }
        let source = source(listing);
        match listing {
            Listing::Services => self.world.service(&source, Change::Synced, self.now),
            Listing::Slices => self.world.slice(&source, Change::Synced, self.now),
            _ => self.world.workload(&source, Change::Synced, self.now),
        }
    }

    fn is(&mut self, listing: Listing, object: Value) {
        self.change(listing, Some(object));
    }

    /// An object is; or the source begins anew.
    fn change(&mut self, listing: Listing, object: Option<Value>) {
        let source = source(listing);
        match (listing, object) {
            (Listing::Services, None) => self.world.service(&source, Change::Begin, self.now),
            (Listing::Slices, None) => self.world.slice(&source, Change::Begin, self.now),
            (_, None) => self.world.workload(&source, Change::Begin, self.now),
            (Listing::Services, Some(object)) => {
                self.world.service(&source, Change::Is(of(object)), self.now);
            }
            (Listing::Slices, Some(object)) => {
                self.world.slice(&source, Change::Is(of(object)), self.now);
            }
            (_, Some(object)) => {
                self.world.workload(&source, Change::Is(of(object)), self.now);
            }
        }
    }

    fn facts(&mut self) -> Vec<Fact> {
        std::iter::from_fn(|| self.world.tell()).collect()
    }

    /// The facts in short.
    fn short(&mut self) -> Vec<String> {
        let short = |fact: Fact| match fact {
            Fact::Function(function) => format!("function {}", function.name),
            Fact::Gone(name) => format!("gone {name}"),
            Fact::Pods(name, pods) => format!("{name} {}/{}", pods.pods.len(), pods.replicas),
            Fact::Named { addresses, .. } => format!("named {addresses:?}"),
            Fact::Complete => "complete".to_owned(),
            Fact::Leading(_) => unreachable!("not the world's to tell"),
        };
        self.facts().into_iter().map(short).collect()
    }

    fn complaint(&mut self) -> Option<String> {
        let later = self.now + std::time::Duration::from_secs(60);
        self.world.complaints.take_due(later).map(|complaint| complaint.note)
    }
}

#[test]
fn nothing_is_told_before_every_source_told_all() {
    let mut told = Told::new();
    told.sync(Listing::Deployments, vec![workload(5, 0)]);
    assert!(!told.world.has_news());
    assert_eq!(told.short(), [""; 0]);
    told.sync(Listing::Services, vec![service()]);
    assert!(told.world.has_news());
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0", "complete"]);
    assert!(!told.world.has_news());
}

#[test]
fn the_pods_of_what_is_awake_are_known_before_all_is_told() {
    let mut told = Told::with(2);
    assert_eq!(told.short(), ["function shop/cart"]);
    let [Output::OpenPods { watch, selector, .. }] = &told.world.drain()[..] else {
        panic!("no watch");
    };
    assert_eq!(&**selector, "app=cart");
    let watch = *watch;
    let ready = json!([{"type": "Ready", "status": "True"}]);
    told.world.pods(&name(), watch, Change::Begin);
    let status = json!({"podIP": "10.0.0.1", "conditions": ready});
    told.world.pods(&name(), watch, pod("a", status));
    told.world.pods(&name(), watch, pod("b", json!({})));
    told.world.pods(&name(), watch, pod("over", json!({"phase": "Failed"})));
    assert_eq!(told.short(), [""; 0]);
    told.world.pods(&name(), watch, Change::Synced);
    let facts = told.facts();
    let [Fact::Pods(_, pods), Fact::Complete] = &facts[..] else {
        panic!("{facts:?}");
    };
    let [a, b] = &pods.pods[..] else { panic!("{pods:?}") };
    assert_eq!((a.phase, b.phase), (PodPhase::Ready, PodPhase::Starting));
    assert_eq!(a.addresses, ["10.0.0.1:80".parse().unwrap()]);
    assert_eq!(b.addresses, []);
    // What a new beginning does not name is gone.
    told.world.pods(&name(), watch, Change::Begin);
    told.world.pods(&name(), watch, Change::Synced);
    assert_eq!(told.short(), ["shop/cart 0/2"]);
}

#[test]
fn pods_that_cannot_start_are_a_failure_unless_one_serves() {
    let mut told = Told::with(2);
    told.short();
    let [Output::OpenPods { watch, .. }] = told.world.drain()[..] else { panic!("no watch") };
    let stuck = json!({"containerStatuses": [
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]});
    let code = |told: &mut Told| match told.facts().pop() {
        Some(Fact::Pods(_, pods)) => pods.failure.map(|failure| failure.code),
        other => panic!("{other:?}"),
    };
    told.world.pods(&name(), watch, Change::Begin);
    told.world.pods(&name(), watch, Change::Synced);
    told.short();
    told.world.pods(&name(), watch, pod("a", stuck));
    assert_eq!(code(&mut told).as_deref(), Some("image-pull"));
    let waiting = |reason| json!([{"state": {"waiting": {"reason": reason}}}]);
    let before_it = json!({"initContainerStatuses": waiting("CrashLoopBackOff"),
        "containerStatuses": waiting("PodInitializing")});
    told.world.pods(&name(), watch, pod("a", before_it));
    assert_eq!(code(&mut told).as_deref(), Some("crash-loop"));
    let nowhere = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
    told.world.pods(&name(), watch, pod("a", json!({"conditions": nowhere})));
    assert_eq!(code(&mut told).as_deref(), Some("unschedulable"));
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    told.world.pods(&name(), watch, pod("b", ready));
    assert_eq!(code(&mut told), None);
    let mut refused = workload(6, 2);
    refused["status"] = json!({"conditions": [{"type": "ReplicaFailure", "status": "True",
        "reason": "FailedCreate", "message": "exceeded quota: q"}]});
    told.is(Listing::Deployments, refused);
    assert_eq!(code(&mut told), None);
    let Change::Is(last) = pod("b", json!({})) else { unreachable!("it is") };
    told.world.pods(&name(), watch, Change::Gone(last));
    let Change::Is(last) = pod("a", json!({})) else { unreachable!("it is") };
    told.world.pods(&name(), watch, Change::Gone(last));
    assert_eq!(code(&mut told).as_deref(), Some("quota"));
}

#[test]
fn pods_are_watched_until_the_last_is_gone() {
    let mut told = Told::with(0);
    assert_eq!(told.world.drain(), []);
    told.is(Listing::Deployments, workload(6, 1));
    let opened = told.world.drain();
    let [Output::OpenPods { watch, .. }] = opened[..] else { panic!("{opened:?}") };
    told.world.pods(&name(), watch, Change::Begin);
    told.world.pods(&name(), watch, Change::Synced);
    told.world.pods(&name(), watch, pod("a", json!({})));
    told.is(Listing::Deployments, workload(7, 0));
    assert_eq!(told.world.drain(), []);
    let Change::Is(last) = pod("a", json!({})) else { unreachable!("it is") };
    told.world.pods(&name(), watch, Change::Gone(last));
    assert_eq!(told.world.drain(), [Output::ClosePods { watch }]);
    told.short();
    told.world.pods(&name(), watch, pod("late", json!({})));
    assert_eq!(told.short(), [""; 0]);
}

#[test]
fn pods_are_watched_by_the_selector_that_holds_now() {
    let mut told = Told::with(1);
    let opened = told.world.drain();
    let [Output::OpenPods { watch, .. }] = opened[..] else { panic!("{opened:?}") };
    let mut other = workload(6, 1);
    other["spec"]["selector"]["matchLabels"]["tier"] = json!("front");
    other["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
    told.is(Listing::Deployments, other);
    let moved = told.world.drain();
    let [Output::ClosePods { watch: closed }, Output::OpenPods { selector, .. }] = &moved[..]
    else {
        panic!("{moved:?}")
    };
    assert_eq!((*closed, &**selector), (watch, "app=cart,tier=front"));
}

#[test]
fn what_a_new_beginning_does_not_name_again_is_gone() {
    let mut told = Told::with(0);
    told.short();
    told.sync(Listing::Deployments, vec![workload(5, 0)]);
    assert_eq!(told.short(), [""; 0]);
    told.sync(Listing::StatefulSets, vec![]);
    assert_eq!(told.short(), [""; 0]);
    told.sync(Listing::Deployments, vec![]);
    assert_eq!(told.short(), ["gone shop/cart"]);
    told.sync(Listing::Deployments, vec![workload(9, 0)]);
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0"]);
    told.sync(Listing::Services, vec![]);
    assert_eq!(told.short(), ["gone shop/cart"]);
}

#[test]
fn a_fault_sets_aside_says_why_and_heals() {
    let mut told = Told::with(0);
    told.short();
    let mut bad = workload(6, 0);
    bad["metadata"]["annotations"]["autoscaling.knative.dev/window"] = json!("soon");
    told.is(Listing::Deployments, bad);
    assert_eq!(told.short(), ["gone shop/cart"]);
    assert!(told.complaint().unwrap().contains("autoscaling.knative.dev/window"));
    told.is(Listing::Deployments, workload(7, 0));
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0"]);
    let mut bad = service();
    bad["metadata"]["annotations"] = json!({"dormouse.dev/nonsense": "1"});
    told.is(Listing::Services, bad);
    assert_eq!(told.short(), ["gone shop/cart"]);
    let said = [told.complaint().unwrap(), told.complaint().unwrap()].join("\n");
    assert!(said.contains("dormouse.dev/nonsense") && said.contains("no Service"), "{said}");
    let mut headless = service();
    headless["spec"]["clusterIP"] = json!("None");
    told.is(Listing::Services, headless);
    let said = told.complaint().unwrap();
    assert!(said.ends_with("; Service shop/cart, which selects them, is headless"), "{said}");
    told.is(Listing::Services, service());
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0"]);
    assert_eq!(told.complaint(), None);
    // Each object of the name has its own.
    let mut bad = workload(8, 0);
    bad["metadata"]["annotations"]["autoscaling.knative.dev/window"] = json!("soon");
    for uid in ["u", "v"] {
        bad["metadata"]["uid"] = json!(uid);
        told.is(Listing::Deployments, bad.clone());
        assert!(told.complaint().is_some(), "{uid}");
        assert_eq!(told.complaint(), None);
    }
    bad["metadata"]["uid"] = json!("w");
    told.is(Listing::Deployments, bad);
    told.sync(Listing::Deployments, vec![]);
    assert_eq!(told.complaint(), None, "of what is gone nothing is said");
}

#[test]
fn of_two_workloads_of_one_name_the_older_is_the_function() {
    let mut told = Told::with(0);
    told.short();
    let mut younger = workload(6, 0);
    younger["metadata"]["uid"] = json!("v");
    younger["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    told.is(Listing::StatefulSets, younger);
    assert!(!told.short().contains(&"function shop/cart".to_owned()));
    assert!(told.complaint().unwrap().contains("a Deployment of this name"));
    told.sync(Listing::Deployments, vec![]);
    let facts = told.facts();
    let Some(Fact::Function(function)) = facts.first() else { panic!("{facts:?}") };
    assert_eq!(function.kind, WorkloadKind::StatefulSet);
}

#[test]
fn what_opts_out_is_gone() {
    let mut told = Told::with(0);
    told.short();
    let mut out = workload(6, 0);
    out["metadata"]["annotations"]["dormouse.dev/enabled"] = json!("false");
    told.is(Listing::Deployments, out);
    assert_eq!(told.short(), ["gone shop/cart"]);
    let mut by_label = workload(7, 0);
    by_label["metadata"]["annotations"] = json!({});
    by_label["metadata"]["labels"] = json!({"dormouse.dev/enabled": "true"});
    told.is(Listing::Deployments, by_label);
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0"]);
}

#[test]
fn an_order_is_a_call_only_if_it_changes_something() {
    let mut told = Told::with(0);
    assert_eq!(told.world.order(&name(), 0), Ordered::Nothing);
    assert_eq!(told.world.order(&FunctionName::new("shop", "other"), 1), Ordered::Gone);
    let Ordered::Call { target, is_wake } = told.world.order(&name(), 1) else {
        panic!("no call");
    };
    assert!(is_wake);
    assert_eq!((&*target.uid, &*target.resource_version), ("u", "5"));
    let placed = Placed { uid: "u".into(), resource_version: "8".into(), replicas: 1 };
    told.world.placed(&name(), placed);
    // The watch lags behind our own write.
    told.is(Listing::Deployments, workload(7, 0));
    assert_eq!(told.world.order(&name(), 1), Ordered::Nothing);
    let Ordered::Call { target, is_wake } = told.world.order(&name(), 3) else {
        panic!("no call");
    };
    assert!(!is_wake);
    assert_eq!(&*target.resource_version, "8");
    told.is(Listing::Deployments, workload(9, 0));
    assert_eq!(told.world.order(&name(), 0), Ordered::Nothing);
    // Here it is the answer that lags.
    let placed = Placed { uid: "u".into(), resource_version: "8".into(), replicas: 3 };
    told.world.placed(&name(), placed);
    assert_eq!(told.world.order(&name(), 0), Ordered::Nothing);
}

#[test]
fn a_number_of_replicas_alone_describes_nothing_anew() {
    let mut told = Told::with(0);
    told.short();
    let before = told.world.drain().len();
    told.is(Listing::Deployments, workload(6, 0));
    assert_eq!((told.short(), told.world.drain().len()), (vec![], before));
}

/// A Service on port 80 that names a target, changed by these fields of its spec.
fn targeting(target: &str, fields: Value) -> Value {
    let mut spec = json!({"ports": [{"name": "web", "port": 80}]});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "metadata": {"namespace": "shop", "name": "front", "uid": "f", "resourceVersion": "1",
            "annotations": {"dormouse.dev/target": target}},
        "spec": spec,
    })
}

/// The own port of each endpoint of the function last told.
fn own_ports(told: &mut Told) -> Vec<(String, Option<u16>)> {
    let functions = told.facts().into_iter().filter_map(|fact| match fact {
        Fact::Function(function) => Some(function),
        _ => None,
    });
    let function = functions.last().unwrap();
    function.endpoints.iter().map(|it| (it.name.to_string(), it.own_port)).collect()
}

#[test]
fn a_service_that_names_its_target_leads_there_by_a_port_of_its_own() {
    let mut told = Told::with(0);
    told.facts();
    told.is(Listing::Services, targeting("cart", json!({})));
    let endpoints = own_ports(&mut told);
    assert_eq!(endpoints[0], ("shop/cart:80".to_owned(), None), "one with a selector has none");
    assert_eq!(endpoints[1].0, "shop/front:80");
    let port = endpoints[1].1.unwrap();
    assert!((10_000..30_000).contains(&port));
    let second = json!({"ports": [{"name": "web", "port": 80},
        {"name": "more", "port": 81, "targetPort": 80}]});
    told.is(Listing::Services, targeting("cart", second));
    let endpoints = own_ports(&mut told);
    assert_eq!(endpoints[1].1, Some(port), "what it has it keeps");
    assert_ne!(endpoints[2].1.unwrap(), port);
    assert_eq!(told.complaint(), None);
}

#[test]
fn a_port_that_a_slice_names_is_the_services_again_after_a_restart() {
    let slice = |port: u16| {
        json!({
            "metadata": {"namespace": "shop", "name": "front-dormouse-ipv4", "uid": "e",
                "resourceVersion": "1"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.7"], "conditions": {"ready": true}}],
            "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
        })
    };
    let mut told = Told::new();
    // The Service and its target are there before the slices are told.
    told.change(Listing::Slices, None);
    told.is(Listing::Services, targeting("cart", json!({})));
    told.is(Listing::Deployments, workload(5, 0));
    told.sync(Listing::Slices, vec![slice(12_345)]);
    told.sync(Listing::Services, vec![targeting("cart", json!({}))]);
    told.sync(Listing::Deployments, vec![workload(5, 0)]);
    assert_eq!(own_ports(&mut told), [("shop/front:80".to_owned(), Some(12_345))]);
    // Another autoscaler decided otherwise.
    told.is(Listing::Slices, slice(12_346));
    assert_eq!(own_ports(&mut told), [("shop/front:80".to_owned(), Some(12_346))]);
}

#[test]
fn a_service_that_does_not_fit_its_target_is_set_aside_alone_and_heals() {
    for (target, fields, rule) in [
        ("nobody", json!({}), "there is no shop/nobody that says dormouse.dev/enabled"),
        ("cart", json!({"selector": {"app": "cart"}}), "without spec.selector"),
        ("cart", json!({"clusterIP": "None"}), "clusterIP must not be None"),
        (
            "cart",
            json!({"ports": [{"port": 8080}]}),
            "port 8080: targetPort 8080 is no container port of Deployment shop/cart",
        ),
        (
            "cart",
            json!({"ports": [{"port": 80, "targetPort": "web"}]}),
            "targetPort \"web\" is no container port",
        ),
        (
            "cart",
            json!({"ports": [{"port": 80, "appProtocol": "grpc"}]}),
            "appProtocol \"grpc\" is not served yet",
        ),
    ] {
        let mut told = Told::with(0);
        told.facts();
        told.is(Listing::Services, targeting(target, fields));
        let complaint = told.complaint().unwrap();
        assert!(complaint.contains(rule), "{complaint}");
        assert_eq!(told.short(), [""; 0], "the function is as it was");
        told.is(Listing::Services, targeting("cart", json!({})));
        assert_eq!(told.complaint(), None);
        assert!(own_ports(&mut told)[1].1.is_some());
    }
}

#[test]
fn a_target_may_come_after_its_service_and_go_before_it() {
    let mut told = Told::new();
    told.sync(Listing::Services, vec![targeting("cart", json!({}))]);
    told.sync(Listing::Deployments, vec![]);
    assert!(told.complaint().unwrap().contains("there is no shop/cart"));
    told.is(Listing::Deployments, workload(5, 0));
    assert_eq!(told.complaint(), None);
    assert!(own_ports(&mut told)[0].1.is_some());
    told.sync(Listing::Deployments, vec![]);
    assert!(told.complaint().unwrap().contains("there is no shop/cart"));
}
