//! Arrivals from counts by the minute; nothing is kept per request.

use crate::draw::Stream;
use crate::scenario::Placing;
use crate::world::Arrivals;

use super::{Counts, Trigger};

const MINUTE_NS: u64 = 60_000_000_000;

/// The arrivals that some counts mean.
pub(super) struct Minutes<'a> {
    counts: &'a Counts,
    stream: Stream,
    end_ns: u64,
    minute: usize,
    /// Arrivals of the minute that were given.
    given: u32,
    /// The last one.
    at_ns: u64,
    drawn: u64,
}

impl<'a> Minutes<'a> {
    pub(super) fn new(counts: &'a Counts, stream: Stream, end_ns: u64) -> Self {
        Self { counts, stream, end_ns, minute: 0, given: 0, at_ns: 0, drawn: 0 }
    }

    /// The next place in a minute that has `count` arrivals.
    fn place_ns(&mut self, count: u32) -> u64 {
        let begin_ns = self.minute as u64 * MINUTE_NS;
        let even_ns = |given: u32| MINUTE_NS * u64::from(given) / u64::from(count);
        match (self.counts.trigger, self.counts.placing) {
            (Trigger::Timer, _) => {
                // The same draw in every minute, folded into the distance of two.
                let offset_ns = self.stream.below(0, MINUTE_NS) / u64::from(count);
                begin_ns + offset_ns + even_ns(self.given)
            }
            (Trigger::Other, Placing::Even) => {
                begin_ns + MINUTE_NS / u64::from(count) / 2 + even_ns(self.given)
            }
            (Trigger::Other, Placing::Clump) => {
                begin_ns + self.stream.below(self.minute as u64, MINUTE_NS)
            }
            (Trigger::Other, Placing::Uniform) => {
                // The least of the n that are left, evenly spread over what is left of the minute:
                // 1 − U^(1/n) of it.
                let left = f64::from(count - self.given);
                let from_ns = self.at_ns.max(begin_ns);
                let left_ns = begin_ns + MINUTE_NS - 1 - from_ns;
                self.drawn += 1;
                let share = -libm::expm1(libm::log(self.stream.unit(self.drawn)) / left);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of a minute"
                )]
                let gap_ns = (share * left_ns as f64) as u64;
                from_ns + gap_ns.min(left_ns)
            }
        }
    }
}

impl Arrivals for Minutes<'_> {
    fn next(&mut self) -> Option<u64> {
        loop {
            let count = *self.counts.per_minute.get(self.minute)?;
            if self.given >= count {
                self.minute += 1;
                self.given = 0;
                continue;
            }
            self.at_ns = self.place_ns(count);
            self.given += 1;
            return (self.at_ns < self.end_ns).then_some(self.at_ns);
        }
    }
}
