//! `dormouse sim test DIR`: every scenario of a folder, beside what came of it before.

use std::path::{Path, PathBuf};
use std::{fs, io};

use dormouse_sim::report::{self, Suites};

use super::args::TestArgs;
use super::output::{self, Batch};
use super::simulate::Unasked;
use super::{Exit, complain, simulate};

/// A report on a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line for each scenario.
    Text,
    /// The assertions of all, for CI.
    Junit,
}

impl Kind {
    /// The kind of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "junit" => Ok(Self::Junit),
            _ => Err(format!("{name:?}: must be text or junit")),
        }
    }
}

pub(super) fn test(args: &TestArgs) -> Exit {
    if let Err(exit) = output::look_at(simulate::places(&args.output)) {
        return exit;
    }
    if args.bless && !args.change.other_reports().is_empty() {
        let flags = args.change.other_reports().join(", ");
        complain(format_args!(
            "--bless: writes what comes of each scenario as it stands; leave out {flags}"
        ));
        return Exit::Input;
    }
    let scenarios = match scenarios(&args.folder) {
        Ok(scenarios) => scenarios,
        Err(error) => {
            complain(format_args!("{}: cannot be read: {error}", args.folder.display()));
            return Exit::Input;
        }
    };
    if scenarios.is_empty() {
        complain(format_args!("{}: there is no .toml file in it", args.folder.display()));
        return Exit::Nothing;
    }
    let mut told = String::new();
    let mut suites = Suites::default();
    let mut worst = Exit::Fine;
    for path in &scenarios {
        let exit = one(path, args, &mut suites).unwrap_or_else(|exit| {
            complain(format_args!("{}: is not judged", path.display()));
            suites.add_error(&path.to_string_lossy(), "cannot be run; stderr says why");
            exit
        });
        let word = match exit {
            Exit::Fine => "ok     ",
            Exit::Nothing => "NOTHING",
            _ => "FAILED ",
        };
        told += &format!("{word} {}\n", path.display());
        worst = worst.worse(exit);
    }
    let write = |kind| match kind {
        Kind::Text => told.clone(),
        Kind::Junit => suites.clone().finish(),
    };
    let (batch, unasked) = (Batch::default(), Unasked::of(&args.work));
    match simulate::put_all(batch, &args.output, Kind::Text, unasked, write) {
        Ok(()) => worst,
        Err(exit) => worst.worse(exit),
    }
}

/// The scenarios in a folder itself, by name.
fn scenarios(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|it| it == "toml") && path.is_file());
    paths.sort();
    Ok(paths)
}

fn one(path: &Path, args: &TestArgs, suites: &mut Suites) -> Result<Exit, Exit> {
    let name = path.to_string_lossy();
    let plan = simulate::plan(&name, &args.change.options())?;
    let golden = path.with_extension("json");
    let (outcome, verdicts) = simulate::judged(&plan, &args.work)?;
    simulate::complain_of(&outcome, &verdicts);
    suites.add(&outcome, &verdicts);
    // What it holds came of the scenario's own runs.
    let is_comparable = args.change.other_runs().is_empty();
    let has_golden = is_comparable && (golden.exists() || args.bless);
    if verdicts.is_empty() && !has_golden {
        let nothing = match is_comparable {
            true => format!("asserts nothing, and has no {}", golden.display()),
            false => "asserts nothing of what is run".to_owned(),
        };
        complain(format_args!("{name}: {nothing}"));
        suites.add_error(&name, &nothing);
        return Ok(Exit::Nothing);
    }
    let mut exit = simulate::ruling(&outcome, &verdicts, has_golden);
    if has_golden {
        let now = report::Kind::Json.write(&outcome, &verdicts, None);
        let beside = match args.bless {
            true => simulate::put(Some(&golden), now).map(|()| Exit::Fine)?,
            false => simulate::beside(&plan, &args.tolerance, &golden, &now)?,
        };
        if beside == Exit::Failed {
            let differs = "what came of it is not what it holds; stderr says which figures";
            suites.add_error(&golden.to_string_lossy(), differs);
        }
        exit = exit.worse(beside);
    }
    Ok(exit)
}
