//! Images made here: one layer, one static program, no registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What every pod's sandbox runs: the fixture, which only waits.
pub const PAUSE: &str = "dormouse.test/pause:1";

/// Functions under test.
pub const FIXTURE: &str = "dormouse.test/fixture:1";

/// The `dormouse` under test, by the name that the manifests give it.
pub const DORMOUSE: &str = concat!("dormouse:", env!("CARGO_PKG_VERSION"));

/// An image: a name and a tag (not `latest`, which would be pulled), a program, and what it is told
/// to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Image {
    /// An image of that name around a static program.
    #[must_use]
    pub fn new(name: &str, program: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name: name.to_owned(), program, arguments }
    }

    /// The archive that `ctr images import` reads.
    ///
    /// # Panics
    /// If the program cannot be read.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        let program = fs::read(&self.program)
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let name = self.program.file_name().expect("a program has a name");
        let name = name.to_str().expect("and it is text");
        // Where a manifest that says no more than the program's name finds it.
        let path = format!("usr/local/bin/{name}");
        let layer = tar(&[(&path, 0o755, &program)]);
        let mut command = vec![format!("/{path}")];
        command.extend_from_slice(&self.arguments);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            // Nobody in particular, by number: Kubernetes can tell that it is not root.
            "config": {"Entrypoint": command, "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        });
        let config = config.to_string();
        let config_name = format!("{}.json", digest(config.as_bytes()));
        let manifest =
            json!([{"Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        tar(&[
            (&config_name, 0o644, config.as_bytes()),
            ("layer.tar", 0o644, &layer),
            ("manifest.json", 0o644, manifest.to_string().as_bytes()),
        ])
    }
}

/// The sandbox of a pod.
#[must_use]
pub fn pause() -> Image {
    Image::new(PAUSE, static_program("dormouse-tests", "dormouse-fixture"), &["silent"])
}

/// The fixture program: its sub-command is the container's `args`.
#[must_use]
pub fn fixture() -> Image {
    Image::new(FIXTURE, static_program("dormouse-tests", "dormouse-fixture"), &[])
}

/// The `dormouse` under test: its sub-command is the container's `args`.
#[must_use]
pub fn dormouse() -> Image {
    Image::new(DORMOUSE, static_program("dormouse", "dormouse"), &[])
}

/// Builds a program that needs nothing but the kernel, if it is not up to date: with optimisation
/// where this was built so, for benches.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn static_program(package: &str, name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = Command::new(cargo);
    // `cargo test` tells its programs of itself, and build scripts that look would run anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            build.env_remove(&*name);
        }
    }
    let output = build
        .args(["build", "--locked", "--package", package, "--bin", name, "--target", &target])
        .args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] })
        .args(["--config", "profile.dev.strip='debuginfo'"])
        .args(["--config", "profile.release.strip='debuginfo'"])
        .arg("--message-format=json-render-diagnostics")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(crate::program::checkout())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{name} does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    path.expect("cargo names what it built")
}

fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for &(name, mode, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, Path::new(name), bytes).expect("memory takes every byte");
    }
    archive.into_inner().expect("memory takes every byte")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This machine's, in the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
