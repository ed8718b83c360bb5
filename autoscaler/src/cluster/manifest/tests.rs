mod defaults;

use std::fmt::Write;

use dormouse_policy::function::Probe;

use super::*;

/// A Service and a Deployment `a`; the arguments go into the Deployment.
fn manifest(annotations: &str, container: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: a}}
spec:
  selector: {{app: a}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  annotations: {{dormouse.dev/enabled: "true"{annotations}}}
spec:
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a}}}}
    spec:
      containers: [{{name: a{container}}}]
"#
    )
}

const RUNS: &str = ", command: [sh, -c, 'sleep $(PORT)'], args: [x]";

fn programs() -> Programs {
    Programs { path: vec!["/nowhere".into(), "/bin".into()], own: Some("/opt/dormouse".into()) }
}

fn read_text(text: &str) -> Manifests {
    let source = Source { path: "folder/a.yaml".into(), text: text.to_owned() };
    read(&[source], &programs())
}

/// Functions by name, then faults, then notices, as text.
fn summary(manifests: &Manifests) -> String {
    let mut text = String::new();
    for local in &manifests.functions {
        writeln!(text, "function {}", local.function.name).unwrap();
    }
    for fault in &manifests.faults {
        writeln!(text, "fault {fault}").unwrap();
    }
    for notice in &manifests.notices {
        writeln!(text, "notice {notice}").unwrap();
    }
    text
}

fn check(text: &str, expected: &str) {
    assert_eq!(summary(&read_text(text)), expected, "{text}");
}

fn only(text: &str) -> LocalFunction {
    let mut manifests = read_text(text);
    assert_eq!(summary(&manifests), "function default/a\n");
    manifests.functions.remove(0)
}

#[test]
fn a_deployment_and_its_service_become_a_function() {
    let local = only(&manifest("", RUNS));
    let function = &local.function;
    assert_eq!(function.replicas, 1);
    assert_eq!(function.probe, Probe::Connect);
    let endpoint = &function.endpoints[0];
    assert_eq!(&*endpoint.name, "default/a:80");
    assert_eq!((endpoint.service_port, endpoint.pod_port), (80, 0));
    assert_eq!(*endpoint.hosts, ["a.default.localhost".into()]);
    assert_eq!(function.pod_ports[0].number, 8080);
    let words = ["-c", "sleep $(PORT)", "x"];
    let command =
        Command::Exec { program: "/bin/sh".into(), args: words.map(str::to_owned).to_vec() };
    let launch = Launch {
        command,
        env: Vec::new(),
        working_dir: "folder".into(),
        termination_grace: Duration::from_secs(30),
    };
    assert_eq!(local.launch, launch);
}

#[test]
fn ports_are_listed_by_services_then_probe_then_the_rest() {
    let container = ", command: [sh], ports: [{name: admin, containerPort: 9}, \
                     {name: web, containerPort: 8080}, {containerPort: 5, protocol: UDP}], \
                     readinessProbe: {httpGet: {port: 7, path: ready}}";
    let local = only(&manifest("", container));
    let ports = local.function.pod_ports.iter();
    let ports: Vec<_> = ports.map(|port| (port.name.as_str(), port.number)).collect();
    assert_eq!(ports, [("web", 8080), ("", 7), ("admin", 9)]);
    let Probe::Http(get) = &local.function.probe else {
        panic!("{:?}", local.function.probe);
    };
    assert_eq!((get.pod_port, get.path.as_str(), get.timeout_ms), (1, "/ready", 1000));
    assert_eq!(local.readiness.period_unready, Duration::from_secs(10));
}

#[test]
fn hosts_go_to_the_first_port_of_the_first_service() {
    let text = manifest(", dormouse.dev/hosts: shop.example", RUNS);
    let second = r#"
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: a}, ports: [{name: one, port: 1, targetPort: 8080}, {name: two, port: 2}]}
"#;
    let local = only(&(text + second));
    let hosts: Vec<_> = (local.function.endpoints.iter())
        .map(|endpoint| (&*endpoint.name, endpoint.hosts.join(" ")))
        .collect();
    let expected = [
        ("default/a:80", "a.default.localhost shop.example".to_owned()),
        ("default/b:1", "b.default.localhost".to_owned()),
        ("default/b:2", String::new()),
    ];
    assert_eq!(hosts, expected);
    let numbers: Vec<_> = (local.function.pod_ports.iter()).map(|port| port.number).collect();
    assert_eq!(numbers, [8080, 2]);
}

#[test]
fn a_local_command_is_left_to_the_shell() {
    let local = only(&manifest(", dormouse.dev/local-command: serve $(cat f)", ""));
    assert_eq!(local.launch.command, Command::Shell("serve $(cat f)".to_owned()));
}

#[test]
fn the_binarys_own_name_finds_it() {
    let local = only(&manifest("", ", command: [dormouse, demo]"));
    let Command::Exec { program, .. } = local.launch.command else {
        panic!("{:?}", local.launch.command);
    };
    assert_eq!(program, Path::new("/opt/dormouse"));
}

#[test]
fn what_cannot_run_is_set_aside_with_its_rule() {
    let at = "fault folder/a.yaml:8: Deployment default/a:";
    for (annotations, container, expected) in [
        (
            "",
            "",
            "no command: the image is not run in local mode, so container a needs a \
                  `command`, or the workload a `dormouse.dev/local-command`",
        ),
        (
            "",
            ", command: []",
            "no command: the image is not run in local mode, so container a \
                  needs a `command`, or the workload a `dormouse.dev/local-command`",
        ),
        (
            "",
            ", command: [nosuch]",
            "command \"nosuch\" not found: no such executable on PATH (run in folder)",
        ),
        (
            "",
            ", command: [./nosuch]",
            "command \"./nosuch\" not found: no such executable file (run in folder)",
        ),
        (
            "",
            ", command: [sh], readinessProbe: {tcpSocket: {port: web}}",
            "readinessProbe port \"web\": container a has no port of this name",
        ),
        (
            "",
            ", command: [sh], readinessProbe: {tcpSocket: {port: 0}}",
            "readinessProbe port 0 must be a port name or a number 1–65535",
        ),
        (
            "",
            ", command: [sh], ports: [{name: web, containerPort: 70000}]",
            "containers[a].ports[].containerPort 70000 must be 1–65535",
        ),
        (
            "",
            ", command: [sh], readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 0}",
            "readinessProbe periodSeconds must be 1 or more",
        ),
        (
            "",
            ", command: [sh], readinessProbe: {httpGet: {port: 1, path: \"/a\\r\\nb\"}}",
            "readinessProbe path and host must be visible ASCII",
        ),
    ] {
        check(&manifest(annotations, container), &format!("{at} {expected}\n"));
    }
}

#[test]
fn a_wrong_annotation_is_named_with_value_and_rule() {
    let text = manifest(", dormouse.dev/queue-depth: many", RUNS);
    let faults = read_text(&text).faults;
    assert_eq!(faults.len(), 1);
    let text = faults[0].to_string();
    assert!(text.starts_with("folder/a.yaml:8: Deployment default/a: "), "{text}");
    assert!(text.contains("dormouse.dev/queue-depth") && text.contains("many"), "{text}");
}

#[test]
fn what_is_not_kubernetes_is_a_fault_with_its_line() {
    let no_head = "expected a mapping with apiVersion and kind";
    let no_name = "metadata.name must be a lower-case DNS name";
    for (text, line, rule) in [
        ("a: 1\n", 1, no_head),
        ("# c\n---\n- 1\n", 3, no_head),
        ("\nkind: 1\napiVersion: v1\n", 2, no_head),
        ("kind: Service\napiVersion: v1\n", 1, no_name),
        ("kind: Service\napiVersion: v1\nmetadata: [a]\n", 1, no_name),
        ("kind: Service\napiVersion: v1\nmetadata: {name: A/b}\n", 1, no_name),
    ] {
        let expected = format!("fault folder/a.yaml:{line}: not a Kubernetes object: {rule}\n");
        check(text, &expected);
    }
    let unclosed = read_text("a: 1\n---\nb: [\n");
    assert_eq!(unclosed.faults[1].line, Some(3));
    assert!(unclosed.faults[1].text.starts_with("not valid YAML: "));
}

#[test]
fn a_wrong_type_is_a_fault_with_field_value_and_line_and_others_go_on() {
    let text = manifest("", RUNS);
    for (spec, line, rule) in [
        (
            "metadata:\n  name: b\n  annotations:\n    dormouse.dev/enabled: true\n",
            26,
            "metadata.annotations.dormouse.dev/enabled: invalid type: boolean `true`, expected a \
             string; the values here are text: put it in quotes",
        ),
        (
            "metadata: {name: b}\nspec:\n  replicas: zero\n",
            25,
            "spec.replicas: invalid type: string \"zero\", expected i32",
        ),
    ] {
        let wrong = format!("---\napiVersion: apps/v1\nkind: Deployment\n{spec}");
        let manifests = read_text(&format!("{text}\n{wrong}"));
        assert_eq!(manifests.functions.len(), 1);
        let faults: Vec<_> = manifests.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [format!("folder/a.yaml:{line}: Deployment default/b: {rule}")]);
    }
}

#[test]
fn a_service_leads_to_one_function() {
    let deployment =
        manifest("", RUNS).split_once("---\n").unwrap().1.replace("name: a\n", "name: b\n");
    let manifests = read_text(&format!("{}---\n{deployment}", manifest("", RUNS)));
    assert_eq!(manifests.functions.len(), 1);
    let faults: Vec<_> = manifests.faults.iter().map(|fault| fault.text.as_str()).collect();
    let rule = "Service default/a selects the pods of Deployment default/a too, and leads there";
    assert_eq!(faults, [rule]);
}

#[test]
fn a_service_at_fault_is_not_taken_for_a_missing_one() {
    check(
        &manifest("", RUNS).replace("port: 80,", "port: 65536,"),
        "fault folder/a.yaml:1: Service default/a: spec.ports[].port 65536 must be 1–65535\n\
         fault folder/a.yaml:8: Deployment default/a: Service default/a, which selects its pods, \
         is set aside\n",
    );
}

#[test]
fn a_selector_must_find_the_workloads_own_pods() {
    check(
        &manifest("", RUNS).replace("matchLabels: {app: a}", "matchLabels: {app: b}"),
        "fault folder/a.yaml:8: Deployment default/a: spec.selector.matchLabels {app: b} must be \
         among the template's labels\n",
    );
}

#[test]
fn many_documents_are_read_line_by_line() {
    let documents = 20_000;
    let text = "---\n".repeat(documents) + "a: 1\n";
    let manifests = read_text(&text);
    assert_eq!(manifests.faults[0].line, Some(documents as u64 + 1));
}

#[test]
fn a_function_no_service_selects_could_not_be_reached() {
    let text = manifest("", RUNS).replace("selector: {app: a}", "selector: {app: b}");
    check(
        &text,
        "fault folder/a.yaml:8: Deployment default/a: no Service leads to its pods, so no request \
         could reach it\n\
         notice folder/a.yaml:1: Service default/a: leads to no function\n",
    );
}

#[test]
fn a_headless_service_is_named_where_no_other_leads() {
    let headless = "selector: {app: a}\n  clusterIP: None";
    check(
        &manifest("", RUNS).replace("selector: {app: a}", headless),
        "fault folder/a.yaml:9: Deployment default/a: no Service leads to its pods, so no request \
         could reach it; Service default/a, which selects them, is headless\n\
         notice folder/a.yaml:1: Service default/a: is headless: no requests can arrive through \
         it; ignored\n",
    );
}

#[test]
fn services_that_lead_nowhere_are_ignored_with_a_notice() {
    for (field, why) in [
        ("clusterIP: None, selector: {app: a}", "is headless"),
        ("type: ExternalName, externalName: x.y", "is an ExternalName"),
        ("ports: [{port: 1}]", "has no selector"),
    ] {
        let service = format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: b}}\nspec: {{{field}}}\n"
        );
        check(
            &(manifest("", RUNS) + &service),
            &format!(
                "function default/a\nnotice folder/a.yaml:20: Service default/b: {why}: no \
                 requests can arrive through it; ignored\n"
            ),
        );
    }
}

#[test]
fn our_annotations_on_a_service_are_named_and_unknown_ones_are_faults() {
    let annotated = |annotation: &str| {
        let metadata = format!("metadata: {{name: a, annotations: {{{annotation}: a}}}}");
        manifest("", RUNS).replacen("metadata: {name: a}", &metadata, 1)
    };
    check(
        &annotated("dormouse.dev/enabled"),
        "function default/a\n\
         notice folder/a.yaml:1: Service default/a: annotations without effect on a Service: \
         dormouse.dev/enabled\n",
    );
    let faults = read_text(&annotated("dormouse.dev/tarket")).faults;
    assert_eq!(
        faults[0].text,
        "annotation dormouse.dev/tarket: there is no such annotation; did you mean \
         dormouse.dev/target?"
    );
}

#[test]
fn what_is_not_honoured_is_named_once_per_object() {
    let container = ", command: [sh], image: x, livenessProbe: {}, \
                     readinessProbe: {exec: {command: [x]}}";
    check(
        &manifest("", container),
        "function default/a\n\
         notice folder/a.yaml:8: Deployment default/a: not honoured in local mode: \
         containers[a].image, containers[a].livenessProbe\n\
         notice folder/a.yaml:8: Deployment default/a: only httpGet and tcpSocket probes are tried \
         in local mode; a TCP connect stands in\n",
    );
}

#[test]
fn other_kinds_and_workloads_not_enabled_are_noticed() {
    let text = manifest("", RUNS).replace("dormouse.dev/enabled: \"true\"", "other: note");
    check(
        &(text + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: ops}\n"),
        "notice folder/a.yaml:20: ConfigMap ops/c: objects of this kind are not used in local \
         mode\n\
         notice folder/a.yaml:8: Deployment default/a: has no dormouse.dev/enabled: \"true\"; not \
         run\n\
         notice folder/a.yaml:1: Service default/a: leads to no function\n",
    );
}

#[test]
fn of_two_objects_with_one_name_the_later_is_set_aside() {
    let text = manifest("", RUNS);
    let twice = format!("{text}---\n{text}");
    check(
        &twice,
        "function default/a\n\
         fault folder/a.yaml:20: Service default/a: is defined before, at folder/a.yaml:1; set \
         aside\n\
         fault folder/a.yaml:27: Deployment default/a: is defined before, at folder/a.yaml:8; set \
         aside\n",
    );
    let set = text.replace("Deployment", "StatefulSet").replace("app: a", "app: b");
    let set = set.replacen("name: a}", "name: b}", 1);
    check(
        &format!("{text}---\n{set}"),
        "function default/a\n\
         fault folder/a.yaml:27: StatefulSet default/a: a Deployment of this name is a function \
         already; set aside\n",
    );
}

#[test]
fn a_list_is_unfolded() {
    let text = manifest("", RUNS);
    let items: String = text
        .split("---\n")
        .map(|document| {
            let lines = document.lines().enumerate();
            let indent =
                |(index, line)| format!("{}{line}\n", if index == 0 { "- " } else { "  " });
            lines.map(indent).collect::<String>()
        })
        .collect();
    only(&format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
}

#[test]
fn folders_are_read_by_name_and_what_cannot_be_read_is_a_fault() {
    let folder = std::env::temp_dir().join(format!("dormouse-manifest-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    let (service, deployment) = manifest("", RUNS)
        .split_once("---\n")
        .map(|(service, deployment)| (service.to_owned(), deployment.to_owned()))
        .unwrap();
    std::fs::write(folder.join("2.yml"), &service).unwrap();
    std::fs::write(folder.join("1.yaml"), &deployment).unwrap();
    std::fs::write(folder.join("3.txt"), "a: [").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("4.yaml")).unwrap();
    let endless = "/dev/zero".into();
    let paths = [folder.clone(), folder.join("none.yaml"), folder.join("deeper"), endless];
    let manifests = load(&paths, &programs());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(manifests.functions.len(), 1);
    assert_eq!(manifests.functions[0].launch.working_dir, folder);
    let faults: Vec<_> = manifests.faults.iter().map(|fault| &fault.path).collect();
    assert_eq!(faults, [&folder.join("4.yaml"), &paths[1], &paths[2], &paths[3]]);
}

#[test]
fn a_service_without_selector_leads_to_the_function_it_names() {
    let front = |fields: &str| {
        let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: front, annotations: \
                       {dormouse.dev/target: a}}\nspec: ";
        format!("{}{service}{{{fields}}}\n", manifest("", RUNS))
    };
    let manifests = read_text(&front("ports: [{port: 80, appProtocol: grpc}]"));
    assert!(manifests.faults[0].text.contains("appProtocol \"grpc\""), "{:?}", manifests.faults);
    assert_eq!(manifests.functions[0].function.endpoints.len(), 1);
    let manifests = read_text(&front("ports: [{port: 80, targetPort: 9}]"));
    assert!(manifests.faults[0].text.contains("targetPort 9"), "{:?}", manifests.faults);
    assert_eq!(manifests.functions[0].function.endpoints.len(), 1);
    let declared = front("ports: [{port: 81, targetPort: 8080}]").replacen(
        "command:",
        "ports: [{containerPort: 8080}], command:",
        1,
    );
    let manifests = read_text(&declared);
    assert!(manifests.faults.is_empty(), "{:?}", manifests.faults);
    assert_eq!(manifests.functions[0].function.endpoints[1].name.as_ref(), "default/front:81");
}
