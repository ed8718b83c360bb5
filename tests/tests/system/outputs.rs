//! Reports of one command of the simulator: all of them are written, or none.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dormouse_tests::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sim::{ends, folder, said};

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn one_that_cannot_be_written_keeps_all_from_their_places() {
    let folder = folder();
    let path = |name| folder.path().join(name);
    fs::write(path("was.json"), "before").unwrap();
    for last in ["csv=none/out.csv", "csv=/dev/full"] {
        let outputs = ["-o", "json=out.json", "-o", "junit=was.json", "-o", last];
        let run = [&["run", "small.toml"], &outputs[..]].concat();
        ends(folder.path(), &run, 74, "cannot be written");
        let bless = [&run[..], &["--baseline", "now.json", "--bless"]].concat();
        ends(folder.path(), &bless, 74, "cannot be written");
        assert_eq!(names(folder.path()), ["app.yaml", "small.toml", "was.json"]);
        assert_eq!(fs::read_to_string(path("was.json")).unwrap(), "before");
    }
    let outputs = ["-o", "json=out.json", "-o", "junit=was.json", "-o", "csv=/dev/null"];
    ends(folder.path(), &[&["run", "small.toml"], &outputs[..]].concat(), 0, "");
    assert_eq!(names(folder.path()), ["app.yaml", "out.json", "small.toml", "was.json"]);
    assert!(fs::read_to_string(path("was.json")).unwrap().starts_with("<?xml"));
}

/// Before a scenario is read, let alone run.
#[test]
fn places_that_nothing_can_be_written_to_are_told_first() {
    let folder = folder();
    for command in [&["run", "no.toml"][..], &["compare", "no.toml"], &["test", "no"]] {
        let of = |outputs: &[&str], code, what| {
            ends(folder.path(), &[command, outputs].concat(), code, what);
        };
        of(&["-o", "text=none/out"], 74, "none/out: cannot be written: No such file");
        of(&["-o", "text=a", "-o", "text=a"], 2, "a: two reports are to be written here");
    }
    assert_eq!(names(folder.path()), ["app.yaml", "small.toml"]);
}

/// A pipe that nobody reads keeps it where the others are written and in no place yet.
#[test]
fn one_that_is_interrupted_between_two_of_them_leaves_none() {
    let folder = folder();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let before = names(folder.path());
    let mut child = Command::new(program::dormouse())
        .args(["sim", "run", "small.toml"])
        .args(["-o", "json=a.json", "-o", "csv=pipe", "-o", "html=b.html"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_aside = |name: &&String| name.ends_with(".unfinished");
    let is_between = |names: &[String]| {
        names.iter().filter(is_aside).count() == 2 || names.contains(&"a.json".to_owned())
    };
    while !is_between(&names(folder.path())) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its reports");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(said(&output.stderr), "dormouse: interrupted; nothing was written\n");
    assert_eq!(names(folder.path()), before);
}
