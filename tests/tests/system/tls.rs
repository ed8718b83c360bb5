//! The link under TLS.

use std::fs;
use std::path::Path;

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::parts::{Parts, address_of_its_own};
use dormouse_tests::program::{Scratch, checkout};
use serde_json::Value;

const HOST: &str = "hello.default";

/// Puts the certificate of that name where the autoscaler finds its own.
fn install(name: &str, folder: &Path, files: &[&str]) {
    let certificates = checkout().join("tests/testdata/link");
    for file in files {
        fs::copy(certificates.join(format!("{name}.{file}")), folder.join(file)).unwrap();
    }
}

fn says(lines: &[Value], message: &str, text: &str) -> Option<()> {
    let is = |line: &&Value| line["message"] == message && line.to_string().contains(text);
    lines.iter().find(is).map(|_| ())
}

#[test]
fn activators_know_the_autoscaler_by_its_certificate_and_follow_when_it_is_renewed() {
    let (api, app, scratch) = (FakeApi::start(), App::start(), Scratch::new());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    install("one", scratch.path(), &["certificate", "key", "authorities"]);
    let mut parts = Parts::secured(&api, scratch.path());
    assert_eq!(parts.wait_route(HOST).status, 200);

    // Another authority's: of it nobody was told, so nobody connects.
    install("other", scratch.path(), &["certificate", "key"]);
    let second = parts.add_activator("activator-2", address_of_its_own());
    second.log().wait("a refusal", |lines| says(lines, "link not connected", "certificate"));
    parts
        .autoscaler()
        .log()
        .wait("the end of it", |lines| says(lines, "link connection cut", "TLS"));
    // Now they are, and whoever dials learns it.
    install("other", scratch.path(), &["authorities"]);
    second.wait_log("link connected");
    assert_eq!(parts.wait_route(HOST).status, 200, "who was connected still is");
}

#[test]
fn who_speaks_no_tls_is_not_let_in() {
    let (api, scratch) = (FakeApi::start(), Scratch::new());
    install("one", scratch.path(), &["certificate", "key", "authorities"]);
    let mut parts = Parts::secured(&api, scratch.path());
    parts.autoscaler().wait_log("activator connected");
    let plain = parts.add_plain_activator("activator-2", address_of_its_own());
    plain.wait_log("link lost");
    parts.autoscaler().log().wait("a refusal", |lines| says(lines, "link connection cut", "TLS"));
    let joined = parts.autoscaler().log().entries();
    assert_eq!(says(&joined, "activator connected", "activator-2"), None);
}
