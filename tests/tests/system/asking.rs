//! `status`, `explain` and `doctor`, asked of a cluster through its API server.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::parts::Parts;
use dormouse_tests::program::{self, Scratch};
use dormouse_tests::wait;
use serde_json::{Value, json};

/// A cluster with a function, both parts, and a person's kubeconfig.
struct Person {
    api: FakeApi,
    scratch: Scratch,
    parts: Parts,
    _app: App,
}

impl Person {
    fn new() -> Self {
        let (api, app, scratch) = (FakeApi::start(), App::start(), Scratch::new());
        api.put("deployments", app.deployment("hello", &[]));
        api.put("services", app.service("hello"));
        let parts = Parts::start(&api);
        parts.wait_function("default/hello", "asleep", |it| it["state"] == "asleep");
        Self { api, scratch, parts, _app: app }
    }

    fn kubeconfig(&self) -> String {
        self.api.kubeconfig(self.scratch.path()).to_str().unwrap().to_owned()
    }

    /// Runs a program that finds no `dormouse up` and no other cluster.
    fn run(&self, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("HOME", self.scratch.path())
            .env("XDG_RUNTIME_DIR", self.scratch.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn dormouse(&self, arguments: &[&str]) -> Output {
        let kubeconfig = self.kubeconfig();
        let arguments = [arguments, &["--kubeconfig", &kubeconfig]].concat();
        self.run(&program::dormouse(), &arguments, &[])
    }
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[track_caller]
fn fails(output: &Output, code: i32, says: &str) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(complaint.contains(says), "{complaint}");
}

#[test]
fn the_autoscaler_of_a_cluster_is_asked_through_the_api_server() {
    let person = Person::new();
    let unreached = person.dormouse(&["status"]);
    fails(&unreached, 1, "dormouse-autoscaler in namespace dormouse");
    person.api.proxy(person.parts.admin);
    let listed = json_of(&person.dormouse(&["status", "--json"]));
    assert_eq!(listed[0]["name"], "default/hello");
    assert_eq!(json_of(&person.dormouse(&["status", "-n", "other", "--json"])), json!([]));
    assert_eq!(person.parts.get("hello.default", "/").status, 200);
    let explained = json_of(&person.dormouse(&["explain", "hello", "--json", "-n", "default"]));
    assert_eq!(explained["status"]["name"], "default/hello");
    assert!(!explained["decisions"].as_array().unwrap().is_empty(), "{explained:#}");
    fails(&person.dormouse(&["explain", "other"]), 1, "no function is named");
    let asked = person.api.requests();
    let proxied =
        "/api/v1/namespaces/dormouse/services/dormouse-autoscaler:admin/proxy/api/v1/functions";
    assert!(asked.iter().any(|request| request.path == proxied), "{asked:#?}");
}

#[test]
fn the_leader_is_asked_where_a_lease_names_it() {
    let person = Person::new();
    person.api.proxy(person.parts.admin);
    person.api.put(
        "leases",
        json!({
            "metadata": {"namespace": "mouse", "name": "mouse-autoscaler", "uid": "1"},
            "spec": {"holderIdentity": "mouse-autoscaler-x_00ff"},
        }),
    );
    let place = ["status", "--autoscaler", "mouse/mouse-autoscaler", "--json"];
    assert_eq!(json_of(&person.dormouse(&place))[0]["name"], "default/hello");
    let asked = person.api.requests();
    let leader = "/api/v1/namespaces/mouse/pods/mouse-autoscaler-x:9002/proxy/api/v1/functions";
    assert!(asked.iter().any(|request| request.path == leader), "{asked:#?}");
}

#[test]
fn the_plug_in_asks_the_cluster_that_kubectl_would() {
    let person = Person::new();
    person.api.proxy(person.parts.admin);
    let plugin = person.scratch.path().join("kubectl-dormouse");
    symlink(program::dormouse(), &plugin).unwrap();
    let kubeconfig = person.kubeconfig();
    let listed = person.run(&plugin, &["status", "--json"], &[("KUBECONFIG", &kubeconfig)]);
    assert_eq!(json_of(&listed)[0]["name"], "default/hello");
    // The address that is named counts.
    let admin = person.parts.admin.to_string();
    let listed = person.run(&plugin, &["status", "--json", "--admin", &admin], &[]);
    assert_eq!(json_of(&listed)[0]["name"], "default/hello");
    fails(&person.run(&plugin, &["status"], &[]), 1, "no way to a cluster");
    let both = person.dormouse(&["status", "--admin", &admin]);
    fails(&both, 2, "cannot be used with");
}

#[test]
fn the_autoscaler_of_a_cluster_records_its_decisions() {
    let (api, app, scratch) = (FakeApi::start(), App::start(), Scratch::new());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    let record = scratch.path().join("record.jsonl");
    let parts = Parts::with(&api, &["--record", record.to_str().unwrap()]);
    parts.wait_route("hello.default");
    wait::until("a recorded wake", || {
        let text = std::fs::read_to_string(&record).ok()?;
        let lines: Vec<Value> =
            text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
        assert!(lines.first().is_none_or(|first| first["header"].is_object()), "{text}");
        let wake = |line: &&Value| line["decided"]["decision"]["inputs"]["why"] == "wake";
        lines.iter().find(wake).map(|_| ())
    });
}

#[test]
fn doctor_says_what_it_found_by_its_exit_status() {
    let person = Person::new();
    let found = person.dormouse(&["doctor", "--json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let found = json_of(&found);
    let checks: Vec<_> = found.as_array().unwrap().iter().map(|it| &it["check"]).collect();
    assert_eq!(checks, ["installed", "installed"], "neither part is installed: {found:#}");
    for component in ["autoscaler", "activator"] {
        person.api.put(
            "deployments",
            json!({
                "metadata": {
                    "namespace": "dormouse", "name": format!("dormouse-{component}"),
                    "labels": {
                        "app.kubernetes.io/name": "dormouse",
                        "app.kubernetes.io/component": component,
                    },
                },
                "spec": {
                    "replicas": 1,
                    "template": {"spec": {"containers": [{"image": "dormouse:1"}]}},
                },
                "status": {"readyReplicas": 1},
            }),
        );
    }
    let well = person.dormouse(&["doctor"]);
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    assert!(String::from_utf8_lossy(&well.stdout).contains("installed       ok"), "{well:?}");
    person.api.put(
        "horizontalpodautoscalers",
        json!({
            "metadata": {"namespace": "default", "name": "busy"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "hello"}},
        }),
    );
    let neighbour = person.dormouse(&["doctor", "--json"]);
    assert_eq!(neighbour.status.code(), Some(1));
    assert_eq!(json_of(&neighbour)[0]["object"], "Deployment default/hello");
    fails(&person.dormouse(&["doctor", "--autoscaler", "nowhere"]), 2, "--autoscaler");
    let nobody = person.run(&program::dormouse(), &["doctor"], &[]);
    fails(&nobody, 3, "no kubeconfig was found");
}
