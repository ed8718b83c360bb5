//! Waiting for an event under a deadline.

use std::time::{Duration, Instant};

/// The longest wait for one event: far above what a busy two-core machine needs, far below the
/// patience of a person watching the run.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at something that cannot wake us (`/proc`, a file).
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks until there is something to see, and returns it.
///
/// # Panics
/// If there is nothing by [`DEADLINE`]; the message names `what`.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    let seen = at_most(DEADLINE, look);
    seen.unwrap_or_else(|| panic!("waited in vain for {what} ({DEADLINE:?})"))
}

/// Looks until there is something to see or the time is up.
pub fn at_most<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let seen = look();
        if seen.is_some() || started.elapsed() >= patience {
            return seen;
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "the one pause between two looks at what cannot wake us"
        )]
        std::thread::sleep(LOOK_AGAIN);
    }
}
