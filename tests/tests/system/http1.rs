//! What HTTP/1.1 allows, forbids and leaves open, byte by byte through the running proxy. The
//! function answers each request with the bytes it received.

use std::fmt::Write as _;

use dormouse_tests::http::{Client, Closed, Response};
use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, Up, host};

/// What a row expects.
enum Expect {
    /// An answer of the proxy's own, with this status, and the end of the connection.
    Refused(u16),
    /// The function's answer: the request it saw holds all of the first, none of the second; lower
    /// case throughout.
    Sees(&'static [&'static str], &'static [&'static str]),
}

use Expect::{Refused, Sees};

/// What it is about, the request (`HOST` stands for the function's host), what is expected. A path
/// of `/smuggled` must never reach the function.
type Row = (&'static str, &'static str, Expect);

const LENGTHS: &[Row] = &[
    (
        "Content-Length before Transfer-Encoding: the length is gone or the request refused",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Sees(&["\r\n\r\nhello"], &["content-length"]),
    ),
    (
        "Transfer-Encoding before Content-Length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Sees(&["\r\n\r\nhello"], &["content-length"]),
    ),
    (
        "two different lengths",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5, 5\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a hexadecimal length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x5\r\n\r\nhello",
        Refused(400),
    ),
    (
        "an empty length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length:\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        Refused(400),
    ),
    (
        "two equal lengths are one",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Sees(&["content-length: 5\r\n", "\r\n\r\nhello"], &["5, 5"]),
    ),
];

const CODINGS: &[Row] = &[
    (
        "identity",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity\r\n\r\n",
        Refused(400),
    ),
    (
        "a coding that only looks like chunked",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "chunked not last",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a vertical tab before chunked",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "chunked in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "gzip, chunked",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused(501),
    ),
    (
        "identity, chunked",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        Refused(501),
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Refused(501),
    ),
    (
        "chunked in two headers",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(501),
    ),
    (
        "a chunk size in C's hexadecimal",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         0x5\r\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a signed chunk size",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         +5\r\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a chunk size beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         fffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a chunk size ended by a bare line feed",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a bare line feed in a chunk extension",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;a\nb\r\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a chunk longer than it says",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nhello\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "chunk extensions end here",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;name=value\r\nhello\r\n0\r\n\r\n",
        Sees(&["\r\n\r\nhello"], &["name=value"]),
    ),
];

const SYNTAX: &[Row] = &[
    ("a space before the colon", "GET / HTTP/1.1\r\nHost : HOST\r\n\r\n", Refused(400)),
    ("a folded header", "GET / HTTP/1.1\r\nHost: HOST\r\nX-Folded: a\r\n b\r\n\r\n", Refused(400)),
    (
        "a bare carriage return",
        "GET / HTTP/1.1\r\nHost: HOST\r\nX-Bare: a\rb\r\n\r\n",
        Refused(400),
    ),
    ("a NUL", "GET / HTTP/1.1\r\nHost: HOST\r\nX-Nul: a\0b\r\n\r\n", Refused(400)),
    ("a space before the first header", "GET / HTTP/1.1\r\n Host: HOST\r\n\r\n", Refused(400)),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: HOST\r\n\r\n", Refused(400)),
    (
        "bytes beyond ASCII in the target",
        "GET /caf\u{e9} HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Refused(400),
    ),
    (
        "lines ended by bare line feeds are passed on clean",
        "GET /lf HTTP/1.1\nHost: HOST\nX-Line: feed\n\n",
        Sees(&["get /lf http/1.1\r\n", "x-line: feed\r\n"], &[]),
    ),
    (
        "empty lines before the request",
        "\r\n\r\nGET /late HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Sees(&["get /late http/1.1\r\n"], &[]),
    ),
    (
        "the characters { } \" | ^ in the target",
        "GET /{}|^\" HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Sees(&["get /{}|^\" http/1.1\r\n"], &[]),
    ),
    (
        "bytes beyond ASCII in a header",
        "GET / HTTP/1.1\r\nHost: HOST\r\nX-Name: caf\u{e9}\r\n\r\n",
        Sees(&["x-name: caf\u{e9}\r\n"], &[]),
    ),
    (
        "a GET with a body",
        "GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello",
        Sees(&["content-length: 5\r\n", "\r\n\r\nhello"], &[]),
    ),
];

const TARGETS: &[Row] = &[
    ("no Host", "GET / HTTP/1.1\r\n\r\n", Refused(400)),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", Refused(400)),
    (
        "the authority of an absolute target wins",
        "GET http://HOST/absolute HTTP/1.1\r\nHost: other.example\r\n\r\n",
        Sees(
            &["get /absolute http/1.1\r\n", "\r\nhost: mirror.default.localhost\r\n"],
            &["other.example"],
        ),
    ),
    (
        "OPTIONS of the server",
        "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Sees(&["options * http/1.1\r\n"], &[]),
    ),
    ("CONNECT", "CONNECT HOST:80 HTTP/1.1\r\nHost: HOST:80\r\n\r\n", Refused(405)),
];

const HOP_BY_HOP: &[Row] = &[
    (
        "an upgrade to HTTP/2 is not passed on",
        "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        Sees(&["get / http/1.1\r\n"], &["upgrade", "http2-settings", "h2c"]),
    ),
    (
        "what Connection names ends here",
        "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: x-auth, keep-alive\r\nX-Auth: secret\r\n\
         X-Other: stays\r\n\r\n",
        Sees(&["x-other: stays"], &["x-auth", "secret", "connection"]),
    ),
    (
        "the standard ones end here",
        "GET / HTTP/1.1\r\nHost: HOST\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic eA==\r\nProxy-Authenticate: Basic\r\nTE: gzip\r\n\r\n",
        Sees(&["\r\nhost:"], &["keep-alive", "proxy-", "te: gzip"]),
    ),
    (
        "Connection cannot take Host away",
        "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: host\r\n\r\n",
        Sees(&["\r\nhost: mirror.default.localhost\r\n"], &[]),
    ),
    (
        "where a request comes from is ours to say",
        "GET / HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: other.example\r\nForwarded: for=192.0.2.1\r\n\r\n",
        Sees(
            &[
                "x-forwarded-for: 127.0.0.1\r\n",
                "x-forwarded-proto: http\r\n",
                "x-forwarded-host: mirror.default.localhost\r\n",
            ],
            &["192.0.2.1", "https", "other.example"],
        ),
    ),
];

#[test]
fn every_row_of_http_1_1() {
    let up = mirror();
    let mut faults = String::new();
    let rows = [LENGTHS, CODINGS, SYNTAX, TARGETS, HOP_BY_HOP];
    for (about, request, expect) in rows.into_iter().flatten() {
        if let Err(fault) = check(&up, request, expect) {
            writeln!(faults, "{about}: {fault}").unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = up.get("mirror", "/seen").text();
    assert!(!seen.contains("/smuggled"), "{seen}");
}

fn mirror() -> Up {
    let up = Start::new()
        .functions(&[&Function::fixture("mirror", &["mirror"])
            .annotated("autoscaling.knative.dev/min-scale", "1")])
        .up();
    assert_eq!(up.get("mirror", "/seen").status, 200);
    up
}

fn check(up: &Up, request: &str, expect: &Expect) -> Result<(), String> {
    // The rows' characters beyond ASCII are single bytes on the wire.
    let bytes: Vec<u8> = request
        .replace("HOST", &host("mirror"))
        .chars()
        .map(|character| u8::try_from(u32::from(character)).expect("rows are Latin-1"))
        .collect();
    let mut client = Client::connect(up.gateway);
    client.send(bytes).map_err(|error| error.to_string())?;
    let answer = client.response().map_err(|error| error.to_string())?;
    match expect {
        Refused(status) => {
            if answer.status != *status {
                return Err(format!("{} instead of {status}: {}", answer.status, said(&answer)));
            }
            match client.closed().map_err(|error| error.to_string())? {
                Closed::Yes => Ok(()),
                Closed::No(bytes) => Err(format!("left open, then {}", latin1(&bytes))),
            }
        }
        Sees(all, none) => {
            if answer.status != 200 {
                return Err(format!("{}: {}", answer.status, said(&answer)));
            }
            let seen = said(&answer).to_lowercase();
            let missing = all.iter().find(|part| !seen.contains(**part));
            let leaked = none.iter().find(|part| seen.contains(**part));
            match (missing, leaked) {
                (None, None) => Ok(()),
                (Some(part), _) => Err(format!("without {part:?}: {seen:?}")),
                (_, Some(part)) => Err(format!("with {part:?}: {seen:?}")),
            }
        }
    }
}

fn said(answer: &Response) -> String {
    latin1(&answer.body)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[test]
fn a_chunk_extension_of_any_length_is_refused_past_a_bound() {
    let up = mirror();
    let extension = "x".repeat(20 * 1024);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;{extension}\r\nhello\r\n0\r\n\r\n",
        host("mirror")
    );
    let mut client = Client::connect(up.gateway);
    client.send(request).unwrap();
    assert_eq!(client.response().unwrap().status, 400);
}

#[test]
fn a_head_past_its_bounds_is_refused() {
    let up = mirror();
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(512 * 1024));
    for headers in [many, long] {
        let mut client = Client::connect(up.gateway);
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", host("mirror"));
        // The proxy may close before it has read everything.
        let sent = client.send(request);
        match client.response() {
            Ok(answer) => assert_eq!(answer.status, 431, "{sent:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    let mut client = Client::connect(up.gateway);
    let target = "x".repeat(70_000);
    client.send(format!("GET /{target} HTTP/1.1\r\nHost: {}\r\n\r\n", host("mirror"))).unwrap();
    let status = client.response().unwrap().status;
    assert!(matches!(status, 414 | 431), "{status}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let up = mirror();
    let mut client = Client::connect(up.gateway);
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", host("mirror"));
    client.send(["/first", "/second", "/third"].map(request).concat()).unwrap();
    for path in ["/first", "/second", "/third"] {
        let answer = client.response().unwrap();
        assert!(answer.text().starts_with(&format!("GET {path} ")), "{}", answer.text());
    }
}

#[test]
fn a_connection_is_kept_until_the_client_says_close() {
    let up = mirror();
    let mut client = Client::connect(up.gateway);
    for number in 0..50 {
        let answer = client.get(&host("mirror"), &format!("/{number}")).unwrap();
        assert_eq!(answer.status, 200);
        assert_ne!(answer.header("connection"), Some("close"));
    }
    let request =
        format!("GET /last HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host("mirror"));
    client.send(request).unwrap();
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!(client.closed().unwrap(), Closed::Yes);
}

#[test]
fn a_client_that_expects_100_continue_gets_it_and_the_function_does_not() {
    let up = mirror();
    let mut client = Client::connect(up.gateway);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        host("mirror")
    );
    client.send(head).unwrap();
    assert_eq!(client.response().unwrap().status, 100);
    client.send("hello").unwrap();
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 200);
    let seen = answer.text().to_lowercase();
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert!(!seen.contains("expect"), "{seen}");
}

#[test]
fn announced_trailers_reach_the_function() {
    let up = mirror();
    let mut client = Client::connect(up.gateway);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
        host("mirror")
    );
    client.send(request).unwrap();
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 200);
    let seen = answer.text().to_lowercase();
    assert!(seen.contains("x-sum: 42"), "{seen}");
}
