//! The comparison of io_uring with epoll on the reader's own machine.
//!
//! `matrix.rs` says what is measured, `measure.rs` by which instrument, `runner.rs` goes from cell to cell, and `store.rs` keeps what
//! is finished. What it all says is made from the numbers, later, by `analysis`, and told by
//! `report`: nothing in here knows which driver ought to win.

pub mod analysis;
pub mod budget;
pub mod compare;
pub mod fingerprint;
pub mod limits;
pub mod matrix;
pub mod measure;
pub mod plan;
mod progress;
mod rate;
pub mod ratio;
pub mod report;
mod request;
#[cfg(test)]
mod resume_tests;
pub mod runner;
pub mod runtime_cell;
pub mod schema;
pub mod store;
#[cfg(test)]
mod testing;
pub mod words;

use std::io::{self, Write};

use crate::interrupt::Interrupt;
use crate::outcome::{Failure, Outcome};
use crate::server::peers;
use analysis::validity;
use limits::Limits;
use measure::Instruments;
use schema::Study;
use store::Store;

pub use request::Arguments;

/// The subcommand `study`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let interrupt = Interrupt::install()?;
    let request = request::understand(arguments)?;
    let limits = Limits::of_this_machine()?;
    let peers = arguments.with_peers.then(peers::build).transpose()?;
    let resumed =
        arguments.resume.then(|| Store::resume(&arguments.out, &request.session)).transpose()?;
    check_that_uring_is_allowed()?;
    let store = match resumed {
        Some(store) => store,
        None => Store::begin(&arguments.out, request.session)?,
    };
    let mut instruments = Instruments::new(&store, request.handicaps, peers)?;
    let mut study =
        runner::run(&store, &request.plans, &limits, request.time, &mut instruments, &interrupt)?;
    conclude(&store, &mut study)
}

fn check_that_uring_is_allowed() -> Result<(), Failure> {
    let capabilities = corering::probe();
    let Some(refusal) = capabilities.refusal() else { return Ok(()) };
    Err(Failure::Environment(format!(
        "io_uring is refused here, so there is nothing to compare epoll with: {refusal}; to use it, {}",
        refusal.advice()
    )))
}

/// Writes what was found, tells of it, and says how far it holds.
fn conclude(store: &Store, study: &mut Study) -> Result<Outcome, Failure> {
    analysis::conclude(study);
    let data = store.write_study(study)?;
    let folder = store.folder();
    report::write(study, folder).map_err(|error| store::unwritable(folder, &error))?;
    let mut text = String::new();
    for sentence in &study.verdict {
        text += &format!("{sentence}\n");
    }
    let (page, summary) = (folder.join(report::PAGE), folder.join(report::TEXT));
    text += &format!("report: {}\n", page.display());
    text += &format!("        {}\n", summary.display());
    text += &format!("data:   {}\n", data.display());
    io::stdout().write_all(text.as_bytes())?;
    if study.is_partial {
        eprintln!("corering-bench: interrupted: the report is partial; go on with --resume");
        return Ok(Outcome::Invalid);
    }
    for line in validity::advice(study) {
        eprintln!("corering-bench: {line}");
    }
    Ok(if validity::verdict_stands(study) { Outcome::Valid } else { Outcome::Invalid })
}
