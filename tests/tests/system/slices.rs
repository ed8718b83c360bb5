//! Services without selector that name their target: EndpointSlices lead from them to activators,
//! before a fake API server.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::{FakeApi, Fault, Trouble};
use dormouse_tests::http::Client;
use dormouse_tests::parts::{Parts, address_of_its_own};
use dormouse_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A cluster with a function at zero behind Service `front`, which names it.
struct Front {
    api: FakeApi,
    app: App,
    parts: Parts,
}

impl Front {
    fn start() -> Self {
        let (api, app) = (FakeApi::start(), App::start());
        api.put("deployments", app.deployment("hello", &[]));
        api.put("services", app.targeting("front", "hello"));
        let parts = Parts::start(&api);
        Self { api, app, parts }
    }

    /// Where the slice of a Service leads, once it is as wanted.
    #[track_caller]
    fn wait_slice(
        &self,
        service: &str,
        what: &str,
        is: impl Fn(&[SocketAddr]) -> bool,
    ) -> Vec<SocketAddr> {
        wait::until(&format!("the slice of {service} to be {what}"), || {
            Some(self.slice(service)).filter(|addresses| is(addresses))
        })
    }

    fn slice(&self, service: &str) -> Vec<SocketAddr> {
        let slice = self.api.get("endpointslices", &format!("{service}-dormouse-ipv4"));
        let slice = slice.unwrap_or_default();
        let port = u16::try_from(slice["ports"][0]["port"].as_u64().unwrap_or(0)).unwrap();
        let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
        let address = |it: &Value| it["addresses"][0].as_str().unwrap().parse().unwrap();
        endpoints.iter().map(|it| SocketAddr::new(address(it), port)).collect()
    }

    fn writes(&self) -> usize {
        let requests = self.api.requests();
        let is_write =
            |path: &str, method: &str| path.contains("endpointslices") && method != "GET";
        requests.iter().filter(|it| is_write(&it.path, &it.method)).count()
    }
}

#[track_caller]
fn is_answered(address: SocketAddr, path: &str) {
    // The Host is of no importance here.
    let answer = Client::connect(address).get("anything.example", path).unwrap();
    assert_eq!((answer.status, answer.text()), (200, path.to_owned()));
}

fn is_one(addresses: &[SocketAddr]) -> bool {
    addresses.len() == 1
}

#[test]
fn a_request_to_where_the_slice_leads_wakes_a_pod_and_is_answered() {
    let front = Front::start();
    let at = front.wait_slice("front", "of one activator", is_one)[0];
    is_answered(at, "/first");
    assert!(front.app.answered() > 0);
    let slice = front.api.get("endpointslices", "front-dormouse-ipv4").unwrap();
    let service = front.api.get("services", "front").unwrap();
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "front");
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], service["metadata"]["uid"]);
    assert_eq!(slice["ports"][0]["name"], "web");
    // The gateway goes on working beside it.
    assert_eq!(front.parts.wait_route("front.default").status, 200);
    let mut admin = Client::connect(front.parts.admin);
    let explained = admin.get("localhost", "/api/v1/functions/default/hello").unwrap();
    assert!(explained.text().contains("always through the activators"), "{}", explained.text());
}

#[test]
fn a_slice_that_somebody_emptied_is_put_right() {
    let front = Front::start();
    let before = front.wait_slice("front", "of one activator", is_one);
    front.api.edit("endpointslices", "front-dormouse-ipv4", |slice| {
        // So an API server gives what has none.
        slice["endpoints"] = Value::Null;
        slice["ports"] = Value::Null;
    });
    assert_eq!(front.wait_slice("front", "of one activator", is_one), before);
}

#[test]
fn two_services_on_one_target_are_both_served_and_each_has_its_own_port() {
    let front = Front::start();
    front.api.put("services", front.app.targeting("side", "hello"));
    let first = front.wait_slice("front", "of one activator", is_one)[0];
    let second = front.wait_slice("side", "of one activator", is_one)[0];
    assert_ne!(first.port(), second.port());
    is_answered(first, "/front");
    is_answered(second, "/side");
}

#[test]
fn ports_stay_over_restarts_and_nothing_is_written_for_it() {
    let mut front = Front::start();
    let at = front.wait_slice("front", "of one activator", is_one)[0];
    let before = front.writes();
    let successor = front.parts.succeed();
    successor.wait_log("activator connected");
    is_answered(at, "/succeeded");
    // Another activator in place of the first, at its address.
    let std::net::IpAddr::V4(ip) = at.ip() else { panic!("an address of IPv4") };
    front.parts.activator().signal(Signal::SIGKILL);
    front.parts.activator().wait_end();
    let next = front.parts.add_activator("activator-2", ip);
    next.wait_log("listening");
    wait::until("the port to be open again", || std::net::TcpStream::connect(at).ok());
    is_answered(at, "/again");
    assert_eq!(front.wait_slice("front", "of one activator", is_one), [at]);
    assert_eq!(front.writes(), before);
}

#[test]
fn slices_follow_activators_that_come_and_one_that_leaves_serves_until_it_is_not_named() {
    let mut front = Front::start();
    let first = front.wait_slice("front", "of one activator", is_one)[0];
    let second = front.parts.add_activator("activator-2", address_of_its_own());
    let both = front.wait_slice("front", "of two activators", |it| it.len() == 2);
    both.iter().for_each(|at| is_answered(*at, "/both"));
    // The write that takes it out is refused for a while: it is named, and serves.
    let trouble = |times| Trouble {
        method: "PATCH",
        path: "front-dormouse-ipv4",
        fault: Fault::Refused(409, 0),
        times,
    };
    front.api.trouble(trouble(2));
    let before = front.writes();
    front.parts.activator().signal(Signal::SIGTERM);
    wait::until("a refused write", || (front.writes() > before).then_some(()));
    is_answered(first, "/leaving");
    assert_eq!(front.parts.activator().wait_end().code(), Some(0));
    let left = front.slice("front");
    assert!(is_one(&left) && left[0] != first, "it ended when it was not named any more: {left:?}");
    is_answered(left[0], "/left");
    drop(second);
    assert_eq!(front.slice("front"), left, "the last one stays named");
}

#[test]
fn a_port_that_is_taken_is_a_fault_and_the_activator_is_not_named_until_it_is_free() {
    let front = Front::start();
    let at = front.wait_slice("front", "of one activator", is_one)[0];
    let other = address_of_its_own();
    let taken = std::net::TcpListener::bind((other, at.port())).unwrap();
    let second = front.parts.add_activator("activator-2", other);
    second.wait_log("cannot listen");
    front.api.wait_event("hello", "cannot listen for default/front:80");
    assert_eq!(front.slice("front"), [at]);
    drop(taken);
    front.wait_slice("front", "of two activators", |it| it.len() == 2);
    is_answered(SocketAddr::new(other.into(), at.port()), "/free");
}

#[test]
fn a_service_that_cannot_be_served_is_an_event_there_and_heals_when_mended() {
    let front = Front::start();
    let at = front.wait_slice("front", "of one activator", is_one)[0];
    let mut bad = front.app.targeting("bad", "hello");
    bad["spec"]["ports"][0]["appProtocol"] = json!("kubernetes.io/h2c");
    front.api.put("services", bad);
    front.api.wait_event("bad", "appProtocol \"kubernetes.io/h2c\" is not served yet");
    assert_eq!(front.slice("bad"), []);
    is_answered(at, "/untouched");
    front.api.edit("services", "bad", |it| it["spec"]["ports"][0]["appProtocol"] = json!("http"));
    is_answered(front.wait_slice("bad", "of one activator", is_one)[0], "/mended");
    // And the other way round: what is at fault is led nowhere.
    front.api.edit("services", "bad", |it| it["spec"]["sessionAffinity"] = json!("ClientIP"));
    front.wait_slice("bad", "gone", <[_]>::is_empty);
    front.api.wait_event("bad", "sessionAffinity cannot be honoured");
    // So is what lost its target.
    front.api.delete("deployments", "hello");
    front.wait_slice("front", "gone", <[_]>::is_empty);
    front.api.wait_event("front", "there is no default/hello");
}

#[test]
fn a_write_gets_through_conflicts_refusals_and_silence() {
    let front = Front::start();
    front.wait_slice("front", "of one activator", is_one);
    for (number, fault) in [
        Fault::Refused(409, 0),
        Fault::Refused(500, 0),
        Fault::Refused(403, 0),
        Fault::Unanswered,
        Fault::CarriedOutUnanswered,
    ]
    .into_iter()
    .enumerate()
    {
        front.api.trouble(Trouble { method: "POST", path: "/endpointslices", fault, times: 1 });
        let name = format!("late-{number}");
        front.api.put("services", front.app.targeting(&name, "hello"));
        is_answered(front.wait_slice(&name, "of one activator", is_one)[0], "/late");
    }
}

#[test]
fn a_slice_that_is_refused_again_and_again_is_an_event_on_its_service() {
    let front = Front::start();
    front.wait_slice("front", "of one activator", is_one);
    let fault = Fault::Refused(500, 0);
    front.api.trouble(Trouble { method: "POST", path: "/endpointslices", fault, times: 4 });
    front.api.put("services", front.app.targeting("late", "hello"));
    front.api.wait_event("late", "EndpointSlice default/late-dormouse-ipv4 is refused: 500");
    is_answered(front.wait_slice("late", "of one activator", is_one)[0], "/late");
}

/// The sockets of a process.
fn sockets(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let target = |file: fs::DirEntry| fs::read_link(file.path()).ok();
    files.filter_map(target).filter(|it| it.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_thousand_services_created_and_deleted_leave_nothing() {
    const AT_ONCE: usize = 50;
    let mut front = Front::start();
    front.wait_slice("front", "of one activator", is_one);
    let pid = front.parts.activator().id();
    let before = sockets(pid);
    let mut ports = BTreeSet::new();
    for round in 0..1000 / AT_ONCE {
        let names: Vec<String> = (0..AT_ONCE).map(|it| format!("many-{round}-{it}")).collect();
        for name in &names {
            front.api.put("services", front.app.targeting(name, "hello"));
        }
        let last = names.last().unwrap();
        for name in &names {
            ports.insert(front.wait_slice(name, "of one activator", is_one)[0].port());
        }
        is_answered(front.slice(last)[0], "/many");
        for name in &names {
            front.api.delete("services", name);
        }
    }
    assert!(ports.len() > 900, "a port of its own each, now and then one again: {}", ports.len());
    wait::until("no slice but the first", || {
        (front.api.all("endpointslices").len() == 1).then_some(())
    });
    front.parts.wait_function("default/hello", "led to by one endpoint", |it| {
        it["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 1)
    });
    wait::until("no listener but the first's", || (sockets(pid) <= before).then_some(()));
}
