//! `dormouse explain NAME`: the last decisions on a function and the figures that led to each.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, bail};
use dormouse_autoscaler::status::{Complaint, Explanation, Kept};
use dormouse_policy::function::FunctionName;

use crate::cli::ExplainArgs;
use crate::client::Asked;
use crate::flags::{check_one, duration};
use crate::status::{self, FUNCTIONS_PATH};

mod text;

/// Least likeness of a name that is offered instead, from 0 (none) to 1 (the same).
const LIKENESS_MIN: f64 = 0.7;

/// Asks, makes each decision again, and prints.
///
/// # Errors
/// [`UsageError`](crate::cli::UsageError); none or several run here, the one asked does not answer,
/// or it knows no such function; after all is printed, a decision that does not come out the same
/// again.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let since = match &args.since {
        Some(typed) => check_one("--since", typed, duration)?,
        None => Duration::MAX,
    };
    let typed = check_one("NAME", &args.name, name)?;
    let asked = Asked::find(&args.asked)?;
    let listed = status::list(&asked, args.asked.namespace.as_deref())?;
    let names: Vec<&FunctionName> = listed.iter().map(|status| &status.name).collect();
    let name = match resolve(&typed, &names) {
        Ok(name) => name,
        Err(error) => {
            let complaints = status::complaints(&asked, args.asked.namespace.as_deref())?;
            let said = complaints.iter().filter(|it| is_about(it, &typed));
            let said: Vec<String> = said.map(ToString::to_string).collect();
            return Err(match said.is_empty() {
                true => error,
                false => anyhow!("no function is named {typed:?}; {}", said.join("; ")),
            });
        }
    };
    let mut explanation: Explanation = asked.read(&format!("{FUNCTIONS_PATH}/{name}"))?;
    let now_ms = unix_ms();
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    explanation.decisions.retain(|kept| now_ms.saturating_sub(kept.at_ms) <= since_ms);
    let earlier = explanation.decisions.len().saturating_sub(args.last);
    explanation.decisions.drain(..earlier);
    let differ = decide_again(&mut explanation.decisions);
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, &explanation)?;
        writeln!(stdout)?;
    } else {
        stdout.write_all(text::render(&explanation, now_ms).as_bytes())?;
    }
    if differ > 0 {
        let shown = explanation.decisions.len();
        bail!("{differ} of {shown} decisions come out otherwise when made again");
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes each decision again from its own inputs, as the one asked has done. Returns how many come
/// out otherwise in either place.
fn decide_again(decisions: &mut [Kept]) -> usize {
    for kept in &mut *decisions {
        kept.reproduced &= kept.decision.replay() == kept.decision;
    }
    decisions.iter().filter(|kept| !kept.reproduced).count()
}

/// A name, and before it perhaps a namespace.
fn name(typed: &str) -> Result<String, String> {
    let mut parts = typed.split('/');
    let is_one = (1..=2).contains(&parts.clone().count()) && !parts.any(str::is_empty);
    let rule = || "a function's NAME or NAMESPACE/NAME".to_owned();
    is_one.then(|| typed.to_owned()).ok_or_else(rule)
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

/// Whether the object is called as `typed`.
fn is_about(complaint: &Complaint, typed: &str) -> bool {
    let name = complaint.name();
    match typed.contains('/') {
        true => name == Some(typed),
        false => name.and_then(|name| name.split('/').nth(1)) == Some(typed),
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

/// Zero before 1970, which only a clock that is far off shows.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
