//! What the activators last reported of one function, for people to see. Decisions have the
//! policy's own meter.

use std::collections::BTreeMap;

use dormouse_link::frame::Reading;

/// One function's load by reporter.
#[derive(Debug, Default)]
pub(super) struct Load {
    reporters: BTreeMap<String, Reported>,
}

#[derive(Debug)]
struct Reported {
    boot: u64,
    at_us: u64,
    started: u64,
    in_flight: u64,
    held: u64,
    rps: f64,
}

/// The load over all reporters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) in_flight: u64,
    pub(super) held: u64,
    pub(super) rps: f64,
}

impl Load {
    /// Takes a reading from the report of `reporter` in its process `boot` at its own time `at_us`;
    /// the one before it ended at `since_us`, where it had no load if it was not named.
    pub(super) fn read(
        &mut self,
        reporter: &str,
        boot: u64,
        since_us: Option<u64>,
        at_us: u64,
        reading: &Reading,
    ) {
        let before = self.reporters.get(reporter);
        let before = before.filter(|before| before.boot == boot);
        let rps = before.map_or(0.0, |before| {
            let since_us = since_us.unwrap_or(before.at_us).max(before.at_us);
            per_second(reading.started.wrapping_sub(before.started), at_us.saturating_sub(since_us))
        });
        let reported = Reported {
            boot,
            at_us,
            started: reading.started,
            in_flight: reading.in_flight,
            held: reading.held,
            rps,
        };
        self.reporters.insert(reporter.to_owned(), reported);
    }

    /// The reporter's last report did not name the function: no load.
    pub(super) fn rest(&mut self, reporter: &str) {
        if let Some(reported) = self.reporters.get_mut(reporter) {
            reported.in_flight = 0;
            reported.held = 0;
            reported.rps = 0.0;
        }
    }

    /// The reporter is gone. Whether it had ever named the function.
    pub(super) fn forget(&mut self, reporter: &str) -> bool {
        self.reporters.remove(reporter).is_some()
    }

    pub(super) fn figures(&self) -> Figures {
        let mut sum = Figures::default();
        for reported in self.reporters.values() {
            sum.in_flight += reported.in_flight;
            sum.held += reported.held;
            sum.rps += reported.rps;
        }
        sum
    }
}

/// Requests over microseconds, in requests per second; 0 over no time.
fn per_second(requests: u64, us: u64) -> f64 {
    /// Beyond this a figure is an error, not a rate; it also keeps both numbers exact as `f64`.
    const EXACT_MAX: u64 = 1 << 52;
    if us == 0 || requests > EXACT_MAX || us > EXACT_MAX {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "both are at most 2^52, exact as f64")]
    let (requests, seconds) = (requests as f64, us as f64 / 1e6);
    requests / seconds
}

#[cfg(test)]
mod tests {
    use dormouse_policy::function::FunctionName;

    use super::*;

    fn reading(started: u64, in_flight: u64) -> Reading {
        Reading {
            function: FunctionName::new("default", "hello"),
            area_us: 0,
            started,
            in_flight,
            held: in_flight / 2,
            refused: 0,
        }
    }

    #[test]
    fn figures_are_summed_over_reporters() {
        let mut load = Load::default();
        load.read("a", 1, None, 1_000_000, &reading(10, 2));
        assert_eq!(load.figures().rps.to_bits(), 0.0_f64.to_bits());
        load.read("a", 1, Some(1_000_000), 3_000_000, &reading(30, 4));
        load.read("b", 1, None, 5_000_000, &reading(7, 6));
        let expected = Figures { in_flight: 10, held: 5, rps: 10.0 };
        assert_eq!(load.figures(), expected);
        load.rest("a");
        assert_eq!(load.figures().in_flight, 6);
        load.read("a", 1, Some(9_000_000), 10_000_000, &reading(35, 1));
        assert_eq!(load.figures().rps.to_bits(), 5.0_f64.to_bits());
        load.read("a", 2, Some(9_000_000), 10_000_000, &reading(5, 1));
        assert_eq!(load.figures().rps.to_bits(), 0.0_f64.to_bits(), "a new boot");
    }
}
