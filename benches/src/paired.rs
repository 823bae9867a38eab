//! Comparing servers on a machine that is noisy.
//!
//! All servers are alive at once, each a process of its own on one CPU. One client on another CPU
//! gives short slices of time to one server at a time, in random order within each round. What is
//! compared is the ratio of the CPU time per request within one round, so that what slows the
//! machine down for a second slows both sides. A second process of the first server stands in the
//! same table: the distance of its ratio from 1 is the noise.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::interrupt::Interrupt;
use crate::load::{self, Client, Protocol, Reason, Verdict};
use crate::os;
use crate::outcome::{Failure, Outcome};
use crate::process::ServerProcess;
use crate::server::Server;
use crate::stats::{Estimate, Random, median};

/// Compares the CPU time that servers spend on one request.
///
/// Each server is a process of its own on one CPU, the client is on another. Slices of time go to
/// one server at a time in random order, and what is compared are the ratios within one round.
/// An interval that holds 1 is a tie; the second process of the first server shows the noise.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
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
    /// Connections and bytes of a message, such as 64x16384.
    #[arg(long, value_delimiter = ',', default_value = "64x64")]
    cells: Vec<Cell>,
    /// Slices that each server gets.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds of one slice.
    #[arg(long, default_value_t = 100)]
    slice_ms: u64,
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

/// How many connections, and how large their messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Connections to each server.
    pub connections: usize,
    /// Bytes of one message.
    pub message_size: usize,
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cell = text.split_once('x').and_then(|(connections, message_size)| {
            Some(Cell {
                connections: connections.parse().ok()?,
                message_size: message_size.parse().ok()?,
            })
        });
        cell.filter(|cell| cell.connections > 0 && cell.message_size > 0).ok_or_else(|| {
            format!("`{text}` is not CONNECTIONSxBYTES, such as 64x16384, both at least 1")
        })
    }
}

/// The subcommand `paired`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    os::raise_descriptor_limit()?;
    os::pin_to_cpu(arguments.client_cpu)?;
    for cell in &arguments.cells {
        let plan = Plan {
            servers: arguments.servers.clone(),
            against: arguments.against.clone(),
            connections: cell.connections,
            message_size: cell.message_size,
            rounds: arguments.rounds as usize,
            slice: Duration::from_millis(arguments.slice_ms),
            seed: arguments.seed,
            is_unix: arguments.unix,
            server_cpu: arguments.server_cpu,
        };
        let is_terminal = io::stderr().is_terminal();
        let report = compare(&plan, |round| {
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
        io::stdout().write_all((heading + &report.table()).as_bytes())?;
    }
    Ok(Outcome::Valid)
}

/// What to compare, and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, the first of them twice.
    pub servers: Vec<Server>,
    /// Those that the others are compared with.
    pub against: Vec<Server>,
    /// Connections to each server.
    pub connections: usize,
    /// Bytes of one message.
    pub message_size: usize,
    /// Slices that each server gets.
    pub rounds: usize,
    /// The length of one slice.
    pub slice: Duration,
    /// Decides the order of the slices.
    pub seed: u64,
    /// Over a Unix socket, where the kernel's share is a quarter of that of loopback TCP.
    pub is_unix: bool,
    /// Where the servers run.
    pub server_cpu: usize,
}

/// A server and what its slices gave.
#[derive(Debug)]
struct Candidate {
    name: String,
    server: Server,
    process: ServerProcess,
    client: Client,
    /// One per round, in nanoseconds.
    cpu_per_request: Vec<f64>,
    requests_per_second: Vec<f64>,
}

/// What a comparison found.
#[derive(Debug)]
pub struct Report {
    /// One per server, and the second process of the first one.
    pub rows: Vec<Row>,
    /// The titles of the ratios.
    pub against: Vec<String>,
}

/// One line of a report.
#[derive(Debug)]
pub struct Row {
    /// The server; `again` is the second process of the first one.
    pub name: String,
    /// The median over the rounds.
    pub cpu_ns_per_request: f64,
    /// The median over the rounds.
    pub requests_per_second: f64,
    /// CPU time per request, divided by that of each server compared with, round by round.
    pub ratios: Vec<Estimate>,
}

/// Compares. `progress` hears after each round how many are done.
pub fn compare(plan: &Plan, mut progress: impl FnMut(usize)) -> io::Result<Report> {
    let mut candidates = start_all(plan)?;
    let mut random = Random::new(plan.seed);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // The first round warms caches and branch predictors, and is not counted.
    for round in 0..=plan.rounds {
        random.shuffle(&mut order);
        for index in &order {
            let candidate = &mut candidates[*index];
            let before = candidate.process.cpu_time()?;
            let work = candidate
                .client
                .run_closed(plan.slice, &Interrupt::default())
                .map_err(|failure| named(&candidate.name, failure))?;
            if let Verdict::Invalid(fault) = &work.verdict
                && fault.reason != Reason::ClientSaturated
            {
                return Err(named(&candidate.name, fault.clone().into()));
            }
            let used = candidate.process.cpu_time()? - before;
            if round > 0 {
                let requests = work.requests as f64;
                candidate.cpu_per_request.push(used.as_nanos() as f64 / requests);
                candidate.requests_per_second.push(requests / work.elapsed.as_secs_f64());
            }
        }
        progress(round);
    }
    Ok(report(plan, &candidates))
}

fn start_all(plan: &Plan) -> io::Result<Vec<Candidate>> {
    let first = *plan.servers.first().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to compare")
    })?;
    let again = (format!("{} again", first.name()), first);
    let mut named: Vec<(String, Server)> =
        plan.servers.iter().map(|server| (server.name(), *server)).collect();
    named.insert(1, again);
    named.into_iter().enumerate().map(|(index, named)| start(plan, index, named)).collect()
}

fn start(plan: &Plan, index: usize, (name, server): (String, Server)) -> io::Result<Candidate> {
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--driver={}", server.name()),
        format!("--size={}", plan.message_size),
        format!("--cpu={}", plan.server_cpu),
    ];
    if plan.is_unix {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("corering-bench-{id}-{index}"));
        arguments.push(format!("--addr=unix:{}", path.display()));
    }
    let process = ServerProcess::start_self(&arguments)
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    let client = Client::connect(&load::Plan {
        connections: plan.connections,
        message_size: plan.message_size,
        ..load::Plan::new(process.address().clone(), Protocol::Echo)
    })
    .map_err(|failure| named(&name, failure))?;
    Ok(Candidate {
        name,
        server,
        process,
        client,
        cpu_per_request: Vec::new(),
        requests_per_second: Vec::new(),
    })
}

fn named(name: &str, failure: Failure) -> io::Error {
    io::Error::other(format!("{name}: {failure}"))
}

fn report(plan: &Plan, candidates: &[Candidate]) -> Report {
    // The second process of the first server is never a reference: it comes after the first.
    let references: Vec<&Candidate> = plan
        .against
        .iter()
        .filter_map(|server| candidates.iter().find(|candidate| candidate.server == *server))
        .collect();
    let row = |candidate: &Candidate| Row {
        name: candidate.name.clone(),
        cpu_ns_per_request: median(&candidate.cpu_per_request),
        requests_per_second: median(&candidate.requests_per_second),
        ratios: references.iter().map(|reference| ratio(candidate, reference)).collect(),
    };
    Report {
        rows: candidates.iter().map(row).collect(),
        against: references.iter().map(|reference| reference.name.clone()).collect(),
    }
}

fn ratio(candidate: &Candidate, reference: &Candidate) -> Estimate {
    let pairs = candidate.cpu_per_request.iter().zip(&reference.cpu_per_request);
    Estimate::of(&pairs.map(|(own, other)| own / other).collect::<Vec<_>>())
}

impl Report {
    /// The report as a table for a terminal.
    pub fn table(&self) -> String {
        let mut table = format!("{:<16}{:>14}{:>14}", "server", "CPU ns/req", "req/s");
        for name in &self.against {
            let title = format!("CPU per request / {name}");
            write!(table, "  {title:<34}").expect("a string takes everything");
        }
        for row in &self.rows {
            write!(
                table,
                "\n{:<16}{:>14.0}{:>14.0}",
                row.name, row.cpu_ns_per_request, row.requests_per_second
            )
            .expect("a string takes everything");
            for estimate in &row.ratios {
                let text = format!("{estimate} {}", estimate.verdict());
                write!(table, "  {text:<34}").expect("a string takes everything");
            }
        }
        table.push('\n');
        table
    }
}
