//! What scenarios name, by path: relative to the scenario's folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_autoscaler::cluster::manifest;
use dormouse_sim::input::{Inputs, Manifest, ReadAt, Workload};
use dormouse_sim::lines::{Fault, Unreadable};
use dormouse_sim::plan::sha256;

/// Longest scenario read, in bytes: a thousand times the longest that people write.
const SCENARIO_BYTES_MAX: u64 = 16 << 20;

/// The files of a scenario.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of a scenario at that path; of standard input, those of this folder.
    pub(super) fn of(scenario: &str) -> Self {
        let folder = Path::new(scenario).parent().map(Path::to_owned).unwrap_or_default();
        Self { folder }
    }
}

impl Inputs for Files {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.folder.join(name))?))
    }

    fn open_at(&self, name: &str) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(File::open(self.folder.join(name))?))
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>> {
        let told = |findings: Vec<manifest::Finding>| {
            findings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (sources, unreadable) = manifest::sources(&[self.folder.join(name)]);
        if !unreadable.is_empty() {
            return Err(told(unreadable));
        }
        let annotated = manifest::annotated(&sources).map_err(told)?;
        let workload = |workload: manifest::AnnotatedWorkload| Workload {
            namespace: workload.name.namespace().to_owned(),
            name: workload.name.name().to_owned(),
            replicas: workload.replicas.and_then(|it| u32::try_from(it).ok()).unwrap_or(1),
            annotations: workload.annotations,
            template: workload.template,
        };
        let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
        Ok(Manifest {
            workloads: annotated.workloads.into_iter().map(workload).collect(),
            defaults: annotated.defaults,
            sha256: sha256(texts.concat().as_bytes()),
        })
    }
}

/// The text of a scenario; `-` is standard input.
pub(super) fn scenario(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let bound = SCENARIO_BYTES_MAX + 1;
    let length = match path {
        "-" => io::stdin().take(bound).read_to_string(&mut text)?,
        path => File::open(path)?.take(bound).read_to_string(&mut text)?,
    };
    match length as u64 > SCENARIO_BYTES_MAX {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("a scenario has at most {SCENARIO_BYTES_MAX} bytes"),
        )),
        false => Ok(text),
    }
}

/// A file by path; `-` is standard input.
pub(super) fn open(path: &str) -> Result<Box<dyn Read>, Unreadable> {
    match path {
        "-" => Ok(Box::new(io::stdin())),
        path => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                let (file, fault) = (path.to_owned(), Fault::Input(error));
                Err(Unreadable { file, line: 0, fault })
            }
        },
    }
}
