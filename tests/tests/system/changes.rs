//! Functions that are changed or deleted under the requests for them.

use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::http::{Client, Response};
use dormouse_tests::parts::Parts;
use dormouse_tests::wait;
use serde_json::{Value, json};

const HOST: &str = "hello.default";

/// Longer than any test waits: what is answered was not answered at its deadline.
const LONG: (&str, &str) = ("dormouse.dev/queue-timeout", "300s");

/// A cluster with the function `hello`, known to the activator.
struct Hello {
    api: FakeApi,
    app: App,
    parts: Parts,
}

impl Hello {
    fn start(annotations: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> Self {
        let (api, app) = (FakeApi::start(), App::start());
        let mut hello = app.deployment("hello", &[&[LONG], annotations].concat());
        change(&mut hello);
        api.put("deployments", hello);
        api.put("services", app.service("hello"));
        let parts = Parts::start(&api);
        wait::until("the activator to be told", || {
            let answer = Client::connect(parts.activator_admin).get("localhost", "/readyz").ok()?;
            (answer.status == 200).then_some(())
        });
        Self { api, app, parts }
    }

    /// With a request that is held, for there are never any pods.
    fn holding(annotations: &[(&str, &str)]) -> (Self, Client) {
        let no_pods = |hello: &mut Value| {
            hello["spec"]["template"]["metadata"]["annotations"] = json!({});
        };
        let hello = Self::start(annotations, no_pods);
        let mut client = Client::connect(hello.parts.gateway);
        client.send(format!("GET /held HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).unwrap();
        hello.parts.wait_function("default/hello", "holding", |it| it["held"] == 1);
        (hello, client)
    }

    /// Nobody is led there any more, and a function of that name may come again.
    #[track_caller]
    fn is_forgotten(&self, held: &Response) {
        assert_eq!(held.status, 503, "{}", held.text());
        assert!(held.text().contains("function-gone"), "{}", held.text());
        assert_eq!(held.header("retry-after"), Some("1"));
        self.wait_answer(HOST, "unknown-host");
        self.api.put("deployments", self.app.deployment("hello", &[]));
        self.wait_answer(HOST, "/now");
    }

    /// Waits until requests come to `to`; from then on none comes to `from`.
    #[track_caller]
    fn is_led_from(&self, from: &App, to: &App) {
        wait::until("requests to be led elsewhere", || {
            (self.parts.get(HOST, "/now").status == 200 && to.answered() > 0).then_some(())
        });
        let before = from.answered();
        assert_eq!(self.parts.get(HOST, "/again").text(), "/again");
        assert_eq!(from.answered(), before);
    }

    /// Waits until requests for a host are answered with that text.
    #[track_caller]
    fn wait_answer(&self, host: &str, text: &str) {
        wait::until(&format!("{host} to answer {text:?}"), || {
            self.parts.get(host, "/now").text().contains(text).then_some(())
        });
    }
}

#[test]
fn who_waits_for_a_function_that_is_deleted_is_told_at_once() {
    let limited = ("dormouse.dev/container-concurrency", "1");
    for annotations in [&[][..], &[limited]] {
        let (hello, mut client) = Hello::holding(annotations);
        hello.api.delete("deployments", "hello");
        hello.is_forgotten(&client.response().unwrap());
    }
}

#[test]
fn who_waits_where_everything_is_going_away_is_told_at_once() {
    // As a namespace goes: each object in its turn, some while what they own is still there.
    let (hello, mut client) = Hello::holding(&[]);
    hello.api.edit("deployments", "hello", |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:09Z");
    });
    hello.is_forgotten(&client.response().unwrap());
    hello.api.delete("services", "hello");
    hello.wait_answer(HOST, "unknown-host");
}

#[test]
fn who_waits_for_a_function_that_opts_out_or_is_set_aside_is_told_at_once() {
    for (annotation, value) in
        [("dormouse.dev/enabled", "false"), ("autoscaling.knative.dev/window", "soon")]
    {
        let (hello, mut client) = Hello::holding(&[]);
        hello.api.edit("deployments", "hello", |it| {
            it["metadata"]["annotations"][annotation] = json!(value);
        });
        hello.is_forgotten(&client.response().unwrap());
    }
}

#[test]
fn a_host_that_is_annotated_anew_leads_there_and_the_one_before_no_longer() {
    let hello = Hello::start(&[("dormouse.dev/hosts", "one.example")], |_| {});
    hello.wait_answer("one.example", "/now");
    hello.api.edit("deployments", "hello", |it| {
        it["metadata"]["annotations"]["dormouse.dev/hosts"] = json!("two.example");
    });
    hello.wait_answer("two.example", "/now");
    assert_eq!(hello.parts.get("one.example", "/").status, 404);
}

#[test]
fn a_service_whose_port_or_selector_changes_leads_where_it_says_now() {
    let hello = Hello::start(&[], |_| {});
    hello.wait_answer(HOST, "/now");
    // The same pods, another port of theirs.
    let (port, pods) = (App::start(), App::start());
    let ports = port.service("hello")["spec"]["ports"].take();
    hello.api.edit("services", "hello", |it| it["spec"]["ports"] = ports);
    hello.is_led_from(&hello.app, &port);
    // Other pods: those of a function that sleeps.
    hello.api.put("deployments", pods.deployment("other", &[]));
    let spec = pods.service("other")["spec"].take();
    hello.api.edit("services", "hello", |it| it["spec"] = spec);
    hello.is_led_from(&port, &pods);
}

#[test]
fn a_deployment_that_is_paused_sleeps_and_wakes_as_ever() {
    let hello = Hello::start(&[], |it| it["spec"]["paused"] = json!(true));
    for _ in 0..2 {
        hello.wait_answer(HOST, "/now");
        hello.api.wait("deployments", "hello", "at zero", |it| it["spec"]["replicas"] == 0);
    }
}
