//! The image, made of a program that is there.

use std::path::Path;
use std::process::{Command, Output};

use dormouse_tests::program::{Scratch, checkout};
use serde_json::Value;

fn build(folder: &Path, arguments: &[&str]) -> Output {
    let mut build = Command::new(checkout().join("deploy/image/build"));
    build.args(arguments).current_dir(folder).output().unwrap()
}

pub(crate) fn it_has_the_name_that_it_is_given() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("dm"), "no more than a file").unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let versioned = |name: &str| format!("{name}:{version}");
    for (typed, name, tag) in [
        ("localhost:5000/dm", versioned("localhost:5000/dm"), version),
        ("localhost:5000/dm:1", "localhost:5000/dm:1".to_owned(), "1"),
        ("dm", versioned("docker.io/library/dm"), version),
    ] {
        let made = build(scratch.path(), &["--program", "dm", "--name", typed]);
        assert!(made.status.success(), "{made:?}");
        let mut tar = Command::new("tar");
        let index = tar.args(["-xOf", "dm.tar", "./index.json"]).current_dir(scratch.path());
        let index: Value = serde_json::from_slice(&index.output().unwrap().stdout).unwrap();
        let named = &index["manifests"][0]["annotations"];
        assert_eq!(named["io.containerd.image.name"], name, "{typed}");
        assert_eq!(named["org.opencontainers.image.ref.name"], tag, "{typed}");
    }
    for bad in [&["--name"][..], &["--name", ""], &["--output"], &["--nam", "dm"]] {
        let refused = build(scratch.path(), bad);
        assert_eq!(refused.status.code(), Some(2), "{bad:?}: {refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("build [--program"), "{bad:?}");
    }
}
