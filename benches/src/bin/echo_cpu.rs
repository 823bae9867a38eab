//! CPU time per echoed request: corering on both drivers, tokio, and two hand-written loops, in
//! one paired run.
//!
//! ```console
//! $ cargo run --release -p corering-bench --bin echo_cpu -- --connections 64 --size 64
//! ```

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use corering_bench::address::Address;
use corering_bench::os;
use corering_bench::paired::{self, Plan};
use corering_bench::server::{self, Options, Server};

/// Compares the CPU time that echo servers spend on one request.
///
/// Each server is a process of its own on one CPU, the client is on another. Slices of time go to
/// one server at a time in random order, and what is compared are the ratios within one round.
/// An interval that holds 1 is a tie; the second process of the first server shows the noise.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Connections to each server.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes of one message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// Slices that each server gets.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds of one slice.
    #[arg(long, default_value_t = 150)]
    slice_ms: u64,
    /// The servers to compare, the first of them twice.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "uring,epoll,tokio,raw-uring,raw-epoll"
    )]
    servers: Vec<Server>,
    /// The servers that the others are compared with.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tokio,raw-uring")]
    against: Vec<Server>,
    /// Over Unix sockets instead of TCP.
    #[arg(long)]
    unix: bool,
    /// The CPU of the servers.
    #[arg(long, default_value_t = 1)]
    server_cpu: usize,
    /// The CPU of the client.
    #[arg(long, default_value_t = 0)]
    client_cpu: usize,
    /// Decides the order of the slices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Serves alone, until it is ended.
    Serve {
        /// Which server.
        #[arg(value_enum)]
        server: Server,
        /// Where to listen, such as 127.0.0.1:7000 or unix:PATH.
        #[arg(long, default_value_t = Address::any_port())]
        listen: Address,
        /// Bytes of the messages to come.
        #[arg(long, default_value_t = 64)]
        size: usize,
        /// The CPU to run on.
        #[arg(long)]
        cpu: Option<usize>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Serve { server, listen, size, cpu }) => {
            let options = Options { address: listen.clone(), message_size: *size, cpu: *cpu };
            server::serve(*server, &options).map(|never| match never {})
        }
        None => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_cpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    os::raise_descriptor_limit()?;
    os::pin_to_cpu(arguments.client_cpu)?;
    let plan = Plan {
        servers: arguments.servers.clone(),
        against: arguments.against.clone(),
        connections: arguments.connections,
        message_size: arguments.size as usize,
        rounds: arguments.rounds as usize,
        slice: Duration::from_millis(arguments.slice_ms),
        seed: arguments.seed,
        is_unix: arguments.unix,
        server_cpu: arguments.server_cpu,
    };
    let is_terminal = io::stderr().is_terminal();
    let report = paired::compare(&plan, |round| {
        if is_terminal {
            eprint!("\rround {round} of {}", plan.rounds);
        }
    })?;
    if is_terminal {
        eprintln!();
    }
    let heading = format!(
        "{} connections, {} bytes, {} rounds of {} ms\n",
        plan.connections,
        plan.message_size,
        plan.rounds,
        plan.slice.as_millis()
    );
    io::stdout().write_all((heading + &report.table()).as_bytes())
}
