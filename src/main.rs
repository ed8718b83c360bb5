//! `dormouse`: scale plain Deployments to zero and back, by annotation alone.
//!
//! This file reads the command line and dispatches. Reading order: [`cli`] (what can be typed),
//! [`logging`], [`console`] (the one writer of the terminal), [`up`] (every part in one process,
//! with replicas as child processes), [`instance`] (how `status` and `explain` find it), [`client`]
//! (whom they ask, and how), [`status`], [`explain`], [`doctor`], [`sim`].

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use dormouse_autoscaler::cluster::kubernetes::chain;
use dormouse_autoscaler::cluster::local::nanny;

mod cli;
mod logging;
mod account;
mod console;
mod flags;
mod open_files;
mod signals;
mod up;
mod secret;
mod autoscaler;
mod activator;
mod instance;
mod client;
mod status;
mod explain;
mod doctor;
mod demo;
mod sim;

use cli::{Cli, Command, UsageError};
use logging::Log;

/// The exit status of bad usage and of bad configuration, as clap has it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(args) => up::run(&args, &cli.log),
        Command::Autoscaler(args) => autoscaler::run(&args, &cli.log),
        Command::Activator(args) => activator::run(&args, &cli.log),
        Command::Status(args) => {
            Log::new(&cli.log)?.start(io::stderr);
            status::run(&args)
        }
        Command::Explain(args) => {
            Log::new(&cli.log)?.start(io::stderr);
            explain::run(&args)
        }
        Command::Doctor(args) => {
            Log::new(&cli.log)?.start(io::stderr);
            doctor::run(&args)
        }
        Command::Demo(args) => {
            Log::new(&cli.log)?.start(io::stderr);
            runtime()?.block_on(demo::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sim { command } => sim::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dormouse", &mut script);
            io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Nanny { .. } => Ok(nanny::run()),
    }
}

/// Prints the chain of causes, once each, here at the edge.
fn report(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref::<UsageError>() {
        Some(_) => ExitCode::from(EXIT_USAGE),
        None => ExitCode::FAILURE,
    };
    match writeln!(io::stderr(), "dormouse: {}", chain(error.as_ref())) {
        Ok(()) => code,
        // With stderr gone there is nobody left to tell.
        Err(_) => code,
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
