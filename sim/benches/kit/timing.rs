//! What benches measure time by.

/// Seconds that this thread, the process' first, has run: the first figure of its schedstat, in
/// nanoseconds.
pub(crate) fn ran_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ran_ns = stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
    ran_ns.expect("Linux keeps account of threads") as f64 / 1e9
}
