//! The end: gracefully by SIGTERM, SIGINT and SIGHUP, cleanly even by SIGKILL.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use dormouse_tests::http::{Client, together};
use dormouse_tests::journal::Journal;
use dormouse_tests::manifest::Function;
use dormouse_tests::program;
use dormouse_tests::up::Start;
use dormouse_tests::wait;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

#[test]
fn sigterm_under_load_answers_held_and_open_requests_then_exits_0() {
    let start = Start::new();
    let received = start.folder().join("received");
    let record = received.to_string_lossy();
    let open = Function::demo("open", &["--record", &record]).replicas(1);
    let held = Function::demo("held", &["--start-delay", "3s", "--record", &record]);
    let mut up = start.functions(&[&open, &held]).up();
    up.wait("open", "ready", |now| now["ready"] == 1);
    let answers = std::thread::scope(|scope| {
        let up = &up;
        let clients = scope.spawn(move || {
            together(20, |client| {
                let (function, work) = if client < 10 { ("open", "3s") } else { ("held", "10ms") };
                up.get(function, &format!("/id/{client}?work={work}"))
            })
        });
        up.wait("open", "ten in flight", |now| now["in_flight"] == 10);
        up.wait_held("held", 10);
        up.signal(Signal::SIGTERM);
        // One wish, said twice, as by `timeout`: to the process and to its group.
        up.signal(Signal::SIGINT);
        clients.join().unwrap()
    });
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(up.wait_end().code(), Some(0));
    up.wait_nobody_left();
    let received = fs::read_to_string(received).unwrap();
    let mut received: Vec<usize> = received.lines().map(|id| id.parse().unwrap()).collect();
    received.sort_unstable();
    assert_eq!(received, (0..20).collect::<Vec<_>>());
}

#[test]
fn sigint_ends_an_idle_run_and_its_children_with_exit_0() {
    let idle = Function::demo("idle", &[]).replicas(1);
    let mut up = Start::new().functions(&[&idle]).up();
    up.wait("idle", "ready", |now| now["ready"] == 1);
    let mut keep_alive = Client::connect(up.gateway);
    let host = dormouse_tests::up::host("idle");
    assert_eq!(keep_alive.get(&host, "/").unwrap().status, 200);
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait_end().code(), Some(0));
    up.wait_nobody_left();
    let left: Vec<_> = fs::read_dir(up.folder()).unwrap().flatten().collect();
    let runtime_files =
        left.iter().filter(|file| file.file_name().to_string_lossy().starts_with("up-"));
    assert_eq!(runtime_files.count(), 0, "the runtime file stayed");
}

#[test]
fn a_second_signal_ends_at_once_whatever_hangs() {
    let stuck = Function::fixture("swallow", &["swallow"]).replicas(1);
    let mut up = Start::new().functions(&[&stuck]).up();
    up.wait("swallow", "ready", |now| now["ready"] == 1);
    let mut client = Client::connect(up.gateway);
    let host = dormouse_tests::up::host("swallow");
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
    up.wait("swallow", "one in flight", |now| now["in_flight"] == 1);
    up.signal(Signal::SIGTERM);
    let ended = wait::until("an impatient person's end", || {
        up.signal(Signal::SIGINT);
        up.ended()
    });
    assert_eq!(ended.code(), Some(1));
    up.wait_nobody_left();
}

#[test]
fn kill_9_leaves_no_child_nor_grandchild() {
    let script = format!(
        "sleep 1000 & (setsid sleep 1000 &) ; '{}' mirror & wait",
        program::fixture().display()
    );
    let tree = Function::running("tree", "/bin/sh", &["-c", &script]).replicas(2);
    let mut up = Start::new().functions(&[&tree]).up();
    up.wait("tree", "ready", |now| now["ready"] == 2);
    let running = up.processes();
    let sleeping = running.iter().filter(|(_, command)| command.contains("sleep 1000"));
    assert!(sleeping.count() >= 4, "{running:?}");
    up.signal(Signal::SIGKILL);
    up.wait_end();
    up.wait_nobody_left();
}

#[test]
fn who_is_to_outlive_its_terminal_goes_on_ignoring_that_it_closes() {
    let folder = program::Scratch::new();
    std::fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
    // As `nohup` starts it.
    let mut activator = Command::new("/bin/sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(program::dormouse())
        .args(["activator", "--link-dial=127.0.0.1:1", "--token-file=token", "--name=a"])
        .args(["--pod-ips=127.0.0.1", "--gateway=127.0.0.1:0", "--admin=127.0.0.1:0"])
        .args(["--log=info", "--log-format=json"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Journal::of(activator.stderr.take().unwrap(), |line| line.to_owned());
    log.wait("its gateway", |lines: &[String]| {
        lines.iter().any(|line| line.contains("listening")).then_some(())
    });
    let status = fs::read_to_string(format!("/proc/{}/status", activator.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    activator.kill().unwrap();
    activator.wait().unwrap();
    assert_eq!(ignored & 1, 1, "{status}");
}

#[test]
fn an_app_that_lingers_answers_whoever_comes_after_sigterm() {
    let mut demo = Command::new(program::dormouse())
        .args([
            "demo",
            "--port=0",
            "--address=127.0.0.1",
            "--linger=1h",
            "--log=info",
            "--log-format=json",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Journal::of(demo.stderr.take().unwrap(), |line| serde_json::from_str(line).unwrap());
    let address: SocketAddr = log.wait("its address", |lines: &[Value]| {
        lines.iter().find_map(|line| line["address"].as_str()?.parse().ok())
    });
    let mut early = Client::connect(address);
    assert_eq!(early.get("demo", "/").unwrap().header("connection"), None);
    let pid = Pid::from_raw(i32::try_from(demo.id()).unwrap());
    signal::kill(pid, Signal::SIGTERM).unwrap();
    wait::until("a word of its leaving", || {
        let answer = Client::connect(address).get("demo", "/").unwrap();
        assert_eq!(answer.status, 200);
        (answer.header("connection") == Some("close")).then_some(())
    });
    let last = early.get("demo", "/").unwrap();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    demo.kill().unwrap();
    demo.wait().unwrap();
}
