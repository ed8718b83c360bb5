//! The rate of a load, piece by piece.

use crate::draw::{Distribution, Stream};
use crate::scenario::{Load, Rate, Span, Start, Time, WAVE_PIECES};

/// Draws of spells have a stream of their own, beside those of arrivals.
const SPELLS: u64 = 1 << 63;

/// The pieces of one load, in order of time.
pub(super) struct Pieces {
    course: Course,
    end_ns: u64,
    piece: Piece,
}

/// A time in which the rate changes in one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where it ends, in nanoseconds.
    pub(super) until_ns: u64,
    /// The highest rate in it, in requests per nanosecond.
    pub(super) most: f64,
    slope: Slope,
}

/// How the rate changes in a piece. Rates are in requests per nanosecond.
#[derive(Clone, Copy, Debug)]
enum Slope {
    /// Not at all.
    Flat,
    /// In a straight line.
    Line { from_ns: u64, width_ns: u64, from: f64, to: f64 },
    /// By a cosine, highest at a multiple of the period from `peak_ns` on.
    Wave { middle: f64, half: f64, peak_ns: u64, period_ns: u64 },
}

/// How a load goes on.
enum Course {
    /// At one rate.
    Flat(f64),
    /// By corners: at that time that rate, straight lines between, the last one stays.
    Corners(Vec<(u64, f64)>),
    /// Rates one after the other.
    Steps { rates: Vec<f64>, every_ns: u64 },
    /// By the time of day.
    Wave { low: f64, high: f64, peak_ns: u64, period_ns: u64 },
    /// On and off.
    Spells { rate: f64, on: Distribution, off: Distribution, stream: Stream, drawn: u64 },
}

impl Pieces {
    pub(super) fn new(load: &Load, stream: Stream, start: Start, end_ns: u64) -> Self {
        let none = Piece { until_ns: 0, most: 0.0, slope: Slope::Flat };
        Self { course: Course::new(load, stream, start), end_ns, piece: none }
    }

    /// The piece that holds a time, which never goes back; none at the end.
    pub(super) fn at(&mut self, at_ns: u64) -> Option<Piece> {
        while self.piece.until_ns <= at_ns {
            if at_ns >= self.end_ns {
                return None;
            }
            let piece = self.course.piece(self.piece.until_ns);
            self.piece = Piece { until_ns: piece.until_ns.min(self.end_ns), ..piece };
        }
        Some(self.piece)
    }
}

impl Piece {
    fn flat(until_ns: u64, most: f64) -> Self {
        Self { until_ns, most, slope: Slope::Flat }
    }

    /// The rate at a time in the piece, as a share of its highest.
    pub(super) fn share(&self, at_ns: u64) -> f64 {
        let rate = match self.slope {
            Slope::Flat => return 1.0,
            Slope::Line { from_ns, width_ns, from, to } => {
                from + (to - from) * (float(at_ns - from_ns) / float(width_ns))
            }
            Slope::Wave { middle, half, peak_ns, period_ns } => {
                middle + half * cosine(at_ns, peak_ns, period_ns)
            }
        };
        rate / self.most
    }
}

impl Course {
    fn new(load: &Load, stream: Stream, start: Start) -> Self {
        match load {
            Load::Constant { constant: rate } | Load::Poisson { poisson: rate } => {
                Self::Flat(per_ns(*rate))
            }
            // However often nothing is on, there is nothing.
            Load::OnOff { on_off: Rate(0), .. } => Self::Flat(0.0),
            Load::OnOff { on_off, on, off } => Self::Spells {
                rate: per_ns(*on_off),
                on: on.distribution(),
                off: off.distribution(),
                stream,
                drawn: 0,
            },
            Load::Diurnal { diurnal: Span { from, to }, period, peak } => {
                // Where in its period the run begins: periods are counted from 1970 on.
                let period_ns = u128::from(period.0);
                let begun_ns = u128::from(start.unix_s) * u128::from(Time::SECOND.0) % period_ns;
                let peak_ns = (u128::from(peak.0) + period_ns - begun_ns) % period_ns;
                Self::Wave {
                    low: per_ns(*from),
                    high: per_ns(*to),
                    peak_ns: u64::try_from(peak_ns).unwrap_or(0),
                    period_ns: period.0,
                }
            }
            Load::Step { step, every } => {
                let rates = step.iter().copied().map(per_ns).collect();
                Self::Steps { rates, every_ns: every.0 }
            }
            Load::Ramp { ramp: Span { from, to }, at, over } => {
                let (from, to) = (per_ns(*from), per_ns(*to));
                Self::Corners(vec![(0, from), (at.0, from), (at.0 + over.0, to)])
            }
            Load::Flash { flash, at, rise, hold, fall } => {
                let (rate, begin) = (per_ns(*flash), at.0);
                let (high, wanes) = (begin + rise.0, begin + rise.0 + hold.0);
                let corners = [(0, 0.0), (begin, 0.0), (high, rate), (wanes, rate)];
                Self::Corners(corners.into_iter().chain([(wanes + fall.0, 0.0)]).collect())
            }
        }
    }

    /// The piece that begins at a time where another ended.
    fn piece(&mut self, from_ns: u64) -> Piece {
        match self {
            Self::Flat(rate) => Piece::flat(u64::MAX, *rate),
            Self::Corners(corners) => {
                let after = corners.partition_point(|(at_ns, _)| *at_ns <= from_ns);
                let (_, from) = corners[after.max(1) - 1];
                match corners.get(after) {
                    None => Piece::flat(u64::MAX, from),
                    Some(&(until_ns, to)) => Piece {
                        until_ns,
                        most: from.max(to),
                        slope: match from.total_cmp(&to).is_eq() {
                            true => Slope::Flat,
                            false => {
                                Slope::Line { from_ns, width_ns: until_ns - from_ns, from, to }
                            }
                        },
                    },
                }
            }
            Self::Steps { rates, every_ns } => {
                let place = usize::try_from(from_ns / *every_ns).unwrap_or(usize::MAX);
                let last = rates.len().saturating_sub(1);
                let until_ns = match place < last {
                    true => (from_ns / *every_ns + 1) * *every_ns,
                    false => u64::MAX,
                };
                Piece::flat(until_ns, rates.get(place.min(last)).copied().unwrap_or(0.0))
            }
            &mut Self::Wave { low, high, peak_ns, period_ns } => {
                let until_ns = from_ns + (period_ns / WAVE_PIECES).max(1);
                let (middle, half) = (f64::midpoint(low, high), (high - low) / 2.0);
                let slope = Slope::Wave { middle, half, peak_ns, period_ns };
                let at = |at_ns| middle + half * cosine(at_ns, peak_ns, period_ns);
                let to_peak_ns = (peak_ns + period_ns - from_ns % period_ns) % period_ns;
                let most = match from_ns + to_peak_ns < until_ns {
                    true => high,
                    false => at(from_ns).max(at(until_ns)),
                };
                Piece { until_ns, most, slope }
            }
            Self::Spells { rate, on, off, stream, drawn } => {
                let is_on = drawn.is_multiple_of(2);
                let spell_ns = if is_on { on } else { off }.at(stream.unit(SPELLS | *drawn));
                *drawn += 1;
                // A drawn spell may round to nothing.
                Piece::flat(from_ns + spell_ns.max(1), if is_on { *rate } else { 0.0 })
            }
        }
    }
}

fn cosine(at_ns: u64, peak_ns: u64, period_ns: u64) -> f64 {
    let after_ns = (at_ns % period_ns + period_ns - peak_ns) % period_ns;
    libm::cos(float(after_ns) / float(period_ns) * std::f64::consts::TAU)
}

fn per_ns(rate: Rate) -> f64 {
    float(rate.0) / 1e18
}

#[allow(clippy::cast_precision_loss, reason = "nearest is meant")]
fn float(number: u64) -> f64 {
    number as f64
}
