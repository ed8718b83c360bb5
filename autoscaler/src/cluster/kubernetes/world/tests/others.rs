//! What others scale, own or wrote.

use dormouse_link::frame::Standing;

use super::*;
use crate::cluster::kubernetes::api::Refusal;
use crate::cluster::{Activator, Activators, Means, Note, Rollout, Setter, Topic};

impl Told {
    fn scaler(&mut self, listing: Listing, change: Change<Value>) {
        let change = match change {
            Change::Begin => Change::Begin,
            Change::Is(object) => Change::Is(of(object)),
            Change::Gone(object) => Change::Gone(of(object)),
            Change::Synced => Change::Synced,
        };
        self.world.scaler(&source(listing), change, self.now);
    }

    fn pods_fact(&mut self) -> crate::cluster::Pods {
        let facts = self.facts();
        let pods = facts.into_iter().rev().find_map(|fact| match fact {
            Fact::Pods(_, pods) => Some(pods),
            _ => None,
        });
        pods.unwrap()
    }
}

fn scaler(name: &str, kind: Option<&str>, target: &str) -> Value {
    let mut scaler = json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"scaleTargetRef": {"name": target}},
    });
    if let Some(kind) = kind {
        scaler["spec"]["scaleTargetRef"]["kind"] = json!(kind);
    }
    scaler
}

#[test]
fn what_another_autoscaler_has_is_left_alone_until_it_lets_go() {
    let cart = ["function shop/cart", "shop/cart 0/0"];
    for (listing, said, kind) in [
        (Listing::HorizontalPodAutoscalers, "HorizontalPodAutoscaler load", Some("Deployment")),
        (Listing::ScaledObjects, "ScaledObject load", None),
    ] {
        let mut told = Told::with(0);
        assert_eq!(told.short()[..2], cart);
        for (kind, target) in [(Some("StatefulSet"), "cart"), (Some("Deployment"), "other")] {
            told.scaler(listing, Change::Is(scaler("load", kind, target)));
            assert_eq!((told.short(), told.complaint()), (vec![], None));
        }
        told.scaler(listing, Change::Is(scaler("load", kind, "cart")));
        assert_eq!(told.short(), ["gone shop/cart"]);
        assert_eq!(told.complaint(), Some(format!("left alone: {said} scales it")));
        told.scaler(listing, Change::Is(scaler("load", kind, "other")));
        assert_eq!(told.short(), cart);
        told.scaler(listing, Change::Is(scaler("load", kind, "cart")));
        told.scaler(listing, Change::Gone(scaler("load", kind, "cart")));
        assert_eq!((told.short(), told.complaint()), (cart.map(str::to_owned).to_vec(), None));
        // It is not there any more after a look at everything.
        told.scaler(listing, Change::Is(scaler("load", kind, "cart")));
        assert_eq!(told.short(), ["gone shop/cart"]);
        told.world.sources.insert(source(listing), Round::default());
        told.scaler(listing, Change::Begin);
        told.scaler(listing, Change::Synced);
        assert_eq!(told.short(), cart);
    }
}

#[test]
fn looking_through_one_kind_or_namespace_says_nothing_of_others() {
    let (hpas, objects) = (Listing::HorizontalPodAutoscalers, Listing::ScaledObjects);
    let mut told = Told::with(0);
    told.short();
    told.scaler(hpas, Change::Is(scaler("load", Some("Deployment"), "cart")));
    assert_eq!(told.short(), ["gone shop/cart"]);
    let elsewhere = |listing| Source { listing, namespace: Some("other".to_owned()) };
    for source in [source(objects), elsewhere(hpas)] {
        told.world.sources.insert(source.clone(), Round::default());
        for change in [Change::Begin, Change::Synced] {
            told.world.scaler(&source, change, told.now);
        }
    }
    assert_eq!(told.short(), [""; 0]);
}

#[test]
fn what_knative_or_crossplane_own_is_left_alone() {
    for (api_version, kind, owner) in [
        ("serving.knative.dev/v1", "Revision", Some("Knative")),
        ("pkg.crossplane.io/v1", "ProviderRevision", Some("Crossplane")),
        ("example.org/v1", "Shop", None),
    ] {
        let mut told = Told::new();
        let mut owned = workload(5, 0);
        owned["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api_version, "kind": kind, "name": "one", "uid": "o"}]);
        told.sync(Listing::Services, vec![service()]);
        told.sync(Listing::Deployments, vec![owned]);
        let want =
            owner.map(|who| format!("left alone: it belongs to {kind} one, which {who} scales"));
        assert_eq!(told.complaint(), want);
        let is_served = told.short().contains(&"function shop/cart".to_owned());
        assert_eq!(is_served, owner.is_none());
    }
}

#[test]
fn who_wrote_replicas_which_template_and_a_rollout_are_told() {
    let mut told = Told::with(2);
    told.short();
    let mut later = workload(6, 3);
    later["metadata"]["managedFields"] = json!([{"manager": "kubectl-scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    later["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("7");
    later["status"] = json!({"replicas": 3, "updatedReplicas": 1});
    told.is(Listing::Deployments, later.clone());
    let [Output::OpenPods { watch, .. }] = told.world.drain()[..] else { panic!("no watch") };
    for change in [Change::Begin, Change::Synced] {
        told.world.pods(&name(), watch, change);
    }
    let pods = told.pods_fact();
    assert_eq!(&*pods.set_by.unwrap().name, "kubectl-scale");
    assert_eq!((&*pods.revision, pods.rollout), ("7", Rollout::UnderWay));
    // What we wrote is ours as soon as it is answered.
    let placed = Placed { uid: "u".into(), resource_version: "8".into(), replicas: 4 };
    told.world.placed(&name(), placed);
    assert_eq!(told.pods_fact().set_by, None);
    // Each of these is told even if nothing else changed.
    let mut same = later.clone();
    let mut is = |version: &str, field: &str, value: Value| {
        same["metadata"]["resourceVersion"] = json!(version);
        *same.pointer_mut(field).unwrap() = value;
        told.is(Listing::Deployments, same.clone());
        told.pods_fact()
    };
    assert_eq!(is("20", "/status/updatedReplicas", json!(3)).rollout, Rollout::Done);
    let by_helm = is("21", "/metadata/managedFields/0/manager", json!("helm"));
    let helm = Setter { name: "helm".into(), means: Means::Manifest };
    assert_eq!(by_helm.set_by.as_deref(), Some(&helm));
    let goes_on = json!([{"type": "Progressing", "status": "True"}]);
    let mut object = later.clone();
    object["status"]["conditions"] = goes_on;
    assert_eq!(of::<Workloads>(object).seen(WorkloadKind::Deployment).rollout, Rollout::UnderWay);
    for halted in [
        json!({"spec": {"paused": true}}),
        json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
        json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}),
        json!({"status": {"conditions": [{"type": "Progressing", "status": "False"}]}}),
        json!({"status": {"updatedReplicas": 3}}),
    ] {
        let mut object = later.clone();
        object["metadata"]["resourceVersion"] = json!("9");
        for part in ["spec", "status"] {
            for (field, value) in halted[part].as_object().into_iter().flatten() {
                object[part][field] = value.clone();
            }
        }
        let seen = of::<Workloads>(object).seen(WorkloadKind::Deployment);
        assert_eq!(seen.rollout, Rollout::Done, "{halted}");
    }
}

#[test]
fn a_note_becomes_a_complaint_of_its_own_on_the_workload() {
    let mut told = Told::with(0);
    let note = |text: Option<&str>| Note {
        function: name(),
        topic: Topic::Reapplied,
        text: text.map(str::to_owned),
    };
    told.world.note(note(Some("by argocd")), told.now);
    let later = told.now + std::time::Duration::from_secs(60);
    let said = told.world.complaints.take_due(later).unwrap();
    assert_eq!((said.reason, said.note.as_str()), ("Reapplied", "by argocd"));
    told.world.note(note(Some("by flux")), told.now);
    told.world.note(note(None), told.now);
    assert_eq!(told.complaint(), None);
}

#[test]
fn what_was_noted_of_a_function_ends_with_it() {
    let note =
        |topic, text: Option<&str>| Note { function: name(), topic, text: text.map(str::to_owned) };
    let reasons = |told: &Told| -> Vec<String> {
        told.world.complaints.all().into_iter().map(|it| it.reason).collect()
    };
    let mut told = Told::with(0);
    told.short();
    let all = |told: &mut Told| {
        for topic in Topic::ALL {
            told.world.note(note(topic, Some("by argocd")), told.now);
        }
    };
    all(&mut told);
    assert_eq!(reasons(&told).len(), Topic::ALL.len());
    // Set aside and mended before anybody was told: it is noted still.
    let mut bad = workload(6, 0);
    bad["metadata"]["annotations"]["autoscaling.knative.dev/window"] = json!("soon");
    told.is(Listing::Deployments, bad.clone());
    told.is(Listing::Deployments, workload(7, 0));
    assert_eq!(told.short(), ["function shop/cart", "shop/cart 0/0"]);
    assert_eq!(reasons(&told).len(), Topic::ALL.len());
    bad["metadata"]["resourceVersion"] = json!("8");
    told.is(Listing::Deployments, bad);
    told.world.note(note(Topic::Claimed, None), told.now);
    assert!(!reasons(&told).contains(&"Claimed".to_owned()), "{:?}", reasons(&told));
    assert_eq!(told.short(), ["gone shop/cart"]);
    assert_eq!(reasons(&told), ["SetAside"]);
    all(&mut told);
    assert_eq!(reasons(&told), ["SetAside"], "of what is no function nothing is noted");
    told.is(Listing::Deployments, workload(9, 0));
    assert_eq!(reasons(&told), [""; 0]);
    // An older one of its name is the function from now on.
    let mut younger = workload(10, 0);
    younger["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    told.is(Listing::Deployments, younger);
    all(&mut told);
    told.is(Listing::StatefulSets, workload(11, 0));
    assert_eq!(reasons(&told), ["SetAside"]);
}

#[test]
fn that_a_slice_is_refused_ends_with_the_wish_for_it() {
    let said = |told: &Told| {
        let all = told.world.complaints.all().into_iter();
        all.map(|it| format!("{} {}", it.object, it.reason)).collect::<Vec<_>>()
    };
    let untargeted = json!({"metadata": {"namespace": "shop", "name": "front", "uid": "f"},
        "spec": {"ports": [{"name": "web", "port": 80}]}});
    let broken = targeting("nobody", json!({}));
    for (becomes, want) in [(untargeted, None), (broken, Some("Service shop/front SetAside"))] {
        let mut told = Told::with(0);
        told.is(Listing::Services, targeting("cart", json!({})));
        let (endpoint, port) = own_ports(&mut told).pop().unwrap();
        let activator = Activator {
            name: "a".to_owned(),
            addresses: vec!["10.0.0.7".parse().unwrap()],
            standing: Standing::Stays,
            listening: [(endpoint.into(), port.unwrap())].into(),
        };
        let activators = Activators { number: 1, each: vec![activator], ..Activators::default() };
        told.world.slices.lead_through(Arc::new(activators), told.now);
        for _ in 0..3 {
            let write = told.world.slices.next().unwrap();
            told.world.slice_refused(&write, &Refusal::Conflict, told.now);
            told.now += std::time::Duration::from_secs(60);
            told.world.slices.pass_time(told.now);
        }
        assert_eq!(said(&told), ["Service shop/front SliceNotWritten"]);
        told.is(Listing::Services, becomes);
        assert_eq!(said(&told), Vec::from_iter(want));
    }
}

#[test]
fn what_of_a_function_has_no_effect_is_said_while_it_serves() {
    let mut told = Told::with(0);
    assert_eq!(told.complaint(), None);
    let mut spoken = service();
    spoken["spec"]["ports"][0]["appProtocol"] = json!("kubernetes.io/h2c");
    told.is(Listing::Services, spoken);
    let rule = "port 80 of Service shop/cart: appProtocol \"kubernetes.io/h2c\" is not served yet, \
                requests are passed on as HTTP/1.1";
    assert_eq!(told.complaint().as_deref(), Some(rule));
    told.is(Listing::Services, service());
    let mut later = workload(6, 0);
    later["metadata"]["annotations"]["dormouse.dev/protocol"] = json!("h2c");
    told.is(Listing::Deployments, later);
    assert_eq!(told.complaint().as_deref(), Some("dormouse.dev/protocol is not supported yet"));
    told.is(Listing::Deployments, workload(7, 0));
    assert_eq!(told.world.complaints.due(), None, "mended");
    assert!(told.short().contains(&"function shop/cart".to_owned()), "it serves all the time");
}
