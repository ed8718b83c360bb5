//! `dormouse status`: what each function is doing.

use std::io::{self, Write};
use std::process::ExitCode;

use dormouse_autoscaler::status::FunctionStatus;

use crate::account::{Row, table};
use crate::cli::StatusArgs;
use crate::client::Asked;

/// Where the admin port lists every function.
pub(crate) const FUNCTIONS_PATH: &str = "/api/v1/functions";

/// Asks and prints.
///
/// # Errors
/// None or several run here, or the one asked does not answer.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let namespace = args.asked.namespace.as_deref();
    let statuses = list(&Asked::find(&args.asked)?, namespace)?;
    if let (true, Some(namespace)) = (statuses.is_empty(), namespace) {
        writeln!(io::stderr(), "dormouse: no functions in namespace {namespace}")?;
    }
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, &statuses)?;
        writeln!(stdout)?;
    } else {
        stdout.write_all(render(&statuses).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every function that is known, or those of one namespace.
pub(crate) fn list(asked: &Asked, namespace: Option<&str>) -> anyhow::Result<Vec<FunctionStatus>> {
    let mut statuses: Vec<FunctionStatus> = asked.read(FUNCTIONS_PATH)?;
    statuses.retain(|status| namespace.is_none_or(|meant| status.name.namespace() == meant));
    Ok(statuses)
}

fn render(statuses: &[FunctionStatus]) -> String {
    let rows: Vec<Row> = statuses.iter().map(Row::new).collect();
    let mut text = table(&rows).join("\n") + "\n";
    for status in statuses {
        for endpoint in &status.endpoints {
            text += &format!("\n{}", endpoint.name);
            match (endpoint.listening, &endpoint.error) {
                (Some(address), _) => text += &format!("  http://{address}"),
                (None, Some(error)) => text += &format!("  no listener: {error}"),
                (None, None) => {}
            }
            if !endpoint.hosts.is_empty() {
                text += &format!("  Host {}", endpoint.hosts.join(", "));
            }
        }
    }
    text + "\n"
}
