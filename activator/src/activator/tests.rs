//! What a worker's thread does while nothing is asked of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use dormouse_link::activator_side::Identity;
use dormouse_metrics::times::{IDLE_US, Timed};
use tokio::time::Instant;

use super::*;
use crate::config::IfTaken;
use crate::config::Token;
use crate::worker::IDLE_LOOK_INTERVAL;

/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(link: String) -> Start {
    let identity = Identity { reporter: String::new(), boot: 0 };
    Start::new(Arc::new(Config::new(vec![link], Token::Fixed(String::new()), identity)), 1).unwrap()
}

/// The one place for a function is free again though nobody told the worker that it went.
#[test]
fn a_worker_that_sleeps_holds_no_function() {
    // Never answers, so that no table makes work.
    let autoscaler = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = autoscaler.local_addr().unwrap().to_string();
    let start = Start { registry: Arc::new(Registry::bounded(2, 1)), ..start(link) };
    let registry = Arc::clone(&start.registry);
    let any = "127.0.0.1:0".parse().unwrap();
    let (gateway, sockets) = listen::bind(any, IfTaken::Fail, 1).unwrap();
    let activator = start.threads(Some(gateway), sockets, None).unwrap();
    // Its answer shows that the worker came so far as to count as awake.
    let mut client = TcpStream::connect(gateway).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: nobody\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(registry.register("default/old").unwrap());
    drop(registry.remove("default/old"));
    let until = Instant::now() + PATIENCE;
    while registry.register("default/new").is_err() {
        assert!(Instant::now() < until, "the worker sleeps and holds a function");
        std::thread::yield_now();
    }
    activator.drain();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(activator.stopped()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_gives_up_the_times_of_idle_functions() {
    let start = start(String::new());
    let writer = start.registry.writer(0).unwrap();
    let counters = start.registry.register("default/hello").unwrap();
    let (signals, _signalled) = mpsc::channel(1);
    let (_inbox, commands) = mpsc::channel(1);
    let (crowd, mut handed) = Crowd::new(1);
    let worker = Worker::new(start.parts(signals, crowd), writer, Tcp, 1);
    worker.writer.begin(&counters, worker.clock).answered(200);
    assert_eq!(counters.times(Timed::Response).unwrap().count(), 1);
    let running = Rc::clone(&worker).run(commands, handed.remove(0));
    let idle = tokio::time::sleep(Duration::from_micros(IDLE_US) + 2 * IDLE_LOOK_INTERVAL);
    let both = async {
        tokio::select! {
            () = running => panic!("it runs until it is drained"),
            () = idle => {}
        }
    };
    LocalSet::new().run_until(both).await;
    assert_eq!(counters.times(Timed::Response), None);
}
