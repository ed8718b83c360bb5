//! The ConfigMap of cluster defaults.

use super::*;

fn config_map(namespace: &str, data: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-autoscaler, namespace: \
         {namespace}}}\ndata: {{{data}}}\n"
    )
}

#[test]
fn defaults_hold_for_every_workload_wherever_they_stand() {
    let map = config_map("knative-serving", r#"stable-window: "20s", _example: "x: y""#);
    for text in [format!("{map}---\n{}", manifest("", RUNS)), manifest("", RUNS) + &map] {
        assert_eq!(only(&text).function.settings.scaling.stable_window_s, 20, "{text}");
    }
    let own = manifest(", autoscaling.knative.dev/window: 30s", RUNS);
    assert_eq!(only(&(own + &map)).function.settings.scaling.stable_window_s, 30);
}

#[test]
fn annotations_are_held_against_the_defaults() {
    let map = config_map("default", r#"max-scale: "3""#);
    check(
        &(manifest(r#", autoscaling.knative.dev/min-scale: "4""#, RUNS) + &map),
        "fault folder/a.yaml:8: Deployment default/a: annotation \
         autoscaling.knative.dev/min-scale: \"4\": must not be above max-scale, which is 3 by the \
         cluster's default\n",
    );
}

#[test]
fn a_faulty_config_map_is_set_aside_whole() {
    let map = config_map("default", r#"stable-window: "20s", min-scale: "-1", windw: "1""#);
    let text = manifest("", RUNS) + &map;
    let label = "ConfigMap default/config-autoscaler";
    let manifests = read_text(&text);
    assert_eq!(manifests.functions[0].function.settings.scaling.stable_window_s, 60);
    check(
        &text,
        &format!(
            "function default/a\n\
             fault folder/a.yaml:20: {label}: key min-scale: \"-1\": must be a whole number from \
             0 to 2147483647\n\
             fault folder/a.yaml:20: {label}: key windw: \"1\": there is no such key\n"
        ),
    );
}

#[test]
fn of_two_the_later_is_set_aside_and_others_are_not_used() {
    let first = config_map("default", r#"activator-capacity: "7""#);
    let second = config_map("other", r#"stable-window: "20s""#);
    let other = first.replace("config-autoscaler", "settings");
    check(
        &(manifest("", RUNS) + &first + &second + &other),
        "function default/a\n\
         fault folder/a.yaml:25: ConfigMap other/config-autoscaler: the cluster's defaults are in \
         ConfigMap default/config-autoscaler already; set aside\n\
         notice folder/a.yaml:30: ConfigMap default/settings: objects of this kind are not used in \
         local mode\n\
         notice folder/a.yaml:20: ConfigMap default/config-autoscaler: keys not yet supported: \
         activator-capacity\n",
    );
}
