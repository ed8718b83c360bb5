//! Decisions in words.

use std::mem::discriminant;

use dormouse_autoscaler::status::{Explanation, Kept};
use dormouse_policy::decision::{Average, Decision, Outcome};
use dormouse_policy::settings::Metric;

use crate::account::{Row, table};

/// The explanation for people, decisions oldest first; `now_ms` is Unix time, in milliseconds.
pub(super) fn render(explanation: &Explanation, now_ms: u64) -> String {
    let mut text = table(&[Row::new(&explanation.status)]).join("\n") + "\n";
    text += &format!("\npath: {}\n", explanation.path);
    for alike in explanation.decisions.chunk_by(is_same_keep) {
        let [first, .., last] = alike else {
            for only in alike {
                text.push('\n');
                decision(&mut text, only, now_ms);
            }
            continue;
        };
        text.push('\n');
        decision(&mut text, last, now_ms);
        text += &format!("  same    {} times since {}\n", alike.len(), clock(first.at_ms));
    }
    if explanation.decisions.is_empty() {
        text += "\nnothing was decided yet\n";
    }
    text
}

fn decision(text: &mut String, kept: &Kept, now_ms: u64) {
    let made = &kept.decision;
    let inputs = &made.inputs;
    let scaling = &inputs.scaling;
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let ago_ms = now_ms.saturating_sub(kept.at_ms);
    line(format!("{} ({} ago)  {}", clock(kept.at_ms), age(ago_ms), inputs.why));
    let unit = match scaling.metric {
        Metric::Concurrency => "concurrency",
        Metric::Rps => "requests/s",
    };
    match inputs.averages {
        Some(averages) => {
            let windows = [
                ("stable", averages.stable, scaling.stable_window_s),
                ("panic", averages.panic, scaling.panic_window_s),
            ];
            for (name, average, window_s) in windows {
                line(format!("  {name:<6}  {unit} {}", of(average, window_s)));
            }
        }
        None => line("  nothing is known of the load".to_owned()),
    }
    line(format!(
        "  now     {} of {} ready, {} in flight, {} held, {} refused",
        inputs.ready, inputs.replicas, inputs.in_flight, inputs.held, inputs.refused
    ));
    line(format!("  target  {} per pod, which asks for {}", scaling.target, made.raw));
    for reason in &made.reasons {
        line(format!("  rule    {reason}"));
    }
    line(format!("  result  {}", result(made)));
    if !kept.reproduced {
        line("  NOT REPRODUCED: the policy decides otherwise when given the same again".to_owned());
    }
}

fn result(made: &Decision) -> String {
    match made.outcome {
        Outcome::ScaleTo(replicas) => format!("scale to {replicas}"),
        Outcome::Keep => format!("keep {}", made.inputs.replicas),
        Outcome::NoData => format!("keep {}, for want of data", made.inputs.replicas),
    }
}

fn of(average: Average, window_s: u32) -> String {
    format!("{:.2} over {window_s} s ({} s of it known)", average.value, average.known_s)
}

/// The time of day, UTC.
fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, unix_ms % 1000)
}

fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Whether two decisions in a row left everything as it was, for the same reasons: then only the
/// later one's figures are worth reading.
fn is_same_keep(one: &Kept, next: &Kept) -> bool {
    let (a, b) = (&one.decision, &next.decision);
    let rules = |it: &Decision| -> Vec<_> {
        it.reasons.iter().map(|reason| discriminant(&reason.rule)).collect()
    };
    a.outcome == b.outcome
        && !matches!(a.outcome, Outcome::ScaleTo(_))
        && (a.inputs.ready, a.inputs.replicas) == (b.inputs.ready, b.inputs.replicas)
        && rules(a) == rules(b)
        && one.reproduced == next.reproduced
}

#[cfg(test)]
mod tests;
