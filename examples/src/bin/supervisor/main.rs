//! Keeps commands running.
//!
//! Each command is a task (`keep.rs`), which gets its orders from the one that waits for signals here.

mod backoff;
mod commands;
mod keep;
mod lines;
mod output;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use corering::signal::{SignalKind, Signals, signals};
use corering::sync::channel;
use corering::task::JoinSet;
use corering::time::{Duration, sleep};
use corering::{Driver, Runtime, select_biased};
use corering_examples::complain;
use futures_util::FutureExt;

use crate::backoff::Backoff;
use crate::commands::Service;
use crate::keep::{Keeper, Order};
use crate::output::Output;

/// Keeps commands running: starts those again that end, passes on signals, and marks each line of their
/// output with the command it is of.
///
/// A command that ends soon is started again after a wait that doubles each time; after a run that was
/// longer than the longest wait it begins anew. SIGHUP, SIGUSR1 and SIGUSR2 are passed on to the process
/// group of each command. SIGINT and SIGTERM end the program: SIGTERM for all groups, and SIGKILL for those
/// that need longer than the grace, or at a second of these signals. What a command leaves in its group is
/// killed when it has ended. Lines of more than 8 KiB are cut, and their further pieces marked by "+".
///
/// The status is 0 when all commands have ended at a signal, 1 when one had to be killed, could not be
/// started or was given up, and 2 when the command line is wrong.
#[derive(Debug, Parser)]
struct Arguments {
    /// A file with a command in each line, which the shell runs. Empty lines, and those that begin with #,
    /// are passed over.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    /// Seconds from SIGTERM to SIGKILL.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=86_400))]
    grace: u32,

    /// Milliseconds before the first new start.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=86_400_000))]
    wait: u32,

    /// Milliseconds that a wait may have at most. A command that has run for longer has not ended early.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=86_400_000))]
    wait_max: u32,

    /// Ends all when a command has ended early this many times in a row. Without it, none is given up.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    early_max: Option<u32>,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,

    /// The commands with their arguments, a `--` between two.
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "file")]
    commands: Vec<OsString>,
}

/// Signals that are passed on.
const PASSED: [SignalKind; 3] =
    [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()];

/// Signals that end all.
const ENDING: [SignalKind; 2] = [SignalKind::interrupt(), SignalKind::terminate()];

/// How long what is killed may take to end, and what it has written to be read.
const KILL_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            complain(format_args!("supervisor: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let file = match &arguments.file {
        None => String::new(),
        Some(path) => fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
    };
    let services = commands::services(&arguments.commands, &file)?;
    // Before anything starts, so that no signal ends this process and leaves a command.
    let signals = signals(PASSED.into_iter().chain(ENDING));
    let signals = signals.map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let runtime = Runtime::builder().driver(arguments.driver).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(supervise(arguments, services, signals))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// Keeps the services running until a signal ends them, and returns whether all went well.
async fn supervise(
    arguments: &Arguments,
    services: Vec<Service>,
    mut signals: Signals,
) -> Result<bool, String> {
    let output = Rc::new(Output::new());
    let mut keepers = JoinSet::new();
    let mut orders = Vec::new();
    for service in services {
        let (sender, receiver) = channel::unbounded();
        orders.push(sender);
        let backoff = Backoff::new(
            Duration::from_millis(arguments.wait.into()),
            Duration::from_millis(arguments.wait_max.into()),
        );
        let keeper = Keeper::new(service, backoff, arguments.early_max, receiver, output.clone());
        keepers.spawn(keeper.keep());
    }
    let tell = |order: Order| {
        for sender in &orders {
            // An error is that of a command that is not kept any more.
            let _ = sender.try_send(order);
        }
    };

    let grace = Duration::from_secs(arguments.grace.into());
    let (mut all_well, mut is_ending, mut is_killing) = (true, false, false);
    let mut failed = output.failed.cancelled().fuse();
    let mut limit = Box::pin(sleep(Duration::MAX).fuse());
    loop {
        let kills = select_biased! {
            signal = Box::pin(signals.recv()).fuse() => {
                let signal = signal.map_err(text)?;
                if !ENDING.contains(&signal) {
                    tell(Order::Pass(signal));
                    continue;
                }
                is_ending
            }
            kept = Box::pin(keepers.join_next()).fuse() => match kept {
                None => return Ok(all_well),
                Some(Ok(true)) => continue,
                Some(_) => {
                    all_well = false;
                    false
                }
            },
            () = failed => {
                all_well = false;
                false
            }
            // Every command was killed: one that has not ended yet waits for its output to be read.
            () = limit => {
                if is_killing {
                    return Ok(false);
                }
                true
            }
        };
        if kills {
            (all_well, is_killing) = (false, true);
            tell(Order::Kill);
            limit.set(sleep(KILL_MAX).fuse());
        } else if !is_ending {
            is_ending = true;
            tell(Order::End);
            limit.set(sleep(grace).fuse());
            let message = format!("all commands are to end within {} s", arguments.grace);
            corering::spawn(output.clone().say(message));
        }
    }
}
