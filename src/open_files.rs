//! How many files a process may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files this process would like to open: 10 000 connections, both ways, and replicas beside them.
/// Not more, since some programs close every number up to the limit they inherit.
const WANTED: u64 = 65_536;

/// Requests and replicas take several files each, and the usual soft limit of 1024 is there for
/// programs that call select. Replicas inherit what is set here.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(WANTED).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "limit of open files not raised");
    }
}
