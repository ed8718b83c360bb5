//! The link under TLS, as the chart sets it up.

use std::process::Command;

use dormouse_tests::cluster::function::{Function, pods};
use dormouse_tests::cluster::image::DORMOUSE;
use dormouse_tests::cluster::installed::{gateway, kubectl, upgrade};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::http::Client;
use dormouse_tests::wait;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// Makes a Secret as those have it who give out certificates.
fn create_secret(stage: &Stage<'_>, name: &str) {
    let folder = stage.cluster.folder();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-noenc", "-keyout", "link.key", "-out", "link.certificate", "-days", "30"])
        .args(["-subj", "/CN=link", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=DNS:dormouse-autoscaler.dormouse.svc"])
        .current_dir(folder);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = |key: &str, file: &str| format!("--from-file={key}={}", folder.join(file).display());
    let files = [
        file("tls.crt", "link.certificate"),
        file("tls.key", "link.key"),
        file("ca.crt", "link.certificate"),
    ];
    let create = ["create", "secret", "generic", name, "--type=kubernetes.io/tls"];
    let files = files.each_ref().map(String::as_str);
    kubectl(stage, &[&create[..], &files].concat());
}

/// The pod of an activator that was told of no certificate. Its name, which is its host's, will do
/// for a token: it does not come to that.
const PLAIN: &str = "activator-of-no-certificate";

fn start_plain_activator(stage: &Stage<'_>) {
    let _: Pod = stage.create(json!({
        "metadata": {"name": PLAIN, "labels": {"app": PLAIN}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "activator",
                "image": DORMOUSE,
                "args": [
                    "activator", "--link-dial=dormouse-autoscaler.dormouse.svc:9001",
                    "--token-file=/etc/hostname", "--name=plain", "--pod-ips=127.0.0.1",
                ],
            }],
        },
    }));
    wait::until("a pod that runs", || {
        let running = |pod: &Pod| pod.status.as_ref()?.phase.clone().filter(|it| it == "Running");
        pods(stage, PLAIN).first().and_then(running)
    });
}

pub(crate) fn the_link_is_under_tls_given_a_certificate(stage: &Stage<'_>) {
    gateway(stage);
    create_secret(stage, "link-tls");
    let gateway = upgrade(stage, &["--set", "link.tlsSecret=link-tls"]);
    let function = Function::create(stage, "secured", &[], &[]);
    function.wait_known(gateway);
    function.wait_asleep();
    let answer = Client::connect(gateway).get(&function.host(), "/").unwrap();
    assert_eq!(answer.status, 200, "it woke by this link: {}", answer.text());

    start_plain_activator(stage);
    wait::until("it to say that it is not let in", || {
        stage.kubectl(&["logs", PLAIN]).contains("link lost").then_some(())
    });
    let autoscalers = ["logs", "--selector=app.kubernetes.io/component=autoscaler", "--tail=-1"];
    wait::until("autoscalers to say why", || {
        kubectl(stage, &autoscalers).contains("no TLS with the peer").then_some(())
    });
    upgrade(stage, &[]);
    kubectl(stage, &["delete", "secret", "link-tls"]);
}
