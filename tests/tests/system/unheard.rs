//! A log that cannot be written takes nothing with it.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::http::Client;
use dormouse_tests::parts::address_of_its_own;
use dormouse_tests::program::{self, Scratch};
use dormouse_tests::wait;
use serde_json::json;

/// A process whose every line of log fails, killed at the end.
struct Unheard(Child);

impl Unheard {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = Command::new(program::dormouse())
            .args(arguments)
            .args(["--log", "debug", "--token-file=token"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(full)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // Errors mean that there is nothing left to stop.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn both_parts_go_on_when_their_log_cannot_be_written() {
    let (api, app, scratch) = (FakeApi::start(), App::start(), Scratch::new());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    api.put("leases", json!({"metadata": {"name": "dormouse-autoscaler"}}));
    std::fs::write(scratch.path().join("token"), "0123456789abcdef").unwrap();
    let kubeconfig = api.kubeconfig(scratch.path());
    let (one, other) = (address_of_its_own(), address_of_its_own());
    let link = format!("--link-listen={one}:9001");
    let admin = |at| format!("--admin={at}:9002");
    let mut autoscaler = Unheard::start(
        scratch.path(),
        &["autoscaler", "--kubeconfig", kubeconfig.to_str().unwrap(), &link, &admin(one)],
    );
    let gateway = SocketAddr::from((other, 8080));
    let (listen, dial) = (format!("--gateway={gateway}"), format!("--link-dial={one}:9001"));
    let mut activator =
        Unheard::start(scratch.path(), &["activator", &listen, &dial, &admin(other)]);
    wait::until("an answer of the function", || {
        let ended = [&mut autoscaler, &mut activator].map(|it| it.0.try_wait().unwrap());
        assert_eq!(ended, [None, None], "both go on");
        TcpStream::connect(gateway).ok()?;
        let answer = Client::connect(gateway).get("hello.default", "/").ok()?;
        (answer.status == 200).then_some(())
    });
}
