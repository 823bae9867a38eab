//! Comparing servers on a machine that is noisy.
//!
//! All servers are alive at once, each a process of its own on one CPU. One client on another CPU
//! gives short slices of time to one server at a time, in random order within each round. What is
//! compared are ratios within one round, so that what slows the machine down for a second slows
//! both sides. A second process of the first server stands in the same table: the distance of its
//! ratio from 1 is the noise.
//!
//! This file is the command line. Read `plan.rs` for what can be asked for, then `session.rs` for
//! one server and its slice; [`measure()`] and [`at_rate`] hand out the slices, `weather.rs` watches
//! the machine meanwhile, and [`compare()`] says what came of it.

#![forbid(unsafe_code)]

mod compare;
pub mod holder;
mod measure;
mod names;
mod output;
mod plan;
mod rate;
mod session;
mod table;
mod weather;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

pub use compare::{compare, noise};
pub use measure::{TRACED_CALLS, TRACED_UNITS, measure};
pub use names::{CellSize, Handicap, Name, Program};
pub use plan::{BEFORE, Bounds, Candidate, Cpus, Order, Plan, Shape};
pub use rate::{AtRate, at_rate};

use output::{Output, unwritable};

use crate::interrupt::Interrupt;
use crate::load::Pace;
use crate::os::trace::SystemCallCounter;
use crate::outcome::{Failure, Outcome};
use crate::server::{Read, Workload, peers};
use crate::study::schema::{self, Cell, Excluded, Noise};

/// Compares servers: CPU time per request, throughput and latency, slice by slice.
///
/// Each server is a process of its own on one CPU, the client is on another. Slices of time go to
/// one server at a time, and what is compared are the ratios within one round, with an interval
/// that holds 95 of 100 resampled medians. An interval that holds 1 is a tie; the second process of
/// the first server shows the noise.
///
/// Ctrl-C prints what was measured so far.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The servers to compare, the first of them twice; a receive policy may follow, as in
    /// uring/notification.
    #[arg(long, value_delimiter = ',', default_value = "uring,epoll,tokio,raw-uring,raw-epoll")]
    servers: Vec<Name>,
    /// The servers that the others are compared with, as far as they take part; if none does, the
    /// first server.
    #[arg(long, value_delimiter = ',', default_value = "tokio,raw-uring")]
    against: Vec<Name>,
    /// Compare each server with the same one of another build, which takes part as `SERVER before`:
    /// the corering-bench of an earlier commit.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["against", "with_peers"])]
    before: Option<PathBuf>,
    /// Compare with monoio, compio and glommio, too, which are built for it: that takes a minute
    /// or two the first time.
    #[arg(long)]
    with_peers: bool,
    /// What they serve.
    #[arg(long, value_enum, default_value = "echo")]
    workload: Workload,
    /// Connections and bytes of a message (or of a body), such as 64x16384.
    #[arg(long, value_delimiter = ',', default_value = "64x64")]
    cells: Vec<CellSize>,
    /// Requests in flight on each connection.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    depth: u32,
    /// Connections to each server that do nothing, beside those of the cell.
    #[arg(long, default_value_t = 0)]
    idle_connections: usize,
    /// Slices that each server gets.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds of one slice.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u64).range(1..))]
    slice_ms: u64,
    /// Who comes after whom within a round.
    #[arg(long, value_enum, default_value = "shuffled")]
    order: Order,
    /// Start so many requests a second, whether or not the earlier ones were answered, and show
    /// latency instead of ratios.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "json")]
    rate: Option<f64>,
    /// Write the whole distributions at a rate into this folder, as .hgrm and .hlog.
    #[arg(long, value_name = "FOLDER", requires = "rate")]
    histograms: Option<PathBuf>,
    /// An option of `serve` for all servers, such as --serve-option=--group=16.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    serve_option: Vec<String>,
    /// CPU time that a server wastes on each request, such as epoll=20us: to see whether the
    /// comparison notices.
    #[arg(long, value_delimiter = ',', value_name = "SERVER=TIME")]
    handicap: Vec<Handicap>,
    /// Whose buffers uring and epoll receive into; the others have their own.
    #[arg(long, value_enum, default_value = "lent")]
    read: Read,
    /// Over Unix sockets instead of TCP.
    #[arg(long)]
    unix: bool,
    /// The CPU of the servers [default: the second that may be used].
    #[arg(long)]
    server_cpu: Option<usize>,
    /// The CPU of the client [default: the first that may be used].
    #[arg(long)]
    client_cpu: Option<usize>,
    /// Decides the order of the slices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every slice, too; `-` is the standard output, and the tables go to the standard error
    /// then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `--json` writes: the cells as in `study.json`, without a verdict on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// As in [`schema::Study::version`].
    pub version: u32,
    /// True when it was interrupted: slices or cells are missing.
    pub is_partial: bool,
    /// Decided the order of the slices.
    pub seed: u64,
    /// Servers that were slowed down on purpose, by so many nanoseconds per request.
    pub handicaps_ns: BTreeMap<String, u64>,
    /// Everything that was measured.
    pub cells: Vec<Cell>,
    /// What two processes of the first server differ by.
    pub noise: Vec<Noise>,
    /// What counts for nothing, with the reason.
    pub invalid: Vec<Excluded>,
}

/// The subcommand `paired`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut plans: Vec<Plan> =
        arguments.cells.iter().map(|cell| arguments.plan(*cell)).collect::<Result<_, _>>()?;
    let output = Output::open(arguments.json.as_ref())?;
    if arguments.with_peers {
        let programs = peers::build()?;
        plans.iter_mut().for_each(|plan| plan.peers = Some(programs.clone()));
    }
    let interrupt = Interrupt::install()?;
    output.say(&heading(&plans))?;
    if let Some(rate) = arguments.rate {
        return arguments.run_at_rate(&plans, rate, &interrupt, &output);
    }
    let mut document = arguments.document();
    let against = arguments.against_names();
    for plan in &plans {
        let runs = measure(plan, &interrupt, progress(plan.rounds))?;
        document.is_partial |= interrupt.is_set();
        let cell = cell(plan, runs, &against);
        let partial = if interrupt.is_set() { "partial: interrupted after " } else { "" };
        let rounds = cell.runs.iter().map(|run| run.slices.len()).max().unwrap_or(0);
        output.say(&format!(
            "\n{}; {partial}{rounds} rounds of {} ms\n\n{}",
            cell.title,
            plan.slice.as_millis(),
            table::of_cell(&cell, &against)
        ))?;
        document.add(cell);
        if interrupt.is_set() {
            break;
        }
    }
    output.write(&document)?;
    let is_valid = document.invalid.is_empty() && !document.is_partial;
    Ok(if is_valid { Outcome::Valid } else { Outcome::Invalid })
}

impl Arguments {
    fn plan(&self, cell: CellSize) -> Result<Plan, Failure> {
        let unknown = self
            .handicap
            .iter()
            .find(|handicap| !self.servers.iter().any(|name| handicap.concerns(name)));
        if let Some(handicap) = unknown {
            return Err(Failure::Usage(format!(
                "--handicap names {}, which does not take part: add it to --servers",
                handicap.server
            )));
        }
        let servers = self.all_servers()?;
        let candidates = servers.iter().flat_map(|name| {
            let own = self.handicap.iter().filter(|handicap| handicap.concerns(name));
            let candidate = Candidate {
                name: name.clone(),
                handicap: own.map(|handicap| handicap.time).sum(),
                before: None,
            };
            let before = Candidate { before: self.before.clone(), ..candidate.clone() };
            [candidate].into_iter().chain(self.before.is_some().then_some(before))
        });
        let shape = Shape {
            connections: cell.connections,
            message_bytes: cell.message_bytes,
            depth: self.depth as usize,
            idle_connections: self.idle_connections,
        };
        let plan = Plan {
            workload: self.workload,
            rounds: self.rounds,
            slice: Duration::from_millis(self.slice_ms),
            order: self.order,
            seed: self.seed,
            cpus: Cpus::choose(self.server_cpu, self.client_cpu)?,
            read: self.read,
            is_unix: self.unix,
            server_options: self.serve_option.clone(),
            ..Plan::new(candidates.collect(), shape)?
        };
        plan.check()?;
        Ok(plan)
    }

    /// Those that were named and, on request, the peers that were not.
    fn all_servers(&self) -> Result<Vec<Name>, Failure> {
        let mut servers = self.servers.clone();
        if let (Some(peer), false) = (servers.iter().find(|name| name.is_peer()), self.with_peers) {
            return Err(Failure::Usage(format!(
                "{peer} is built on request only: add --with-peers"
            )));
        }
        for name in peers::NAMES.into_iter().filter(|_| self.with_peers) {
            let name = Name { program: Program::Peer(name), receive: None };
            if !servers.contains(&name) {
                servers.push(name);
            }
        }
        Ok(servers)
    }

    fn against_names(&self) -> Vec<String> {
        if self.before.is_some() {
            return self.servers.iter().map(|name| format!("{name}{BEFORE}")).collect();
        }
        let take_part =
            |name: &&Name| self.servers.contains(name) || self.with_peers && name.is_peer();
        let against: Vec<_> = self.against.iter().filter(take_part).collect();
        let first = self.servers.first().into_iter().filter(|_| against.is_empty());
        against.iter().copied().chain(first).map(Name::to_string).collect()
    }

    fn document(&self) -> Document {
        let handicaps = self.handicap.iter().map(|handicap| {
            let time_ns = u64::try_from(handicap.time.as_nanos()).unwrap_or(u64::MAX);
            (handicap.server.to_string(), time_ns)
        });
        Document {
            version: schema::VERSION,
            is_partial: false,
            seed: self.seed,
            handicaps_ns: handicaps.collect(),
            cells: Vec::new(),
            noise: Vec::new(),
            invalid: Vec::new(),
        }
    }

    fn run_at_rate(
        &self,
        plans: &[Plan],
        rate: f64,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        if let Some(folder) = &self.histograms {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
        let mut outcome = Outcome::Valid;
        for plan in plans {
            let points = at_rate(plan, Pace::Constant(rate), interrupt, progress(plan.rounds))?;
            let is_valid = points.iter().all(|point| point.invalid.is_none());
            let partial = if interrupt.is_set() { "; partial: interrupted" } else { "" };
            output.say(&format!(
                "\n{}; {rate} {}s started per second{partial}\n\n{}",
                plan.title(),
                plan.unit(),
                table::of_rate(&points)
            ))?;
            for point in points.iter().filter(|point| !point.slices.is_empty()) {
                let Some(folder) = &self.histograms else { break };
                let stem = format!("{}-{}", plan.id(), point.server).replace(['/', ' '], "-");
                point.write(folder, &stem)?;
            }
            if interrupt.is_set() || !is_valid {
                outcome = Outcome::Invalid;
            }
            if interrupt.is_set() {
                break;
            }
        }
        Ok(outcome)
    }
}

impl Document {
    fn add(&mut self, cell: Cell) {
        self.noise.extend(noise(&cell.id, &cell.runs));
        self.invalid.extend(cell.runs.iter().filter_map(|run| {
            Some(Excluded {
                cell: cell.id.clone(),
                server: Some(run.server.clone()),
                reason: run.invalid.clone()?,
            })
        }));
        self.cells.push(cell);
    }
}

fn cell(plan: &Plan, runs: Vec<schema::Run>, against: &[String]) -> Cell {
    let shape = plan.shape;
    let parameters = [
        ("connections", shape.connections),
        ("message_bytes", shape.message_bytes),
        ("depth", shape.depth),
        ("idle_connections", shape.idle_connections),
    ];
    Cell {
        id: plan.id(),
        workload: plan::in_study(plan.workload),
        title: plan.title(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value as u64)).into(),
        unit: plan.unit().to_owned(),
        comparisons: compare(&runs, against),
        runs,
        curve: Vec::new(),
    }
}

/// What holds for all tables that follow.
fn heading(plans: &[Plan]) -> String {
    let Some(plan) = plans.first() else { return String::new() };
    let Cpus { server, client } = plan.cpus;
    let mut text = if plan.cpus.is_shared() {
        format!(
            "servers and client share CPU {server}: latency and throughput are those of both \
             together, and whether the client was the limit cannot be told\n"
        )
    } else {
        format!("servers on CPU {server}, client on CPU {client}\n")
    };
    if cfg!(debug_assertions) {
        text.push_str("built without optimization: build with --release for figures that count\n");
    }
    if let Err(reason) = SystemCallCounter::open(std::process::id()) {
        text.push_str(&format!("system calls by tracepoint: not available ({reason})\n"));
    }
    text
}

/// Shows on a terminal how far it is.
fn progress(rounds: u32) -> impl FnMut(u32) {
    let is_terminal = io::stderr().is_terminal();
    move |round| {
        if is_terminal {
            let end = if round == rounds { "\r\x1b[K" } else { "" };
            eprint!("\rround {round} of {rounds}{end}");
        }
    }
}
