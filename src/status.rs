//! `dormouse status`: what each function is doing.

use std::io::{self, Write};
use std::process::ExitCode;

use dormouse_autoscaler::cluster::Topic;
use dormouse_autoscaler::status::{Complaint, FunctionStatus};

use crate::account::{Row, table};
use crate::cli::StatusArgs;
use crate::client::Asked;

/// Where the admin port lists every function.
pub(crate) const FUNCTIONS_PATH: &str = "/api/v1/functions";

/// Where it lists what is to be said of objects.
const COMPLAINTS_PATH: &str = "/api/v1/complaints";

/// Asks and prints.
///
/// # Errors
/// None or several run here, or the one asked does not answer.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let namespace = args.asked.namespace.as_deref();
    let asked = Asked::find(&args.asked)?;
    let statuses = list(&asked, namespace)?;
    if let (true, Some(namespace)) = (statuses.is_empty(), namespace) {
        writeln!(io::stderr(), "dormouse: no functions in namespace {namespace}")?;
    }
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, &statuses)?;
        writeln!(stdout)?;
    } else {
        let mut complaints = complaints(&asked, namespace)?;
        complaints.retain(|complaint| !is_in_a_row(complaint, &statuses));
        stdout.write_all(render(&statuses, &complaints).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every function that is known, or those of one namespace.
pub(crate) fn list(asked: &Asked, namespace: Option<&str>) -> anyhow::Result<Vec<FunctionStatus>> {
    let mut statuses: Vec<FunctionStatus> = asked.read(FUNCTIONS_PATH)?;
    statuses.retain(|status| namespace.is_none_or(|meant| status.name.namespace() == meant));
    Ok(statuses)
}

/// What is to be said of every object, or of those of one namespace and of whole manifests.
pub(crate) fn complaints(asked: &Asked, namespace: Option<&str>) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints: Vec<Complaint> = asked.read_if_there(COMPLAINTS_PATH)?;
    complaints.retain(|complaint| {
        let of = complaint.name().and_then(|name| name.split('/').next());
        namespace.is_none() || of.is_none() || of == namespace
    });
    Ok(complaints)
}

/// Whether a function says it of itself.
fn is_in_a_row(complaint: &Complaint, statuses: &[FunctionStatus]) -> bool {
    let is_said = |status: &FunctionStatus| Some(status.name.as_str()) == complaint.name();
    Topic::ALL.iter().any(|topic| topic.as_str() == complaint.reason)
        && statuses.iter().any(is_said)
}

fn render(statuses: &[FunctionStatus], complaints: &[Complaint]) -> String {
    let rows: Vec<Row> = statuses.iter().map(Row::new).collect();
    let mut text = table(&rows).join("\n") + "\n";
    for status in statuses {
        for endpoint in &status.endpoints {
            text += &format!("\n{}", endpoint.name);
            match (endpoint.listening, &endpoint.error) {
                // In a cluster it is the Service's own address that leads there.
                (Some(address), _) if address.ip().is_unspecified() => {
                    text += &format!("  port {} of each activator", address.port());
                }
                (Some(address), _) => text += &format!("  http://{address}"),
                (None, Some(error)) => text += &format!("  no listener: {error}"),
                (None, None) => {}
            }
            if !endpoint.hosts.is_empty() {
                text += &format!("  Host {}", endpoint.hosts.join(", "));
            }
        }
    }
    text += "\n";
    for complaint in complaints {
        text += &format!("! {complaint}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown() -> FunctionStatus {
        let status = json!({
            "name": "shop/cart", "kind": "Deployment", "state": "asleep", "ready": 0, "desired": 0,
            "pods": [], "in_flight": 0, "held": 0, "rps": 0.0, "coverage": 1.0,
            "endpoints": [{
                "name": "shop/cart:80", "hosts": ["cart.shop"], "listening": "[::]:10023",
                "error": null,
            }],
            "failure": null, "message": "scaled to zero", "last": null,
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_listener_at_every_address_is_told_by_its_port() {
        let text = render(&[shown()], &[]);
        let line = "shop/cart:80  port 10023 of each activator  Host cart.shop\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn what_a_function_says_of_itself_is_not_said_twice() {
        let complaint = |object: &str, reason: &str| Complaint {
            object: object.to_owned(),
            reason: reason.to_owned(),
            note: "why".to_owned(),
        };
        let is = |object, reason| is_in_a_row(&complaint(object, reason), &[shown()]);
        assert!(is("Deployment shop/cart", "ScaledToZero"));
        assert!(!is("Deployment shop/cart", "NoEffect"));
        assert!(!is("Deployment shop/other", "ScaledToZero"));
        assert!(!is("shop.yaml", "SetAside"));
        let text = render(&[shown()], &[complaint("Service shop/cart", "SetAside")]);
        assert!(text.ends_with("\n! Service shop/cart: why\n"), "{text}");
    }
}
