//! Arrivals from counts by the minute; nothing is kept per request.

use crate::draw::Stream;
use crate::scenario::Placing;
use crate::world::Arrivals;

use super::scatter::Scatter;
use super::{Counts, Trigger};

const MINUTE_NS: u64 = 60_000_000_000;

/// Where in a unit of time its requests are.
pub(super) struct Placer {
    /// None = those of a timer: at equal distances, and at the same offset in every unit.
    placing: Option<Placing>,
    stream: Stream,
    unit_ns: u64,
    scatter: Scatter,
}

impl Placer {
    pub(super) fn new(placing: Option<Placing>, stream: Stream, unit_ns: u64) -> Self {
        Self { placing, stream, unit_ns, scatter: Scatter::new(stream) }
    }

    /// The place of the request of that number, from 0, of `count` in the unit of that number: to
    /// be asked once for each, in order.
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
                if given == 0 {
                    self.scatter.begin(count);
                }
                let ns = u128::from(unit_ns) * u128::from(self.scatter.next());
                u64::try_from(ns >> u64::BITS).unwrap_or(unit_ns)
            }
        };
        begin_ns.saturating_add(offset_ns)
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
