//! `dormouse sim import FORMAT IN… -o OUT.trace`: a trace of what others recorded.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dormouse_sim::import::{Import, ImportError, Imported, Options, Scratch, Spill};
use dormouse_sim::scenario::{Start, Time};
use dormouse_sim::trace::indexed::{Times, Unwritable};

use super::args::ImportArgs;
use super::{Exit, complain, files, output, simulate};

/// Temporary files beside the output. They have no name, so that they go with the process, however
/// it ends.
struct Beside(PathBuf);

impl Scratch for Beside {
    fn file(&self) -> io::Result<Box<dyn Spill>> {
        Ok(Box::new(tempfile::tempfile_in(&self.0)?))
    }
}

pub(super) fn import(args: &ImportArgs) -> Exit {
    match try_import(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_import(args: &ImportArgs) -> Result<Exit, Exit> {
    let options = args.options().map_err(|rule| {
        complain(rule);
        Exit::Input
    })?;
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = Beside(folder.unwrap_or(Path::new(".")).to_owned());
    let imported =
        output::write_with(&args.output, |file| read(args, options, &beside, BufWriter::new(file)));
    let imported = imported.map_err(|error| {
        let name = args.output.display();
        match error {
            Failed::Import(error @ ImportError::Unreadable(_)) => {
                complain(error);
                Exit::Input
            }
            Failed::Import(ImportError::Empty) => {
                complain(format_args!("{}: {}", args.inputs.join(", "), ImportError::Empty));
                Exit::Nothing
            }
            Failed::Import(error @ ImportError::Unwritable(Unwritable::Crowd { .. })) => {
                complain(error);
                Exit::Input
            }
            Failed::Import(error) => {
                complain(format_args!("{name}: {error}"));
                Exit::Unwritten
            }
            Failed::Output(error) => {
                complain(format_args!("{name}: cannot be written: {error}"));
                Exit::Unwritten
            }
        }
    })?;
    if args.quiet {
        return Ok(Exit::Fine);
    }
    simulate::put(None, told(args, &imported))?;
    Ok(Exit::Fine)
}

/// Why there is no trace.
enum Failed {
    Import(ImportError),
    Output(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn read(
    args: &ImportArgs,
    options: Options,
    beside: &Beside,
    output: impl Write,
) -> Result<Imported, Failed> {
    let mut import = Import::new(options, beside);
    for name in &args.inputs {
        let input = files::open(name).map_err(ImportError::from).map_err(Failed::Import)?;
        import.read(name, input).map_err(Failed::Import)?;
    }
    let (_, imported) = import.finish(output).map_err(Failed::Import)?;
    Ok(imported)
}

/// What was made of it, for people.
fn told(args: &ImportArgs, imported: &Imported) -> String {
    let Imported { summary, resolution_ns, times, left_out } = imported;
    let at = |tick: u64| {
        let ns = u128::from(tick) * u128::from(*resolution_ns);
        let text = |unix_s| Start { unix_s }.to_string();
        u64::try_from(ns / 1_000_000_000).map_or_else(|_| "never".to_owned(), text)
    };
    let times = match times {
        Times::Known => "service times known",
        Times::Unknown => "service times unknown",
    };
    let mut told = format!(
        "{}: {} functions, {} requests from {} to {}, exact to {}, {times}\n",
        args.output.display(),
        summary.functions,
        summary.requests,
        at(summary.first_tick),
        at(summary.last_tick),
        Time(*resolution_ns),
    );
    if *left_out > 0 {
        told += &format!("{left_out} requests are left out by --function\n");
    }
    told
}
