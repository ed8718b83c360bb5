//! Services, activators and slices in, writes out.

use serde_json::{Value, json};

use super::*;

/// Slices, and an API server that carries out what is written.
struct Stage {
    slices: Slices,
    now: Instant,
    /// By name.
    server: BTreeMap<String, Value>,
    version: u64,
    number: u64,
}

fn key(service: &str) -> Key {
    Key::new("shop", service)
}

fn asked(service: &str, ports: &[&str], families: Families) -> Asked {
    let port = |name: &&str| AskedPort {
        name: (*name).into(),
        endpoint: format!("shop/{service}:{name}").into(),
        app_protocol: None,
    };
    Asked {
        uid: format!("uid of {service}"),
        function: FunctionName::new("shop", service),
        families,
        ports: ports.iter().map(port).collect(),
    }
}

impl Stage {
    fn new() -> Self {
        let (slices, now) = (Slices::default(), Instant::now());
        Self { slices, now, server: BTreeMap::new(), version: 0, number: 0 }
    }

    /// With a Service of one port, and these activators behind it.
    fn with(activators: &[&str]) -> Self {
        let mut stage = Self::new();
        stage.ask("cart");
        stage.lead(activators, &[]);
        stage.settle();
        stage
    }

    fn ask(&mut self, service: &str) {
        self.slices
            .ask(&key(service), asked(service, &["web"], Families::One(Family::V4)))
            .unwrap();
    }

    /// An activator that listens wherever it has to.
    fn activator(&self, addresses: &str, standing: Standing) -> Activator {
        let ports = self.slices.fronts.values().flat_map(|front| &front.ports);
        Activator {
            name: addresses.to_owned(),
            addresses: addresses.split(',').map(|it| it.parse().unwrap()).collect(),
            standing,
            listening: ports.map(|port| (port.endpoint.clone(), port.own)).collect(),
        }
    }

    /// These stay and those leave; several addresses of one are separated by commas.
    fn lead(&mut self, stay: &[&str], leave: &[&str]) {
        let stay = stay.iter().map(|it| self.activator(it, Standing::Stays));
        let leave = leave.iter().map(|it| self.activator(it, Standing::Leaves));
        let each = stay.chain(leave).collect();
        self.lead_through(each, BTreeMap::new());
    }

    fn lead_through(&mut self, each: Vec<Activator>, held: BTreeMap<FunctionName, u64>) {
        self.number += 1;
        let activators = Activators { number: self.number, each, held };
        self.slices.lead_through(Arc::new(activators), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.slices.pass_time(self.now);
    }

    /// Carries out what is written until nothing is; says what it was.
    fn settle(&mut self) -> Vec<String> {
        let mut log = Vec::new();
        while let Some(write) = self.slices.next() {
            log.push(self.carry_out(&write));
            let object = self.server.get(write.slice.name());
            let object = object.map(|object| serde_json::from_value(object.clone()).unwrap());
            self.slices.written(&write, object, 0, self.now);
        }
        log
    }

    fn carry_out(&mut self, write: &Write) -> String {
        self.version += 1;
        let name = write.slice.name().to_owned();
        let (verb, body) = match &write.kind {
            Kind::Create(body) => ("create", body),
            Kind::Patch(body) => ("patch", body),
            Kind::Delete { .. } => {
                self.server.remove(&name).unwrap();
                return format!("delete {name}");
            }
        };
        let object = self.server.entry(name.clone()).or_insert_with(|| json!({"metadata": {}}));
        for (field, value) in body.as_object().unwrap() {
            match field.as_str() {
                "metadata" => {
                    for (field, value) in value.as_object().unwrap() {
                        object["metadata"][field] = value.clone();
                    }
                }
                field => object[field] = value.clone(),
            }
        }
        object["metadata"]["uid"] = json!(name);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        format!("{verb} {name}")
    }

    /// Whom the Service's slice of the first family names.
    fn named(&self, service: &str) -> Vec<String> {
        self.named_by(&format!("{service}-dormouse-ipv4"))
    }

    fn named_by(&self, slice: &str) -> Vec<String> {
        let endpoints = self.server[slice]["endpoints"].as_array().unwrap().iter();
        endpoints.map(|it| it["addresses"][0].as_str().unwrap().to_owned()).collect()
    }

    /// Somebody changes a slice.
    fn edit(&mut self, service: &str, edit: impl FnOnce(&mut Value)) {
        self.version += 1;
        let object = self.server.get_mut(&format!("{service}-dormouse-ipv4")).unwrap();
        edit(object);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = serde_json::from_value(object.clone()).unwrap();
        self.slices.see(object, 0, self.now);
    }
}

#[test]
fn a_slice_is_what_its_service_asks_for_and_goes_with_it() {
    let mut stage = Stage::new();
    stage.ask("cart");
    assert_eq!(stage.settle(), [""; 0], "there is no activator");
    stage.lead(&["10.0.0.1", "10.0.0.2"], &[]);
    assert_eq!(stage.settle(), ["create cart-dormouse-ipv4"]);
    let own = stage.slices.port_of("shop/cart:web").unwrap();
    let slice = &stage.server["cart-dormouse-ipv4"];
    let metadata = json!({
        "namespace": "shop", "name": "cart-dormouse-ipv4",
        "uid": "cart-dormouse-ipv4", "resourceVersion": "1",
        "labels": {
            "kubernetes.io/service-name": "cart",
            "endpointslice.kubernetes.io/managed-by": "autoscaler.dormouse.dev",
        },
        "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "cart",
            "uid": "uid of cart", "controller": true}],
    });
    assert_eq!(slice["metadata"], metadata);
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["ports"], json!([{"name": "web", "port": own, "protocol": "TCP"}]));
    let endpoint = |ip: &str| json!({"addresses": [ip], "conditions": {"ready": true}});
    assert_eq!(slice["endpoints"], json!([endpoint("10.0.0.1"), endpoint("10.0.0.2")]));
    stage.slices.withdraw(&key("cart"));
    assert_eq!(stage.settle(), ["delete cart-dormouse-ipv4"]);
    assert_eq!(stage.slices.port_of("shop/cart:web"), None);
    assert!(stage.slices.seen.is_empty() && stage.slices.ports_named.0.is_empty());
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    stage.ask("cart");
    stage.lead(&["10.0.0.1"], &[]);
    stage.edit("cart", |slice| slice["metadata"]["labels"]["somebody"] = json!("elses"));
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.settle(), [""; 0]);
}

#[test]
fn what_somebody_else_changed_is_put_right() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    stage.edit("cart", |slice| slice["endpoints"][0]["conditions"]["ready"] = json!(false));
    assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
    stage.edit("cart", |slice| slice["metadata"]["ownerReferences"] = json!([]));
    assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
    for (endpoints, ports) in [(json!([]), json!([])), (json!(null), json!(null))] {
        stage.edit("cart", |slice| {
            slice["endpoints"] = endpoints;
            slice["ports"] = ports;
        });
        assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
        assert_eq!(stage.named("cart"), ["10.0.0.1"]);
    }
    stage.edit("cart", |slice| slice["addressType"] = json!("FQDN"));
    assert_eq!(stage.settle(), ["delete cart-dormouse-ipv4", "create cart-dormouse-ipv4"]);
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
}

#[test]
fn every_family_asked_for_has_a_slice_of_its_own() {
    let mut stage = Stage::new();
    stage.slices.ask(&key("cart"), asked("cart", &["web", "more"], Families::Both)).unwrap();
    stage.lead(&["10.0.0.1,fd00::1"], &[]);
    stage.settle();
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
    assert_eq!(stage.named_by("cart-dormouse-ipv6"), ["fd00::1"]);
    assert_eq!(stage.server["cart-dormouse-ipv6"]["addressType"], "IPv6");
    let ports = stage.server["cart-dormouse-ipv6"]["ports"].as_array().unwrap();
    assert_eq!((ports.len(), ports[0]["port"] != ports[1]["port"]), (2, true));
    stage
        .slices
        .ask(&key("cart"), asked("cart", &["web", "more"], Families::One(Family::V6)))
        .unwrap();
    assert_eq!(stage.settle(), ["delete cart-dormouse-ipv4"]);
}

#[test]
fn only_one_that_listens_on_every_port_is_named() {
    let mut stage = Stage::new();
    stage
        .slices
        .ask(&key("cart"), asked("cart", &["web", "more"], Families::One(Family::V4)))
        .unwrap();
    let (all, mut half) = (
        stage.activator("10.0.0.1", Standing::Stays),
        stage.activator("10.0.0.2", Standing::Stays),
    );
    half.listening.remove("shop/cart:more");
    stage.lead_through(vec![half.clone()], BTreeMap::new());
    assert_eq!(stage.settle(), [""; 0]);
    stage.lead_through(vec![half, all], BTreeMap::new());
    stage.settle();
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
}

#[test]
fn one_not_heard_of_is_not_named_for_ports_that_it_never_spoke_of() {
    let mut stage = Stage::with(&["10.0.0.1", "10.0.0.2"]);
    stage.lead(&["10.0.0.1"], &[]);
    stage
        .slices
        .ask(&key("cart"), asked("cart", &["web", "more"], Families::One(Family::V4)))
        .unwrap();
    stage.lead(&["10.0.0.1"], &[]);
    assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
}

#[test]
fn a_port_that_is_not_asked_for_any_more_is_given_back() {
    let mut stage = Stage::new();
    for (ports, has_more) in [(&["web", "more"][..], true), (&["web"], false)] {
        stage.slices.ask(&key("cart"), asked("cart", ports, Families::One(Family::V4))).unwrap();
        assert_eq!(stage.slices.port_of("shop/cart:more").is_some(), has_more);
    }
}

#[test]
fn slices_of_other_namespaces_stay_when_one_was_looked_through() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    stage.slices.lose_old(1, |namespace| namespace == "other", stage.now);
    assert_eq!(stage.settle(), [""; 0]);
    stage.slices.lose_old(1, |namespace| namespace == "shop", stage.now);
    assert_eq!(stage.settle(), ["create cart-dormouse-ipv4"]);
}

#[test]
fn few_writes_are_under_way_at_once() {
    let mut stage = Stage::new();
    (0..2 * WRITES_MAX).for_each(|number| stage.ask(&number.to_string()));
    stage.lead(&["10.0.0.1"], &[]);
    assert_eq!(std::iter::from_fn(|| stage.slices.next()).count(), WRITES_MAX);
}

#[test]
fn a_new_port_is_named_once_somebody_listens_there() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    let before = stage.activator("10.0.0.1", Standing::Stays);
    stage
        .slices
        .ask(&key("cart"), asked("cart", &["web", "more"], Families::One(Family::V4)))
        .unwrap();
    stage.lead_through(vec![before], BTreeMap::new());
    assert_eq!(stage.settle(), [""; 0]);
    stage.lead(&["10.0.0.1"], &[]);
    assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
}

#[test]
fn one_that_leaves_is_named_no_longer_unless_it_is_the_last() {
    let mut stage = Stage::with(&["10.0.0.1", "10.0.0.2"]);
    stage.lead(&["10.0.0.2"], &["10.0.0.1"]);
    stage.settle();
    assert_eq!(stage.named("cart"), ["10.0.0.2"]);
    let (number, named) = stage.slices.named();
    assert_eq!((number, named.len()), (stage.number, 1));
    stage.lead(&[], &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(stage.settle(), [""; 0], "there is nobody else");
    stage.lead(&[], &[]);
    stage.pass(UNHEARD);
    assert_eq!(stage.settle(), [""; 0], "nor now");
    stage.lead(&["10.0.0.3"], &[]);
    stage.settle();
    assert_eq!(stage.named("cart"), ["10.0.0.3"]);
    // Nothing new is begun with one that leaves.
    stage.lead(&[], &["10.0.0.3"]);
    stage.ask("late");
    stage.lead(&[], &["10.0.0.3"]);
    assert_eq!(stage.settle(), [""; 0]);
}

#[test]
fn one_whose_connection_ends_has_a_moment_to_come_back() {
    let mut stage = Stage::with(&["10.0.0.1", "10.0.0.2"]);
    stage.lead(&["10.0.0.1"], &[]);
    assert_eq!(stage.settle(), [""; 0]);
    assert_eq!(stage.slices.due(), Some(stage.now + LEFT));
    stage.lead(&["10.0.0.1", "10.0.0.2"], &[]);
    stage.pass(LEFT);
    assert_eq!(stage.settle(), [""; 0]);
    stage.lead(&["10.0.0.1"], &[]);
    stage.pass(LEFT);
    assert_eq!(stage.settle(), ["patch cart-dormouse-ipv4"]);
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
    assert!(stage.slices.absent.is_empty(), "and is nobody's business any more");
}

#[test]
fn after_a_restart_those_named_before_have_time_to_be_heard_of() {
    let before = Stage::with(&["10.0.0.1", "10.0.0.2"]);
    let own = before.slices.port_of("shop/cart:web");
    let mut stage = Stage { slices: Slices::default(), ..before };
    stage.edit("cart", |_| {});
    stage.ask("cart");
    assert_eq!(stage.slices.port_of("shop/cart:web"), own, "the slices are the store");
    stage.lead(&["10.0.0.1"], &[]);
    assert_eq!(stage.settle(), [""; 0]);
    stage.pass(UNHEARD);
    stage.settle();
    assert_eq!(stage.named("cart"), ["10.0.0.1"]);
}

#[test]
fn no_two_services_have_one_port_whatever_slices_say() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    stage.ask("other");
    stage.lead(&["10.0.0.1"], &[]);
    stage.settle();
    let own = |stage: &Stage, service: &str| {
        stage.slices.port_of(&format!("shop/{service}:web")).unwrap()
    };
    let (cart, other) = (own(&stage, "cart"), own(&stage, "other"));
    stage.edit("other", |slice| slice["ports"][0]["port"] = json!(cart));
    assert_eq!((own(&stage, "cart"), own(&stage, "other")), (cart, other));
    assert_eq!(stage.settle(), ["patch other-dormouse-ipv4"]);
    assert_eq!(stage.server["other-dormouse-ipv4"]["ports"][0]["port"], other);
}

#[test]
fn a_port_is_given_to_nobody_else_while_a_slice_names_it() {
    let mut stage = Stage::with(&["10.0.0.1"]);
    let own = stage.slices.port_of("shop/cart:web").unwrap();
    stage.slices.withdraw(&key("cart"));
    // One that would be given the same: the name of its endpoint is the same.
    let impostor =
        Asked { uid: "x".to_owned(), ..asked("cart", &["web"], Families::One(Family::V4)) };
    stage.slices.ask(&key("impostor"), impostor).unwrap();
    assert_ne!(stage.slices.port_of("shop/cart:web"), Some(own));
}

#[test]
fn when_every_port_is_taken_a_service_gets_none_and_others_keep_theirs() {
    let mut stage = Stage::new();
    let names: Vec<String> = PORTS.map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.slices.ask(&key("big"), asked("big", &names, Families::One(Family::V4))).unwrap();
    stage.slices.ask(&key("big"), asked("big", &names[1..], Families::One(Family::V4))).unwrap();
    let greedy = asked("greedy", &["web", "more"], Families::One(Family::V4));
    assert_eq!(stage.slices.ask(&key("greedy"), greedy), Err(NoPort), "there is one");
    let last = asked("last", &["web"], Families::One(Family::V4));
    assert_eq!(stage.slices.ask(&key("last"), last), Ok(true), "and it was given back");
    let late = asked("late", &["web"], Families::One(Family::V4));
    assert_eq!(stage.slices.ask(&key("late"), late.clone()), Err(NoPort));
    assert_eq!(stage.slices.port_of("shop/late:web"), None);
    stage.slices.withdraw(&key("big"));
    assert_eq!(stage.slices.ask(&key("late"), late), Ok(true));
}

#[test]
fn a_refused_write_is_thought_over_after_a_pause_and_one_is_under_way_at_a_time() {
    let mut stage = Stage::new();
    stage.ask("cart");
    stage.lead(&["10.0.0.1"], &[]);
    let write = stage.slices.next().unwrap();
    assert_eq!(stage.slices.named().1.len(), 1, "it may already be carried out");
    stage.lead(&["10.0.0.2"], &[]);
    assert!(stage.slices.next().is_none() && !stage.slices.has_work());
    stage.slices.refused(&write, Duration::ZERO, stage.now);
    assert!(stage.slices.next().is_none() && !stage.slices.has_work());
    assert_eq!(stage.slices.due(), Some(stage.now + AGAIN));
    stage.pass(AGAIN);
    let write = stage.slices.next().unwrap();
    stage.slices.refused(&write, AGAIN * 3, stage.now);
    assert_eq!(stage.slices.due(), Some(stage.now + AGAIN * 3), "as the server wants it");
    stage.pass(AGAIN * 3);
    assert_eq!(stage.settle(), ["create cart-dormouse-ipv4"]);
    assert_eq!(stage.named("cart"), ["10.0.0.2"]);
    stage.lead(&["10.0.0.1"], &[]);
    stage.pass(LEFT);
    let write = stage.slices.next().unwrap();
    stage.slices.refused(&write, Duration::ZERO, stage.now);
    stage.slices.withdraw(&key("cart"));
    assert_eq!(stage.settle(), ["delete cart-dormouse-ipv4"], "another wish waits for nothing");
}

#[test]
fn what_is_refused_in_a_row_has_longer_pauses_up_to_a_minute() {
    let mut stage = Stage::new();
    stage.ask("cart");
    stage.lead(&["10.0.0.1"], &[]);
    let mut pauses_s = Vec::new();
    for times in 1..=8 {
        let write = stage.slices.next().unwrap();
        assert_eq!(stage.slices.refused(&write, Duration::ZERO, stage.now), times);
        let pause = stage.slices.due().unwrap() - stage.now;
        pauses_s.push(pause.as_secs());
        stage.pass(pause);
    }
    assert_eq!(pauses_s, [1, 2, 4, 8, 16, 32, 64, 64]);
    assert_eq!(stage.settle(), ["create cart-dormouse-ipv4"]);
    stage.lead(&["10.0.0.2"], &[]);
    stage.pass(LEFT);
    let write = stage.slices.next().unwrap();
    assert_eq!(stage.slices.refused(&write, Duration::ZERO, stage.now), 1, "in a row");
}

#[test]
fn services_of_those_that_hold_most_come_first() {
    let mut stage = Stage::new();
    for service in ["a", "b", "c"] {
        stage.ask(service);
    }
    let each = vec![stage.activator("10.0.0.1", Standing::Stays)];
    let held = [("a", 1), ("b", 7)].map(|(name, held)| (FunctionName::new("shop", name), held));
    stage.lead_through(each, held.into());
    let created = stage.settle();
    let created: Vec<_> = created.iter().map(|line| &line["create ".len()..][..1]).collect();
    assert_eq!(created, ["b", "a", "c"]);
}
