//! Files that are there whole or not at all, and all of a command's or none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Exit, complain};

/// The files of this process.
static FILES: Files = Files::new();

/// Files that are written beside their place, and what became of them.
struct Files(Mutex<State>);

struct State {
    /// Those that are not in their place.
    unfinished: Vec<PathBuf>,
    /// How many were begun, so that each has a name of its own.
    begun: u64,
    /// How many are in their place.
    placed: u64,
    stage: Stage,
}

/// Whether files may still be begun and put in their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Abandoned,
}

/// A file beside its place: it vanishes unless it is put there.
struct Aside {
    files: &'static Files,
    beside: PathBuf,
    path: PathBuf,
}

impl Files {
    const fn new() -> Self {
        let state = State { unfinished: Vec::new(), begun: 0, placed: 0, stage: Stage::Open };
        Self(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole at any time: each change of it is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what `write` writes beside its place, in the same folder.
    fn aside<T, E: From<io::Error>>(
        &'static self,
        path: &Path,
        write: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<(Aside, T), E> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (mut file, aside) = {
            // Under the lock, so that who abandons all knows of each.
            let mut state = self.state();
            state.check()?;
            state.begun += 1;
            let mut name = name.to_owned();
            name.push(format!(".{}-{}.unfinished", std::process::id(), state.begun));
            let beside = path.with_file_name(name);
            let file = File::create(&beside)?;
            state.unfinished.push(beside.clone());
            (file, Aside { files: self, beside, path: path.to_owned() })
        };
        let made = write(&mut file)?;
        file.sync_all()?;
        Ok((aside, made))
    }

    /// Puts files in their places: all of them, whoever wishes the process to end meanwhile.
    fn place(&self, asides: &[Aside]) -> Result<(), Unwritten> {
        let mut state = self.state();
        for Aside { beside, path, .. } in asides {
            let placed = state.check().and_then(|()| fs::rename(beside, path));
            placed.map_err(|error| Unwritten { name: name(Some(path)), error })?;
            state.unfinished.retain(|own| own != beside);
            state.placed += 1;
        }
        Ok(())
    }

    /// Removes what is not finished, and has nothing begun or put in its place any more. How many
    /// are in their place already.
    fn abandon(&self) -> u64 {
        let mut state = self.state();
        state.stage = Stage::Abandoned;
        for path in mem::take(&mut state.unfinished) {
            remove(&path);
        }
        state.placed
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match self.stage {
            Stage::Open => Ok(()),
            Stage::Abandoned => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut state = self.files.state();
        if let Some(at) = state.unfinished.iter().position(|own| *own == self.beside) {
            remove(&state.unfinished.swap_remove(at));
        }
    }
}

fn remove(path: &Path) {
    // Somebody else may have removed it; there is nobody to whom it would matter.
    drop(fs::remove_file(path));
}

/// Which file could not be written, and why.
#[derive(Debug, thiserror::Error)]
#[error("{name}: cannot be written: {error}")]
struct Unwritten {
    name: String,
    error: io::Error,
}

impl Unwritten {
    fn tell(self) -> Exit {
        complain(self);
        Exit::Unwritten
    }
}

fn name(path: Option<&Path>) -> String {
    path.map_or("stdout".to_owned(), |path| path.display().to_string())
}

/// What is no plain file (a pipe, a terminal) cannot be replaced.
fn is_written_to(path: &Path) -> bool {
    path.exists() && !path.is_file()
}

/// Says before there is anything to write what of it could not be: two reports in one place, one in
/// a folder that is not there.
pub(super) fn look_at<'a>(places: impl IntoIterator<Item = &'a Path>) -> Result<(), Exit> {
    let mut files = Vec::new();
    for path in places.into_iter().filter(|path| !is_written_to(path)) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // What is no folder has no "." in it.
        if let Some(Err(error)) = folder.map(|folder| fs::metadata(folder.join("."))) {
            return Err(Unwritten { name: name(Some(path)), error }.tell());
        }
        if files.contains(&path) {
            complain(format_args!("{}: two reports are to be written here", path.display()));
            return Err(Exit::Input);
        }
        files.push(path);
    }
    Ok(())
}

/// Writes what `write` writes to a file that is there whole or not at all.
pub(super) fn write_with<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    if is_written_to(path) {
        return write(&mut File::options().write(true).open(path)?);
    }
    let (aside, made) = FILES.aside(path, write)?;
    FILES.place(&[aside]).map_err(|unwritten| unwritten.error)?;
    Ok(made)
}

/// Reports of one command: either all of its files are written or none is.
#[derive(Default)]
pub(super) struct Batch {
    asides: Vec<Aside>,
    /// What goes to stdout and to what is no plain file, once all others are written aside.
    streamed: Vec<(Option<PathBuf>, String)>,
}

impl Batch {
    /// Takes a report to a file, or to stdout; or says why it cannot be written.
    pub(super) fn add(&mut self, path: Option<&Path>, text: String) -> Result<(), Exit> {
        match path {
            Some(path) if !is_written_to(path) => {
                let written = FILES.aside(path, |file| file.write_all(text.as_bytes()));
                let unwritten = |error| Unwritten { name: name(Some(path)), error }.tell();
                let (aside, ()) = written.map_err(unwritten)?;
                self.asides.push(aside);
            }
            path => self.streamed.push((path.map(Path::to_owned), text)),
        }
        Ok(())
    }

    /// Puts all in their places; or says which one cannot be.
    pub(super) fn finish(self) -> Result<(), Exit> {
        for (path, text) in &self.streamed {
            let written = match path {
                Some(path) => File::options()
                    .write(true)
                    .open(path)
                    .and_then(|mut file| file.write_all(text.as_bytes())),
                None => stream(text),
            };
            let unwritten = |error| Unwritten { name: name(path.as_deref()), error }.tell();
            written.map_err(unwritten)?;
        }
        FILES.place(&self.asides).map_err(Unwritten::tell)
    }
}

fn stream(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Removes what is not finished, for the process ends; in words, what was written before.
pub(super) fn abandon() -> String {
    match FILES.abandon() {
        0 => "nothing was written".to_owned(),
        1 => "a file was written before".to_owned(),
        count => format!("{count} files were written before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(text: &str) -> impl FnOnce(&mut File) -> io::Result<()> {
        move |file| file.write_all(text.as_bytes())
    }

    #[test]
    fn files_are_put_in_their_places_together() {
        static FILES: Files = Files::new();
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("a"), "before").unwrap();
        let (first, ()) = FILES.aside(&path("a"), write("a")).unwrap();
        let (second, ()) = FILES.aside(&path("b"), write("b")).unwrap();
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "before");
        assert!(!path("b").exists());
        FILES.place(&[first, second]).unwrap();
        assert_eq!(names(folder.path()), ["a", "b"]);
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "a");
        assert_eq!(FILES.abandon(), 2);
        assert_eq!(names(folder.path()), ["a", "b"], "what is there stays");
    }

    #[test]
    fn what_is_not_put_in_its_place_vanishes() {
        static FILES: Files = Files::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        drop(FILES.aside(&path, write("a")).unwrap());
        let full = |_: &mut File| Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull));
        assert!(FILES.aside(&path, full).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn once_all_is_abandoned_nothing_is_begun_or_put_in_its_place() {
        static FILES: Files = Files::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (aside, ()) = FILES.aside(&path, write("a")).unwrap();
        assert_eq!(FILES.abandon(), 0);
        assert!(FILES.place(&[aside]).is_err());
        assert!(FILES.aside(&path, write("a")).is_err());
        assert!(names(folder.path()).is_empty());
    }
}
