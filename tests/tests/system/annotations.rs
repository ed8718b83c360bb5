//! Every annotation, faulty on an object of its own.

use dormouse_policy::settings::keys::{ANNOTATIONS, ENABLED};
use dormouse_tests::app::App;
use dormouse_tests::fake_api::FakeApi;
use dormouse_tests::parts::Parts;

/// Nothing that any annotation may be, but for those of any text.
const BAD: &str = "!";

/// What may be any text.
const TEXTS: [&str; 5] = ["local-command", "service", "target", "answer-at-zero", "metrics"];

#[test]
fn each_faulty_annotation_is_an_event_on_its_object_alone_and_heals_when_mended() {
    let (api, app) = (FakeApi::start(), App::start());
    api.put("deployments", app.deployment("hello", &[]));
    api.put("services", app.service("hello"));
    let is_text =
        |name: &str| name.strip_prefix("dormouse.dev/").is_some_and(|name| TEXTS.contains(&name));
    let keys = ANNOTATIONS.keys.iter().map(|key| key.name).filter(|name| !is_text(name));
    let faulty: Vec<(String, &str)> =
        keys.enumerate().map(|(number, key)| (format!("bad-{number}"), key)).collect();
    assert!(faulty.len() > 25, "{faulty:?}");
    for (name, key) in &faulty {
        api.put("deployments", app.deployment(name, &[(*key, BAD)]));
        api.put("services", app.service(name));
    }
    let parts = Parts::start(&api);
    for (name, key) in &faulty {
        api.wait_event(name, &format!("{key}: \"{BAD}\""));
    }
    assert_eq!(parts.wait_route("hello.default").status, 200, "untouched");
    for (name, _) in &faulty {
        assert_eq!(parts.get(&format!("{name}.default"), "/").status, 404, "{name}");
    }
    for (name, key) in &faulty {
        api.edit("deployments", name, |it| {
            let annotations = it["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.remove(*key);
            annotations.insert(ENABLED.name.to_owned(), "true".into());
        });
    }
    for (name, _) in &faulty {
        assert_eq!(parts.wait_route(&format!("{name}.default")).status, 200, "{name}");
    }
    let events = api.all("events");
    let about = |name: &str| events.iter().filter(|it| it["regarding"]["name"] == name).count();
    assert_eq!(about("hello"), 0);
    assert!(faulty.iter().all(|(name, _)| about(name) == 1), "one each");
}
