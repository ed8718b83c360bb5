//! Whether the lines of a file are in order, as far as they must be.

use crate::lines::Fault;

/// The order of one file's lines.
pub(super) struct Order {
    disorder_ns: u64,
    /// The latest time, and where it stands.
    latest: Option<(u64, u64)>,
}

impl Order {
    pub(super) fn new(disorder_ns: u64) -> Self {
        Self { disorder_ns, latest: None }
    }

    /// Takes the time of the next line.
    pub(super) fn check(&mut self, at_ns: u64, line: u64) -> Result<(), Fault> {
        let (latest_ns, latest_line) = *self.latest.get_or_insert((at_ns, line));
        if latest_ns.saturating_sub(at_ns) > self.disorder_ns {
            let seconds = |ns: u64| ns / 1_000_000_000;
            let rule = format!(
                "is {} s before line {latest_line}; a line may lie {} s before an earlier one \
                 (--disorder)",
                seconds(latest_ns - at_ns),
                seconds(self.disorder_ns),
            );
            return Err(Fault::Field { field: "time".to_owned(), rule });
        }
        if at_ns > latest_ns {
            self.latest = Some((at_ns, line));
        }
        Ok(())
    }
}
