//! Autoscaler and activator against an API server: the fake one, whose every request is on record.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::{FakeApi, Fault, History, Request, Trouble};
use dormouse_tests::http::Client;
use dormouse_tests::parts::{Parts, address, address_of_its_own};
use dormouse_tests::program;
use dormouse_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const HOST: &str = "hello.default";
const ANNOTATION: &str = "autoscaling.knative.dev/window";

/// A cluster with one function at zero, known to the gateway.
struct Hello {
    api: FakeApi,
    app: App,
    parts: Parts,
}

impl Hello {
    fn start() -> Self {
        Self::on(FakeApi::start())
    }

    fn on(api: FakeApi) -> Self {
        let app = App::start();
        api.put("deployments", app.deployment("hello", &[]));
        api.put("services", app.service("hello"));
        let parts = Parts::start(&api);
        parts.wait_function("default/hello", "asleep", |it| it["state"] == "asleep");
        Self { api, app, parts }
    }

    fn patches(&self) -> Vec<Request> {
        let requests = self.api.requests();
        requests.into_iter().filter(|it| it.method == "PATCH" && !is_lease(it)).collect()
    }

    #[track_caller]
    fn wait_replicas(&self, replicas: u64) {
        let is = |it: &Value| it["spec"]["replicas"] == replicas;
        self.api.wait("deployments", "hello", &format!("at {replicas}"), is);
    }

    #[track_caller]
    fn is_answered(&self, path: &str) {
        let answer = self.parts.get(HOST, path);
        assert_eq!((answer.status, answer.text()), (200, path.to_owned()));
    }
}

/// Leading costs a call a second, whatever functions do.
fn is_lease(request: &Request) -> bool {
    request.path.contains("/leases")
}

fn patch_fails(fault: Fault, times: usize) -> Trouble {
    Trouble { method: "PATCH", path: "/scale", fault, times }
}

#[test]
fn a_request_at_zero_is_one_patch_and_no_get_and_zero_comes_back() {
    let hello = Hello::start();
    // Known to the autoscaler, the function may still be on its way to the activator.
    hello.parts.wait_route(HOST);
    hello.wait_replicas(0);
    let before = hello.api.requests().len();
    hello.is_answered("/again");
    let mut wake: Vec<Request> = hello.api.requests().split_off(before);
    wake.retain(|request| !is_lease(request));
    let patches: Vec<_> = wake.iter().filter(|it| it.method == "PATCH").collect();
    assert_eq!(patches.len(), 1, "{wake:?}");
    let others = wake.iter().filter(|it| it.method != "PATCH" && !it.is_watch());
    assert_eq!(others.count(), 0, "{wake:?}");
    let metadata = &patches[0].body["metadata"];
    assert!(metadata["uid"].is_string() && metadata["resourceVersion"].is_string());
    assert_eq!(patches[0].query["timeout"], "1s");
    hello.wait_replicas(0);
    let asked: Vec<_> =
        hello.patches().iter().map(|it| it.body["spec"]["replicas"].clone()).collect();
    assert_eq!(asked.last(), Some(&json!(0)));
}

#[test]
fn a_warm_function_is_served_while_watches_are_cut_and_history_is_forgotten() {
    let hello = Hello::start();
    hello.parts.wait_route(HOST);
    for history in [History::Kept, History::Forgotten] {
        hello.api.cut(history);
        hello.is_answered("/cut");
    }
    // What happened while nobody watched is told anew: one is gone, another is there.
    hello.api.put("deployments", hello.app.deployment("second", &[]));
    hello.api.put("services", hello.app.service("second"));
    hello.api.cut(History::Forgotten);
    assert_eq!(hello.parts.wait_route("second.default").status, 200);
    hello.api.delete("deployments", "second");
    hello.api.cut(History::Forgotten);
    wait::until("no route to second", || {
        (hello.parts.get("second.default", "/").status == 404).then_some(())
    });
    hello.is_answered("/still");
}

#[test]
fn a_server_that_cannot_stream_lists_is_listed() {
    let api = FakeApi::start();
    api.without_streamed_lists();
    let hello = Hello::on(api);
    assert_eq!(hello.parts.wait_route(HOST).status, 200);
    hello.wait_replicas(0);
    hello.is_answered("/again");
}

#[test]
fn a_fault_is_an_event_on_its_object_and_heals_when_mended() {
    let hello = Hello::start();
    let bad = hello.app.deployment("bad", &[(ANNOTATION, "soon")]);
    hello.api.put("deployments", bad);
    hello.api.put("services", hello.app.service("bad"));
    hello.api.wait_event("bad", &format!("{ANNOTATION}: \"soon\""));
    hello.parts.wait_route(HOST);
    hello.is_answered("/untouched");
    assert_eq!(hello.parts.get("bad.default", "/").status, 404);
    hello.api.edit("deployments", "bad", |it| {
        it["metadata"]["annotations"][ANNOTATION] = json!("7s");
    });
    assert_eq!(hello.parts.wait_route("bad.default").status, 200);
    let about = |regarding: &str| {
        let events = hello.api.all("events");
        events.iter().filter(|it| it["regarding"]["name"] == regarding).count()
    };
    assert_eq!((about("bad"), about("hello")), (1, 0));
}

#[test]
fn cluster_defaults_hold_while_they_stand_and_a_faulty_one_is_an_event() {
    let hello = Hello::start();
    let defaults = |data: Value| {
        hello
            .api
            .put("configmaps", json!({"metadata": {"name": "config-autoscaler"}, "data": data}));
    };
    hello.wait_replicas(0);
    defaults(json!({"min-scale": "1"}));
    // Nothing wakes it but a decision, and that is made when somebody asks for it.
    assert_eq!(hello.parts.wait_route(HOST).status, 200);
    hello.parts.wait_function("default/hello", "kept at one", |it| {
        it["held"] == 0
            && it["last"]["line"].as_str().is_some_and(|line| line.contains("min-scale"))
    });
    defaults(json!({"min-scale": "none"}));
    hello.api.wait_event("config-autoscaler", "min-scale: \"none\"");
    hello.wait_replicas(0);
    defaults(json!({"min-scale": "1"}));
    hello.is_answered("/awake");
    hello.api.delete("configmaps", "config-autoscaler");
    hello.wait_replicas(0);
}

#[test]
fn a_wake_gets_through_refusals_conflicts_and_silence() {
    let hello = Hello::start();
    for fault in [
        Fault::Refused(409, 0),
        Fault::Refused(503, 1),
        Fault::Refused(429, 1),
        Fault::Refused(500, 0),
        Fault::Unanswered,
        Fault::CarriedOutUnanswered,
    ] {
        hello.wait_replicas(0);
        hello.api.trouble(patch_fails(fault, 1));
        assert_eq!(hello.parts.wait_route(HOST).status, 200, "{fault:?}");
    }
}

#[test]
fn a_throttling_api_server_is_left_alone_for_as_long_as_it_asks() {
    let hello = Hello::start();
    hello.parts.wait_route(HOST);
    hello.wait_replicas(0);
    let before = hello.patches().len();
    hello.api.trouble(patch_fails(Fault::Refused(429, 2), 1));
    hello.is_answered("/throttled");
    let wake = hello.patches().split_off(before);
    assert!(wake[1].came - wake[0].came >= Duration::from_secs(2), "{wake:?}");
    let (method, path, fault) = ("GET", "/deployments", Fault::Refused(429, 2));
    hello.api.trouble(Trouble { method, path, fault, times: 1 });
    let before = hello.api.requests().len();
    hello.api.cut(History::Kept);
    let came = wait::until("a second watch of Deployments", || {
        let requests = hello.api.requests().split_off(before);
        let mut watches = requests.iter().filter(|it| it.path.ends_with(path));
        Some((watches.next()?.came, watches.next()?.came))
    });
    assert!(came.1 - came.0 >= Duration::from_secs(2));
}

#[test]
fn a_slow_api_server_and_expired_credentials_cost_time_and_no_request() {
    let mut hello = Hello::start();
    hello.parts.wait_route(HOST);
    hello.wait_replicas(0);
    hello.api.slow(Duration::from_millis(600));
    hello.is_answered("/slow");
    // Slower than any call is waited for: nothing is ordered, and what is awake is served.
    hello.api.slow(Duration::from_millis(1_500));
    hello.parts.autoscaler().log().wait("an end of leading", |lines| {
        let last = lines.iter().rev().find(|it| it["message"] == "lead changed")?;
        (last["leading"] == "No").then_some(())
    });
    hello.is_answered("/too-slow");
    hello.api.slow(Duration::ZERO);
    hello.wait_replicas(0);
    for (method, path) in [("GET", "/deployments"), ("PATCH", "/scale")] {
        hello.api.trouble(Trouble { method, path, fault: Fault::Refused(401, 0), times: 2 });
    }
    hello.api.cut(History::Kept);
    hello.is_answered("/expired");
    hello.parts.autoscaler().log().wait("a word of the credentials", |lines| {
        let says = |line: &Value| line.to_string().contains("does not accept our credentials");
        lines.iter().any(says).then_some(())
    });
    hello.wait_replicas(0);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let mut hello = Hello::start();
    hello.parts.wait_route(HOST);
    hello.wait_replicas(0);
    hello.api.trouble(patch_fails(Fault::Refused(403, 0), 2));
    hello.is_answered("/after");
    let fault = Fault::Refused(403, 0);
    for path in ["/deployments", "/statefulsets", "/services"] {
        hello.api.trouble(Trouble { method: "GET", path, fault, times: 2 });
    }
    hello.api.cut(History::Kept);
    // What it writes of its own: the Lease, a slice for a Service, an Event on what is at fault.
    let own = [("PATCH", "/dormouse-autoscaler"), ("POST", "/endpointslices"), ("POST", "/events")];
    for (method, path) in own {
        hello.api.trouble(Trouble { method, path, fault, times: 1 });
    }
    hello.api.put("services", hello.app.targeting("front", "hello"));
    hello.api.put("deployments", hello.app.deployment("faulty", &[(ANNOTATION, "long")]));
    let log = hello.parts.autoscaler().log();
    for (group, resource, verb) in [
        ("coordination.k8s.io", "leases", "patch"),
        ("discovery.k8s.io", "endpointslices", "create"),
        ("events.k8s.io", "events", "create"),
        ("apps", "deployments/scale", "patch"),
        ("apps", "deployments", "watch"),
        ("apps", "statefulsets", "watch"),
        ("", "services", "watch"),
    ] {
        let rule =
            format!("{{apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verb:?}]}}");
        log.wait(&rule, |lines| {
            let says = |line: &Value| line.to_string().contains(&rule.replace('"', "\\\""));
            lines.iter().any(says).then_some(())
        });
    }
}

#[test]
fn a_new_autoscaler_takes_over_without_a_request_lost() {
    let hello = Hello::start();
    hello.parts.wait_route(HOST);
    let is_over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut statuses = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let answer = Client::connect(hello.parts.gateway).get(HOST, "/");
                statuses.push(answer.map_or(0, |answer| answer.status));
            }
            statuses
        });
        let successor = hello.parts.succeed();
        successor.wait_log("activator connected");
        hello.parts.wait_route(HOST);
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    assert!(sent.iter().all(|status| *status == 200), "{sent:?}");
}

#[test]
fn without_an_autoscaler_the_last_table_serves_and_wakes_wait_for_the_next() {
    let api = FakeApi::start();
    let second = App::start();
    api.put("deployments", second.deployment("second", &[]));
    api.put("services", second.service("second"));
    let mut hello = Hello::on(api);
    assert_eq!(hello.parts.wait_route(HOST).status, 200);
    hello.parts.autoscaler().signal(Signal::SIGKILL);
    hello.parts.activator().wait_log("link lost");
    let line = hello.parts.activator().wait_log("link not connected");
    assert_eq!(line["level"], "WARN", "{line}");
    assert!(line["reason"].as_str().unwrap().contains("refused"), "{line}");
    hello.is_answered("/warm");
    let mut client = Client::connect(hello.parts.gateway);
    client.send("GET /held HTTP/1.1\r\nHost: second.default\r\n\r\n").unwrap();
    wait::until("the request to be held", || {
        let figures = Client::connect(hello.parts.activator_admin).get("localhost", "/metrics");
        let held = "dormouse_requests_held{namespace=\"default\",function=\"second\"} 1";
        figures.ok()?.text().contains(held).then_some(())
    });
    hello.is_answered("/still");
    let successor = hello.parts.succeed();
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "/held".to_owned()));
    successor.wait_log("activator connected");
}

#[test]
fn without_activators_an_autoscaler_is_ready_and_leaves_everything_as_it_is() {
    let mut hello = Hello::start();
    hello.parts.activator().signal(Signal::SIGKILL);
    hello.parts.activator().wait_end();
    // One that never heard of any.
    let lone = hello.parts.succeed();
    let admin = address(&lone.wait_log("autoscaler runs"), "admin");
    hello.api.scale("hello", 1);
    let is_ready = |path: &str| {
        let answer = Client::connect(admin).get("localhost", path).ok()?;
        (answer.status == 200).then(|| answer.text())
    };
    wait::until("it to be ready", || is_ready("/readyz"));
    wait::until("the pod to be seen", || {
        is_ready("/api/v1/functions")?.contains("\"ready\":1").then_some(())
    });
    // Longer than it takes to lead and to lower, with a window of six seconds.
    wait::at_most(Duration::from_secs(20), || {
        let replicas = hello.api.get("deployments", "hello").unwrap()["spec"]["replicas"].take();
        assert_eq!(replicas, 1);
        None::<()>
    });
    let activator = hello.parts.add_activator("activator-2", address_of_its_own());
    let gateway = address(&activator.wait_log("listening"), "gateway");
    wait::until("an answer", || {
        let answer = Client::connect(gateway).get(HOST, "/late").ok()?;
        (answer.status == 200).then_some(())
    });
    hello.wait_replicas(0);
}

#[test]
fn only_the_named_namespaces_are_looked_at() {
    let api = FakeApi::start();
    let app = App::start();
    for namespace in ["default", "shop", "other"] {
        for (resource, mut object) in
            [("deployments", app.deployment("hello", &[])), ("services", app.service("hello"))]
        {
            object["metadata"]["namespace"] = json!(namespace);
            api.put(resource, object);
        }
    }
    let parts = Parts::with(&api, &["--namespace=default,shop"]);
    assert_eq!(parts.wait_route("hello.shop").status, 200);
    assert_eq!(parts.wait_route("hello.default").status, 200);
    assert_eq!(parts.get("hello.other", "/").status, 404);
    let paths = api.requests().into_iter().map(|request| request.path);
    let elsewhere: Vec<_> = paths
        .filter(|path| {
            !["/namespaces/default/", "/namespaces/shop/"].iter().any(|part| path.contains(part))
        })
        .collect();
    assert_eq!(elsewhere, [""; 0]);
}

#[test]
fn sigterm_answers_what_is_held_and_ends_both_well() {
    let mut hello = Hello::start();
    hello.parts.wait_route(HOST);
    hello.wait_replicas(0);
    // Held until the second attempt at the order, which comes after the signal.
    hello.api.trouble(patch_fails(Fault::Unanswered, 1));
    let mut client = Client::connect(hello.parts.gateway);
    client.send(format!("GET /held HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).unwrap();
    hello.parts.wait_function("default/hello", "holding", |it| it["held"] == 1);
    hello.parts.activator().signal(Signal::SIGTERM);
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "/held".to_owned()));
    assert_eq!(hello.parts.activator().wait_end().code(), Some(0));
    // As well as when its terminal closes.
    hello.parts.autoscaler().signal(Signal::SIGHUP);
    assert_eq!(hello.parts.autoscaler().wait_end().code(), Some(0));
    let lease = hello.api.get("leases", "dormouse-autoscaler").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "", "released");
}

#[test]
fn what_cannot_hold_is_refused_before_anything_starts() {
    for (command, flag) in [
        ("autoscaler", "--link-listen=here"),
        ("autoscaler", "--namespace=Shop"),
        ("activator", "--gateway=here"),
    ] {
        let line = [command, "--token-file=/nowhere", flag];
        let dial = (command == "activator").then_some("--link-dial=localhost:1");
        let output = Command::new(program::dormouse()).args(line).args(dial).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let name = flag.split('=').next().unwrap();
        assert!(said.contains(name) && said.contains("--token-file"), "{said}");
    }
}
