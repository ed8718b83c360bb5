//! `dormouse sim test DIR`: every scenario of a folder, beside what came of it before.

use std::path::{Path, PathBuf};
use std::{fs, io};

use dormouse_sim::plan::Options;
use dormouse_sim::report::Kind;

use super::args::TestArgs;
use super::{Exit, complain, simulate};

pub(super) fn test(args: &TestArgs) -> Exit {
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
    let mut worst = Exit::Fine;
    for path in &scenarios {
        let exit = match one(path, args) {
            Ok(exit) | Err(exit) => exit,
        };
        let word = match exit {
            Exit::Fine => "ok     ",
            Exit::Nothing => "NOTHING",
            _ => "FAILED ",
        };
        told += &format!("{word} {}\n", path.display());
        worst = worst.max(exit);
    }
    if !args.work.quiet
        && let Err(exit) = simulate::put(None, &told)
    {
        return exit;
    }
    worst
}

/// The scenarios in a folder itself, by name.
fn scenarios(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|it| it == "toml") && path.is_file());
    paths.sort();
    Ok(paths)
}

fn one(path: &Path, args: &TestArgs) -> Result<Exit, Exit> {
    let name = path.to_string_lossy();
    let plan = simulate::plan(&name, &Options::default())?;
    let golden = path.with_extension("json");
    let (outcome, verdicts) = simulate::judged(&plan, &args.work)?;
    simulate::complain_of(&outcome, &verdicts);
    let has_golden = golden.exists() || args.bless;
    if verdicts.is_empty() && !has_golden {
        complain(format_args!("{name}: asserts nothing, and has no {}", golden.display()));
        return Ok(Exit::Nothing);
    }
    let mut exit = simulate::ruling(&outcome, &verdicts, has_golden);
    if has_golden {
        let now = Kind::Json.write(&outcome, &verdicts, None);
        exit = exit.max(simulate::beside(&plan, &[], &golden, &now, args.bless)?);
    }
    Ok(exit)
}
