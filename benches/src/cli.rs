//! The command line: one subcommand per instrument, and what its exit status means.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::{Failure, Outcome};
use crate::study::{self, compare, runtime_cell};
use crate::{doctor, file, load, paired, server};

/// Measures servers, and io_uring against epoll, without flattering either.
///
/// Exit status: 0 done and valid; 1 done, but the result is invalid or outside the bound asked
/// for; 2 bad usage; 3 the environment refuses (a port, descriptors, io_uring).
#[derive(Debug, Parser)]
#[command(version, name = "corering-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(server::Arguments),
    Load(load::Arguments),
    Merge(load::MergeArguments),
    Paired(paired::Arguments),
    File(Box<file::Arguments>),
    Study(study::Arguments),
    Compare(compare::Arguments),
    Doctor(doctor::Arguments),
    #[command(hide = true)]
    Hold(paired::holder::Arguments),
    #[command(hide = true)]
    RuntimeCell(runtime_cell::Arguments),
}

/// Runs the subcommand of this process's command line.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => server::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Merge(arguments) => load::merge(&arguments),
        Command::Paired(arguments) => paired::run(&arguments),
        Command::File(arguments) => file::run(&arguments),
        Command::Study(arguments) => study::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Hold(arguments) => paired::holder::run(&arguments),
        Command::RuntimeCell(arguments) => runtime_cell::run(&arguments),
    };
    match result {
        Ok(Outcome::Valid) => ExitCode::SUCCESS,
        Ok(Outcome::Invalid) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("corering-bench: {failure}");
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Environment(_) => ExitCode::from(3),
            }
        }
    }
}
