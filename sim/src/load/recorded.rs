//! Arrivals of a trace with an index, read as they are wanted.

use std::sync::Arc;

use super::minutes::Placer;
use crate::draw::Stream;
use crate::scenario::Placing;
use crate::trace::indexed::{self, Indexed, Times};
use crate::world::{self, Arrivals};

/// One function of a trace, as a load.
#[derive(Clone)]
pub struct Recorded {
    /// The trace.
    pub trace: Arc<Indexed>,
    /// The function's place in it.
    pub place: usize,
    /// Ticks of the trace that are left out before the run begins.
    pub skip: u64,
    /// Where in a tick its requests are.
    pub placing: Placing,
}

impl Recorded {
    pub(super) fn arrivals(&self, stream: Stream, end_ns: u64) -> impl Arrivals {
        let placer = Placer::new(Some(self.placing), stream, self.trace.head().resolution_ns);
        Ticks {
            arrivals: self.trace.arrivals(self.place, self.skip),
            skip: self.skip,
            placer,
            end_ns,
            tick: (0, 0),
            given: 0,
        }
    }

    pub(super) fn services(&self) -> Option<Box<dyn world::Services + '_>> {
        match self.trace.head().times {
            Times::Known => Some(Box::new(self.trace.services(self.place, self.skip))),
            Times::Unknown => None,
        }
    }
}

struct Ticks<'a> {
    arrivals: indexed::Arrivals<'a>,
    skip: u64,
    placer: Placer,
    end_ns: u64,
    /// The tick, and how many arrivals it has.
    tick: (u64, u64),
    /// How many of them were given.
    given: u64,
}

impl Arrivals for Ticks<'_> {
    fn next(&mut self) -> Option<u64> {
        if self.given == self.tick.1 {
            let (tick, requests) = self.arrivals.next()?;
            self.tick = (tick - self.skip, requests);
            self.given = 0;
        }
        let at_ns = self.placer.place_ns(self.tick.0, self.given, self.tick.1);
        self.given += 1;
        (at_ns < self.end_ns).then_some(at_ns)
    }
}

impl world::Services for indexed::Services<'_> {
    fn next_ns(&mut self) -> u64 {
        // Where reading failed the run is refused at its end, whatever came of it.
        self.next().unwrap_or(0) * 1_000
    }
}
