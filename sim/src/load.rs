//! When requests arrive: invented loads, worked out one arrival at a time.
//!
//! Every load but the constant one is a Poisson process whose rate is known piece by piece. Within
//! a piece arrivals are proposed at the highest rate of the piece, and one is kept with the
//! probability rate ÷ highest rate (thinning: Lewis and Shedler, 1979); a proposal beyond the piece
//! is drawn anew where the next one begins, for the process has no memory. All draws are keyed by
//! the function and the load's place in the sum, so that a load is the same whatever else there is.

mod pieces;
mod minutes;
mod scatter;
mod recorded;

use crate::draw::Stream;
use crate::scenario::{Load, Placing, Rate, Start};
use crate::world::{self, Arrivals};

use minutes::Minutes;
use pieces::Pieces;

pub use recorded::Recorded;

/// What arrives at one function.
#[derive(Clone)]
pub struct Traffic {
    /// From which its draws follow.
    pub entity: u64,
    /// When the run begins.
    pub start: Start,
    /// When it ends, in nanoseconds: nothing arrives from there on.
    pub end_ns: u64,
    /// What it is.
    pub source: Source,
}

/// Where arrivals come from.
#[derive(Clone)]
pub enum Source {
    /// The sum of invented loads.
    Loads(Vec<Load>),
    /// Recorded counts.
    Counts(Counts),
    /// Recorded arrivals.
    Recorded(Recorded),
}

/// Recorded counts of a function, by the minute.
#[derive(Clone, Debug)]
pub struct Counts {
    /// How many requests each minute of the run had, the first first.
    pub per_minute: Vec<u32>,
    /// Where in a minute they are.
    pub placing: Placing,
    /// Whether they are those of a timer.
    pub trigger: Trigger,
}

/// What causes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A timer: they are at equal distances, and at the same offset in every minute.
    Timer,
    /// Anything else.
    Other,
}

impl world::Load for Traffic {
    fn arrivals(&self, seed: u64) -> Box<dyn Arrivals + '_> {
        let stream = |place: usize| Stream::new(seed, &format!("arrivals/{place}"), self.entity);
        match &self.source {
            Source::Loads(loads) => {
                let parts = loads.iter().enumerate().map(|(place, load)| match load {
                    Load::Constant { constant } => Part::Even(Even::new(*constant, self.end_ns)),
                    load => Part::Poisson(Box::new(Poisson {
                        pieces: Pieces::new(load, stream(place), self.start, self.end_ns),
                        stream: stream(place),
                        index: 0,
                        at_ns: 0,
                    })),
                });
                let mut parts: Vec<_> = parts.collect();
                if parts.len() == 1
                    && let Some(part) = parts.pop()
                {
                    return Box::new(part);
                }
                Box::new(Sum::new(parts))
            }
            Source::Counts(counts) => Box::new(Minutes::new(counts, stream(0), self.end_ns)),
            Source::Recorded(recorded) => Box::new(recorded.arrivals(stream(0), self.end_ns)),
        }
    }

    fn services(&self) -> Option<Box<dyn world::Services + '_>> {
        match &self.source {
            Source::Recorded(recorded) => recorded.services(),
            Source::Loads(_) | Source::Counts(_) => None,
        }
    }
}

/// One load of a sum.
enum Part {
    Even(Even),
    Poisson(Box<Poisson>),
}

impl Arrivals for Part {
    fn next(&mut self) -> Option<u64> {
        match self {
            Self::Even(even) => even.next(),
            Self::Poisson(poisson) => poisson.next(),
        }
    }
}

/// Several loads, by time; of two at one moment the earlier in the sum is first.
struct Sum {
    parts: Vec<(Option<u64>, Part)>,
}

impl Sum {
    fn new(parts: Vec<Part>) -> Self {
        let first = |mut part: Part| (part.next(), part);
        Self { parts: parts.into_iter().map(first).collect() }
    }
}

impl Arrivals for Sum {
    fn next(&mut self) -> Option<u64> {
        let parts = self.parts.iter_mut().filter(|(next, _)| next.is_some());
        let (next, part) = parts.min_by_key(|(next, _)| *next)?;
        std::mem::replace(next, part.next())
    }
}

/// Arrivals at equal distances, the first after half of one.
struct Even {
    /// In nano-requests per second.
    rate: u64,
    index: u64,
    end_ns: u64,
}

impl Even {
    fn new(rate: Rate, end_ns: u64) -> Self {
        Self { rate: rate.0, index: 0, end_ns }
    }

    fn next(&mut self) -> Option<u64> {
        // Worked out from the index, so that rounding does not add up: (index + ½) ÷ rate.
        let twice = u128::from(self.index) * 2 + 1;
        let at_ns = (twice * 500_000_000_000_000_000).checked_div(u128::from(self.rate))?;
        let at_ns = u64::try_from(at_ns).ok().filter(|at_ns| *at_ns < self.end_ns)?;
        self.index += 1;
        Some(at_ns)
    }
}

/// A Poisson process whose rate is known piece by piece.
struct Poisson {
    pieces: Pieces,
    stream: Stream,
    index: u64,
    at_ns: u64,
}

impl Poisson {
    fn next(&mut self) -> Option<u64> {
        loop {
            let piece = self.pieces.at(self.at_ns)?;
            if piece.most <= 0.0 {
                self.at_ns = piece.until_ns;
                continue;
            }
            let gap = -libm::log(self.draw()) / piece.most + 0.5;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative, and `as` saturates"
            )]
            let gap_ns = gap as u64;
            let proposed_ns = self.at_ns.saturating_add(gap_ns);
            if proposed_ns >= piece.until_ns {
                self.at_ns = piece.until_ns;
                continue;
            }
            self.at_ns = proposed_ns;
            let share = piece.share(proposed_ns);
            if share >= 1.0 || self.draw() < share {
                return Some(proposed_ns);
            }
        }
    }

    fn draw(&mut self) -> f64 {
        self.index += 1;
        self.stream.unit(self.index)
    }
}

#[cfg(test)]
mod tests;
