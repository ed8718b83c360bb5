//! Where the programs under test are, the folder each test has to itself, and which processes
//! belong to a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable by which every descendant of a test's `dormouse` is known.
pub const MARK: &str = "DORMOUSE_TEST_MARK";

/// The `dormouse` under test: `$DORMOUSE_BIN`, else the one beside the test's own build.
///
/// # Panics
/// If it is not there, saying how to build it.
#[must_use]
pub fn dormouse() -> PathBuf {
    let path = std::env::var_os("DORMOUSE_BIN").map_or_else(|| beside("dormouse"), PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p dormouse`, or name the binary in DORMOUSE_BIN",
        path.display()
    );
    path
}

/// The fixture program of this crate.
#[must_use]
pub fn fixture() -> PathBuf {
    beside("dormouse-fixture")
}

/// The checkout: manifests and examples are found from here.
#[must_use]
pub fn checkout() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the checkout").into()
}

// Test executables are built into `deps/`, one below the programs.
fn beside(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a program lies in a folder");
    let folder =
        if deps.ends_with("deps") { deps.parent().expect("deps/ lies in a folder") } else { deps };
    folder.join(name)
}

/// A folder of one test's own, removed at the end unless the test failed.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new empty folder; its last part is unique on this machine.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dormouse-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What a killed run with the same process id left behind.
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its unique name.
    ///
    /// # Panics
    /// Never: the name is made of ASCII.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.0.file_name().expect("a scratch folder has a name");
        name.to_str().expect("it is ASCII")
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

/// The processes whose environment carries `mark` as [`MARK`], with their command lines.
///
/// # Panics
/// If `/proc` cannot be read.
#[must_use]
pub fn marked(mark: &str) -> Vec<(i32, String)> {
    let wanted = format!("{MARK}={mark}");
    let entries = std::fs::read_dir("/proc").expect("/proc is there on Linux");
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // A process that ended meanwhile has nothing to read.
            let environ = std::fs::read(entry.path().join("environ")).ok()?;
            let belongs =
                environ.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes());
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            belongs.then(|| (pid, String::from_utf8_lossy(&command).replace('\0', " ")))
        })
        .collect()
}
