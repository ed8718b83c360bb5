//! A decision as one line.

use std::fmt;

use super::{Average, Decision, Keep, Outcome, Reason, Rule, Why};
use crate::burst::Demand;
use crate::settings::Metric;

/// What is done first, then why, then the figures: whatever cuts a line cuts its end.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = &self.inputs;
        write!(f, "{}: ", inputs.why)?;
        match self.outcome {
            Outcome::ScaleTo(replicas) => write!(f, "scale to {replicas}; ")?,
            Outcome::Keep | Outcome::NoData => write!(f, "keep {}; ", inputs.replicas)?,
        }
        for reason in &self.reasons {
            write!(f, "{reason}; ")?;
        }
        match inputs.averages {
            None => write!(f, "nothing known of the load")?,
            Some(averages) => {
                let unit = match inputs.scaling.metric {
                    Metric::Concurrency => "concurrency",
                    Metric::Rps => "rps",
                };
                let (stable, target) = (averages.stable, inputs.scaling.target);
                let (stable_s, panic_s) =
                    (inputs.scaling.stable_window_s, inputs.scaling.panic_window_s);
                write!(f, "{unit} {} ÷ {target} = {}", of(stable, stable_s), self.raw)?;
                write!(f, ", panic {}", of(averages.panic, panic_s))?;
            }
        }
        write!(f, ", {} of {} ready", inputs.ready, inputs.replicas)
    }
}

/// An average and how much of its window it saw.
fn of(average: Average, window_s: u32) -> String {
    format!("{} ({}/{window_s} s)", average.value, average.known_s)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Tick => "tick",
            Self::Wake => "wake",
            Self::Pressure => "pressure",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} by {}", self.before, self.after, self.rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND_US: u64 = 1_000_000;
        match *self {
            Self::MaxScaleDownRate { ready, rate } => {
                write!(f, "max-scale-down-rate {rate} of {ready} ready")
            }
            Self::MaxScaleUpRate { ready, rate } => {
                write!(f, "max-scale-up-rate {rate} of {ready} ready")
            }
            Self::ActivationScale { scale } => write!(f, "activation-scale {scale}"),
            Self::Panic { wanted, most, .. } => {
                write!(f, "panic (wants {wanted}, highest {most})")
            }
            Self::ScaleDownDelay { delay_s } => write!(f, "scale-down-delay {delay_s} s"),
            Self::Coverage { known_s, window_s } => {
                write!(f, "coverage ({known_s} of {window_s} s known)")
            }
            Self::InFlight { in_flight, held } => {
                write!(f, "open requests ({in_flight} in flight, {held} held)")
            }
            Self::Burst(Demand { open, refused, to_come }) => {
                write!(f, "burst ({open} open, {refused} refused, {to_come:.1} to come)")
            }
            Self::Wake { .. } => f.write_str("wake"),
            Self::InitialScale { initial } => write!(f, "initial-scale {initial}"),
            Self::Starting { for_us, limit_us } => {
                let (for_s, limit_s) = (for_us / SECOND_US, limit_us / SECOND_US);
                write!(f, "start-up (for {for_s} of {limit_s} s)")
            }
            Self::JustActive { for_us, window_s } => {
                write!(f, "active for {} of {window_s} s", for_us / SECOND_US)
            }
            Self::MinScale { min } => write!(f, "min-scale {min}"),
            Self::MaxScale { max } => write!(f, "max-scale {max}"),
            Self::ScaleToZero => f.write_str("enable-scale-to-zero false"),
            Self::Retention { for_us, retention_us } => {
                let (for_s, retention_s) = (for_us / SECOND_US, retention_us / SECOND_US);
                write!(f, "retention (idle for {for_s} of {retention_s} s)")
            }
            Self::Grace { waited_us, grace_us } => {
                let (waited_s, grace_s) = (waited_us / SECOND_US, grace_us / SECOND_US);
                write!(f, "grace ({waited_s} of {grace_s} s)")
            }
            Self::Pressure { replicas } => {
                write!(f, "pressure, which only raises, with {replicas} asked for")
            }
            Self::Keep(Keep::Zero) => f.write_str("another writer, who set it to 0"),
            Self::Keep(Keep::SetByOther(replicas)) => {
                write!(f, "another writer, who set it to {replicas}")
            }
            Self::Keep(Keep::Rollout(replicas)) => write!(f, "rollout of {replicas} under way"),
            Self::Paused { .. } => f.write_str("paused"),
        }
    }
}
