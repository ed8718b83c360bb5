//! A pod's program in the test's own process: it answers every request with its path.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// The program. Dropped, it listens no more.
pub struct App {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    /// Listens on a free loopback port.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has one");
        let (answered, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counting, ending) = (Arc::clone(&answered), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let answered = Arc::clone(&counting);
                // It ends with its connection, which the activator closes at its own end.
                std::thread::spawn(move || stream.map(|stream| serve(stream, &answered)));
            }
        });
        Self { address, answered, is_over, thread: Some(thread) }
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// A Deployment at zero whose pods are this program, with these annotations beside the opt-in.
    #[must_use]
    pub fn deployment(&self, name: &str, annotations: &[(&str, &str)]) -> Value {
        let mut all = json!({
            "dormouse.dev/enabled": "true",
            "autoscaling.knative.dev/window": "6s",
        });
        for (key, value) in annotations {
            all[*key] = json!(value);
        }
        json!({
            "metadata": {"name": name, "annotations": all},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {
                        "labels": {"app": name},
                        "annotations": {"test/address": self.address.ip().to_string()},
                    },
                    "spec": {"containers": [{
                        "name": "app",
                        "ports": [{"containerPort": self.address.port()}],
                    }]},
                },
            },
        })
    }

    /// A Service without selector in front of one of them, by its target's name.
    #[must_use]
    pub fn targeting(&self, name: &str, target: &str) -> Value {
        json!({
            "metadata": {"name": name, "annotations": {"dormouse.dev/target": target}},
            "spec": {
                "ipFamilies": ["IPv4"],
                "ports": [{"name": "web", "port": 80, "targetPort": self.address.port()}],
            },
        })
    }

    /// The Service in front of it.
    #[must_use]
    pub fn service(&self, name: &str) -> Value {
        json!({
            "metadata": {"name": name},
            "spec": {
                "selector": {"app": name},
                "ports": [{"port": 80, "targetPort": self.address.port()}],
            },
        })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Only to wake the listener.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

/// Answers until the peer closes.
fn serve(stream: TcpStream, answered: &AtomicUsize) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut path = None;
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(length) if length > 0 => {}
                _ => return,
            }
            if line == "\r\n" {
                break;
            }
            path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
        }
        let body = path.unwrap_or_default();
        answered.fetch_add(1, Ordering::Relaxed);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.get_mut().write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}
