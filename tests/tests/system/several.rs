//! Two autoscalers and two activators: one leads, and users do not notice which, nor that it goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::http::Client;
use dormouse_tests::parts::{Part, Parts};
use dormouse_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const HOST: &str = "hello.default";

/// Two of each, with functions `hello` and `second` at zero, known everywhere.
struct Pair {
    api: FakeApi,
    _app: App,
    parts: Parts,
}

impl Pair {
    fn on(api: FakeApi) -> Self {
        let app = App::start();
        for name in ["hello", "second"] {
            api.put("deployments", app.deployment(name, &[]));
            api.put("services", app.service(name));
        }
        let parts = Parts::several(&api, &[], 2);
        for activator in parts.activators() {
            activator.log().wait("a table from each autoscaler", |lines| {
                let answers = lines.iter().filter(|it| it["message"] == "autoscaler answered");
                (answers.count() == 2).then_some(())
            });
        }
        let pair = Self { api, _app: app, parts };
        for gateway in 0..2 {
            wait::until("a route at each gateway", || {
                (pair.status(gateway, HOST) == 200).then_some(())
            });
        }
        pair
    }

    /// What a request on a connection of its own is answered; 0 if it is not.
    fn status(&self, gateway: usize, host: &str) -> u16 {
        let answer = Client::connect(self.parts.gateways[gateway]).get(host, "/");
        answer.map_or(0, |answer| answer.status)
    }

    /// Which autoscaler leads, and which does not.
    #[track_caller]
    fn leader(&self) -> (&Part, &Part) {
        let [a, b] = self.parts.autoscalers() else { unreachable!("there are two") };
        wait::until("a leader", || match (leads(a), leads(b)) {
            (true, false) => Some((a, b)),
            (false, true) => Some((b, a)),
            (false, false) => None,
            (true, true) => panic!("both lead"),
        })
    }

    #[track_caller]
    fn wait_replicas(&self, name: &str, replicas: u64) {
        let is = |it: &Value| it["spec"]["replicas"] == replicas;
        self.api.wait("deployments", name, &format!("at {replicas}"), is);
    }

    /// Sends requests to both gateways while `doing`; each must be answered.
    fn under_load(&self, doing: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        let statuses = std::thread::scope(|scope| {
            let clients = [0, 1].map(|gateway| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        statuses.push(self.status(gateway, HOST));
                    }
                    statuses
                })
            });
            let _end = SetOnDrop(&is_over);
            doing();
            drop(_end);
            clients.map(|client| client.join().unwrap()).concat()
        });
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
}

fn leads(part: &Part) -> bool {
    let lines = part.log().entries();
    let last = lines.iter().rev().find(|it| it["message"] == "lead changed");
    last.is_some_and(|line| line["leading"].as_str().is_some_and(|it| it.starts_with("Yes")))
}

/// Whatever fails, the load ends with it.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[allow(clippy::print_stdout, reason = "figures are for who looks, and no test hangs on them")]
fn tell(what: &str, since: Instant) {
    println!("{what}: {:.2} s", since.elapsed().as_secs_f64());
}

#[test]
fn a_leader_that_is_killed_is_followed_and_nothing_is_lost() {
    let pair = Pair::on(FakeApi::start());
    let (leader, follower) = pair.leader();
    pair.under_load(|| {
        pair.wait_replicas("second", 0);
        let killed = Instant::now();
        leader.signal(Signal::SIGKILL);
        // Nobody leads now.
        assert_eq!(pair.status(0, "second.default"), 200);
        tell("woken without a leader", killed);
        wait::until("the other one to lead", || leads(follower).then_some(()));
        tell("decisions are back after kill -9", killed);
    });
    pair.wait_replicas("hello", 0);
    assert_eq!(pair.status(1, HOST), 200);
}

#[test]
fn a_leader_that_ends_well_is_followed_at_once() {
    let pair = Pair::on(FakeApi::start());
    let (leader, follower) = pair.leader();
    pair.under_load(|| {
        let told = Instant::now();
        leader.signal(Signal::SIGTERM);
        wait::until("the other one to lead", || leads(follower).then_some(()));
        tell("decisions are back after a clean end", told);
    });
    let lease = pair.api.get("leases", "dormouse-autoscaler").unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 2);
    pair.wait_replicas("hello", 0);
}

#[test]
fn followers_serve_and_wake_while_a_stranger_holds_the_lease_and_name_it() {
    let api = FakeApi::start();
    let stranger = json!({
        "metadata": {"name": "dormouse-autoscaler", "managedFields": [{"manager": "elector",
            "fieldsV1": {"f:spec": {"f:holderIdentity": {}}}}]},
        "spec": {"holderIdentity": "stranger", "leaseDurationSeconds": 40},
    });
    api.put("leases", stranger);
    let pair = Pair::on(api);
    let [a, b] = pair.parts.autoscalers() else { unreachable!("there are two") };
    for part in [a, b] {
        let line = part.wait_log("a stranger leads");
        assert_eq!((&line["holder"], &line["manager"]), (&json!("stranger"), &json!("elector")));
        assert!(!leads(part));
    }
    let patches = pair.api.requests().into_iter().filter(|it| it.path.ends_with("/scale"));
    let asked: Vec<_> = patches.map(|it| it.body["spec"]["replicas"].clone()).collect();
    assert!(asked.iter().all(|replicas| *replicas != json!(0)), "scaled down: {asked:?}");
    pair.api.edit("leases", "dormouse-autoscaler", |lease| {
        lease["spec"]["holderIdentity"] = json!("");
    });
    let (leader, _) = pair.leader();
    assert!(leads(leader));
    pair.wait_replicas("hello", 0);
}

#[test]
fn a_lease_deleted_under_its_holder_is_made_again_and_nobody_leads_meanwhile() {
    let pair = Pair::on(FakeApi::start());
    let (leader, follower) = pair.leader();
    pair.under_load(|| {
        pair.api.delete("leases", "dormouse-autoscaler");
        wait::until("the leader to notice", || (!leads(leader)).then_some(()));
        assert!(!leads(follower));
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].clone();
        pair.api.wait("leases", "dormouse-autoscaler", "nobody's", |it| holder(it) == "nobody-yet");
        pair.leader();
    });
    let lease = pair.api.get("leases", "dormouse-autoscaler").unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 2);
}

#[test]
fn an_activator_is_known_by_its_pods_token_and_another_is_refused_by_name() {
    let api = FakeApi::start();
    let (token, stolen) = ("0123456789abcdef.e30.x", "fedcba9876543210.e30.x");
    api.give_token(token, "dormouse-activator", "activator-1");
    api.give_token(stolen, "cart", "cart-1");
    let parts = Parts::showing(&api, &[], &[token, stolen]);
    let [good, bad] = parts.activators() else { unreachable!("there are two") };
    good.wait_log("autoscaler answered");
    let refused = bad.wait_log("link refused");
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("system:serviceaccount:default:cart"), "{reason}");
    let log = bad.log().entries();
    assert!(!log.iter().any(|line| line["message"] == "autoscaler answered"));
}

#[test]
fn an_activator_whose_token_has_ended_is_let_in_once_it_has_the_next() {
    let api = FakeApi::start();
    let (ended, next) = ("0123456789abcdef.e30.x", "fedcba9876543210.e30.x");
    api.give_token(next, "dormouse-activator", "activator-1");
    let parts = Parts::showing(&api, &[], &[ended]);
    let activator = &parts.activators()[0];
    let refused = activator.wait_log("link refused");
    assert_eq!(refused["reason"], "wrong token");
    // As the kubelet does with a projected one, in time if it can.
    parts.write_token(1, next);
    activator.wait_log("autoscaler answered");
}

#[test]
fn an_activator_that_comes_back_is_known_by_its_token_without_the_api_server() {
    let api = FakeApi::start();
    // It says of itself that it holds for a thousand years.
    let token = "e30.eyJleHAiOjMyNTAzNjgwMDAwfQ.x";
    api.give_token(token, "dormouse-activator", "activator-1");
    let mut parts = Parts::showing(&api, &[], &[token]);
    parts.activator().wait_log("autoscaler answered");
    let reviews = || {
        let requests = api.requests().into_iter();
        requests.filter(|request| request.path.ends_with("/tokenreviews")).count()
    };
    assert_eq!(reviews(), 1);
    // Frozen for so long that it is cut off.
    parts.activator().signal(Signal::SIGSTOP);
    parts.autoscaler().wait_log("link connection cut");
    parts.activator().signal(Signal::SIGCONT);
    parts.activator().log().wait("a second answer", |lines| {
        let answers = lines.iter().filter(|it| it["message"] == "autoscaler answered");
        (answers.count() == 2).then_some(())
    });
    assert_eq!(reviews(), 1);
}

#[test]
fn an_activator_that_drains_says_its_last_word_to_every_autoscaler() {
    let Pair { api: _api, _app, mut parts } = Pair::on(FakeApi::start());
    parts.activator().signal(Signal::SIGTERM);
    assert!(parts.activator().wait_end().success());
    for autoscaler in parts.autoscalers() {
        let ended = autoscaler.wait_log("activator ended");
        assert_eq!(ended["reporter"], "activator-1");
    }
}
