//! What people are told to type, and what CI and clusters are told to run, run as it stands.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dormouse_tests::program::{self, Scratch, checkout};
use k8s_openapi::api::batch::v1::Job;
use serde_json::Value;

use crate::sim::said;

/// A folder that has `dormouse` as a program.
fn folder() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("bin")).unwrap();
    symlink(program::dormouse(), scratch.path().join("bin/dormouse")).unwrap();
    scratch
}

/// `bash` in a folder, with the folder's programs before all others.
fn bash(folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c"])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()));
    command
}

/// What is in the blocks of a page that are to be typed.
fn blocks(page: &str) -> Vec<String> {
    let text = fs::read_to_string(checkout().join(page)).unwrap();
    let mut blocks = text.split("\n```sh\n").skip(1);
    let block = |rest: &str| rest.split("\n```\n").next().unwrap().to_owned();
    blocks.by_ref().map(block).collect()
}

/// Types every block of a page, one after the other, and returns what each printed.
fn typed(page: &str, folder: &Path) -> Vec<String> {
    let type_it = |block: String| {
        let output = bash(folder).arg(&block).output().unwrap();
        let stderr = said(&output.stderr);
        assert!(output.status.success(), "{page}:\n{block}\n{stderr}");
        said(&output.stdout) + &stderr
    };
    blocks(page).into_iter().map(type_it).collect()
}

#[test]
fn the_five_minutes_of_the_gate() {
    let folder = folder();
    let printed = typed("deploy/gate.md", folder.path());
    let [_, _, wrong, run, failed, report, sweep] = printed.as_slice() else {
        panic!("{} blocks", printed.len());
    };
    assert!(wrong.contains("deploy/shop.toml:25:") && wrong.contains("exit 2"), "{wrong}");
    assert!(run.contains("\nok      now: wait.p99 <= 8s: "), "{run}");
    assert!(failed.contains("dormouse: FAILED  now: ") && failed.contains("exit 1"), "{failed}");
    assert!(report.contains("\nok      now: refused == 0: "), "{report}");
    assert!(sweep.contains("12 candidates beside policy now"), "{sweep}");
    assert!(folder.path().join("junit.xml").is_file());
}

#[test]
fn from_an_access_log_to_annotations() {
    let folder = folder();
    let printed = typed("deploy/access-log.md", folder.path());
    let [_, import, run, sweep, _] = printed.as_slice() else {
        panic!("{} blocks", printed.len());
    };
    assert!(import.contains("12 functions"), "{import}");
    assert!(run.contains("pod_seconds"), "{run}");
    assert!(sweep.contains("12 candidates beside policy now"), "{sweep}");
    assert!(folder.path().join("junit.xml").is_file());
}

/// A step of the action, with its words in place of GitHub's.
fn step(action: &Value, place: usize, words: &BTreeMap<&str, String>, folder: &Path) -> Output {
    let step = &action["runs"]["steps"][place];
    assert_eq!(step["shell"], "bash", "{step}");
    let mut command = bash(folder);
    command.arg(step["run"].as_str().unwrap());
    for (name, value) in step["env"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        let inner = value.strip_prefix("${{ ").and_then(|it| it.strip_suffix(" }}")).unwrap();
        let value = words.get(inner).cloned().unwrap_or_else(|| match inner.split_once('.') {
            Some(("inputs", input)) => {
                action["inputs"][input]["default"].as_str().unwrap().to_owned()
            }
            _ => panic!("nothing gives {inner}"),
        });
        command.env(name, value);
    }
    let file = |name: &str| folder.join(name);
    command
        .env("GITHUB_ACTION_PATH", checkout().join("deploy/action"))
        .env("GITHUB_STEP_SUMMARY", file("summary.md"))
        .env("GITHUB_OUTPUT", file("output"))
        .output()
        .unwrap()
}

fn action() -> Value {
    let text = fs::read_to_string(checkout().join("deploy/action/action.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

const SCENARIO: &str = r#"schema = 1
name = "small"
length = "3m"
[function.api]
load = { poisson = "2/s" }
service = "50ms"
[score]
assert = ["arrived >= 100"]
"#;

#[test]
fn the_action_fails_only_if_an_assertion_does_not_hold() {
    let folder = folder();
    fs::write(folder.path().join("small.toml"), SCENARIO).unwrap();
    fs::write(folder.path().join("bad.toml"), "schema = 2\n").unwrap();
    let silent = SCENARIO.replace("2/s", "0/s").replace("assert = [\"arrived >= 100\"]", "");
    fs::write(folder.path().join("silent.toml"), silent).unwrap();
    let action = action();
    let found = step(&action, 0, &BTreeMap::new(), folder.path());
    assert!(found.status.success(), "{}", said(&found.stderr));
    let output = fs::read_to_string(folder.path().join("output")).unwrap();
    let path = output.trim().strip_prefix("path=").unwrap().to_owned();
    assert_eq!(Path::new(&path), folder.path().join("bin/dormouse"));
    let judge = |scenario: &str, arguments: &str| {
        for name in ["output", "summary.md", "dormouse-junit.xml"] {
            fs::remove_file(folder.path().join(name)).ok();
        }
        let words = BTreeMap::from([
            ("steps.program.outputs.path", path.clone()),
            ("inputs.scenario", scenario.to_owned()),
            ("inputs.arguments", arguments.to_owned()),
        ]);
        let judged = step(&action, 1, &words, folder.path());
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let told = said(&judged.stdout) + &said(&judged.stderr);
        assert!(action["outputs"]["status"]["value"].as_str().unwrap().contains("steps.judge."));
        (judged.status.code(), read("output"), read("summary.md"), read("dormouse-junit.xml"), told)
    };
    let (code, output, summary, junit, told) = judge("small.toml", "");
    assert_eq!((code, output.as_str()), (Some(0), "status=0\n"), "{told}");
    assert!(summary.contains("| holds | default | arrived \\>= 100 | "), "{summary}");
    assert!(summary.contains("| figure | default |\n") && junit.contains("failures=\"0\""));
    let failing = "--seed 2..3 --assert 'wait.max < 1us' --assert \"refused == 0\"";
    let (code, output, summary, junit, told) = judge("small.toml", failing);
    assert_eq!((code, output.as_str()), (Some(1), "status=1\n"), "{told}");
    assert!(told.contains("::error title=Dormouse::small.toml: an assertion"), "{told}");
    assert!(
        summary.contains("| FAILS | default | wait.max \\< 1us | ")
            && junit.contains("tests=\"3\" failures=\"1\"")
    );
    let (code, output, _, _, told) = judge("bad.toml", "");
    assert_eq!((code, output.as_str()), (Some(0), "status=2\n"), "{told}");
    assert!(told.contains("::warning title=Dormouse::bad.toml: could not be judged"), "{told}");
    let (code, output, _, _, told) = judge("silent.toml", "");
    assert_eq!((code, output.as_str()), (Some(0), "status=3\n"), "{told}");
    // What is typed is split, and nothing of it is run.
    let (_, output, ..) = judge("small.toml", "--assert $(touch${IFS}ran) ; touch ran");
    assert_eq!(output, "status=2\n");
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn the_action_builds_what_is_not_there() {
    let folder = folder();
    let bin = folder.path().join("bin");
    fs::remove_file(bin.join("dormouse")).unwrap();
    // What is asked of Cargo is seen, and answered with the program there is.
    let cargo = "#!/usr/bin/env bash\necho \"$*\" >asked\nmkdir -p \"$CARGO_TARGET_DIR/release\"\n\
                 ln -s \"$REAL\" \"$CARGO_TARGET_DIR/release/dormouse\"\n";
    fs::write(bin.join("cargo"), cargo).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = action()["runs"]["steps"][0]["run"].as_str().unwrap().to_owned();
    let built = bash(folder.path())
        .arg(run)
        .env("GITHUB_ACTION_PATH", checkout().join("deploy/action"))
        .env("GITHUB_OUTPUT", folder.path().join("output"))
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("REAL", program::dormouse())
        .env("PROGRAM", "")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", said(&built.stderr));
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    let manifest = checkout().join("Cargo.toml");
    assert!(asked.contains("build --locked --release --manifest-path "), "{asked}");
    assert!(asked.contains(&*manifest.to_string_lossy()), "{asked}");
    let output = fs::read_to_string(folder.path().join("output")).unwrap();
    assert!(output.trim().ends_with("target/release/dormouse"), "{output}");
}

#[test]
fn the_example_workflow_gives_the_action_what_it_takes() {
    let text = fs::read_to_string(checkout().join("deploy/action/example.yml")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&text).unwrap();
    let steps = workflow["jobs"]["gate"]["steps"].as_array().unwrap();
    let is_ours = |step: &&Value| step["uses"].as_str().unwrap().contains("/deploy/action@");
    let ours = steps.iter().find(is_ours).unwrap();
    let action = action();
    let inputs = action["inputs"].as_object().unwrap();
    let given = ours["with"].as_object().unwrap();
    assert!(given.keys().all(|name| inputs.contains_key(name)), "{given:?}");
    let needed = inputs.iter().filter(|(_, input)| input["required"] == true);
    assert!(needed.map(|(name, _)| name).all(|name| given.contains_key(name)), "{given:?}");
    let id = ours["id"].as_str().unwrap();
    for (place, _) in text.match_indices("${{ steps.") {
        let name = text[place..].split([' ', '}']).nth(1).unwrap();
        let output = name.strip_prefix(&format!("steps.{id}.outputs.")).unwrap();
        assert!(action["outputs"].as_object().unwrap().contains_key(output), "{name}");
    }
}

#[test]
fn the_pods_of_the_job_sweep_all_there_is() {
    let folder = folder();
    let text = fs::read_to_string(checkout().join("deploy/sweep/job.yaml")).unwrap();
    let job: Job = serde_saphyr::from_str(&text).unwrap();
    let spec = job.spec.unwrap();
    assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"));
    let pod = spec.template.spec.unwrap();
    let (container, volume) = (&pod.containers[0], &pod.volumes.as_ref().unwrap()[0]);
    let mount = &container.volume_mounts.as_ref().unwrap()[0];
    assert_eq!(mount.name, volume.name);
    let args = container.args.as_ref().unwrap();
    let scenario = args.iter().find(|arg| arg.starts_with(&mount.mount_path)).unwrap();
    let own = folder.path().join(PathBuf::from(scenario).file_name().unwrap());
    fs::write(&own, SCENARIO).unwrap();
    let completions = spec.completions.unwrap();
    let slices: Vec<_> = (0..completions)
        .map(|index| {
            let argument = |arg: &String| {
                let arg = arg.replace("$(JOB_COMPLETION_INDEX)", &index.to_string());
                if arg == *scenario { own.to_string_lossy().into_owned() } else { arg }
            };
            let mut command = Command::new(program::dormouse());
            let printed = command.args(args.iter().map(argument)).output().unwrap();
            assert!(printed.status.success(), "{}", said(&printed.stderr));
            let file = format!("{index}.json");
            fs::write(folder.path().join(&file), printed.stdout).unwrap();
            file
        })
        .collect();
    let slices: Vec<_> = slices.iter().map(String::as_str).collect();
    let told = crate::sim::ends(folder.path(), &[&["merge"], &slices[..]].concat(), 0, "");
    assert!(told.contains("12 candidates beside policy default"), "{told}");
}
