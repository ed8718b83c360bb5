//! Invented loads, as they are written.

use serde::Serialize;

use super::document::{Node, Section};
use super::value::{Rate, Span, Spread, Time, only};

/// Steps of one load.
const STEPS_MAX: usize = 10_000;

/// The shortest time in which a load goes up and down: what is shorter is a rate.
const SPELL_MIN: Time = Time(10_000_000);

/// Pieces of a wave, in each of which arrivals are proposed at its own highest rate: with more,
/// fewer are proposed in vain.
pub(crate) const WAVE_PIECES: u64 = 24;

/// How requests arrive. All but `Constant` are Poisson processes, of a rate that may change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Load {
    /// At equal distances.
    Constant {
        /// The rate.
        constant: Rate,
    },
    /// At one rate.
    Poisson {
        /// The rate.
        poisson: Rate,
    },
    /// At one rate in some spells, not at all in those between. The first spell is on.
    OnOff {
        /// The rate in a spell.
        #[serde(rename = "on-off")]
        on_off: Rate,
        /// How long it lasts.
        on: Spread,
        /// How long there is none.
        off: Spread,
    },
    /// Between two rates by a cosine of the time of day: the low one half a period off the peak.
    Diurnal {
        /// The rates.
        diurnal: Span,
        /// How long until it is the same again; a period begins with the day (UTC).
        period: Time,
        /// When in the period it is highest.
        peak: Time,
    },
    /// At one rate after the other; the last one stays.
    Step {
        /// The rates.
        step: Vec<Rate>,
        /// How long each lasts.
        every: Time,
    },
    /// From one rate, in a straight line, to another that stays.
    Ramp {
        /// The rates.
        ramp: Span,
        /// When it begins to change.
        at: Time,
        /// How long it changes.
        over: Time,
    },
    /// None, but once a crowd.
    Flash {
        /// The rate at its height.
        flash: Rate,
        /// When it begins.
        at: Time,
        /// How long it grows, in a straight line.
        rise: Time,
        /// How long it stays.
        hold: Time,
        /// How long it wanes.
        fall: Time,
    },
}

const KINDS: [&str; 7] = ["constant", "poisson", "on-off", "diurnal", "step", "ramp", "flash"];

impl Load {
    /// Requests at that rate, each independent of all others.
    #[must_use]
    pub fn poisson(rate: Rate) -> Self {
        Self::Poisson { poisson: rate }
    }

    /// Requests at that rate, at equal distances.
    #[must_use]
    pub fn constant(rate: Rate) -> Self {
        Self::Constant { constant: rate }
    }

    /// Reads one load or an array of them, which are added.
    pub(super) fn read_sum(node: &Node<'_>, end: Time) -> Vec<Self> {
        let loads = node.elements();
        if loads.is_empty() {
            node.fault("must hold a load");
        }
        loads.iter().filter_map(|node| Self::read(node, end)).collect()
    }

    fn read(node: &Node<'_>, end: Time) -> Option<Self> {
        let section = node.section()?;
        let load = Self::section(&section, end);
        section.finish();
        load
    }

    fn section(section: &Section<'_>, end: Time) -> Option<Self> {
        let node = only(section, &KINDS)?;
        let kind = KINDS.into_iter().find(|kind| section.has(kind))?;
        let rate = || node.read(str::parse::<Rate>);
        let span = || node.read(str::parse::<Span>);
        let at = || moment(section, "at", end);
        // Read without `?` between them, so that all that is wrong is named.
        match kind {
            "constant" => rate().map(|constant| Self::Constant { constant }),
            "poisson" => rate().map(|poisson| Self::Poisson { poisson }),
            "on-off" => {
                let (on_off, on, off) = (rate(), spell(section, "on"), spell(section, "off"));
                Some(Self::OnOff { on_off: on_off?, on: on?, off: off? })
            }
            "diurnal" => {
                let (diurnal, period) = (span(), at_least(section, "period", SPELL_MIN));
                let peak = time(section, "peak");
                let (diurnal, period) = (diurnal?, period?);
                if diurnal.from > diurnal.to {
                    node.fault("must be a low rate and a high one");
                }
                let peak = peak.unwrap_or(Time(period.0 / 2));
                Some(Self::Diurnal { diurnal, period, peak: Time(peak.0 % period.0) })
            }
            "step" => {
                let rates = node.elements();
                if rates.len() > STEPS_MAX {
                    node.fault(format_args!("must have at most {STEPS_MAX} rates"));
                }
                let rates = rates.iter().filter_map(|node| node.read(str::parse::<Rate>));
                let (step, every) = (rates.collect(), at_least(section, "every", SPELL_MIN));
                Some(Self::Step { step, every: every? })
            }
            "ramp" => {
                let (ramp, at, over) = (span(), at(), at_least(section, "over", SPELL_MIN));
                Some(Self::Ramp { ramp: ramp?, at: at?, over: over? })
            }
            _ => {
                let (flash, at, hold) = (rate(), at(), time(section, "hold"));
                let (rise, fall) = (time(section, "rise"), time(section, "fall"));
                let rise = rise.unwrap_or_default();
                Some(Self::Flash {
                    flash: flash?,
                    at: at?,
                    rise,
                    hold: hold.unwrap_or_default(),
                    fall: fall.unwrap_or(rise),
                })
            }
        }
    }

    /// How often its rate may be expected to change in a run of that length at most: each change
    /// takes time without being an event.
    #[must_use]
    pub fn changes_max(&self, length: Time) -> u128 {
        let times = |every_ns: u64| u128::from(length.0 / every_ns.max(1));
        match self {
            Self::OnOff { on, off, .. } => 2 * times(shortest(*on).0 + shortest(*off).0),
            Self::Diurnal { period, .. } => times(period.0 / WAVE_PIECES),
            Self::Step { step, .. } => step.len() as u128,
            Self::Constant { .. }
            | Self::Poisson { .. }
            | Self::Ramp { .. }
            | Self::Flash { .. } => 0,
        }
    }

    /// The most requests that may be expected of it in a run of that length.
    #[must_use]
    pub fn requests_max(&self, length: Time) -> u128 {
        let rate = |rate: Rate, time: Time| {
            u128::from(rate.0) * u128::from(time.0) / 1_000_000_000_000_000_000
        };
        match self {
            Self::Constant { constant: most }
            | Self::Poisson { poisson: most }
            | Self::OnOff { on_off: most, .. } => rate(*most, length),
            Self::Diurnal { diurnal: span, .. } | Self::Ramp { ramp: span, .. } => {
                rate(span.from.max(span.to), length)
            }
            Self::Step { step, .. } => rate(step.iter().copied().max().unwrap_or_default(), length),
            Self::Flash { flash, rise, hold, fall, .. } => {
                rate(*flash, Time((rise.0 + hold.0 + fall.0).min(length.0)))
            }
        }
    }
}

/// A time of the run.
pub(super) fn moment(section: &Section<'_>, name: &'static str, end: Time) -> Option<Time> {
    let node = section.need(name)?;
    let at = node.read(str::parse::<Time>)?;
    // Where the length itself is at fault, nothing is said about what lies in it.
    if at >= end && end > Time::ZERO {
        node.fault(format_args!("must be before the end of the run, {end}"));
    }
    Some(at)
}

fn time(section: &Section<'_>, name: &'static str) -> Option<Time> {
    section.get(name)?.read(str::parse)
}

/// A time that must be there and that long.
pub(super) fn at_least(section: &Section<'_>, name: &'static str, least: Time) -> Option<Time> {
    let node = section.need(name)?;
    let time: Time = node.read(str::parse)?;
    if time < least {
        node.fault(format_args!("must be at least {least}"));
        return None;
    }
    Some(time)
}

/// How long a load is on or off: it must take time, else there would be no end of spells.
fn spell(section: &Section<'_>, name: &'static str) -> Option<Spread> {
    let node = section.need(name)?;
    let spread = Spread::read(&node)?;
    if shortest(spread) < SPELL_MIN {
        node.fault(format_args!("must be at least {SPELL_MIN}"));
        return None;
    }
    Some(spread)
}

/// What a drawn time is not below on the average.
fn shortest(spread: Spread) -> Time {
    match spread {
        Spread::Constant(time) | Spread::Exponential(time) | Spread::LogNormal(time, _) => time,
        Spread::Bimodal(one, other, _) => one.min(other),
    }
}
