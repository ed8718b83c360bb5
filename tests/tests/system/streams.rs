//! Bodies and tunnels stream both ways, with back-pressure; nothing is held whole.

use std::fs;
use std::io::Write;
use std::time::Duration;

use dormouse_tests::http::{Client, Closed};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host};
use dormouse_tests::wait;

const MIB: usize = 1024 * 1024;
const BODY_BYTES: usize = 64 * MIB;

/// A write that waits so long is blocked: the receiving end has taken all that it will take.
const BLOCKED: Duration = Duration::from_secs(2);

/// What the proxy may grow by while 64 MiB want to pass: a few buffers, never the body.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

fn echo() -> Up {
    let up = Start::new().functions(&[&Function::fixture("echo", &["echo"])]).up();
    assert_eq!(up.get("echo", "/").status, 200);
    up
}

fn post(length: Option<usize>) -> String {
    let framing = length.map_or_else(
        || "Transfer-Encoding: chunked".to_owned(),
        |length| format!("Content-Length: {length}"),
    );
    format!("POST / HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n", host("echo"))
}

#[test]
fn each_part_of_a_body_passes_before_the_next_is_sent() {
    let up = echo();
    let mut client = Client::connect(up.gateway);
    client.send(post(None)).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    for number in 0..100 {
        let part = format!("part {number:03}");
        client.send(format!("8\r\n{part}\r\n")).unwrap();
        assert_eq!(client.chunk().unwrap().unwrap(), part.as_bytes());
    }
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.chunk().unwrap(), None);
}

#[test]
fn a_body_of_64_mib_goes_there_and_back_unchanged() {
    let up = echo();
    let mut client = Client::connect(up.gateway);
    let mut socket = client.socket();
    let body: Vec<u8> = (0..BODY_BYTES).map(pattern).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            socket.write_all(post(Some(BODY_BYTES)).as_bytes()).unwrap();
            socket.write_all(&body).unwrap();
        });
        let answer = client.response().unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{} bytes came back changed", answer.body.len());
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_flow_and_fills_no_memory() {
    let up = echo();
    let before = resident_kib(&up);
    let mut client = Client::connect(up.gateway);
    let mut socket = client.socket();
    socket.set_write_timeout(Some(BLOCKED)).unwrap();
    socket.write_all(post(Some(BODY_BYTES)).as_bytes()).unwrap();
    let piece: Vec<u8> = (0..MIB).map(pattern).collect();
    let mut sent = 0;
    let blocked = loop {
        if sent == BODY_BYTES {
            break false;
        }
        match socket.write(&piece[sent % MIB..]) {
            Ok(length) => sent += length,
            Err(_) => break true,
        }
    };
    assert!(blocked, "64 MiB went into buffers");
    let grown = resident_kib(&up).saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "grown by {grown} KiB");
    // Once the client reads, everything arrives.
    socket.set_write_timeout(Some(wait::DEADLINE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while sent < BODY_BYTES {
                sent += socket.write(&piece[sent % MIB..]).unwrap();
            }
        });
        let answer = client.response().unwrap();
        assert_eq!(answer.body.len(), BODY_BYTES);
        assert!(answer.body.chunks(MIB).all(|echoed| echoed == piece));
    });
}

#[test]
fn a_tunnel_carries_bytes_both_ways_from_the_first_on() {
    let up = Start::new()
        .functions(&[&Function::fixture("tunnel", &["tunnel"])
            .annotated("dormouse.dev/request-timeout", "1s")])
        .up();
    let mut client = Client::connect(up.gateway);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\nearly",
        host("tunnel")
    );
    client.send(request).unwrap();
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(client.exactly(5).unwrap(), b"hello");
    assert_eq!(client.exactly(5).unwrap(), b"early");
    client.send("later").unwrap();
    assert_eq!(client.exactly(5).unwrap(), b"later");
    // A tunnel is load as long as it stands, past the request's own time-out too.
    let opened = std::time::Instant::now();
    up.wait("tunnel", "in use past the request-timeout", |now| {
        now["in_flight"] == 1 && opened.elapsed() > Duration::from_secs(2)
    });
    client.send("still").unwrap();
    assert_eq!(client.exactly(5).unwrap(), b"still");
    client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.closed().unwrap(), Closed::Yes);
    up.wait("tunnel", "idle", |now| now["in_flight"] == 0);
}

#[test]
fn a_function_that_closes_its_connections_unannounced_fails_no_request() {
    let start = Start::new();
    let closed = start.folder().join("closed");
    let once = Function::fixture("once", &["once", &closed.to_string_lossy()]);
    let up = start.functions(&[&once]).up();
    for number in 1..=20 {
        let answer = up.get("once", "/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Only a close that has happened can be seen; what is on its way may rightly be a 502.
        wait::until("the function to close", || {
            let closes = fs::read_to_string(&closed).unwrap_or_default();
            (closes.lines().count() >= number).then_some(())
        });
    }
}

// Neighbouring bytes differ, and so do neighbouring blocks: a lost or doubled one shows.
fn pattern(position: usize) -> u8 {
    let block = position % MIB / 1021;
    u8::try_from((position % MIB + block) % 251).expect("less than 251")
}

fn resident_kib(up: &Up) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", up.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.unwrap().parse().unwrap()
}
