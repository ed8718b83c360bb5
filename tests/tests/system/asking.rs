//! `status`, `explain` and `doctor`, asked of a cluster through its API server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::http::Client;
use dormouse_tests::parts::{Parts, address_of_its_own};
use dormouse_tests::program::{self, Scratch};
use dormouse_tests::wait;
use serde_json::{Value, json};

/// A cluster with a function, both parts, and a person's kubeconfig.
struct Person {
    api: FakeApi,
    scratch: Scratch,
    parts: Parts,
    app: App,
}

impl Person {
    fn new() -> Self {
        let (api, app, scratch) = (FakeApi::start(), App::start(), Scratch::new());
        api.put("deployments", app.deployment("hello", &[]));
        api.put("services", app.service("hello"));
        let parts = Parts::start(&api);
        parts.wait_function("default/hello", "asleep", |it| it["state"] == "asleep");
        Self { api, scratch, parts, app }
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
    let nothing = person.dormouse(&["status", "-n", "other", "--json"]);
    assert_eq!(json_of(&nothing), json!([]));
    fails(&nothing, 0, "dormouse: no functions in namespace other\n");
    assert_eq!(person.parts.get("hello.default", "/").status, 200);
    let explained = json_of(&person.dormouse(&["explain", "hello", "--json", "-n", "default"]));
    assert_eq!(explained["status"]["name"], "default/hello");
    assert!(!explained["decisions"].as_array().unwrap().is_empty(), "{explained:#}");
    let other = person.dormouse(&["explain", "other"]);
    fails(&other, 1, "no function is named \"other\"");
    let asked = person.api.requests();
    let proxied =
        "/api/v1/namespaces/dormouse/services/dormouse-autoscaler:admin/proxy/api/v1/functions";
    assert!(asked.iter().any(|request| request.path == proxied), "{asked:#?}");
}

#[test]
fn whoever_is_set_aside_is_told_of_with_the_reason() {
    let person = Person::new();
    person.api.proxy(person.parts.admin);
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let told = |of: &str| text(&person.dormouse(&["status", "-n", of]));
    assert!(!told("default").contains('!'), "{}", told("default"));
    let torn = [("autoscaling.knative.dev/min-scale", "many")];
    person.api.put("deployments", person.app.deployment("torn", &torn));
    let why = "Deployment default/torn: annotation autoscaling.knative.dev/min-scale: \"many\"";
    let line = wait::until("a line on it", || {
        let told = told("default");
        told.lines().find(|line| line.starts_with("! ")).map(ToOwned::to_owned)
    });
    assert!(line.contains(why), "{line}");
    assert!(told("default").contains("default/hello"));
    assert_eq!(told("other").lines().filter(|line| line.starts_with('!')).count(), 0);
    for name in ["torn", "default/torn"] {
        let explained = person.dormouse(&["explain", name]);
        fails(&explained, 1, &format!("no function is named {name:?}; {why}"));
    }
    person.api.put("deployments", person.app.deployment("torn", &[]));
    wait::until("it to be mended", || (!told("default").contains("min-scale")).then_some(()));
}

#[test]
fn an_autoscaler_that_does_not_tell_of_others_is_asked_all_the_same() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = listener.local_addr().unwrap().to_string();
    let older = thread::spawn(move || {
        for (path, answer) in [
            ("/api/v1/functions ", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"),
            ("/api/v1/complaints ", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            lines.read_line(&mut line).unwrap();
            assert!(line.contains(path), "{line}");
            while line != "\r\n" {
                line.clear();
                lines.read_line(&mut line).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let asked = Command::new(program::dormouse())
        .args(["status", "--admin", &admin])
        .env("XDG_RUNTIME_DIR", scratch.path())
        .output()
        .unwrap();
    older.join().unwrap();
    assert!(asked.status.success(), "{asked:?}");
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

/// A replica that leads: it answers one question, and returns what came.
fn lead(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\n\
                  content-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(asked).unwrap()
}

#[test]
fn a_replica_that_does_not_lead_passes_questions_on_and_answers_if_it_cannot() {
    let (api, app) = (FakeApi::start(), App::start());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    let held = json!({"holderIdentity": "leader-1_00ff", "leaseDurationSeconds": 40});
    let name = "dormouse-autoscaler";
    api.put("leases", json!({"metadata": {"name": name}, "spec": held}));
    let parts = Parts::start(&api);
    let ask = |header: &str| {
        let mut client = Client::connect(parts.admin);
        let path = "/api/v1/functions/default/hello";
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n")).unwrap();
        client.response().unwrap()
    };
    wait::until("it to know the function", || (ask("").status == 200).then_some(()));
    // Where the Lease says, and at the port that every replica has.
    let leader = address_of_its_own();
    let listener = TcpListener::bind((leader, parts.admin.port())).unwrap();
    let pod = json!({"metadata": {"name": "leader-1"}, "status": {"podIP": leader.to_string()}});
    api.put("pods", pod);
    let (answer, asked) = thread::scope(|scope| {
        let leading = scope.spawn(|| lead(&listener));
        (ask(""), leading.join().unwrap())
    });
    assert_eq!((answer.status, &*answer.text()), (404, "{}"), "as the leader has it");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let line = "GET /api/v1/functions/default/hello HTTP/1.1\r\n";
    assert!(asked.starts_with(line) && asked.contains("dormouse-passed: 1\r\n"), "{asked}");
    assert_eq!(ask("dormouse-passed: 1\r\n").status, 200, "passed on once, and no further");
    drop(listener);
    assert_eq!(ask("").status, 200, "nobody listens there");
    api.delete("pods", "leader-1");
    assert_eq!(ask("").status, 200, "it is not known where");
}

/// A kubeconfig for something else at that address.
fn leading_to(api: &FakeApi, folder: &Path, address: SocketAddr) -> String {
    let path = api.kubeconfig(folder);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["clusters"][0]["cluster"]["server"] = json!(format!("http://{address}"));
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_asked_is_said_in_a_line_with_its_place_and_why() {
    let person = Person::new();
    let dormouse = program::dormouse();
    let complaint = |arguments: &[&str], code: i32| {
        let output = person.run(&dormouse, arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
        complaint
    };
    let said = complaint(&["status", "--kubeconfig", "/nowhere/config"], 1);
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
    assert!(said.starts_with("dormouse: kubeconfig /nowhere/config cannot be used"), "{said}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = leading_to(&person.api, person.scratch.path(), free);
    let closed = ["--kubeconfig", &config];
    for (command, code) in [(&["status"][..], 1), (&["explain", "a"], 1), (&["doctor"], 3)] {
        let said = complaint(&[command, &closed].concat(), code);
        assert!(said.contains(&format!("http://{free}/ cannot be asked")), "{said}");
        assert_eq!(said.matches("Connection refused").count(), 1, "{said}");
    }
    for name in ["a/b/c", "/a", "a/", ""] {
        let said = complaint(&[&["explain", name], &closed[..]].concat(), 2);
        assert!(said.contains("NAMESPACE/NAME"), "{said}");
    }
}

/// Answers `/version` so, and all else otherwise, each with a status and a body, until it is asked
/// for `/end`.
fn pretend(listener: &TcpListener, version: (&str, &str), other: (&str, &str)) {
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let (mut path, mut length) = (String::new(), 0);
        for line in stream.by_ref().lines().map(Result::unwrap).take_while(|it| !it.is_empty()) {
            let line = line.to_lowercase();
            match line.split_once(": ") {
                Some(("content-length", bytes)) => length = bytes.parse().unwrap(),
                Some(_) => {}
                None => line.split(' ').nth(1).unwrap().clone_into(&mut path),
            }
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        let (status, body) = if path == "/version" { version } else { other };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close");
        write!(stream.get_mut(), "{head}\r\n\r\n{body}").unwrap();
        if path == "/end" {
            return;
        }
    }
}

#[test]
fn who_answers_and_is_no_autoscaler_is_named() {
    for answer in [("200 OK", "<html>"), ("200 OK", "{}"), ("404 Not Found", "<html>")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = Command::new(program::dormouse());
        command.args(["status", "--admin", &address.to_string()]);
        let output = thread::scope(|scope| {
            scope.spawn(|| pretend(&listener, answer, answer));
            let output = command.output().unwrap();
            Client::connect(address).get("localhost", "/end").unwrap();
            output
        });
        fails(&output, 1, &format!("http://{address} is no autoscaler of Dormouse"));
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{output:?}");
    }
}

#[test]
fn doctor_says_of_what_is_no_api_server_that_it_cannot_be_asked() {
    let (api, scratch) = (FakeApi::start(), Scratch::new());
    let doctor = |version, other| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = leading_to(&api, scratch.path(), address);
        let mut command = Command::new(program::dormouse());
        command.args(["doctor", "--kubeconfig", &config]);
        let output = thread::scope(|scope| {
            scope.spawn(|| pretend(&listener, version, other));
            let output = command.output().unwrap();
            Client::connect(address).get("localhost", "/end").unwrap();
            output
        });
        (address, output)
    };
    let unauthorized = r#"{"kind": "Status", "code": 401, "message": "Unauthorized"}"#;
    for version in [
        ("401 Unauthorized", unauthorized),
        ("401 Unauthorized", "<html>"),
        ("302 Found", ""),
        ("200 OK", "<html>"),
        ("200 OK", "[]"),
    ] {
        let (address, output) = doctor(version, version);
        fails(&output, 3, &format!("http://{address}/ cannot be asked: /version was answered"));
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    // Of what it then says that cannot be, only what it is about remains unknown.
    for other in ["[]", "1", r#"{"items": [1, null, []]}"#] {
        let (_, output) = doctor(("200 OK", "{}"), ("200 OK", other));
        fails(&output, 1, "");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}
