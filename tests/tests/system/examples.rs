//! The examples run as they are, and clients of the trade talk to them.

use std::net::SocketAddr;

use dormouse_tests::http::Client;
use dormouse_tests::program::checkout;
use dormouse_tests::up::{Start, Up, host};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

fn example(path: &str) -> Up {
    let path = checkout().join("deploy/examples").join(path);
    Start::new().argument("-f", &path.to_string_lossy()).up()
}

#[test]
fn hello_answers_from_zero_and_goes_back_there() {
    let up = example("hello.yaml");
    up.wait_asleep("hello");
    let answer = up.get("hello", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with("Hello from "), "{}", answer.text());
    up.wait_asleep_again("hello");
}

#[test]
fn python_answers_once_its_probe_succeeds() {
    let up = example("python");
    let answer = up.get("python", "/primes/1000");
    assert_eq!(answer.text(), "168 primes below 1000\n");
    up.wait_asleep_again("python");
}

#[test]
fn node_echoes_a_websocket_and_sends_events() {
    let up = example("node");
    let mut client = Client::connect(up.gateway);
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", host("node"));
    client.send(request).unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    for _ in 0..2 {
        let event = client.chunk().unwrap().unwrap();
        assert!(event.starts_with(b"data: "), "{event:?}");
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(echo(up.gateway));
    drop(client);
    up.wait_asleep_again("node");
}

async fn echo(gateway: SocketAddr) {
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let url = format!("ws://{}/echo", host("node"));
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for said in [Message::text("hello"), Message::text("ö".repeat(40_000))] {
        socket.send(said.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), said);
    }
    socket.close(None).await.unwrap();
    while let Some(frame) = socket.next().await {
        assert!(frame.unwrap().is_close());
    }
}
