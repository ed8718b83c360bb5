//! How `status` and `explain` find the running `dormouse up`: a small file per process.
//!
//! The process holds a lock on its file for as long as it lives. A file that can be locked was left
//! by one that died, whatever process has its id today; no probing, no clean-up needed.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Longest file read; what we write is under 1 KiB unless hundreds of paths were given.
const BYTES_MAX: u64 = 64 * 1024;

/// A running `dormouse up`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// Its process.
    pub(crate) pid: u32,
    /// Where `status` and `explain` are answered.
    pub(crate) admin: SocketAddr,
    /// Where the activator answers `/metrics`.
    pub(crate) activator_admin: SocketAddr,
    /// Where functions answer by Host.
    pub(crate) gateway: SocketAddr,
    /// Where the autoscaler listens for the activator.
    pub(crate) link: SocketAddr,
    /// What it was started with, so that a person can tell two of them apart.
    pub(crate) files: Vec<PathBuf>,
}

/// The file of this process; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Registration {
    path: PathBuf,
    /// Held open for its lock alone.
    _locked: File,
}

impl Registration {
    /// Writes `instance` into `folder`. It appears whole and already locked, or not at all. Files
    /// that killed processes left there are removed.
    pub(crate) fn new(folder: &Path, instance: &Instance) -> io::Result<Self> {
        for path in runtime_files(folder)?.filter(|path| read_live(path).is_none()) {
            // Whoever else removed it has done the same.
            fs::remove_file(path).ok();
        }
        let path = folder.join(format!("up-{}.json", instance.pid));
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.lock()?;
        file.write_all(&serde_json::to_vec(instance)?)?;
        fs::rename(&unfinished, &path)?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "runtime file not removed");
        }
    }
}

/// The folder of the files: `$XDG_RUNTIME_DIR` where that is a folder, else one of this user's own
/// under `/tmp`, made if missing.
///
/// # Errors
/// It cannot be made, or is open to others: whoever can write there could name another address.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match given.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(path) => Ok(path),
        None => {
            let user = nix::unistd::getuid().as_raw();
            let path = PathBuf::from(format!("/tmp/dormouse-{user}"));
            private(&path, user)?;
            Ok(path)
        }
    }
}

/// Makes `path` a folder of `user` alone, or confirms that it is.
fn private(path: &Path, user: u32) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", path.display()));
        }
        _ => {}
    }
    let found =
        fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        bail!(
            "{} must be a folder that user {user} alone can use; remove it or set XDG_RUNTIME_DIR",
            path.display()
        );
    }
    Ok(())
}

/// Every running `dormouse up` that left its file in `folder`, by process id.
pub(crate) fn running(folder: &Path) -> io::Result<Vec<Instance>> {
    let mut instances: Vec<_> =
        runtime_files(folder)?.filter_map(|path| read_live(&path)).collect();
    instances.sort_by_key(|instance| instance.pid);
    Ok(instances)
}

fn runtime_files(folder: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let paths = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("up-") && name.ends_with(".json"))
    }))
}

/// The instance in that file, if its process lives. A file that cannot be read, or that went away
/// meanwhile, is as good as none.
fn read_live(path: &Path) -> Option<Instance> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    serde_json::from_reader(io::Read::take(file, BYTES_MAX)).ok()
}

/// The admin address of the only one running here; none if none runs.
///
/// # Errors
/// Several run and a choice is needed.
pub(crate) fn admin() -> anyhow::Result<Option<SocketAddr>> {
    let folder = folder()?;
    let instances =
        running(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    choose(&instances)
}

fn choose(instances: &[Instance]) -> anyhow::Result<Option<SocketAddr>> {
    match instances {
        [] => Ok(None),
        [only] => Ok(Some(only.admin)),
        several => {
            let mut message = String::from("several are running, choose one:");
            for instance in several {
                let files: Vec<_> =
                    instance.files.iter().map(|path| path.display().to_string()).collect();
                message += &format!(
                    "\n  --admin {}   pid {}, {}",
                    instance.admin,
                    instance.pid,
                    files.join(" ")
                );
            }
            bail!(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn instance(pid: u32) -> Instance {
        Instance {
            pid,
            admin: ([127, 0, 0, 1], 9000).into(),
            activator_admin: ([127, 0, 0, 1], 9002).into(),
            gateway: ([127, 0, 0, 1], 8080).into(),
            link: ([127, 0, 0, 1], 9001).into(),
            files: vec!["app.yaml".into()],
        }
    }

    #[test]
    fn only_the_living_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Registration::new(folder.path(), &instance(7)).unwrap();
        let left_by_the_dead = serde_json::to_vec(&instance(8)).unwrap();
        fs::write(folder.path().join("up-8.json"), left_by_the_dead).unwrap();
        fs::write(folder.path().join("up-9.json"), "{").unwrap();
        fs::write(folder.path().join("other.json"), "{}").unwrap();
        assert_eq!(running(folder.path()).unwrap(), [instance(7)]);
        drop(alive);
        assert_eq!(running(folder.path()).unwrap(), []);
        assert!(!folder.path().join("up-7.json").exists());
        drop(Registration::new(folder.path(), &instance(10)).unwrap());
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["other.json"]);
    }

    #[test]
    fn two_running_ones_need_a_choice() {
        assert_eq!(choose(&[instance(7)]).unwrap(), Some(instance(7).admin));
        assert_eq!(choose(&[]).unwrap(), None);
        let asked = choose(&[instance(7), instance(8)]).unwrap_err().to_string();
        assert!(asked.contains("pid 7") && asked.contains("pid 8"), "{asked}");
        assert!(asked.contains("--admin 127.0.0.1:9000"), "{asked}");
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let user = nix::unistd::getuid().as_raw();
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("own");
        private(&path, user).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        private(&path, user).unwrap();
        assert!(private(&path, user + 1).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private(&path, user).is_err());
    }
}
