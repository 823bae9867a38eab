//! Gives an echo server exactly counted work, so that what it costs can be counted, too.
//!
//! `scripts/counts.sh` and `scripts/memory.sh` run it against a server under strace or valgrind
//! and beside one whose memory is read.

use std::io;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use corering_bench::address::Address;
use corering_bench::load::{Client, Plan, Protocol};
use corering_bench::outcome::Failure;
use corering_bench::{os, process};

/// Gives an echo server exactly counted work and verifies every byte that comes back.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rounds in each of which every connection sends one message and waits for its echo.
    Rounds {
        #[command(flatten)]
        target: Target,
        /// How many rounds.
        #[arg(long, default_value_t = 200)]
        rounds: u64,
        /// Rounds before these, which are not counted.
        #[arg(long, default_value_t = 0)]
        warm_up_rounds: u64,
        /// A shell command to run before and after the counted rounds, while the server waits, so
        /// that a tracer can be told when they begin and end.
        #[arg(long, value_name = "COMMAND")]
        around: Option<String>,
        /// Stop this process while each round is sent, so that it wakes to all of it at once. It is
        /// stopped when it waits, and left stopped at the end: it does not see connections end.
        #[arg(long)]
        stop_pid: Option<u32>,
    },
    /// The resident memory that a connection costs while it idles after one exchange.
    Memory {
        #[command(flatten)]
        target: Target,
        /// The server's process id.
        #[arg(long)]
        pid: u32,
        /// Fail above this many bytes for each connection.
        #[arg(long)]
        bytes_max: Option<u64>,
    },
}

#[derive(Args)]
struct Target {
    /// Where the server listens, such as 127.0.0.1:7000 or unix:PATH.
    #[arg(long)]
    addr: Address,
    /// How many connections to open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes of one message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// Ask for a page by HTTP/1.1 instead of sending a message: the root, or what is named.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "/")]
    http: Option<String>,
}

impl Target {
    fn plan(&self) -> Plan {
        let protocol = match &self.http {
            Some(path) => Protocol::Http { path: path.clone() },
            None => Protocol::Echo,
        };
        Plan {
            connections: self.connections,
            message_size: self.size as usize,
            ..Plan::new(self.addr.clone(), protocol)
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Rounds { target, rounds, warm_up_rounds, around, stop_pid } => {
            count_rounds(&target, rounds, warm_up_rounds, around.as_deref(), stop_pid)
        }
        Command::Memory { target, pid, bytes_max } => measure_memory(&target, pid, bytes_max),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("echo_load: {error}");
            ExitCode::from(3)
        }
    }
}

fn count_rounds(
    target: &Target,
    rounds: u64,
    warm_up_rounds: u64,
    around: Option<&str>,
    stop_pid: Option<u32>,
) -> Result<ExitCode, Failure> {
    os::raise_descriptor_limit()?;
    // It meets all connections at once, too.
    let mut client = while_stopped(stop_pid, || Client::connect(&target.plan()))?;
    run_rounds(&mut client, warm_up_rounds, stop_pid)?;
    if let Some(command) = around {
        run_command(command, stop_pid)?;
    }
    let requests = run_rounds(&mut client, rounds, stop_pid)?;
    if let Some(command) = around {
        run_command(command, stop_pid)?;
    }
    if let Some(pid) = stop_pid {
        stop(pid)?;
    }
    println!("{requests}");
    Ok(ExitCode::SUCCESS)
}

/// Stops a server that has done all its work. Where it is stopped is always the same then, and so
/// is what it does next.
fn stop(pid: u32) -> io::Result<()> {
    process::wait_until_asleep(pid)?;
    process::stop(pid)
}

fn while_stopped<T>(
    pid: Option<u32>,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(pid) = pid else { return work() };
    stop(pid)?;
    let result = work();
    // Also after a failure: a server that stays stopped could not even be ended.
    process::resume(pid)?;
    result
}

fn run_rounds(client: &mut Client, rounds: u64, stop_pid: Option<u32>) -> Result<u64, Failure> {
    let mut requests = 0;
    for _ in 0..rounds {
        while_stopped(stop_pid, || client.start_all(0))?;
        requests += client.finish_all()?;
    }
    Ok(requests)
}

/// Runs a command while the server, if it is known, has nothing to do.
fn run_command(command: &str, server: Option<u32>) -> io::Result<()> {
    server.map_or(Ok(()), process::wait_until_asleep)?;
    // What it prints is not to be mistaken for a result.
    let output = std::process::Command::new("sh").args(["-c", command]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("`{command}`: {}: {}", output.status, text.trim_end())))
}

/// So many connections are opened at once: fewer than fit any listener's queue.
const BATCH: usize = 64;

fn measure_memory(target: &Target, pid: u32, bytes_max: Option<u64>) -> Result<ExitCode, Failure> {
    os::raise_descriptor_limit()?;
    let before = process::resident_bytes(pid)?;
    let mut client = Client::connect(&Plan { connections: 0, ..target.plan() })?;
    while client.connections() < target.connections {
        let first = client.connections();
        client.connect_more(BATCH.min(target.connections - first))?;
        client.start_all(first)?;
        client.finish_all()?;
    }
    let each = |after: u64| after.saturating_sub(before) / target.connections as u64;
    let idle = each(process::resident_bytes(pid)?);

    client.start_all(0)?;
    client.finish_all()?;
    let after_burst = each(process::resident_bytes(pid)?);
    println!(
        "{idle} bytes for each of {} idle connections; {after_burst} after an exchange on all of \
         them at once",
        target.connections
    );
    match bytes_max {
        Some(bound) if idle > bound => {
            eprintln!("echo_load: more than {bound} bytes for each connection");
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
