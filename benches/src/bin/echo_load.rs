//! Gives an echo server exactly counted work, so that what it costs can be counted, too.
//!
//! `scripts/counts.sh` and `scripts/memory.sh` run it against a server under strace and beside
//! one whose memory is read.

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
        /// Stop this process while each round is sent, so that it wakes to all of it at once.
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
}

impl Target {
    fn plan(&self) -> Plan {
        Plan {
            connections: self.connections,
            message_size: self.size as usize,
            ..Plan::new(self.addr.clone(), Protocol::Echo)
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Rounds { target, rounds, stop_pid } => run_rounds(&target, rounds, stop_pid),
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

fn run_rounds(target: &Target, rounds: u64, stop_pid: Option<u32>) -> Result<ExitCode, Failure> {
    os::raise_descriptor_limit()?;
    let mut client = Client::connect(&target.plan())?;
    let mut requests = 0;
    for _ in 0..rounds {
        if let Some(pid) = stop_pid {
            process::stop(pid)?;
        }
        let sent = client.start_all(0);
        // Also after a failure: a server that stays stopped could not even be ended.
        if let Some(pid) = stop_pid {
            process::resume(pid)?;
        }
        sent?;
        requests += client.finish_all()?;
    }
    println!("{requests}");
    Ok(ExitCode::SUCCESS)
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
