//! Ten thousand clients at once on one shard.
//!
//! The clients are a child of the same program, so that each side has its own descriptors and the
//! server's memory can be told from theirs. Read `server.rs` first, then `clients.rs`.

mod child;
mod clients;
mod limits;
mod memory;
mod server;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use corering::{Driver, Runtime, select_biased};
use corering_examples::complain;
use futures_util::FutureExt;

use crate::child::Child;
use crate::clients::Message;
use crate::memory::Memory;
use crate::server::Server;

/// Serves ten thousand clients at once on one shard, and says how fast they are answered and what a
/// connection costs.
///
/// The clients are a second process, which this one starts. They connect on several loopback
/// addresses; when all are connected at the same time, each asks a question again and again, at set times.
/// The time of an answer counts from when its question was due, so a server that falls behind cannot hide
/// that. The status is 0 when every question was answered rightly and in time, 1 when one was not, when a
/// limit forbids that number of clients, or when a signal ended the run, and 2 when the command line is wrong.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How many clients are connected at the same time.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    clients: usize,

    /// How many questions each client asks.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    questions: u32,

    /// Milliseconds from one question of a client to its next. The clients ask in turn, evenly spread.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    every: u32,

    /// Milliseconds within which an answer must come.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    deadline: u32,

    /// How the kernel is reached, by server and clients: "uring", "epoll", or "auto", which is uring where
    /// the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,

    /// Makes this process the clients of servers at these addresses; standard input is the socket to the
    /// server's process.
    #[arg(long, hide = true, value_delimiter = ',', value_name = "ADDR")]
    as_clients: Vec<SocketAddr>,
}

impl Arguments {
    fn every(&self) -> Duration {
        Duration::from_millis(self.every.into())
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline.into())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format_args!("c10k: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = || Runtime::builder().driver(arguments.driver).build().map_err(text);
    if !arguments.as_clients.is_empty() {
        return runtime()?.block_on(clients::run(arguments)).map_err(text);
    }
    let addresses = limits::addresses(arguments.clients)?;
    let runtime = runtime()?;
    say(format_args!(
        "one shard on {}, {} clients on {addresses} loopback addresses",
        runtime.driver(),
        arguments.clients
    ))?;
    runtime.block_on(serve(arguments, addresses))
}

/// Prints a line. A closed output is an error, and does not panic.
fn say(line: fmt::Arguments<'_>) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("the output is closed: {error}"))
}

fn text(error: io::Error) -> String {
    error.to_string()
}

/// Serves the clients until they are done or a signal comes. Whichever it is, they are gone then.
async fn serve(arguments: &Arguments, addresses: u8) -> Result<(), String> {
    // Before anything starts, so that no signal ends this process without them.
    let mut signal = corering::signal::shutdown();
    let server = Server::start(addresses).await.map_err(|error| format!("no server: {error}"))?;
    let started = Child::start(arguments, server.addresses()).await;
    let mut child = started.map_err(|error| format!("the clients cannot be started: {error}"))?;
    let outcome = select_biased! {
        caught = signal => Err(match caught {
            Ok(()) => "ended by a signal before all questions were answered".to_owned(),
            Err(error) => format!("signals cannot be waited for: {error}"),
        }),
        measured = Box::pin(measure(arguments, &server, &mut child)).fuse() => measured,
    };
    let ended = child.end().await;
    server.end().await.and(ended).map_err(text).and(outcome)
}

/// What the clients say in turn, beside what this process sees.
async fn measure(arguments: &Arguments, server: &Server, child: &mut Child) -> Result<(), String> {
    let Message::Started = child.receive().await? else { return Err(OUT_OF_TURN.to_owned()) };
    memory::forget_peak();
    let before = Memory::now().map_err(text)?;

    let begun = Instant::now();
    child.send("connect").await?;
    let Message::Connected(connected) = child.receive().await? else {
        return Err(OUT_OF_TURN.to_owned());
    };
    let open = server.open();
    if connected != arguments.clients || open != arguments.clients {
        return Err(format!(
            "{} clients should be connected at the same time; {connected} say that they are, and the \
             server has {open}",
            arguments.clients
        ));
    }
    say(format_args!(
        "connected: {open} at the same time, counted by both sides, after {:.2} s",
        begun.elapsed().as_secs_f64()
    ))?;
    let idle = Memory::now().map_err(text)?;

    child.send("ask").await?;
    say(format_args!(
        "each asks {} questions, one every {} ms, of which each is to be answered within {} ms",
        arguments.questions, arguments.every, arguments.deadline
    ))?;
    let Message::Answered(answers) = child.receive().await? else {
        return Err(OUT_OF_TURN.to_owned());
    };
    say(format_args!("{answers}"))?;
    let peak = memory::peak_resident_bytes().map_err(text)?;
    let each = |after: u64, before: u64| after.saturating_sub(before) / arguments.clients as u64;
    say(format_args!(
        "memory of the server for each connection: {} bytes while idle ({} by PSS), {} at the peak; {:.1} MB in all",
        each(idle.resident, before.resident),
        each(idle.proportional, before.proportional),
        each(peak, before.resident),
        peak as f64 / 1e6,
    ))?;
    answers.verdict(arguments.clients as u64 * u64::from(arguments.questions))
}

const OUT_OF_TURN: &str = "the clients sent a message out of turn";
