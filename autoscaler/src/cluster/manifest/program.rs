//! Finding the file that a command's first word names.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where programs are looked for.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// The running binary: its own name finds it, on `PATH` or not, so that a manifest whose
    /// command is `dormouse` runs with the binary a person just built.
    pub own: Option<PathBuf>,
}

impl Programs {
    /// This process's `PATH` and binary.
    #[must_use]
    pub fn from_env() -> Self {
        let path: OsString = env::var_os("PATH").unwrap_or_default();
        Self { path: env::split_paths(&path).collect(), own: env::current_exe().ok() }
    }

    /// The executable that `word` names for a command run in `folder`: a path when it holds a `/`,
    /// else the running binary's own name, else the first match on `PATH`.
    #[must_use]
    pub(super) fn find(&self, word: &str, folder: &Path) -> Option<PathBuf> {
        if word.contains('/') {
            let file = folder.join(word);
            return is_executable(&file).then_some(file);
        }
        let own = self.own.as_deref();
        if let Some(own) = own.filter(|own| own.file_name().is_some_and(|name| name == word)) {
            return Some(own.to_owned());
        }
        self.path.iter().map(|path| path.join(word)).find(|file| is_executable(file))
    }
}

fn is_executable(file: &Path) -> bool {
    const EXECUTE_BITS: u32 = 0o111;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & EXECUTE_BITS != 0)
}
