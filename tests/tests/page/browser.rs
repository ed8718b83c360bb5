//! Chromium without a window, driven by its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Debian's Chromium without a window's libraries.
pub(crate) const PROGRAM: &str = "chromium";

/// How long the browser may take for anything: a crowded machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    process: Ended,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Value,
    number: u64,
    requested: Vec<String>,
    complaints: Vec<String>,
    /// Events by name that came while an answer was waited for.
    happened: Vec<String>,
}

/// Ends with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Browser {
    /// Starts one that keeps everything in `folder`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let mut process = Command::new(PROGRAM)
            // As root there is no sandbox; it shows a page of our own making.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--window-size=1200,1000", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", folder.join("browser").display()))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let process = Ended(process);
        let address = said.find_map(|line| {
            line.unwrap().strip_prefix("DevTools listening on ").map(str::to_owned)
        });
        // Whatever else it says has to go somewhere.
        std::thread::spawn(move || said.for_each(drop));
        let (socket, _) = connect_async(address.unwrap()).await.unwrap();
        let mut browser = Self {
            process,
            socket,
            session: Value::Null,
            number: 0,
            requested: Vec::new(),
            complaints: Vec::new(),
            happened: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target).await;
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let number = self.number;
        let mut call = json!({"id": number, "method": method, "params": parameters});
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let heard = self.hear().await;
            if heard["id"] == number {
                assert!(heard["error"].is_null(), "{method}: {}", heard["error"]);
                return heard["result"].clone();
            }
        }
    }

    async fn hear(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("the browser goes on").unwrap().unwrap();
            let Message::Text(text) = message else {
                continue;
            };
            let heard: Value = serde_json::from_str(&text).unwrap();
            if let Some(event) = heard["method"].as_str() {
                self.note(event, &heard["params"]);
            }
            return heard;
        }
    }

    fn note(&mut self, event: &str, told: &Value) {
        match event {
            "Network.requestWillBeSent" => {
                let address = told["request"]["url"].as_str().unwrap().to_owned();
                // What is in the page itself is not fetched.
                if !address.starts_with("data:") {
                    self.requested.push(address);
                }
            }
            "Log.entryAdded" | "Runtime.exceptionThrown" => self.complaints.push(told.to_string()),
            event => self.happened.push(event.to_owned()),
        }
    }

    pub(crate) async fn open(&mut self, address: &str) {
        self.happened.clear();
        self.call("Page.navigate", json!({"url": address})).await;
        while !self.happened.iter().any(|event| event == "Page.loadEventFired") {
            self.hear().await;
        }
    }

    /// The value of an expression.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let result = self.call("Runtime.evaluate", asked).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of an element, as it is shown.
    pub(crate) async fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({selector:?}).innerText")).await;
        text.as_str().unwrap().to_owned()
    }

    pub(crate) async fn point(&mut self, x: f64, y: f64) {
        let event = json!({"type": "mouseMoved", "x": x, "y": y});
        self.call("Input.dispatchMouseEvent", event).await;
    }

    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key,
                "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Light or dark.
    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]})).await;
    }

    /// All that was fetched.
    pub(crate) fn requested(&self) -> &[String] {
        &self.requested
    }

    /// What the page or the browser found wrong with it.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(crate) async fn end(mut self) {
        self.session = Value::Null;
        self.call("Browser.close", json!({})).await;
        self.process.0.wait().unwrap();
    }
}
