//! A decision as one line.

use std::fmt;

use serde_json::Value;

use super::{Average, Decision, Keep, Outcome, Reason, Rule, SECOND_US, Why};
use crate::idle::Idleness;
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
    /// Its sentence with the figures of its JSON, so that the one says what the other says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        let mut sentence = self.sentence();
        while let Some((before, (name, after))) = sentence
            .split_once('{')
            .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            f.write_str(before)?;
            f.write_str(&figure(name, &json["inputs"][name]))?;
            sentence = after;
        }
        f.write_str(sentence)
    }
}

impl Rule {
    /// What it says; the figures of its JSON stand where their names are in braces.
    fn sentence(&self) -> &'static str {
        match self {
            Self::MaxScaleDownRate { .. } => "max-scale-down-rate {rate} of {ready} ready",
            Self::MaxScaleUpRate { .. } => "max-scale-up-rate {rate} of {ready} ready",
            Self::ActivationScale { .. } => "activation-scale {scale}",
            Self::Panic { .. } => "panic (wants {wanted}, highest {most})",
            Self::ScaleDownDelay { .. } => "scale-down-delay {delay_s} s",
            Self::Coverage { .. } => "coverage ({known_s} of {window_s} s known)",
            Self::InFlight { .. } => "open requests ({in_flight} in flight, {held} held)",
            Self::LostReporters { .. } => "{lost_in_flight} requests in flight at lost activators",
            Self::Burst(_) => "burst ({open} open, {refused} refused, {to_come} to come)",
            Self::Wake { .. } => "wake",
            Self::IdleCost(Idleness { to_s: Some(_), .. }) => {
                "idle-cost (idle for {for_us} s, bin {from_s}–{to_s} s: warm {warm}, cold {cold})"
            }
            Self::IdleCost(_) => "idle-cost (idle for {for_us} s, beyond {from_s} s)",
            Self::NotIdle => "idle-cost (not certain to be idle)",
            Self::InitialScale { .. } => "initial-scale {initial}",
            Self::Starting { .. } => "start-up (for {for_us} of {limit_us} s)",
            Self::JustActive { .. } => "active for {for_us} of {window_s} s",
            Self::MinScale { .. } => "min-scale {min}",
            Self::MaxScale { .. } => "max-scale {max}",
            Self::ScaleToZero => "enable-scale-to-zero false",
            Self::Retention { .. } => "retention (idle for {for_us} of {retention_us} s)",
            Self::Grace { .. } => "grace ({waited_us} of {grace_us} s)",
            Self::Pressure { .. } => "pressure, which only raises, with {replicas} asked for",
            Self::Keep(Keep::Zero) => "another writer, who set it to 0",
            Self::Keep(Keep::SetByOther(_)) => "another writer, who set it to {set-by-other}",
            Self::Keep(Keep::Rollout(_)) => "rollout of {rollout} under way",
            Self::Paused { .. } => "paused",
        }
    }
}

/// A figure in words: microseconds as whole seconds, fractions to a thousandth.
fn figure(name: &str, value: &Value) -> String {
    match (value.as_u64(), value.as_f64()) {
        (Some(us), _) if name.ends_with("_us") => (us / SECOND_US).to_string(),
        (Some(whole), _) => whole.to_string(),
        (None, Some(number)) => {
            let digits = format!("{number:.3}");
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        (None, None) => value.to_string(),
    }
}
