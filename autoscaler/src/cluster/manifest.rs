//! Manifests to functions: the YAML a cluster would get, read into what deciding, routing and
//! running a replica by hand need.
//!
//! One bad object never stops the others: it becomes a [`Finding`] among the faults and is set
//! aside. What a manifest asks for and a run without a cluster does not honour becomes a notice,
//! named once per object.

mod yaml;
mod fields;
mod service;
mod defaults;
mod workload;
mod program;
mod annotated;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_policy::function::Function;
use dormouse_policy::settings::ClusterDefaults;

use self::service::InManifest;
use self::yaml::Object;
use super::SET_ASIDE;
use crate::status::Complaint;

pub use self::annotated::{Annotated, AnnotatedWorkload, annotated};
pub use self::program::Programs;
pub use super::workload::Readiness;

/// Longest manifest file read, in bytes: a typo must not pull a disk image into memory, and the
/// largest generated manifests in the wild stay below a few MiB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// File names taken from a folder end in one of these.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What the manifests hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifests {
    /// The functions that can run, in order of appearance.
    pub functions: Vec<LocalFunction>,
    /// Objects and files set aside, with the rule each breaks.
    pub faults: Vec<Finding>,
    /// What is asked for and not honoured.
    pub notices: Vec<Finding>,
}

/// A function and how a replica of it is run as a process.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalFunction {
    /// The function.
    pub function: Function,
    /// How a replica is started and stopped.
    pub launch: Launch,
    /// When a replica is tried for readiness, by the function's probe.
    pub readiness: Readiness,
}

/// How a replica is started and stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What is run.
    pub command: Command,
    /// Environment beyond the inherited one, in order; `$(NAME)` is not yet expanded.
    pub env: Vec<(String, String)>,
    /// Where it runs: the manifest's folder.
    pub working_dir: PathBuf,
    /// Time between SIGTERM and SIGKILL.
    pub termination_grace: Duration,
}

/// What a replica runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments, in which `$(NAME)` is not yet expanded.
    Exec {
        /// The file found for the first word of the command.
        program: PathBuf,
        /// The other words.
        args: Vec<String>,
    },
    /// A line for `sh -c`.
    Shell(String),
}

/// A remark on a manifest: something set aside, or something not honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// The line in it, from 1, where known.
    pub line: Option<u64>,
    /// `Kind namespace/name`, where it is about one object.
    pub object: Option<String>,
    /// The remark.
    pub text: String,
}

impl Finding {
    /// The same, of an object that is set aside for it.
    #[must_use]
    pub fn complaint(&self) -> Complaint {
        let place = Self { object: None, text: String::new(), ..self.clone() }.to_string();
        let place = place.trim_end_matches([':', ' ']);
        let (object, note) = match &self.object {
            Some(object) => (object.clone(), format!("{} ({place})", self.text)),
            None => (place.to_owned(), self.text.clone()),
        };
        Complaint { object, reason: SET_ASIDE.to_owned(), note }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// The text of one manifest file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name; commands run in its folder.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// Reads files, standard input (`-`) and folders (their `.yaml`, `.yml` and `.json` files, by name,
/// not deeper) into functions. What cannot be read is a fault.
#[must_use]
pub fn load(paths: &[PathBuf], programs: &Programs) -> Manifests {
    let (sources, unreadable) = sources(paths);
    let mut manifests = read(&sources, programs);
    manifests.faults.splice(0..0, unreadable);
    manifests
}

/// What files, standard input (`-`) and folders hold, and what of them cannot be read.
#[must_use]
pub fn sources(paths: &[PathBuf]) -> (Vec<Source>, Vec<Finding>) {
    let mut sources = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        match files(path) {
            Ok(files) => {
                for file in files {
                    match text(&file) {
                        Ok(text) => sources.push(Source { path: file, text }),
                        Err(error) => unreadable.push(unread(&file, error)),
                    }
                }
            }
            Err(error) => unreadable.push(unread(path, error)),
        }
    }
    (sources, unreadable)
}

/// Reads manifests into functions. Of the file system, only the commands' programs are looked up.
#[must_use]
pub fn read(sources: &[Source], programs: &Programs) -> Manifests {
    let mut manifests = Manifests::default();
    let mut workloads = Vec::new();
    let mut services = Vec::new();
    let mut config_maps = Vec::new();
    let mut seen = BTreeMap::new();
    for source in sources {
        for object in yaml::objects(source, &mut manifests.faults) {
            let first = format!("{}:{}", object.path.display(), object.line);
            if let Some(first) = seen.insert(object.label(), first.clone()) {
                let fault = object.finding(format!("is defined before, at {first}; set aside"));
                seen.insert(object.label(), first);
                manifests.faults.push(fault);
                continue;
            }
            match object.kind.as_str() {
                "Deployment" | "StatefulSet" => workloads.push(object),
                _ if defaults::are_in(&object) => config_maps.push(object),
                "Service" => services.extend(InManifest::read(&object, &mut manifests)),
                _ => manifests
                    .notices
                    .push(object.finding("objects of this kind are not used in local mode")),
            }
        }
    }
    let defaults = defaults::read(&config_maps, &mut manifests);
    for object in &workloads {
        read_workload(object, &mut services, &defaults, programs, &mut manifests);
    }
    for service in services.iter().filter(|service| service.selected.is_none()) {
        manifests.notices.push(service.unused());
    }
    manifests.faults.extend(services.into_iter().flat_map(|service| service.misfits));
    manifests
}

fn read_workload(
    object: &Object<'_>,
    services: &mut [InManifest],
    defaults: &ClusterDefaults,
    programs: &Programs,
    manifests: &mut Manifests,
) {
    let created = manifests.functions.len() as u64;
    match workload::read(object, created, services, defaults, programs) {
        Ok(workload::Read::Enabled(function, notices)) => {
            let name = &function.function.name;
            // A Deployment and a StatefulSet may share a name in a cluster; a function's name is
            // the workload's, so here the later one gives way.
            if let Some(first) = (manifests.functions.iter())
                .find(|first| first.function.name == *name)
                .map(|first| first.function.kind)
            {
                let text = format!("a {first} of this name is a function already; set aside");
                manifests.faults.push(object.finding(text));
                return;
            }
            manifests.functions.push(*function);
            let notices = notices.into_iter().map(|text| object.finding(text));
            manifests.notices.extend(notices);
        }
        Ok(workload::Read::NotEnabled) => {
            manifests.notices.push(object.finding("has no dormouse.dev/enabled: \"true\"; not run"))
        }
        Err(faults) => manifests.faults.extend(faults),
    }
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir()? {
        let file = entry?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        let is_named = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
        // A link that leads nowhere stays, to be complained of.
        if is_named && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let text =
            "the folder itself holds no .yaml, .yml or .json file; folders in it are not read";
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, text));
    }
    Ok(files)
}

/// What `file` holds; `-` is standard input, as kubectl has it.
fn text(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // By what is read, since a pipe or a device does not say its length.
    let length_bytes = match file.as_os_str() == "-" {
        true => std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?,
        false => File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?,
    };
    if length_bytes as u64 > FILE_BYTES_MAX {
        let text = format!("a manifest has at most {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}

fn unread(path: &Path, error: std::io::Error) -> Finding {
    Finding {
        path: path.to_owned(),
        line: None,
        object: None,
        text: format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests;
