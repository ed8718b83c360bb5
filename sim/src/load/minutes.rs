//! Arrivals from counts by the minute; nothing is kept per request.

use crate::draw::Stream;
use crate::scenario::Placing;
use crate::world::Arrivals;

use super::{Counts, Trigger};

const MINUTE_NS: u64 = 60_000_000_000;

/// Where in a unit of time its requests are.
pub(super) struct Placer {
    /// None = those of a timer: at equal distances, and at the same offset in every unit.
    placing: Option<Placing>,
    stream: Stream,
    unit_ns: u64,
    /// The last place given.
    at_ns: u64,
    drawn: u64,
}

impl Placer {
    pub(super) fn new(placing: Option<Placing>, stream: Stream, unit_ns: u64) -> Self {
        Self { placing, stream, unit_ns, at_ns: 0, drawn: 0 }
    }

    /// The place of the request of that number, from 0, of `count` in the unit of that number.
    pub(super) fn place_ns(&mut self, unit: u64, given: u64, count: u64) -> u64 {
        let unit_ns = self.unit_ns;
        let begin_ns = unit.saturating_mul(unit_ns);
        let even_ns = |given: u64| {
            let ns = u128::from(unit_ns) * u128::from(given) / u128::from(count);
            u64::try_from(ns).unwrap_or(unit_ns)
        };
        let offset_ns = match self.placing {
            // The same draw in every unit, folded into the distance of two.
            None => self.stream.below(0, unit_ns) / count + even_ns(given),
            Some(Placing::Even) => unit_ns / count / 2 + even_ns(given),
            Some(Placing::Clump) => self.stream.below(unit, unit_ns),
            Some(Placing::Uniform) => {
                // The least of the n that are left, evenly spread over what is left of the unit:
                // 1 − U^(1/n) of it.
                let from_ns = self.at_ns.max(begin_ns) - begin_ns;
                let left_ns = unit_ns - 1 - from_ns;
                self.drawn += 1;
                let share =
                    -libm::expm1(libm::log(self.stream.unit(self.drawn)) / (count - given) as f64);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a unit"
                )]
                let gap_ns = (share * left_ns as f64) as u64;
                from_ns + gap_ns.min(left_ns)
            }
        };
        self.at_ns = begin_ns.saturating_add(offset_ns);
        self.at_ns
    }
}

/// The arrivals that some counts mean.
pub(super) struct Minutes<'a> {
    counts: &'a Counts,
    placer: Placer,
    end_ns: u64,
    minute: usize,
    /// Arrivals of the minute that were given.
    given: u32,
}

impl<'a> Minutes<'a> {
    pub(super) fn new(counts: &'a Counts, stream: Stream, end_ns: u64) -> Self {
        let placing = match counts.trigger {
            Trigger::Timer => None,
            Trigger::Other => Some(counts.placing),
        };
        let placer = Placer::new(placing, stream, MINUTE_NS);
        Self { counts, placer, end_ns, minute: 0, given: 0 }
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
            let (given, count) = (u64::from(self.given), u64::from(count));
            let at_ns = self.placer.place_ns(self.minute as u64, given, count);
            self.given += 1;
            return (at_ns < self.end_ns).then_some(at_ns);
        }
    }
}
