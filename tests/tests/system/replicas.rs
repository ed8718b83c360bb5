//! Replicas as local processes: what they are given, what is said of them, how they are stopped.

use dormouse_tests::manifest::Function;
use dormouse_tests::program;
use dormouse_tests::up::Start;

#[test]
fn a_replica_is_given_its_port_and_folder_and_its_output_is_prefixed_with_its_name() {
    let script = format!(
        "echo ports $PORT $PORT_HTTP in $(pwd); echo aside >&2; exec '{}' mirror",
        program::fixture().display()
    );
    let told = Function::running("told", "/bin/sh", &["-c", &script]).env("PORT", "1").replicas(1);
    let up = Start::new().functions(&[&told]).up();
    let now = up.wait("told", "ready", |now| now["ready"] == 1);
    let replica = now["pods"][0]["name"].as_str().unwrap().to_owned();
    let address = now["pods"][0]["addresses"][0].as_str().unwrap();
    let port = address.rsplit(':').next().unwrap();
    let folder = up.folder().display();
    for line in [format!("{replica}| ports {port} {port} in {folder}"), format!("{replica}| aside")]
    {
        up.log().wait(&line, |lines| lines.contains(&line).then_some(()));
    }
}

#[test]
fn a_field_that_is_not_honoured_here_is_named_once() {
    let limited = Function::fixture("limited", &["mirror"])
        .yaml()
        .replace("          image:", "          resources: {limits: {cpu: 1}}\n          image:");
    let up = Start::new().manifest(&limited).up();
    assert_eq!(up.get("limited", "/").status, 200);
    let lines = up.log().entries();
    let named = lines.iter().filter(|line| line.contains("resources"));
    assert_eq!(named.count(), 1, "{lines:?}");
}

#[test]
fn a_replica_deaf_to_sigterm_is_killed_after_its_grace_period() {
    let script =
        format!("trap '' TERM; '{}' mirror & while :; do wait; done", program::fixture().display());
    let deaf = Function::running("deaf", "/bin/sh", &["-c", &script])
        .yaml()
        .replace("    spec:\n", "    spec:\n      terminationGracePeriodSeconds: 1\n");
    let up = Start::new().manifest(&deaf).up();
    assert_eq!(up.get("deaf", "/").status, 200);
    up.wait_asleep_again("deaf");
    let left = up.processes();
    assert!(left.iter().all(|(_, command)| command.contains(" up ")), "{left:?}");
}

#[test]
fn a_service_port_of_its_own_reaches_the_function_whatever_the_host() {
    let direct = Function::fixture("direct", &["mirror"]);
    let up = Start::new().functions(&[&direct]).up();
    let now = up.wait("direct", "listening", |now| now["endpoints"][0]["listening"].is_string());
    let address = now["endpoints"][0]["listening"].as_str().unwrap();
    let mut client = dormouse_tests::http::Client::connect(address.parse().unwrap());
    assert_eq!(client.get("anything.example", "/").unwrap().status, 200);
}
