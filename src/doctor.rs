//! `dormouse doctor`: what stands in Dormouse's way in a cluster.

use std::io::{self, Write};
use std::process::ExitCode;

use dormouse_autoscaler::cluster::kubernetes::chain;
use dormouse_autoscaler::cluster::kubernetes::doctor::{Check, Finding, Level, examine};

use crate::cli::{DoctorArgs, UsageError};
use crate::client::Cluster;

/// Something worse than a note was found.
const EXIT_FOUND: u8 = 1;

/// The API server cannot be asked.
const EXIT_UNASKED: u8 = 3;

/// Asks and prints. The exit status tells what was found.
///
/// # Errors
/// [`UsageError`]; stdout is closed.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let examined = crate::runtime()?.block_on(async {
        let Cluster { api, installed } = Cluster::connect(&args.cluster).await?;
        anyhow::Ok(examine(&api, &installed).await?)
    });
    let findings = match examined {
        Ok(findings) => findings,
        Err(error) if error.is::<UsageError>() => return Err(error),
        Err(error) => {
            writeln!(io::stderr(), "dormouse: {}", chain(error.as_ref()))?;
            return Ok(ExitCode::from(EXIT_UNASKED));
        }
    };
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, &findings)?;
        writeln!(stdout)?;
    } else {
        stdout.write_all(render(&findings).as_bytes())?;
    }
    match findings.iter().any(|finding| finding.level > Level::Note) {
        true => Ok(ExitCode::from(EXIT_FOUND)),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// A line for each check, and below it what was found.
fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for check in Check::ALL {
        let found: Vec<_> = findings.iter().filter(|finding| finding.check == check).collect();
        let worst = found.iter().map(|finding| finding.level).max();
        let verdict = worst.map_or("ok".to_owned(), |level| level.to_string());
        text += &format!("{check:<16}{verdict}\n");
        for Finding { level, object, what, remedy, .. } in found {
            let colon = if object.is_empty() { "" } else { ": " };
            text += &format!("  {level}: {object}{colon}{what}\n");
            if !remedy.is_empty() {
                text += &format!("    {remedy}\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_each_finding_names_object_and_remedy() {
        let finding = Finding {
            check: Check::Hpa,
            level: Level::Warning,
            object: "Deployment shop/cart".to_owned(),
            what: "HorizontalPodAutoscaler busy scales it, too".to_owned(),
            remedy: "delete it".to_owned(),
        };
        let text = render(&[finding]);
        assert_eq!(text.lines().count(), Check::ALL.len() + 2);
        let shown = "hpa             warning\n  warning: Deployment shop/cart: \
                     HorizontalPodAutoscaler busy scales it, too\n    delete it\nkeda";
        assert!(text.contains(shown), "{text}");
    }
}
