//! CPU per request of this proxy, nginx and Go's standard-library proxy, in interleaved rounds of
//! one run: each proxy alone on one core, one backend for all of them and the load on the other.

#![allow(clippy::print_stdout, reason = "what a bench is for")]

mod rivals;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use dormouse_figures::median;
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host};

/// The proxies' core; the backend and the load are on the other.
const PROXY_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// Rounds per body size; the median of so many stands still within a few per cent.
const ROUNDS: usize = 7;

/// A round in which the host took more than this share of our time says nothing about us.
const STEAL_MAX: f64 = 0.02;

const CONNECTIONS: &str = "50";
const SECONDS: &str = "3";

/// The kernel's unit of CPU time in `/proc`, in microseconds: `USER_HZ` is 100 on every Linux.
const TICK_US: f64 = 10_000.0;

/// A proxy under load.
struct Proxy {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
}

struct Round {
    cpu_us: f64,
    per_second: f64,
}

fn main() {
    let up = start();
    let backend = backend(&up);
    let nginx = rivals::Nginx::start(up.folder(), backend);
    let go = rivals::Go::start(backend);
    let proxies = [
        Proxy { name: "dormouse", address: up.gateway, pid: up.pid() },
        Proxy { name: "nginx", address: nginx.address, pid: nginx.worker() },
        Proxy { name: "go", address: go.address, pid: go.pid() },
    ];
    println!(
        "| HTTP/1.1 keep-alive, {CONNECTIONS} connections, one core per proxy \
         | Dormouse | nginx | Go `httputil.ReverseProxy` |"
    );
    println!("| --- | ---: | ---: | ---: |");
    for (body, path) in [("2 B", "/2"), ("64 KiB", "/64k")] {
        compare(body, path, &proxies);
    }
    drop((nginx, go));
}

fn start() -> Up {
    let start = Start::new().unrecorded().log("warn").on_core(PROXY_CORE);
    let script = rivals::backend_script(start.folder(), LOAD_CORE);
    let bench = Function::running("bench", "/bin/sh", &["-c", &script])
        .annotated("autoscaling.knative.dev/min-scale", "1")
        .annotated("autoscaling.knative.dev/max-scale", "1");
    start.functions(&[&bench]).up()
}

fn backend(up: &Up) -> SocketAddr {
    let now = up.wait("bench", "ready", |now| now["ready"] == 1);
    let address = now["pods"][0]["addresses"][0].as_str().unwrap_or_default();
    address.parse().expect("a pod has an address")
}

fn compare(body: &str, path: &str, proxies: &[Proxy]) {
    let mut rounds: Vec<Vec<Round>> = proxies.iter().map(|_| Vec::new()).collect();
    for proxy in proxies {
        load(proxy, path);
    }
    for _ in 0..ROUNDS {
        for (proxy, rounds) in proxies.iter().zip(&mut rounds) {
            let stolen = Stolen::now();
            let round = load(proxy, path);
            if stolen.share() <= STEAL_MAX {
                rounds.push(round);
            }
        }
    }
    line(&format!("CPU per request, {body} answers, µs"), &rounds, |round| round.cpu_us);
    line(&format!("requests per second, {body} answers"), &rounds, |round| round.per_second);
    let quiet: Vec<usize> = rounds.iter().map(Vec::len).collect();
    println!("\n(of {ROUNDS} rounds of {SECONDS} s each, so many were quiet: {quiet:?})\n");
}

/// A figure of each proxy, the median of its rounds, and how many times ours it is.
fn line(what: &str, rounds: &[Vec<Round>], figure: impl Fn(&Round) -> f64) {
    let figures = rounds.iter().map(|rounds| median(rounds.iter().map(&figure)));
    let figures: Vec<f64> = figures.collect();
    let cells = figures.iter().map(|it| format!("{it:.1} ({:.2} ×)", it / figures[0]));
    println!("| {what} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// One round of load on one proxy, and what it cost the proxy.
fn load(proxy: &Proxy, path: &str) -> Round {
    let before = cpu_us(proxy.pid);
    let output = Command::new("taskset")
        .args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1"])
        .args(["-c", CONNECTIONS, "-d", SECONDS])
        .args(["-H", &format!("Host: {}", host("bench"))])
        .arg(format!("http://{}{path}", proxy.address))
        .output()
        .expect("wrk runs");
    let spent = cpu_us(proxy.pid) - before;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !report.contains("Non-2xx") && !report.contains("Socket errors"),
        "{}: {report}",
        proxy.name
    );
    // "  193842 requests in 3.01s, 28.10MB read"
    let line = report.lines().find(|line| line.contains(" requests in "));
    let mut words = line.expect("wrk counts").split_whitespace();
    let requests: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let seconds = words.nth(2).and_then(|word| word.strip_suffix("s,"));
    let seconds: f64 = seconds.and_then(|word| word.parse().ok()).expect("seconds");
    Round { cpu_us: spent / requests, per_second: requests / seconds }
}

/// User and system time of a process so far.
fn cpu_us(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the proxy runs");
    // The name, in parentheses, may hold spaces; the times are 12th and 13th after it.
    let (_, after) = stat.rsplit_once(')').expect("a stat line has a name");
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number of ticks");
    (ticks(11) + ticks(12)) * TICK_US
}

/// What the host has taken from this machine so far.
struct Stolen {
    stolen: f64,
    all: f64,
}

impl Stolen {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("/proc is there on Linux");
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> =
            line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what follows is counted in user already.
        Self { stolen: ticks[7], all: ticks[..8].iter().sum() }
    }

    fn share(&self) -> f64 {
        let now = Self::now();
        (now.stolen - self.stolen) / (now.all - self.all)
    }
}
