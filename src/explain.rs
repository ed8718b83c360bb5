//! `dormouse explain NAME`: the last decisions on a function and the figures that led to each.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use dormouse_autoscaler::status::{Explanation, FunctionStatus, Kept};
use dormouse_policy::decision::{Average, Decision, Outcome};
use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Metric;

use crate::account::{Row, table};
use crate::cli::ExplainArgs;
use crate::status::{FUNCTIONS_PATH, expect_ok};
use crate::{client, instance};

/// Least likeness of a name that is offered instead, from 0 (none) to 1 (the same).
const LIKENESS_MIN: f64 = 0.7;

/// Asks and prints.
///
/// # Errors
/// None or several run here, the one asked does not answer, or it knows no such function.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let admin = instance::admin(&args.instance)?;
    let listed = expect_ok(client::get(admin, FUNCTIONS_PATH)?)?;
    let listed: Vec<FunctionStatus> =
        serde_json::from_slice(&listed).context("unexpected answer")?;
    let names: Vec<&FunctionName> = listed.iter().map(|status| &status.name).collect();
    let name = resolve(&args.name, &names)?;
    let body = expect_ok(client::get(admin, &format!("{FUNCTIONS_PATH}/{name}"))?)?;
    let mut stdout = io::stdout().lock();
    if args.json {
        stdout.write_all(&body)?;
        writeln!(stdout)?;
    } else {
        let explanation: Explanation =
            serde_json::from_slice(&body).context("unexpected answer")?;
        stdout.write_all(render(&explanation, unix_ms()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The one function that `typed` means: `namespace/name`, or a name that only one has.
fn resolve<'a>(typed: &str, names: &[&'a FunctionName]) -> anyhow::Result<&'a FunctionName> {
    let is_meant = |name: &&&FunctionName| match typed.contains('/') {
        true => name.as_str() == typed,
        false => name.name() == typed,
    };
    let meant: Vec<_> = names.iter().filter(is_meant).collect();
    match meant[..] {
        [only] => Ok(only),
        [] => match likest(typed, names) {
            Some(like) => bail!("no function is named {typed:?}; did you mean {like}?"),
            None => bail!("no function is named {typed:?}"),
        },
        _ => {
            let meant: Vec<_> = meant.iter().map(|name| name.as_str()).collect();
            bail!("several functions have that name: {}", meant.join(", "))
        }
    }
}

fn likest<'a>(typed: &str, names: &[&'a FunctionName]) -> Option<&'a FunctionName> {
    let likeness = |name: &FunctionName| {
        let with = match typed.contains('/') {
            true => name.as_str(),
            false => name.name(),
        };
        strsim::jaro_winkler(typed, with)
    };
    names
        .iter()
        .map(|name| (likeness(name), *name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

fn render(explanation: &Explanation, now_ms: u64) -> String {
    let mut text = table(&[Row::new(&explanation.status)]).join("\n") + "\n";
    for kept in &explanation.decisions {
        text.push('\n');
        decision(&mut text, kept, now_ms);
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
        "  now     {} of {} ready, {} in flight, {} held",
        inputs.ready, inputs.replicas, inputs.in_flight, inputs.held
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

/// Zero before 1970, which only a clock that is far off shows.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
